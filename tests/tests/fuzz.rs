//! Bytes that nobody meant: mutated components, task data, names and Debian files neither end the host nor get out.
//!
//! Each target runs for a second; `FUZZ_SECONDS=600 cargo test --test fuzz` runs longer. A failure prints the seed of its input, and
//! `FUZZ_SEED=N` begins there.

use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use task_runtime::component::{ComponentCache, Engine, Limits, Manifest, inspect};
use task_runtime::executor::Abort;
use task_runtime::host::bindings::debusine::task::files::{DigestAlgorithm, HostDirectory};
use task_runtime::host::files::DirectoryHandle;
use task_runtime::host::{
    CallError, HostState, Linkers, Machine, Powers, Purpose, Resource, TaskComponent, TaskLogs,
    objections,
};
use task_runtime_tests::fixtures::Bench;
use task_sdk::debian::changes::Changes;
use task_sdk::debian::deb::Deb;
use task_sdk::debian::deb822::Stanza;
use task_sdk::debian::dsc::Dsc;

/// Numbers that look random and are the same for the same seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// Runs a target on fresh numbers until its time is over.
fn for_a_while(mut target: impl FnMut(&mut Numbers)) {
    let setting = |name: &str| std::env::var(name).ok()?.parse().ok();
    let time = Duration::from_secs(setting("FUZZ_SECONDS").unwrap_or(1));
    let first = setting("FUZZ_SEED").unwrap_or(1);
    let begun = Instant::now();
    for seed in first.. {
        if begun.elapsed() > time {
            break;
        }
        let told = Seed(seed);
        target(&mut Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
        std::mem::forget(told);
    }
}

/// Says the seed when a target panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        eprintln!("failed with FUZZ_SEED={}", self.0);
    }
}

/// Changes a few bytes, cuts, repeats.
fn mutate(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut mutated = bytes.to_vec();
    for _ in 0..=numbers.below(8) {
        if mutated.is_empty() {
            break;
        }
        let place = numbers.below(mutated.len());
        match numbers.below(5) {
            0 => mutated[place] = numbers.next() as u8,
            1 => mutated[place] ^= 1 << numbers.below(8),
            2 => mutated.truncate(place),
            3 => mutated.insert(place, *numbers.pick(b"\0\n: -\xff~(")),
            _ => {
                let end = (place + numbers.below(64)).min(mutated.len());
                let copied = mutated[place..end].to_vec();
                mutated.splice(place..place, copied);
            }
        }
    }
    mutated
}

#[test]
fn components() -> Result<()> {
    let bench = Bench::new()?;
    let built: Vec<Vec<u8>> = bench
        .registry
        .tasks()
        .map(|(_, path)| fs::read(path))
        .collect::<Result<_, _>>()?;
    let engine = Engine::new()?;
    let linkers = Linkers::new(&engine)?;
    let limits = Limits {
        cpu: Duration::from_millis(50),
        ..Limits::SCHEDULING
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("noop.wasm");
    for_a_while(|numbers| {
        fs::write(&path, mutate(numbers.pick::<Vec<u8>>(&built), numbers)).expect("a scratch file");
        let _ = Manifest::of(&path);
        let Ok(interface) = inspect(&path) else {
            return;
        };
        let _ = objections(&interface, false);
        let Ok(loaded) = ComponentCache::none().load(&engine, &path) else {
            return;
        };
        // What is still a component must be one that links, or is refused in words.
        for purpose in [Purpose::Scheduling, Purpose::Execution] {
            let Ok(task) = TaskComponent::new(&engine, &linkers, &loaded, purpose) else {
                continue;
            };
            let state = HostState::new(&engine, &limits, Arc::new(Machine::default()));
            // It may do what it likes, within its limits.
            let _: Result<(), CallError> = runtime.block_on(async {
                let mut task = task.instantiate(state).await?;
                task.analyze_worker().await?;
                let _ = task.configure(&json!({}), None, None).await?;
                task.data().await?;
                task.label().await?;
                task.can_run_on(&"{}".to_owned()).await?;
                let workers = task.prepare_workers(&["{}".to_owned()]).await?;
                task.can_run_on_each(workers).await?;
                task.compute_dynamic_data().await.map(drop)
            });
        }
    });
    Ok(())
}

/// Data of every task that the reference was asked about, by the task's name.
fn recorded_data() -> Result<BTreeMap<String, Vec<Value>>> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/vectors");
    let mut data = BTreeMap::<String, Vec<Value>>::new();
    for entry in fs::read_dir(vectors)? {
        for line in fs::read_to_string(entry?.path())?.lines() {
            let mut vector: Value = serde_json::from_str(line)?;
            let task = vector["task"].as_str().unwrap_or_default().to_owned();
            let recorded = vector["in"]["task_data"].take();
            if recorded.is_object() {
                data.entry(task).or_default().push(recorded);
            }
        }
    }
    Ok(data)
}

