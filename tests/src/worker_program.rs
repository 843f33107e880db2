//! The program as a worker: its places, its process, what it prints. For what only the whole program does.

use crate::fake_server::{FakeServer, TOKEN};
use crate::fixtures::{program, task_directories, worker_cache};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The tasks that it offers: few, since it compiles them.
const TASKS: [&str; 2] = ["noop", "scripted"];

/// How long anything may take that is waited for here.
const LONGEST: Duration = Duration::from_secs(120);

/// The places of a worker.
pub struct WorkerProgram {
    directory: TempDir,
    cache: PathBuf,
}

impl WorkerProgram {
    /// Whether there is a program to test.
    pub fn is_built() -> bool {
        program().is_some()
    }

    /// Places of a worker that this server knows.
    pub fn of(server: &FakeServer) -> Result<Self> {
        Self::at(&server.api_url())
    }

    /// The same with the address of a server.
    pub fn at(api_url: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("worker-").tempdir()?;
        for name in ["configuration", "tasks"] {
            fs::create_dir(directory.path().join(name))?;
        }
        let this = Self {
            // What is compiled once is there for all.
            cache: worker_cache(),
            directory,
        };
        for task in TASKS {
            this.add_task(task)?;
        }
        this.configure(&format!("[General]\napi-url = {api_url}\n"))?;
        this.set_token(TOKEN, 0o600)?;
        Ok(this)
    }

    /// With a cache of its own.
    pub fn with_cache(mut self, cache: &Path) -> Self {
        cache.clone_into(&mut self.cache);
        self
    }

    /// A place.
    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes its `config.ini`.
    pub fn configure(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.place("configuration/config.ini"), text)?)
    }

    /// Writes its token.
    pub fn set_token(&self, token: &str, mode: u32) -> Result<()> {
        let path = self.place("configuration/token");
        fs::write(&path, token)?;
        Ok(fs::set_permissions(path, PermissionsExt::from_mode(mode))?)
    }

    /// Forgets its token.
    pub fn remove_token(&self) -> Result<()> {
        Ok(fs::remove_file(self.place("configuration/token"))?)
    }

    /// Offers something as a task that is none.
    pub fn add_junk(&self, task: &str) -> Result<()> {
        let path = self.place("tasks").join(format!("{task}.wasm"));
        Ok(fs::write(path, "junk")?)
    }

    /// Offers one more task.
    pub fn add_task(&self, task: &str) -> Result<()> {
        let file = format!("{task}.wasm");
        let there = task_directories().into_iter().map(|it| it.join(&file));
        let there = there.into_iter().find(|it| it.exists());
        let there = there.context("build the components first: make tasks guests")?;
        Ok(symlink(there, self.place("tasks").join(&file))?)
    }

    /// The program with all that names its places, and these arguments. It is killed when it is dropped.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        self.command_within(&[], arguments)
    }

    /// The same, started by another program which becomes it, e.g. `unshare`.
    pub fn command_within(&self, outer: &[&str], arguments: &[&str]) -> Result<Command> {
        let program = program().context("the program is not built")?;
        let mut command = match outer {
            [] => Command::new(program),
            [outer, rest @ ..] => {
                let mut command = Command::new(outer);
                command.args(rest).arg(program);
                command
            }
        };
        command.arg("--tasks").arg(self.place("tasks"));
        command.arg("--cache").arg(&self.cache).arg("worker");
        command
            .arg("--configuration")
            .arg(self.place("configuration"));
        command.arg("--spool").arg(self.place("spool"));
        for of_others in [
            "JOURNAL_STREAM",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "TASK_RUNTIME_LOG",
        ] {
            command.env_remove(of_others);
        }
        command.args(arguments).stdin(Stdio::null());
        command.kill_on_drop(true);
        Ok(command)
    }

    /// Runs it to its end.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.command(arguments)?.output();
        Ok(timeout(LONGEST, output).await??)
    }

    /// Starts it; its standard error goes to the file `log`.
    pub fn start(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = self.command(arguments)?;
        Ok(Process(command.stderr(self.log_file()?).spawn()?))
    }

    /// The file `log`, which what runs here may write to.
    pub fn log_file(&self) -> Result<fs::File> {
        let mut options = fs::File::options();
        Ok(options.create(true).append(true).open(self.place("log"))?)
    }

    /// What is in the file `log`.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place("log")).unwrap_or_default()
    }

    /// Waits until that says something; the line that does.
    pub async fn wait_for(&self, words: &str) -> Result<String> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < LONGEST {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(words)) {
                return Ok(line.to_owned());
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("nothing says {words:?} in the log: {}", self.log())
    }
}

/// A worker process. It is killed when it is dropped.
pub struct Process(pub Child);

impl Process {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.0.id().context("it has ended")?;
        Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        Ok(timeout(LONGEST, self.0.wait()).await??)
    }
}
