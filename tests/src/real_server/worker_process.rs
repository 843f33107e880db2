//! The program as a worker: its places, its process, and what is left of it.

use super::{MINUTES, RealServer, SECONDS, wait_for};
use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// The places of a worker; they outlive its process, as when it is restarted.
pub struct WorkerHome {
    directory: TempDir,
    /// Compiled tasks and unpacked images, which workers share.
    cache: PathBuf,
    program: PathBuf,
    tasks: Vec<PathBuf>,
    /// Ids of its processes so far.
    processes: Mutex<Vec<u32>>,
}

impl WorkerHome {
    /// Places of a worker that is not registered yet. The address is that of an interface: of the server, or of a wire to it.
    pub fn new(
        server: &RealServer,
        api_url: &str,
        program: &Path,
        tasks: Vec<PathBuf>,
    ) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("worker-").tempdir()?;
        let cache = server.directory.with_added_extension("worker");
        fs::create_dir_all(&cache)?;
        // The users of sandboxes pass through.
        for place in [directory.path(), &cache] {
            fs::set_permissions(place, PermissionsExt::from_mode(0o755))?;
        }
        fs::create_dir(directory.path().join("configuration"))?;
        let home = Self {
            directory,
            cache,
            program: program.to_owned(),
            tasks,
            processes: Mutex::default(),
        };
        let text = format!("[General]\napi-url = {api_url}\nlog-level = DEBUG\n");
        fs::write(home.place("configuration/config.ini"), text)?;
        Ok(home)
    }

    /// Makes the server know the worker, and lets it work: as after registration, without the wait for it.
    pub fn enrol(&self, server: &RealServer) -> Result<()> {
        let program = "
from debusine.db.models import Token, Worker
token = Token()
token.enabled = True
token.save()
Worker.objects.create_with_fqdn('localhost', token)
answer = token.key
";
        let token = server.python(program)?;
        self.set_token(token.as_str().context("a token")?)
    }

    /// Starts it.
    pub fn start(&self) -> Result<WorkerProcess> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.place("log"))?;
        let mut command = self.command();
        let process = command.stdin(Stdio::null()).stderr(log).spawn()?;
        self.processes().push(process.id());
        Ok(WorkerProcess(process))
    }

    /// What `--check` finds: of each thing whether it is good, and words.
    pub fn check(&self) -> Result<Vec<Value>> {
        let mut command = self.command();
        let output = command.args(["--check", "--json"]).output()?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Gives it another token.
    pub fn set_token(&self, token: &str) -> Result<()> {
        let path = self.place("configuration/token");
        fs::write(&path, token)?;
        Ok(fs::set_permissions(
            &path,
            PermissionsExt::from_mode(0o600),
        )?)
    }

    fn command(&self) -> Command {
        // It goes with the test, even if that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.program);
        for tasks in &self.tasks {
            command.arg("--tasks").arg(tasks);
        }
        command.arg("--cache").arg(&self.cache).arg("worker");
        command
            .arg("--configuration")
            .arg(self.place("configuration"));
        command.arg("--spool").arg(self.place("spool"));
        // Where it makes directories there have to be such in an instance, too.
        command.env_remove("TMPDIR");
        // Images stay on this machine: they are compressed for speed.
        command.env("XZ_OPT", "-1 -T0");
        command
    }

    /// Its token, once it is registered.
    pub async fn token(&self) -> Result<String> {
        wait_for("the worker is registered", SECONDS, async || {
            let token = fs::read_to_string(self.place("configuration/token"));
            Ok(token.ok().filter(|token| token.len() == 64))
        })
        .await
        .with_context(|| self.log())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place("log")).unwrap_or_default()
    }

    /// How often its log says something.
    pub fn logged(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    /// Waits until its log says something, for the nth time.
    pub async fn wait_for(&self, words: &str, times: usize) -> Result<()> {
        let what = format!("the worker logs {words:?}");
        wait_for(&what, MINUTES, async || {
            Ok((self.logged(words) >= times).then_some(()))
        })
        .await
        .with_context(|| self.log())
    }

    /// Waits until nothing of the worker's processes, which have ended, runs any more or lies about.
    pub async fn is_deserted(&self) -> Result<()> {
        self.is_gone("files", || {
            let marks = self.marks();
            let is_its_own = |name: &String| marks.iter().any(|mark| name.starts_with(mark));
            let names = names(Path::new("/tmp"));
            names.into_iter().filter(is_its_own).collect()
        })
        .await?;
        self.has_no_processes().await
    }

    /// Waits until none of its processes' processes is left.
    pub async fn has_no_processes(&self) -> Result<()> {
        let mut marks = self.marks();
        marks.push(self.directory.path().to_string_lossy().into_owned());
        self.is_gone("processes", || processes_with(&marks)).await
    }

    async fn is_gone(&self, what: &str, left: impl Fn() -> Vec<String>) -> Result<()> {
        let gone = wait_for("all of it goes", Duration::from_secs(20), async || {
            Ok(left().is_empty().then_some(()))
        });
        gone.await
            .with_context(|| format!("{what} are left behind: {:?}", left()))
    }

    /// Beginnings of the names of what its processes make for their runs and commands.
    fn marks(&self) -> Vec<String> {
        let processes = self.processes();
        let marks = processes.iter().flat_map(|id| {
            ["debusine-fetch-exec-upload", "task-runtime"].map(|of| format!("{of}-{id}."))
        });
        marks.collect()
    }

    fn processes(&self) -> MutexGuard<'_, Vec<u32>> {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of the work requests whose results wait for delivery.
    pub fn spooled(&self) -> Vec<String> {
        let names = names(&self.place("spool")).into_iter();
        names.filter(|name| name.parse::<u64>().is_ok()).collect()
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for WorkerHome {
    fn drop(&mut self) {
        // Whoever reads why a test failed wants to know.
        eprintln!("the worker's log:\n{}", self.log());
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.collect()
}

/// Command lines of the processes whose arguments or environment have one of these marks.
fn processes_with(marks: &[String]) -> Vec<String> {
    let read = |process: &Path, file: &str| {
        // It may have ended meanwhile.
        let content = fs::read(process.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&content).replace('\0', " ")
    };
    let processes = names(Path::new("/proc"));
    let processes = processes.iter().filter(|name| name.parse::<u32>().is_ok());
    let marked = processes.filter_map(|id| {
        let process = Path::new("/proc").join(id);
        let line = read(&process, "cmdline");
        let all = line.clone() + &read(&process, "environ");
        let is_marked = marks.iter().any(|mark| all.contains(mark));
        is_marked.then(|| format!("{id}: {line}"))
    });
    marked.collect()
}

/// A worker process. It is killed when it is dropped.
pub struct WorkerProcess(Child);

impl WorkerProcess {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.0.id())?);
        Ok(kill(id, signal)?)
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        wait_for("the worker ends", SECONDS, async || {
            Ok(self.0.try_wait()?)
        })
        .await
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
