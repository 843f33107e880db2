//! A real Debusine server on loopback, and a worker process beside it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use task_runtime::artifacts::debusine::{Patience, Server};
use tempfile::TempDir;
use tokio::time::sleep;

/// The script that sets it up.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/server/loopback-server");

/// How long a work request may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(900);

/// A server that ends with the test.
pub struct RealServer {
    process: Child,
    /// The address of its interface.
    pub api_url: String,
    /// The same, with a user's token.
    pub user: Server,
}

impl RealServer {
    /// Why there cannot be one on this machine, if so.
    pub fn obstacle() -> Option<&'static str> {
        if !nix::unistd::geteuid().is_root() {
            return Some("a real server needs root");
        }
        let is_installed =
            Path::new("/usr/bin/daphne").exists() && Path::new("/etc/debusine/server").exists();
        (!is_installed).then_some("the server is not installed (.ci/set-up-machine server)")
    }

    /// Starts it; the first time takes a minute.
    pub fn start() -> Result<Self> {
        let mut process = Command::new(SCRIPT)
            .arg("run")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().context("a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["ready", url, token] = words.as_slice() else {
            let _ = process.kill();
            bail!("the server did not come up: {line:?}");
        };
        let api_url = format!("{url}/api");
        let user = Server::new(&api_url, Patience::default())?.with_token(token)?;
        Ok(Self {
            process,
            api_url,
            user,
        })
    }

    /// debusine-admin; what it prints.
    pub fn admin(&self, arguments: &[&str]) -> Result<String> {
        script("admin", arguments)
    }

    /// Stops, kills or starts what speaks HTTP.
    pub fn daphne(&self, what: &str) -> Result<()> {
        script("daphne", &[what]).map(drop)
    }

    /// Runs Python with the server's models; what it prints.
    pub fn python(&self, program: &str) -> Result<String> {
        let mut process = Command::new(SCRIPT)
            .arg("python")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        process
            .stdin
            .take()
            .context("a pipe")?
            .write_all(program.as_bytes())?;
        let output = process.wait_with_output()?;
        ensure!(output.status.success(), "python: {}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Makes a work request; its number.
    pub async fn work_request(&self, task: &str, data: Value) -> Result<u64> {
        let body = json!({"task_name": task, "workspace": "System", "task_data": data, "event_reactions": {}});
        let answer = self
            .user
            .once(reqwest::Method::POST, "/work-request/", Some(&body))
            .await?;
        answer.json::<Value>()?["id"].as_u64().context("a number")
    }

    /// What the server knows of a work request.
    pub async fn show(&self, id: u64) -> Result<Value> {
        let path = format!("/work-request/{id}/");
        Ok(self
            .user
            .repeated(reqwest::Method::GET, &path, None)
            .await?
            .json()?)
    }

    /// Waits until a work request has a status; one that was short enough has run when it is completed.
    pub async fn wait(&self, id: u64, status: &str) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let shown = self.show(id).await?;
            let is_over = shown["status"] == "completed";
            if shown["status"] == status || status == "running" && is_over {
                return Ok(shown);
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "work request {id} is not {status}: {shown}"
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// What the server knows of an artifact.
    pub async fn artifact(&self, id: u64) -> Result<Value> {
        let path = format!("/artifact/{id}/");
        Ok(self
            .user
            .repeated(reqwest::Method::GET, &path, None)
            .await?
            .json()?)
    }

    /// The output data of a work request, which the interface does not show.
    pub fn output_data(&self, id: u64) -> Result<Value> {
        let program = format!(
            "import json\nfrom debusine.db.models import WorkRequest\nd = WorkRequest.objects.get(id={id}).output_data\nprint(json.dumps(d.dict(exclude_unset=True) if hasattr(d, 'dict') else d))\n"
        );
        Ok(serde_json::from_str(self.python(&program)?.trim())?)
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn script(command: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(SCRIPT)
        .arg(command)
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command} {arguments:?}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The directories of a worker process.
pub struct WorkerHome {
    directory: TempDir,
    program: PathBuf,
    tasks: Vec<PathBuf>,
}

impl WorkerHome {
    /// A worker for this server, without a token.
    pub fn new(server: &RealServer, program: PathBuf, tasks: Vec<PathBuf>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("worker-").tempdir()?;
        let opened = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(directory.path(), opened)?;
        let configuration = directory.path().join("configuration");
        fs::create_dir(&configuration)?;
        let text = format!(
            "[General]\napi-url = {}\nlog-level = DEBUG\n",
            server.api_url
        );
        fs::write(configuration.join("config.ini"), text)?;
        Ok(Self {
            directory,
            program,
            tasks,
        })
    }

    /// Starts it.
    pub fn start(&self) -> Result<WorkerProcess> {
        let place = |name: &str| self.directory.path().join(name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(place("log"))?;
        let mut command = Command::new(&self.program);
        for tasks in &self.tasks {
            command.arg("--tasks").arg(tasks);
        }
        command.arg("--cache").arg(place("cache")).arg("worker");
        command.arg("--configuration").arg(place("configuration"));
        command.arg("--spool").arg(place("spool"));
        let process = command.stdin(Stdio::null()).stderr(log).spawn()?;
        Ok(WorkerProcess(process))
    }

    /// Its token, once it is registered.
    pub async fn token(&self) -> Result<String> {
        let path = self.directory.path().join("configuration/token");
        for _ in 0..600 {
            match fs::read_to_string(&path) {
                Ok(token) if token.len() == 64 => return Ok(token),
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
        bail!("the worker did not register: {}", self.log())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Waits until its log says something, for the nth time.
    pub async fn wait_for(&self, words: &str, times: usize) -> Result<()> {
        for _ in 0..3000 {
            if self.log().matches(words).count() >= times {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        bail!("{words:?} is not in the log: {}", self.log())
    }
}

/// A worker process. It is killed when it is dropped.
pub struct WorkerProcess(Child);

impl WorkerProcess {
    /// Sends a signal, and waits for the end.
    pub fn end(mut self, signal: nix::sys::signal::Signal) -> Result<ExitStatus> {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.0.id())?);
        nix::sys::signal::kill(id, signal)?;
        Ok(self.0.wait()?)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
