//! Components as the host meets them: the built tasks, and files that are no usable components.

mod code;
mod powers;
mod scheduler;

use anyhow::Result;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use task_runtime::component::{
    ComponentCache, Engine, EngineOptions, Limits, LoadedComponent, Manifest, Needs, Registry,
    inspect,
};
use task_runtime::host::{
    HostState, Linkers, Machine, Purpose, TaskComponent, TaskInstance, objections,
};
use task_runtime_tests::fixtures::{Bench, cache, task_directories};
use tempfile::TempDir;

fn registry() -> Result<Registry> {
    Ok(Registry::open(
        Engine::new()?,
        cache(),
        &task_directories(),
    )?)
}

fn built(task: &str) -> Result<PathBuf> {
    Ok(registry()?.load(task)?.path)
}

#[test]
fn tasks_import_nothing_but_the_contract() -> Result<()> {
    let registry = registry()?;
    let names: Vec<String> = registry.tasks().map(|(name, _)| name).collect();
    for task in ["lintian", "mmdebstrap", "noop", "sbuild"] {
        assert!(
            names.iter().any(|name| name == task),
            "{task} is not built: make tasks"
        );
    }
    for (name, path) in registry.tasks() {
        let interface = inspect(&path)?;
        for import in &interface.imports {
            assert!(
                import.name.starts_with("debusine:task/"),
                "{name}: {}",
                import.name
            );
        }
        assert_eq!(
            objections(&interface, false),
            Vec::<String>::new(),
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn tasks_describe_themselves_with_schemas_of_their_data() -> Result<()> {
    let bench = Bench::new()?;
    for task in ["lintian", "noop", "mmdebstrap", "sbuild"] {
        let description = bench.instance(task).await?.describe().await?;
        assert_eq!(description.name, task);
        assert_eq!(description.version, 1);
        let schema: Value = serde_json::from_str(&description.data_schema)?;
        assert!(
            schema["properties"]["task_configuration"].is_object(),
            "{task}"
        );
        assert_eq!(schema["additionalProperties"], false, "{task}");
        serde_json::from_str::<Value>(&description.dynamic_data_schema)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_batch_of_workers_gets_the_answers_of_single_calls() -> Result<()> {
    let bench = Bench::new()?;
    let mut task = bench.instance("sbuild").await?;
    let data =
        json!({"input": {"source_artifact": 1}, "host_architecture": "amd64", "environment": 2});
    task.configure(&data, None, None)
        .await?
        .expect("the data are valid");
    let worker = |number: usize| {
        json!({
            "system:worker_type": if number.is_multiple_of(7) { "celery" } else { "external" },
            "system:architectures": if number.is_multiple_of(3) { json!(["arm64"]) } else { json!(["amd64", "i386"]) },
            "sbuild:version": 1,
            "sbuild:available": !number.is_multiple_of(5),
            "executor:unshare:available": true,
        })
        .to_string()
    };
    let metadata: Vec<String> = (0..200)
        .map(worker)
        .chain(["[]".to_owned(), "{".to_owned()])
        .collect();
    let workers = task.prepare_workers(&metadata).await?;
    let answers = task.can_run_on_each(workers).await?;
    assert_eq!(answers.len(), metadata.len().div_ceil(64));
    for (number, one) in metadata.iter().enumerate() {
        let in_batch = answers[number / 64] >> (number % 64) & 1 == 1;
        assert_eq!(
            in_batch,
            task.can_run_on(one).await?,
            "worker {number}: {one}"
        );
    }
    assert!(answers.iter().any(|bits| *bits != 0));
    Ok(())
}

#[tokio::test]
async fn a_scheduling_call_has_no_power_to_write() -> Result<()> {
    let bench = Bench::new()?;
    let mut task = bench.instance("scripted").await?;
    task.configure(&json!({"label": "log"}), None, None)
        .await?
        .expect("the data are valid");
    let error = task.label().await.expect_err("logs are not linked");
    assert!(error.to_string().contains("debusine:task/logs"), "{error}");
    Ok(())
}

/// A directory with files that claim to be tasks.
struct Shelf {
    directory: TempDir,
}

impl Shelf {
    fn new() -> Result<Self> {
        Ok(Self {
            directory: tempfile::tempdir()?,
        })
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// What the host says of a task on this shelf that it cannot use.
    fn refusal(&self, task: &str) -> String {
        match self.load(task) {
            Ok(_) => panic!("{task} was accepted"),
            Err(error) => format!("{error:#}"),
        }
    }

    fn load(&self, task: &str) -> Result<TaskComponent> {
        let engine = Engine::new()?;
        let directories = [self.directory.path().to_owned()];
        let registry = Registry::open(engine.clone(), ComponentCache::none(), &directories)?;
        let loaded = registry.load(task)?;
        let linkers = Linkers::new(&engine)?;
        Ok(TaskComponent::new(
            &engine,
            &linkers,
            &loaded,
            Purpose::Execution,
        )?)
    }
}

fn component(text: &str) -> Result<Vec<u8>> {
    Ok(wat::parse_str(text)?)
}

#[test]
fn a_file_that_is_no_component_is_named() -> Result<()> {
    let shelf = Shelf::new()?;
    shelf.put("text.wasm", b"no component at all")?;
    let whole = fs::read(built("noop")?)?;
    shelf.put("cut.wasm", &whole[..whole.len() / 2])?;
    shelf.put("empty.wasm", b"")?;
    shelf.put("module.wasm", &component("(module)")?)?;
    for task in ["text", "cut", "empty", "module"] {
        let words = shelf.refusal(task);
        assert!(words.contains(&format!("{task}.wasm")), "{words}");
    }
    assert!(
        shelf
            .refusal("text")
            .contains("not a usable WebAssembly component")
    );
    Ok(())
}

#[test]
fn a_component_without_the_exports_of_a_task_is_told_which() -> Result<()> {
    let shelf = Shelf::new()?;
    shelf.put("bare.wasm", &component("(component)")?)?;
    let words = shelf.refusal("bare");
    assert!(
        words.contains("does not export debusine:task/scheduling@0.1.0"),
        "{words}"
    );
    Ok(())
}

#[test]
fn an_import_that_the_host_does_not_know_is_named() -> Result<()> {
    let shelf = Shelf::new()?;
    let importing = |name: &str| {
        component(&format!(
            r#"(component (import "{name}" (instance (export "call" (func)))))"#
        ))
    };
    shelf.put("foreign.wasm", &importing("acme:printer/paper@1.0.0")?)?;
    shelf.put("wasi.wasm", &importing("wasi:cli/environment@0.2.0")?)?;
    shelf.put("newer.wasm", &importing("debusine:task/files@0.9.0")?)?;
    assert!(
        shelf
            .refusal("foreign")
            .contains("acme:printer/paper@1.0.0, which this host does not offer")
    );
    assert!(
        shelf
            .refusal("wasi")
            .contains("tasks get nothing from WASI")
    );
    let words = shelf.refusal("newer");
    assert!(
        words.contains("debusine:task/files@0.9.0, and this host speaks 0.1.0"),
        "{words}"
    );
    Ok(())
}

/// The component as if it had been built for another version of the contract, with as many letters.
fn of_version(bytes: &[u8], version: &str) -> Vec<u8> {
    const PACKAGE: &[u8] = b"debusine:task/";
    const OURS: &[u8] = b"@0.1.0";
    let mut bytes = bytes.to_owned();
    let mut place = 0;
    while let Some(found) = find(&bytes[place..], PACKAGE) {
        place += found + PACKAGE.len();
        let rest = &bytes[place..bytes.len().min(place + 40)];
        let name = rest
            .iter()
            .take_while(|it| it.is_ascii_lowercase() || **it == b'-');
        let end = place + name.count();
        if bytes[end..].starts_with(OURS) {
            bytes[end + 1..end + OURS.len()].copy_from_slice(version.as_bytes());
        }
    }
    bytes
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|it| it == wanted)
}

#[tokio::test]
async fn a_component_for_a_newer_version_runs_where_it_uses_nothing_of_it() -> Result<()> {
    let shelf = Shelf::new()?;
    let noop = fs::read(built("noop")?)?;
    let path = shelf.put("noop.wasm", &of_version(&noop, "0.1.7"))?;
    let imports = inspect(&path)?.imports;
    assert!(
        imports.iter().all(|it| it.name.ends_with("@0.1.7")),
        "{imports:?}"
    );
    let mut newer = instance(&shelf.load("noop")?).await?;
    newer
        .configure(&json!({}), None, None)
        .await?
        .expect("valid data");
    assert_eq!(newer.analyze_worker().await?["noop:version"], 1);
    for version in ["0.2.0", "1.0.0"] {
        shelf.put("noop.wasm", &of_version(&noop, version))?;
        let words = shelf.refusal("noop");
        assert!(
            words.contains(&format!("@{version}, and this host speaks 0.1.0"))
                && words.contains("wants a newer one"),
            "{words}"
        );
    }
    let sings =
        r#"(component (import "debusine:task/journal@0.1.7" (instance (export "sing" (func)))))"#;
    shelf.put("sings.wasm", &component(sings)?)?;
    let words = shelf.refusal("sings");
    assert!(
        words.contains("debusine:task/journal@0.1.7 with sing")
            && words.contains("a host of 0.1.7"),
        "{words}"
    );
    Ok(())
}

#[test]
fn a_name_found_twice_names_both_files() -> Result<()> {
    let shelf = Shelf::new()?;
    let noop = fs::read(built("noop")?)?;
    let first = shelf.put("one/noop.wasm", &noop)?;
    let second = shelf.put("two/NOOP.wasm", &noop)?;
    let directories =
        [first.parent(), second.parent()].map(|path| path.expect("a parent").to_owned());
    let error = Registry::open(Engine::new()?, ComponentCache::none(), &directories).err();
    let words = error.expect("a duplicate").to_string();
    assert!(
        words.contains("one/noop.wasm") && words.contains("two/NOOP.wasm"),
        "{words}"
    );
    Ok(())
}

#[tokio::test]
async fn a_component_that_lies_about_its_name_is_refused() -> Result<()> {
    let shelf = Shelf::new()?;
    shelf.put("liar.wasm", &fs::read(built("noop")?)?)?;
    // Before anything else is asked of it.
    let refused = instance(&shelf.load("liar")?).await.err();
    let words = refused.expect("a lie").to_string();
    assert!(
        words.contains("\"noop\"") && words.contains("liar.wasm"),
        "{words}"
    );
    Ok(())
}

async fn instance(component: &TaskComponent) -> Result<TaskInstance> {
    let state = HostState::new(
        component.engine(),
        &Limits::SCHEDULING,
        Arc::new(Machine::default()),
    );
    Ok(component.instantiate(state).await?)
}

#[test]
fn an_unknown_task_suggests_the_nearest() -> Result<()> {
    let words = registry()?
        .load("sbiuld")
        .err()
        .expect("no such task")
        .to_string();
    assert!(words.contains("did you mean \"sbuild\"?"), "{words}");
    assert_eq!(registry()?.load("NoOp")?.name, "noop");
    Ok(())
}

#[tokio::test]
async fn components_of_released_versions_still_answer() -> Result<()> {
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("released");
    for version in fs::read_dir(released)? {
        let shelf = Shelf::new()?;
        let sample = version?.path().join("hostile.wasm");
        shelf.put("hostile.wasm", &fs::read(sample)?)?;
        let mut sample = instance(&shelf.load("hostile")?).await?;
        assert_eq!(sample.describe().await?.name, "hostile");
        let configured = sample.configure(&json!({}), None, None).await?;
        configured.expect("it takes any data");
        assert!(sample.can_run_on(&"{}".to_owned()).await?);
    }
    Ok(())
}

#[test]
fn a_rescan_finds_what_is_new_replaced_and_removed() -> Result<()> {
    let shelf = Shelf::new()?;
    let (noop, mmdebstrap) = (fs::read(built("noop")?)?, fs::read(built("mmdebstrap")?)?);
    shelf.put("one.wasm", &noop)?;
    let cache = ComponentCache::new(&shelf.directory.path().join("cache"));
    let directories = [shelf.directory.path().to_owned()];
    let registry = Registry::open(Engine::new()?, cache, &directories)?;
    let before = registry.load("one")?;
    assert!(!registry.rescan()?, "nothing has changed");
    shelf.put("one.wasm", &mmdebstrap)?;
    shelf.put("two.wasm", &noop)?;
    let generation = registry.generation();
    assert!(registry.rescan()?);
    assert_ne!(registry.generation(), generation);
    assert_ne!(registry.load("one")?.digest, before.digest, "replaced");
    assert_eq!(registry.load("two")?.digest, before.digest, "new");
    fs::remove_file(shelf.directory.path().join("one.wasm"))?;
    assert!(registry.rescan()?);
    assert!(registry.load("one").is_err(), "removed");
    shelf.put("three.wasm", &noop)?;
    assert!(registry.load("three").is_ok(), "found without another look");
    Ok(())
}

#[test]
fn a_rescan_goes_on_with_the_rest_when_a_name_is_found_twice() -> Result<()> {
    let shelf = Shelf::new()?;
    let noop = fs::read(built("noop")?)?;
    let first = shelf.put("noop.wasm", &noop)?;
    let cache = ComponentCache::new(&shelf.directory.path().join("cache"));
    let more = shelf.directory.path().join("more");
    let directories = [shelf.directory.path().to_owned(), more];
    let registry = Registry::open(Engine::new()?, cache, &directories)?;
    shelf.put("more/noop.wasm", &noop)?;
    shelf.put("more/new.wasm", &noop)?;
    shelf.put("more/twice.wasm", &noop)?;
    shelf.put("more/TWICE.wasm", &noop)?;
    assert!(registry.rescan()?);
    assert_eq!(registry.load("noop")?.path, first, "it keeps its file");
    assert!(registry.load("new").is_ok());
    assert!(registry.load("twice").is_err(), "neither of them");
    fs::remove_file(&first)?;
    let second = directories[1].join("noop.wasm");
    assert_eq!(registry.load("noop")?.path, second, "now there is one");
    Ok(())
}

#[test]
fn each_released_version_of_the_contract_has_a_sample_component() -> Result<()> {
    let versions = |directory: PathBuf| -> Result<Vec<String>> {
        let mut versions = Vec::new();
        for version in fs::read_dir(directory)? {
            versions.push(version?.file_name().to_string_lossy().into_owned());
        }
        versions.sort();
        Ok(versions)
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let released = versions(tests.join("../wit/released"))?;
    assert!(released.contains(&"0.1.0".to_owned()), "{released:?}");
    assert_eq!(versions(tests.join("released"))?, released);
    for version in released {
        // It is one of that version.
        let sample = tests.join("released").join(&version).join("hostile.wasm");
        let interface = inspect(&sample)?;
        let names = interface.imports.iter().map(|it| &it.name);
        for name in names.chain(&interface.exports) {
            assert!(name.ends_with(&format!("@{version}")), "{version}: {name}");
        }
    }
    Ok(())
}
