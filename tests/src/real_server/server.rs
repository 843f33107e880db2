//! An unmodified Debusine server that lives as long as a test.

use super::console::Console;
use super::{SECONDS, wait_for};
use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use task_runtime::artifacts::debusine::{Patience, Server};

/// The script that sets it up.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/server/loopback-server");

/// A server that ends with the test.
pub struct RealServer {
    process: Child,
    console: Mutex<Console>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its directory; what tests keep for one another is beside it.
    pub directory: PathBuf,
    /// Its interface, with a user's token.
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
        (!is_installed).then_some("the server is not installed (make server)")
    }

    /// Starts it; the first time takes a while. If another test has one, that is waited for.
    pub fn start() -> Result<Self> {
        // Out of the test's process group: who ends that by force leaves it the time to end its services.
        let mut process = Command::new(SCRIPT)
            .arg("run")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .env("TEST_SERVER_PORT", free_port()?.to_string())
            .spawn()?;
        let stdout = process.stdout.take().context("a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["ready", url, token, directory] = words.as_slice() else {
            drop(process.stdin.take());
            let _ = process.wait();
            bail!("the server did not come up: {line:?}");
        };
        let address = url.strip_prefix("http://").context("an address")?.parse()?;
        let user = Server::new(&format!("{url}/api"), Patience::default())?.with_token(token)?;
        Ok(Self {
            process,
            console: Mutex::new(Console::start(SCRIPT)?),
            address,
            directory: PathBuf::from(directory),
            user,
        })
    }

    /// Runs Python with the server's models; what it leaves in `answer`.
    pub fn python(&self, program: &str) -> Result<Value> {
        let mut console = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        console.run(program)
    }

    /// debusine-admin.
    pub fn admin(&self, arguments: &[&str]) -> Result<()> {
        let arguments = json!(arguments);
        let program = format!(
            "from django.core.management import call_command\ncall_command(*{arguments})\n"
        );
        self.python(&program).map(drop)
    }

    /// The client of a user; what it prints.
    pub fn client(&self, arguments: &[&str]) -> Result<String> {
        script(&[&["client"], arguments].concat())
    }

    /// Stops, kills or starts what speaks HTTP.
    pub fn daphne(&self, what: &str) -> Result<()> {
        script(&["daphne", what]).map(drop)
    }

    /// Makes a work request; its number.
    pub async fn work_request(&self, task: &str, data: Value) -> Result<u64> {
        let body = json!({"task_name": task, "workspace": "System", "task_data": data, "event_reactions": {}});
        let answer = self.user.once(Method::POST, "/work-request/", Some(&body));
        answer.await?.json::<Value>()?["id"]
            .as_u64()
            .context("a number")
    }

    /// What the server knows of a work request.
    pub async fn show(&self, id: u64) -> Result<Value> {
        let path = format!("/work-request/{id}/");
        let answer = self.user.repeated(Method::GET, &path, None).await?;
        Ok(answer.json()?)
    }

    /// Waits until a work request has a status.
    pub async fn wait(&self, id: u64, status: &str) -> Result<Value> {
        self.wait_long(id, status, SECONDS).await
    }

    /// The same, with more patience.
    pub async fn wait_long(&self, id: u64, status: &str, longest: Duration) -> Result<Value> {
        let what = format!("work request {id} is {status}");
        wait_for(&what, longest, async || {
            let shown = self.show(id).await?;
            let is_over = ["aborted", "completed"].map(|over| shown["status"] == over);
            if shown["status"] == status {
                return Ok(Some(shown));
            }
            ensure!(!is_over.contains(&true), "{what}: never: {shown}");
            Ok(None)
        })
        .await
    }

    /// The number of the work request by which the server has replaced one that was lost.
    pub async fn retry_of(&self, id: u64) -> Result<u64> {
        let program = format!(
            "from debusine.db.models import WorkRequest\nanswer = [w.id for w in WorkRequest.objects.filter(supersedes_id={id})]\n"
        );
        let what = format!("work request {id} is given out anew");
        wait_for(&what, SECONDS, async || {
            Ok(self.python(&program)?[0].as_u64())
        })
        .await
    }

    /// Whether work requests have ever been given out anew.
    pub fn was_repeated(&self, id: u64) -> Result<bool> {
        let program = format!(
            "from debusine.db.models import WorkRequest\nanswer = WorkRequest.objects.filter(supersedes_id={id}).exists()\n"
        );
        Ok(self.python(&program)? == true)
    }

    /// What the server knows of an artifact.
    pub async fn artifact(&self, id: u64) -> Result<Value> {
        let path = format!("/artifact/{id}/");
        let answer = self.user.repeated(Method::GET, &path, None).await?;
        Ok(answer.json()?)
    }

    /// The artifacts of a work request, in the order of their making.
    pub async fn artifacts(&self, work_request: u64) -> Result<Vec<Value>> {
        let shown = self.show(work_request).await?;
        let mut found = Vec::new();
        for id in shown["artifacts"].as_array().into_iter().flatten() {
            found.push(self.artifact(id.as_u64().context("a number")?).await?);
        }
        found.sort_by_key(|artifact| artifact["id"].as_u64());
        Ok(found)
    }

    /// The output data of a work request, which the interface does not show.
    pub fn output_data(&self, id: u64) -> Result<Value> {
        self.python(&format!(
            "import json\nfrom debusine.db.models import WorkRequest\nd = WorkRequest.objects.get(id={id}).output_data\nanswer = json.loads(d.json(exclude_unset=True)) if hasattr(d, 'json') else d\n"
        ))
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // It ends when its standard input does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// A port below those that the kernel hands out (ip(7), `ip_local_port_range`): the server is not there all the time, and nobody else gets it meanwhile.
fn free_port() -> Result<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let handed_out = range.split_whitespace().next().context("a port")?;
    let handed_out: u16 = handed_out.parse()?;
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    // Each test begins elsewhere.
    let begin = 1024 + std::process::id() % u32::from(handed_out.saturating_sub(1024).max(1));
    let mut from_there = (u16::try_from(begin)?..handed_out).chain(1024..handed_out);
    from_there.find(is_free).context("a free port")
}

fn script(arguments: &[&str]) -> Result<String> {
    let output = Command::new(SCRIPT)
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "{arguments:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
