//! A machine for tests: a store and directories of its own, compiled tasks shared.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Where the built-in tasks are built, and the guests that only tests use.
const BUILT: [&str; 2] = [
    "../tasks/target/wasm32-unknown-unknown/release",
    "../tests/guests/target/wasm32-unknown-unknown/release",
];

/// Everything is gone when it is dropped.
pub struct Machine {
    pub directory: TempDir,
}

/// How the program ended.
#[derive(Debug)]
pub struct Answer {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Machine {
    /// A fresh machine without a store.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("runs")).unwrap();
        Self { directory }
    }

    /// A fresh machine on which this task is there; none, and a word about it, if nobody has built it.
    pub fn with_task(task: &str) -> Option<Self> {
        let file = format!("{task}.wasm");
        if tasks()
            .iter()
            .any(|directory| directory.join(&file).is_file())
        {
            return Some(Self::new());
        }
        eprintln!("skipped: the task {task} is not built; `make tasks` does it");
        None
    }

    /// A path on this machine.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The program with these arguments; standard input is empty, output is captured.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_task-runtime"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("TASK_RUNTIME_TASKS", std::env::join_paths(tasks()).unwrap())
            .env("TASK_RUNTIME_STORE", self.path("store"))
            .env(
                "TASK_RUNTIME_CACHE",
                Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli"),
            )
            .env("TMPDIR", self.path("runs"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program.
    pub fn ask(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments))
    }

    /// Runs the program with something on its standard input.
    pub fn ask_with_input(&self, arguments: &[&str], input: &str) -> Answer {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// The document that the program answers, which has to succeed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.ask(&[arguments, &["--json"]].concat());
        assert_eq!(answer.status, Some(0), "{arguments:?}: {answer:?}");
        answer.json()
    }

    /// The error that the program tells: exit status 2, nothing on standard output, one sentence with a colon and a remedy.
    pub fn error(&self, arguments: &[&str]) -> Value {
        let answer = self.ask(&[arguments, &["--json"]].concat());
        assert_eq!(answer.status, Some(2), "{arguments:?}: {answer:?}");
        assert_eq!(answer.stdout, "", "{arguments:?}");
        let lines: Vec<&str> = answer.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{arguments:?}: {answer:?}");
        let mut told: Value = serde_json::from_str(lines[0]).unwrap();
        let error = told["error"].take();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(": "), "{message}");
        error
    }

    /// The same; the message has these words, and the store is what it was.
    pub fn refuses(&self, arguments: &[&str], kind: &str, words: &[&str]) {
        let before = self.store();
        let error = self.error(arguments);
        assert_eq!(error["kind"], kind, "{error}");
        for word in words {
            assert!(
                error["message"].as_str().unwrap().contains(word),
                "{word:?} is not in {error}"
            );
        }
        assert_eq!(self.store(), before, "{arguments:?} changed the store");
        assert_eq!(
            self.left(),
            Vec::<String>::new(),
            "{arguments:?} left something"
        );
    }

    /// Artifacts, work requests and files of the store.
    fn store(&self) -> (Value, Value, usize) {
        let artifacts = self.json(&["artifact", "list"]);
        let work_requests = self.json(&["work-request", "list"]);
        (
            artifacts,
            work_requests,
            files_beneath(&self.path("store/files")),
        )
    }

    /// What runs have left in the directory for temporary files.
    pub fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("runs")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Answer {
    /// Runs a command.
    pub fn of(mut command: Command) -> Self {
        command.output().unwrap().into()
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<std::process::Output> for Answer {
    fn from(output: std::process::Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The directories of tasks: those of the environment, else the built ones; the tests' own guests in any case.
fn tasks() -> Vec<PathBuf> {
    let named = std::env::var_os("TASK_RUNTIME_TASKS").filter(|value| !value.is_empty());
    let [built, guests] = BUILT.map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    let mut directories = match named {
        Some(named) => std::env::split_paths(&named).collect(),
        None => vec![built],
    };
    let has_guests = directories
        .iter()
        .any(|it| it.join("scripted.wasm").is_file());
    directories.extend((!has_guests).then_some(guests));
    directories
}

fn files_beneath(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            if path.is_dir() {
                files_beneath(&path)
            } else {
                1
            }
        })
        .sum()
}

/// Makes an executable script.
pub fn script(machine: &Machine, name: &str, text: &str) -> PathBuf {
    let path = machine.write(name, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
