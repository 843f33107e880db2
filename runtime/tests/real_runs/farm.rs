//! A farm of one machine: the program, its store and its cache, in a directory that all tests share.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

/// Names the directory to use; what is there already is not made again. `make test` gives a fresh one, and removes it.
const DIRECTORY: &str = "TASK_RUNTIME_REAL_RUNS";

/// How long a run may take, in seconds, on a machine that does much else besides.
const LONGEST_RUN: &str = "1800";

/// Programs without which there is no farm at all.
const PROGRAMS: [&str; 5] = [
    "apt-get",
    "mmdebstrap",
    "newuidmap",
    "dpkg-source",
    "timeout",
];

/// The farm.
pub struct Farm {
    directory: PathBuf,
}

impl Farm {
    /// The farm for a test of these tasks, which call these programs of this machine. If anything is missing the test is told to
    /// skip itself, and the reason is said.
    pub fn with(tasks: &[&str], programs: &[&str]) -> Option<Self> {
        if let Some(why) = lacking(tasks, programs) {
            skip(&why);
            return None;
        }
        let directory = std::env::var_os(DIRECTORY).map_or_else(usual_directory, PathBuf::from);
        fs::create_dir_all(directory.join("made")).expect("a directory for the farm");
        // The ids of sandboxes must be able to pass.
        let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(&directory, open).expect("the directory is this user's");
        Some(Self { directory })
    }

    /// A thing that is made once for all tests; others wait for it. If making it fails it is not tried again.
    ///
    /// The value is what must be known of it, e.g. the number of its artifact.
    pub fn once(&self, thing: &str, make: impl FnOnce(&Self) -> Result<Value, String>) -> Value {
        let place = self.directory.join("made").join(thing);
        let lock = File::create(place.with_extension("lock")).expect("a lock");
        lock.lock().expect("the lock is free some day");
        let made = place.with_extension("json");
        if let Ok(text) = fs::read_to_string(&made) {
            let known: Result<Value, String> = serde_json::from_str(&text).expect("as written");
            return known.unwrap_or_else(|why| panic!("{thing}: not made before either: {why}"));
        }
        let result = make(self);
        let text = serde_json::to_string(&result).expect("JSON");
        let aside = place.with_extension("part");
        fs::write(&aside, text).expect("what was made is noted");
        fs::rename(&aside, &made).expect("what was made is noted");
        result.unwrap_or_else(|why| panic!("{thing}: {why}"))
    }

    /// Runs a task to its end, well or not.
    pub fn run(&self, task: &str, data: &Value) -> Run<'_> {
        let begun = Instant::now();
        let output = Command::new("timeout")
            .args(["--kill-after=30", LONGEST_RUN])
            .arg(env!("CARGO_BIN_EXE_task-runtime"))
            .args(["run", task, "--json", "--data", &data.to_string()])
            .envs(self.places())
            // Images stay on this machine: they are compressed for speed.
            .envs([("XZ_OPT", "-1 -T0"), ("XZ_DEFAULTS", "-T0")])
            .output();
        let output = output.expect("the program runs");
        let told = match output.status.code() {
            Some(0 | 1) => serde_json::from_slice(&output.stdout).expect("JSON"),
            _ => panic!("run {task}: {}: {}", output.status, text(&output.stderr)),
        };
        let run = Run { farm: self, told };
        eprintln!("{} after {} s", run.name(), begun.elapsed().as_secs());
        run
    }

    /// A run of another test.
    pub fn earlier_run(&self, told: Value) -> Run<'_> {
        Run { farm: self, told }
    }

    /// Asks the program something; the answer is JSON.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_task-runtime"));
        command.args(arguments).arg("--json").envs(self.places());
        let said = succeeded(&mut command).unwrap_or_else(|why| panic!("{arguments:?}: {why}"));
        serde_json::from_str(&said).expect("JSON")
    }

    /// Brings files into the store; the number of the artifact.
    pub fn import(&self, arguments: &[&str]) -> i64 {
        let imported = self.ask(&[&["artifact", "import"], arguments].concat());
        imported["id"].as_i64().expect("the number of an artifact")
    }

    /// The content of a file of an artifact.
    pub fn file(&self, artifact: &Value, path: &str) -> Vec<u8> {
        let into = self.scratch();
        let number = artifact["id"].to_string();
        let target = into.path().to_string_lossy();
        self.ask(&["artifact", "export", &number, &target]);
        fs::read(into.path().join(path)).unwrap_or_else(|why| panic!("{artifact}: {path}: {why}"))
    }

    /// What an artifact refers to: the kinds of the relations and the artifacts, in order.
    pub fn relations(&self, artifact: &Value) -> Vec<(String, i64)> {
        let all = self.ask(&["artifact", "relations", &artifact["id"].to_string()]);
        let relation = |relation: &Value| {
            let kind = relation["type"].as_str().expect("a kind").to_owned();
            (kind, relation["to"].as_i64().expect("a number"))
        };
        list(&all["from"]).iter().map(relation).collect()
    }

    /// A directory that goes with the test.
    pub fn scratch(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(&self.directory).expect("a directory in that of the farm")
    }

    fn places(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("TASK_RUNTIME_STORE", self.directory.join("store")),
            ("TASK_RUNTIME_CACHE", self.directory.join("cache")),
            ("TASK_RUNTIME_TASKS", tasks_directory()),
        ]
    }
}

