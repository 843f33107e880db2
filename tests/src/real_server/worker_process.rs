//! The program as a worker: its places, its process, and what is left of it.

use super::{MINUTES, RealServer, SECONDS, wait_for};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The places of a worker; they outlive its process, as when it is restarted.
pub struct WorkerHome {
    directory: TempDir,
    /// Compiled tasks and unpacked images, which workers share.
    cache: PathBuf,
    program: PathBuf,
    tasks: Vec<PathBuf>,
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
        for name in ["configuration", "temporary"] {
            fs::create_dir(directory.path().join(name))?;
        }
        let home = Self {
            directory,
            cache,
            program: program.to_owned(),
            tasks,
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
        let path = self.place("configuration/token");
        fs::write(&path, token.as_str().context("a token")?)?;
        Ok(fs::set_permissions(
            &path,
            PermissionsExt::from_mode(0o600),
        )?)
    }

    /// Starts it.
    pub fn start(&self) -> Result<WorkerProcess> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.place("log"))?;
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
        command.env("TMPDIR", self.place("temporary"));
        // Images stay on this machine: they are compressed for speed.
        command.env("XZ_OPT", "-1 -T0");
        let process = command.stdin(Stdio::null()).stderr(log).spawn()?;
        Ok(WorkerProcess(process))
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

    /// Waits until the worker, which has ended, has left nothing running and nothing in the way.
    pub async fn is_deserted(&self) -> Result<()> {
        let place = self.directory.path().to_string_lossy().into_owned();
        let begun = Instant::now();
        loop {
            let processes = processes_of(&place);
            let left = names(&self.place("temporary"));
            if processes.is_empty() && left.is_empty() {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "left behind: {processes:?} {left:?}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether no process of it is left.
    pub async fn has_no_processes(&self) -> Result<()> {
        let place = self.directory.path().to_string_lossy().into_owned();
        wait_for("its processes end", Duration::from_secs(20), async || {
            Ok(processes_of(&place).is_empty().then_some(()))
        })
        .await
    }

    /// Names of the work requests whose results wait for delivery.
    pub fn spooled(&self) -> Vec<String> {
        let names = names(&self.place("spool")).into_iter();
        names.filter(|name| name.parse::<u64>().is_ok()).collect()
    }

    /// What runs keep at the moment.
    pub fn temporary(&self) -> Vec<String> {
        names(&self.place("temporary"))
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

/// Command lines of the processes whose arguments or environment name a place.
fn processes_of(place: &str) -> Vec<String> {
    let mentions = |file: &Path| -> io::Result<Option<String>> {
        let text = String::from_utf8_lossy(&fs::read(file)?).replace('\0', " ");
        Ok(text.contains(place).then_some(text))
    };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.parse::<u32>().is_err() {
            continue;
        }
        for file in ["cmdline", "environ"] {
            // It may have ended meanwhile.
            if let Ok(Some(_)) = mentions(&entry.path().join(file)) {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                found.push(format!("{name}: {line}"));
                break;
            }
        }
    }
    found
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