/// Replaces a value somewhere in a document.
fn mutate_value(value: &mut Value, numbers: &mut Numbers) {
    let descend = numbers.below(4) > 0;
    match value {
        Value::Object(members) if descend && !members.is_empty() => {
            let place = numbers.below(members.len());
            if let Some(member) = members.values_mut().nth(place) {
                mutate_value(member, numbers);
            }
        }
        Value::Array(elements) if descend && !elements.is_empty() => {
            let place = numbers.below(elements.len());
            mutate_value(&mut elements[place], numbers);
        }
        _ => {
            let strange = [
                json!(null),
                json!(-1),
                json!(1e308),
                json!(u64::MAX),
                json!(""),
                json!("\u{0}/../\u{202e}"),
                json!("x".repeat(100_000)),
                json!([[[[]]]]),
                json!({"": {"a": []}}),
                json!(true),
            ];
            *value = numbers.pick(&strange).clone();
        }
    }
}

#[test]
fn task_data() -> Result<()> {
    let bench = Bench::new()?;
    let recorded = recorded_data()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let mut tasks = Vec::new();
    for (name, _) in bench.registry.tasks() {
        if let Some(data) = recorded.get(&name) {
            tasks.push((runtime.block_on(bench.instance(&name))?, data));
        }
    }
    assert!(tasks.len() >= 13, "only {} tasks", tasks.len());
    let mut understood = 0;
    for_a_while(|numbers| {
        let place = numbers.below(tasks.len());
        let (task, data) = &mut tasks[place];
        let mut value = numbers.pick(data).clone();
        let input = match numbers.below(4) {
            0 => {
                String::from_utf8_lossy(&mutate(value.to_string().as_bytes(), numbers)).into_owned()
            }
            1 => value.to_string(),
            _ => {
                mutate_value(&mut value, numbers);
                value.to_string()
            }
        };
        // Data are refused or understood; a trap would be an error here.
        let asked = runtime.block_on(async {
            if task.configure_json(&input, None, None).await?.is_ok() {
                understood += 1;
                task.label().await?;
                task.data().await?;
                task.can_run_on(&"{}".to_owned()).await?;
            }
            Ok::<_, CallError>(())
        });
        asked.unwrap_or_else(|error| panic!("{error}: {input}"));
    });
    assert!(understood > 0, "nothing was understood");
    Ok(())
}

#[test]
fn names_beneath_a_directory() -> Result<()> {
    let outside = tempfile::tempdir()?;
    let inside = outside.path().join("inside");
    fs::create_dir(&inside)?;
    fs::write(outside.path().join("secret"), "secret")?;
    fs::create_dir(inside.join("a"))?;
    std::os::unix::fs::symlink("..", inside.join("link"))?;
    std::os::unix::fs::symlink("../../secret", inside.join("a/secret"))?;
    let handle = DirectoryHandle::open(&inside)?;
    let parts = [
        "..", ".", "", "a", "link", "secret", "/", "\0", "x", "\u{fffd}",
    ];
    for_a_while(|numbers| {
        let mut name = || {
            let count = 1 + numbers.below(6);
            let name: Vec<&str> = (0..count).map(|_| *numbers.pick(&parts)).collect();
            name.join("/")
        };
        let (name, other) = (name(), name());
        if let Ok(file) = handle.open_file(&name) {
            let text = std::io::read_to_string(file).unwrap_or_default();
            assert_ne!(text, "secret", "{name:?}");
        }
        match numbers.below(5) {
            0 => drop(handle.create_file(&name, 0o600)),
            1 => drop(handle.rename_file(&name, &other)),
            2 => drop(handle.remove_file(&name)),
            3 => drop(handle.create_directories(&name)),
            _ => {}
        }
        assert_eq!(
            names(outside.path()).ok(),
            Some(vec!["inside".to_owned(), "secret".to_owned()]),
            "{name:?} {other:?}"
        );
    });
    assert_eq!(fs::read_to_string(outside.path().join("secret"))?, "secret");
    Ok(())
}

