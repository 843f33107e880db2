//! A worker's life with a server, and with servers, networks and disks that are not as they should be.
//!
//! No test harness of rustc's: the executor re-executes this program as its helper, before any thread exists.

mod compiling;
mod disk;
mod life;
mod program;
mod reporting;
mod service;
mod silence;
mod tls;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use task_runtime::executor::supervisor_main_if_called;
use task_runtime_tests::fake_server::{FakeServer, State, work_request};
use task_runtime_tests::living_worker::{Home, LivingWorker};
use task_runtime_tests::worker_program::WorkerProgram;

fn main() {
    supervisor_main_if_called();
    let mut trials = life::trials();
    trials.extend(reporting::trials());
    trials.extend(silence::trials());
    trials.extend(program::trials());
    trials.extend(compiling::trials());
    trials.extend(service::trials());
    trials.extend(tls::trials());
    trials.extend(disk::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial<F: Future<Output = Result<()>>>(
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || finished(test()))
}

/// The same for a test of the program itself, which is skipped if that is not built.
fn program_trial<F: Future<Output = Result<()>>>(
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        if !WorkerProgram::is_built() {
            eprintln!("skipped: the program task-runtime is not built");
            return Ok(());
        }
        finished(test())
    })
}

fn finished(test: impl Future<Output = Result<()>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let tested =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(480), test).await });
    match tested {
        Ok(result) => result.map_err(|error| Failed::from(format!("{error:#}"))),
        Err(_) => Err(Failed::from("not done after 480 s")),
    }
}

/// A server, the places of a worker, and the worker.
async fn together() -> Result<(FakeServer, Home, LivingWorker)> {
    let server = FakeServer::start().await?;
    let home = Home::new()?;
    let worker = LivingWorker::start(&server, &home)?;
    Ok((server, home, worker))
}

/// Waits for the report of a work request.
async fn report(server: &FakeServer, id: u64) -> Value {
    let is_there = |state: &State| state.completed.iter().any(|(known, _)| *known == id);
    server
        .wait_until(&format!("report of {id}"), is_there)
        .await;
    let state = server.state();
    let mut reports = state.completed.iter().filter(|(known, _)| *known == id);
    reports
        .next()
        .map(|(_, report)| report.clone())
        .unwrap_or_default()
}

/// A task that makes two files and uploads them.
fn making(id: u64) -> Value {
    let data = json!({
        "run": "command", "command": ["sh", "-c", "echo one >one; echo two >two"], "results": ["one", "two"],
    });
    work_request(id, "scripted", data)
}

/// Holds a task up until it is opened.
struct Gate(tempfile::TempDir);

impl Gate {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// [`making`], once it is open; for five minutes at most, should the test be gone.
    fn before(&self, id: u64) -> Value {
        let (at, open) = (self.file("at"), self.file("open"));
        let script = format!(
            "touch {}; i=0; while ! test -e {} && [ $i -lt 6000 ]; do sleep 0.05; i=$((i+1)); done; echo one >one; echo two >two",
            at.display(),
            open.display()
        );
        let mut wanted = making(id);
        wanted["task_data"]["command"][2] = json!(script);
        wanted
    }

    /// Waits until the task is there.
    async fn is_reached(&self) -> Result<()> {
        for _ in 0..12_000 {
            if self.file("at").exists() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("the task does not run within two minutes")
    }

    fn open(&self) -> Result<()> {
        Ok(std::fs::write(self.file("open"), "")?)
    }
}

/// The server has what [`making`] makes, once.
fn delivered_by(server: &FakeServer, id: u64) -> Result<()> {
    let state = server.state();
    let mut reports = state.completed.iter();
    let (_, document) = reports
        .find(|(known, _)| *known == id)
        .context("a report")?;
    ensure!(document["result"] == "success", "{document}");
    ensure!(state.completed.len() == 1, "{:?}", state.completed);
    let made = state.artifacts.values();
    let made: Vec<_> = made.map(|it| it.category.as_str()).collect();
    ensure!(
        made == ["debusine:test", "debusine:work-request-debug-logs"],
        "{made:?}"
    );
    let (id, _) = state.artifacts.first_key_value().expect("one");
    ensure!(state.content(*id, "one") == Some(&b"one\n"[..]));
    ensure!(state.content(*id, "two") == Some(&b"two\n"[..]));
    Ok(())
}

async fn delivered(server: &FakeServer, home: &Home, id: u64) -> Result<()> {
    report(server, id).await;
    delivered_by(server, id)?;
    let empty = async {
        while !home.spooled().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), empty).await?;
    Ok(())
}
