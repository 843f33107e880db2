//! The README's first command, with this build of the binary: a real Debian package from its real source, in a sandbox.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The demo in a directory of its own, which the users of sandboxes can reach.
struct Demo {
    directory: tempfile::TempDir,
}

impl Demo {
    fn new() -> std::io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("task-runtime-test-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in("/var/tmp")?;
        Ok(Self { directory })
    }

    fn build(&self, package: &str) -> std::io::Result<Output> {
        Command::new(checkout("tests/demo"))
            .arg(package)
            .env("TASK_RUNTIME_DEMO", self.directory.path())
            .env("TASK_RUNTIME_BINARY", env!("CARGO_BIN_EXE_task-runtime"))
            .env("TASK_RUNTIME_TASKS", tasks())
            .output()
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_task-runtime"))
            .args(arguments)
            .arg("--json")
            .env("TASK_RUNTIME_STORE", self.directory.path().join("store"))
            .env("TASK_RUNTIME_CACHE", self.directory.path().join("cache"))
            .env("TASK_RUNTIME_TASKS", tasks())
            .output()
            .expect("the binary runs");
        let said = text(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn tasks() -> PathBuf {
    checkout("tasks/target/wasm32-unknown-unknown/release")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What this machine lacks for a build, if anything.
fn lacking() -> Option<String> {
    let has = |program: &str| {
        Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    for program in ["mmdebstrap", "sbuild", "newuidmap", "apt-get"] {
        if !has(program) {
            return Some(format!(
                "{program} is not installed; run .ci/set-up-machine"
            ));
        }
    }
    let mirror = Command::new(checkout(".ci/debian-mirror")).output();
    match mirror {
        Err(error) => return Some(error.to_string()),
        Ok(mirror) if !mirror.status.success() => return Some(text(&mirror.stderr)),
        Ok(_) => {}
    }
    if !tasks().join("sbuild.wasm").exists() {
        return Some("the components are not built; run make tasks".to_owned());
    }
    None
}

#[test]
fn hello_is_built_from_its_source_and_a_second_time_nothing_is_done_twice() {
    if let Some(why) = lacking() {
        eprintln!("skipped: {why}");
        return;
    }
    let demo = Demo::new().expect("a directory below /var/tmp");
    let first = demo.build("hello").expect("the demo runs");
    let said = text(&first.stdout);
    assert!(first.status.success(), "{said}\n{}", text(&first.stderr));
    let package = said
        .lines()
        .find(|line| line.contains("/hello_") && line.ends_with(".deb"))
        .unwrap_or_else(|| panic!("no package is named: {said}"));
    let field = Command::new("dpkg-deb")
        .args(["--field", package, "Package", "Version"])
        .output()
        .expect("dpkg-deb runs");
    let fields = text(&field.stdout);
    assert!(fields.starts_with("Package: hello\n"), "{fields}");

    let made = demo.ask(&["artifact", "list", "--work-request", "2"]);
    let made = made.as_array().expect("a list");
    let categories: Vec<&str> = made
        .iter()
        .filter_map(|artifact| artifact["category"].as_str())
        .collect();
    assert_eq!(
        categories,
        [
            "debian:package-build-log",
            "debian:binary-package",
            "debian:binary-package",
            "debian:binary-packages",
            "debian:upload",
            "debusine:signing-input",
            "debusine:work-request-debug-logs",
        ]
    );
    demo.ask(&["artifact", "verify"]);

    let second = demo.build("hello").expect("the demo runs again");
    assert!(second.status.success(), "{}", text(&second.stderr));
    let said = text(&second.stdout);
    for reused in [
        "reused from",
        "already in the store",
        "done before",
        package,
    ] {
        assert!(said.contains(reused), "{reused}: {said}");
    }
    let requests = demo.ask(&["work-request", "list"]);
    assert_eq!(requests.as_array().map(Vec::len), Some(2), "{requests}");
}