/// The same by every call of the contract that takes a name, as a component makes them.
#[test]
fn names_in_calls_of_the_contract() -> Result<()> {
    let bench = Bench::new()?;
    let outside = tempfile::tempdir()?;
    let inside = outside.path().join("inside");
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let of_secret = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let parts = [
        "..", ".", "", "a", "b", "link", "up", "absolute", "secret", "/", "\0", "x", "tar",
    ];
    let mut worked = [0_u64; 10];
    for_a_while(|numbers| {
        let _ = fs::remove_dir_all(&inside);
        stage(&inside, outside.path()).expect("a fresh directory");
        let mut state = executing(&bench, &outside);
        let handle = DirectoryHandle::open(&inside).expect("it was made");
        let root = state.lend(handle).expect("there is room").rep();
        let here = || Resource::new_borrow(root);
        for _ in 0..8 {
            let mut name = || {
                let count = 1 + numbers.below(4);
                let name: Vec<&str> = (0..count).map(|_| *numbers.pick(&parts)).collect();
                name.join("/")
            };
            let (mut name, other) = (name(), name());
            let which = numbers.below(worked.len());
            // There is one archive only.
            if which == 9 && numbers.below(2) == 0 {
                name = "tar".to_owned();
            }
            let done = runtime.block_on(async {
                match which {
                    0 => state.open(here(), name.clone()).await.is_ok(),
                    1 => state.create(here(), name.clone(), 0o644).await.is_ok(),
                    2 => state.create_directory(here(), name.clone()).await.is_ok(),
                    3 => state.open_directory(here(), name.clone()).await.is_ok(),
                    4 => {
                        let (from, to) = (name.clone(), other.clone());
                        state.copy(here(), here(), from, to).await.is_ok()
                    }
                    5 => state
                        .rename(here(), name.clone(), other.clone())
                        .await
                        .is_ok(),
                    6 => state.remove(here(), name.clone()).await.is_ok(),
                    7 => {
                        let sha256 = DigestAlgorithm::Sha256;
                        let digest = state.digest(here(), name.clone(), sha256).await.ok();
                        assert_ne!(digest.as_deref(), Some(of_secret), "{name:?}");
                        digest.is_some()
                    }
                    8 => state
                        .pack(here(), name.clone(), other.clone())
                        .await
                        .is_ok(),
                    _ => state
                        .unpack(here(), name.clone(), other.clone())
                        .await
                        .is_ok(),
                }
            });
            worked[which] += u64::from(done);
            let left = names(outside.path()).expect("it is there");
            assert_eq!(
                left,
                ["inside", "runs", "secret"],
                "{which}: {name:?} {other:?}"
            );
            assert_eq!(
                fs::read(&secret).ok().as_deref(),
                Some(&b"secret"[..]),
                "{name:?}"
            );
        }
        assert!(!holds(&inside, b"secret"), "the secret came in");
    });
    assert!(
        worked.iter().sum::<u64>() > 0,
        "what is honest does not work"
    );
    Ok(())
}

