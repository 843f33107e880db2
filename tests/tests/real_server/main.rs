//! A worker and an unmodified Debusine server: what the server gets, and what happens when either of them, or the wire between them, fails.
//!
//! Each test starts the server, which keeps its database from test to test; they take turns.

mod endings;
mod large_files;
mod materials;
mod operators;
mod outages;
mod recordings;
mod refusals;
mod stages;
mod tasks;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;
use task_runtime_tests::fixtures::{program, task_directories};
use task_runtime_tests::real_server::{RealServer, Wire, WorkerHome, WorkerProcess};

fn main() {
    let mut arguments = Arguments::from_args();
    // There is one server.
    arguments.test_threads = Some(1);
    let mut trials = operators::trials();
    trials.extend(refusals::trials());
    trials.extend(tasks::trials());
    trials.extend(outages::trials());
    trials.extend(endings::trials());
    trials.extend(large_files::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test that is skipped where there can be no server.
fn trial<F: Future<Output = Result<()>>>(
    name: impl Into<String>,
    longest: Duration,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        if let Some(why) = obstacle() {
            eprintln!("skipped: {why}");
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let tested = runtime.block_on(async { tokio::time::timeout(longest, test()).await });
        match tested {
            Ok(result) => result.map_err(|error| Failed::from(format!("{error:#}"))),
            Err(_) => Err(Failed::from(format!("not done after {longest:?}"))),
        }
    })
}

/// For what takes seconds.
const SHORT: Duration = Duration::from_secs(240);

/// For what installs packages.
const LONG: Duration = Duration::from_secs(1500);

fn obstacle() -> Option<&'static str> {
    if let Some(why) = RealServer::obstacle() {
        return Some(why);
    }
    if !cfg!(target_arch = "x86_64") {
        return Some("the work here is for amd64");
    }
    let is_there = |tasks: &PathBuf| tasks.join("noop.wasm").exists();
    if !task_directories().iter().any(is_there) {
        return Some("the tasks are not built; run make tasks");
    }
    let is_built = program().is_some();
    (!is_built).then_some("the program task-runtime is not built")
}

/// The places of a worker at the end of a wire.
fn home(server: &RealServer, wire: &Wire) -> Result<WorkerHome> {
    let program = program().context("the program")?;
    WorkerHome::new(server, &wire.api_url(), &program, task_directories())
}

/// A server, a wire, and a worker that the server knows and listens to. What is first is dropped first.
struct Together {
    worker: WorkerProcess,
    home: WorkerHome,
    wire: Wire,
    server: RealServer,
}

impl Together {
    async fn start() -> Result<Self> {
        let server = RealServer::start()?;
        let wire = Wire::to(server.address).await?;
        let home = home(&server, &wire)?;
        home.enrol(&server)?;
        let worker = home.start()?;
        home.wait_for("metadata accepted", 1).await?;
        Ok(Self {
            worker,
            home,
            wire,
            server,
        })
    }
}
