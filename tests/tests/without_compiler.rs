//! A build without the compiler of components: it runs what a full build compiled, and says so where there is nothing.
//!
//! `TASK_RUNTIME_WITHOUT_COMPILER` names its program; `make hardened` builds it.

use anyhow::Result;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use task_runtime::component::ComponentCache;
use task_runtime_tests::fixtures::Bench;
use tempfile::TempDir;

/// The program, and places of its own.
struct Hardened {
    program: PathBuf,
    places: TempDir,
}

impl Hardened {
    /// None, and a word about it, if nobody has built it.
    fn new() -> Result<Option<Self>> {
        let Some(program) = std::env::var_os("TASK_RUNTIME_WITHOUT_COMPILER") else {
            println!(
                "skipped: TASK_RUNTIME_WITHOUT_COMPILER does not name a build without the compiler; `make hardened` makes one"
            );
            return Ok(None);
        };
        let places = tempfile::tempdir()?;
        let shelf = places.path().join("tasks");
        std::fs::create_dir(&shelf)?;
        for task in ["noop", "sbuild"] {
            let built = Bench::new()?.load(task)?.path;
            std::fs::copy(built, shelf.join(format!("{task}.wasm")))?;
        }
        let program = program.into();
        Ok(Some(Self { program, places }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.places.path().join(name)
    }

    fn ask(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--json")
            .env("TASK_RUNTIME_TASKS", self.path("tasks"))
            .env("TASK_RUNTIME_CACHE", self.path("cache"))
            .env("TASK_RUNTIME_STORE", self.path("store"))
            .env("TASK_RUNTIME_COMPILED", self.path("compiled"));
        Ok(command.output()?)
    }

    /// What it answers.
    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.ask(arguments)?;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

#[test]
fn it_runs_what_was_compiled_ahead_and_nothing_else() -> Result<()> {
    let Some(hardened) = Hardened::new()? else {
        return Ok(());
    };
    let noop = hardened.path("tasks/noop.wasm");
    ComponentCache::compile_into(&noop, &hardened.path("compiled"))?;
    assert_eq!(hardened.json(&["can-run-on", "noop"])?["can_run"], true);
    hardened.json(&["run", "noop"])?;
    // The other one can be listed and inspected, which needs no code.
    let listed = hardened.json(&["list"])?;
    assert!(
        listed[1]["name"] == "sbuild" && listed[1]["error"].is_null(),
        "{listed}"
    );
    let sbuild = hardened.path("tasks/sbuild.wasm");
    hardened.json(&["inspect", &sbuild.to_string_lossy()])?;
    let refused = hardened.ask(&["label", "sbuild"])?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{words}");
    assert!(
        words.contains("has no compiler") && words.contains("compile --into"),
        "{words}"
    );
    Ok(())
}

#[test]
fn it_holds_no_compiler() -> Result<()> {
    let Some(hardened) = Hardened::new()? else {
        return Ok(());
    };
    let names_the_compiler = |program: &Path| -> Result<bool> {
        let bytes = std::fs::read(program)?;
        Ok(bytes.windows(17).any(|bytes| bytes == b"cranelift-codegen"))
    };
    assert!(
        names_the_compiler(&std::env::current_exe()?)?,
        "this one does"
    );
    assert!(!names_the_compiler(&hardened.program)?);
    Ok(())
}