/// A directory with links that lead out of it, and an archive that brings more of them.
fn stage(inside: &Path, outside: &Path) -> Result<()> {
    fs::create_dir_all(inside.join("a"))?;
    fs::write(inside.join("b"), "content")?;
    let links = [
        ("link", outside.to_owned()),
        ("up", "..".into()),
        ("absolute", outside.join("secret")),
        ("a/secret", "../../secret".into()),
    ];
    let mut archive = tar::Builder::new(fs::File::create(inside.join("tar"))?);
    for (name, target) in links {
        std::os::unix::fs::symlink(&target, inside.join(name))?;
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, name, target)?;
    }
    Ok(archive.finish()?)
}

/// What a component's calls reach that runs, with its logs in a directory of their own.
fn executing(bench: &Bench, outside: &tempfile::TempDir) -> HostState {
    let runner = &bench.runner;
    let logs = outside.path().join("runs");
    let _ = fs::create_dir(&logs);
    let facts = Arc::clone(&runner.facts);
    HostState::new(&runner.engine, &Limits::EXECUTION, facts).with_powers(Powers {
        work_request: None,
        workspace: None,
        commands: Arc::clone(&runner.commands),
        executors: Arc::clone(&runner.executors),
        artifacts: Arc::clone(&runner.artifacts),
        downloads: Arc::clone(&runner.downloads),
        logs: Arc::new(TaskLogs::new(&logs, 1 << 20)),
        abort: Abort::new(),
        record: Arc::default(),
    })
}

/// Whether a file somewhere beneath a directory has this content. Links are not followed.
fn holds(directory: &Path, content: &[u8]) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|it| it.path())
        .any(|path| match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => holds(&path, content),
            Ok(found) if found.is_file() => fs::read(&path).is_ok_and(|it| it == content),
            _ => false,
        })
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

const STANZA: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nFormat: 3.0 (quilt)\nSource: hello\nBinary: hello\nArchitecture: any\nVersion: 2.10-3\nDescription: two\n lines\nChecksums-Sha256:\n 31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b 725946 hello_2.10.orig.tar.gz\nFiles:\n 6cd0ffea3884a4e79330338dcc2987d6 725946 devel optional hello_2.10.orig.tar.gz\n\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n";

#[test]
fn changes_and_dsc() {
    for_a_while(|numbers| {
        let text = mutate(STANZA.as_bytes(), numbers);
        let _ = Stanza::parse(&text);
        let _ = Stanza::parse_signed(&text);
        let _ = Dsc::parse(&text);
        if let Ok(changes) = Changes::parse(&text) {
            changes.to_text();
        }
    });
}

#[test]
fn debs() -> Result<()> {
    let debs = [
        deb("control.tar.gz", &gzipped_control()?)?,
        deb("control.tar", &control()?)?,
        deb(
            "control.tar.xz",
            include_bytes!("../../task-sdk/src/debian/deb/control.tar.xz"),
        )?,
        deb(
            "control.tar.zst",
            include_bytes!("../../task-sdk/src/debian/deb/control.tar.zst"),
        )?,
    ];
    for_a_while(|numbers| {
        let bytes = mutate(numbers.pick::<Vec<u8>>(&debs), numbers);
        if let Ok(deb) = Deb::read(&bytes) {
            let _ = deb.source();
            deb.control_files();
        }
    });
    Ok(())
}

/// A tarball with a control file.
fn control() -> Result<Vec<u8>> {
    let control = b"Package: hello\nVersion: 1\nArchitecture: all\nDescription: x\n";
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(control.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, "./control", &control[..])?;
    Ok(archive.into_inner()?)
}

fn gzipped_control() -> Result<Vec<u8>> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&control()?)?;
    Ok(packed.finish()?)
}

/// A .deb with this control archive and nothing else.
fn deb(name: &str, control: &[u8]) -> Result<Vec<u8>> {
    let mut deb = b"!<arch>\n".to_vec();
    for (name, content) in [
        ("debian-binary", b"2.0\n".as_slice()),
        (name, control),
        ("data.tar", &[0; 1024]),
    ] {
        deb.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                100_644,
                content.len()
            )
            .bytes(),
        );
        deb.extend(content);
        if content.len() % 2 == 1 {
            deb.push(b'\n');
        }
    }
    assert!(Deb::read(&deb).is_ok(), "the unchanged one is a .deb");
    Ok(deb)
}