/// What a run left.
pub struct Run<'a> {
    farm: &'a Farm,
    /// What the program told of it.
    pub told: Value,
}

impl Run<'_> {
    /// Insists on success.
    pub fn succeeded(self) -> Self {
        self.ended("success").unwrap_or_else(|why| panic!("{why}"))
    }

    /// Insists that the task said no.
    pub fn failed(self) -> Self {
        self.ended("failure").unwrap_or_else(|why| panic!("{why}"))
    }

    /// Itself if it ended so, else its logs.
    pub fn ended(self, verdict: &str) -> Result<Self, String> {
        if self.told["verdict"] == verdict {
            return Ok(self);
        }
        let ends = self.logs().into_iter().map(|(name, log)| {
            let from = log.floor_char_boundary(log.len().saturating_sub(4000));
            format!("\n--- the end of {name}:\n{}", &log[from..])
        });
        let ends: String = ends.collect();
        Err(format!("{}, expected {verdict}{ends}", self.name()))
    }

    /// The artifacts of a category that it uploaded, in order, with their data and files.
    pub fn artifacts(&self, category: &str) -> Vec<Value> {
        let request = self.told["work_request"].to_string();
        let found = ["artifact", "list", "--work-request", &request];
        let found = self
            .farm
            .ask(&[&found[..], &["--category", category]].concat());
        list(&found).to_vec()
    }

    /// The one artifact of a category that it uploaded.
    pub fn artifact(&self, category: &str) -> Value {
        let mut found = self.artifacts(category);
        assert_eq!(found.len(), 1, "{category} of {}: {found:?}", self.name());
        found.remove(0)
    }

    /// The categories of what it uploaded, in order, its logs left out.
    pub fn categories(&self) -> Vec<&str> {
        let uploaded = list(&self.told["artifacts"]).iter();
        let categories = uploaded.map(|artifact| artifact["category"].as_str().expect("a text"));
        categories
            .filter(|category| *category != "debusine:work-request-debug-logs")
            .collect()
    }

    /// Its log files.
    pub fn logs(&self) -> BTreeMap<String, String> {
        let logs = self.artifact("debusine:work-request-debug-logs");
        let log = |file: &Value| {
            let name = file["path"].as_str().expect("a path").to_owned();
            let log = text(&self.farm.file(&logs, &name));
            (name, log)
        };
        list(&logs["files"]).iter().map(log).collect()
    }

    fn name(&self) -> String {
        let told = |key: &str| self.told[key].as_str().unwrap_or_default().to_owned();
        let request = &self.told["work_request"];
        format!(
            "{} (work request {request}): {}",
            told("task"),
            told("verdict")
        )
    }
}

/// The elements of a list.
pub fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
}

/// The texts of a list.
pub fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().filter_map(Value::as_str).collect()
}

/// Says that a test cannot run here.
pub fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// What a command printed, or how it failed.
pub fn succeeded(command: &mut Command) -> Result<String, String> {
    let output: Output = command
        .output()
        .map_err(|why| format!("{command:?}: {why}"))?;
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    Err(format!(
        "{command:?}: {}: {said}{complained}",
        output.status
    ))
}

/// Bytes as text, come what may.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path of the checkout.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The machine's own mirror of Debian.
pub fn mirror() -> Result<String, String> {
    let said = succeeded(&mut Command::new(checkout(".ci/debian-mirror")))?;
    Ok(said.trim().to_owned())
}

/// Debian's name for this machine's processor.
pub fn architecture() -> String {
    let mut dpkg = Command::new("dpkg");
    let said = succeeded(dpkg.arg("--print-architecture")).expect("dpkg knows");
    said.trim().to_owned()
}

fn lacking(tasks: &[&str], programs: &[&str]) -> Option<String> {
    let is_missing = |program: &&&str| {
        let found = Command::new("sh")
            .args(["-c", "command -v \"$0\"", program])
            .output();
        !found.is_ok_and(|found| found.status.success())
    };
    if let Some(program) = PROGRAMS.iter().chain(programs).find(is_missing) {
        let why = format!("{program} is not installed; run .ci/set-up-machine");
        return Some(why);
    }
    let is_there = |task: &str| tasks_directory().join(format!("{task}.wasm")).exists();
    let needed = ["mmdebstrap", "sbuild"].iter().chain(tasks);
    if let Some(task) = needed.into_iter().find(|task| !is_there(task)) {
        return Some(format!("the task {task} is not built; run make tasks"));
    }
    mirror().err()
}

fn tasks_directory() -> PathBuf {
    checkout("tasks/target/wasm32-unknown-unknown/release")
}

/// Below /var/tmp, because the ids of sandboxes cannot enter a home directory; one for each checkout.
fn usual_directory() -> PathBuf {
    let checkout = checkout("").canonicalize();
    let checkout = checkout.unwrap_or_else(|why: io::Error| panic!("the checkout: {why}"));
    let name = checkout.to_string_lossy().replace('/', "-");
    Path::new("/var/tmp").join(format!("task-runtime-real-runs{name}"))
}
