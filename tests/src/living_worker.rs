//! A worker in a thread of the test, with the built components, quick in all that waits.

use crate::fake_server::{FakeServer, TOKEN};
use crate::fixtures::{cache, task_directories};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use task_runtime::artifacts::debusine::{Patience, Server};
use task_runtime::component::{Engine, Registry};
use task_runtime::executor::HostCommands;
use task_runtime::host::{Linkers, Machine, WebDownloads};
use task_runtime::lifecycle::{LocalEnvironments, RunOptions};
use task_runtime::worker::{
    Description, Dispatch, Metrics, Operator, Owner, Rhythm, Spool, Stop, Worker,
};
use tempfile::TempDir;
use tokio::sync::watch;

/// Patience that a test can wait for.
pub const QUICK: Patience = Patience {
    connect: Duration::from_secs(2),
    answer: Duration::from_secs(4),
    verification: Duration::from_secs(10),
    first_pause: Duration::from_millis(20),
    longest_pause: Duration::from_millis(200),
    give_up: Duration::from_secs(30),
    nonsense: Duration::from_secs(1),
    for_permission: false,
    for_sense: false,
};

/// The places of a worker; they outlive it, as those of a worker that is restarted.
pub struct Home {
    directory: TempDir,
    spool: PathBuf,
}

impl Home {
    /// Empty places.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("worker-").tempdir()?;
        for name in ["cache", "runs"] {
            std::fs::create_dir(directory.path().join(name))?;
        }
        let spool = directory.path().join("spool");
        Ok(Self { directory, spool })
    }

    /// The same, but results wait elsewhere.
    pub fn with_spool(spool: &Path) -> Result<Self> {
        let spool = spool.to_owned();
        Ok(Self {
            spool,
            ..Self::new()?
        })
    }

    /// Where results wait.
    pub fn spool(&self) -> PathBuf {
        self.spool.clone()
    }

    /// Names of the work requests in the spool.
    pub fn spooled(&self) -> Vec<String> {
        names(&self.spool())
            .into_iter()
            .filter(|name| name.parse::<u64>().is_ok())
            .collect()
    }

    /// What runs have left behind.
    pub fn left(&self) -> Vec<String> {
        names(&self.directory.path().join("runs"))
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.collect()
}

/// A worker that lives.
pub struct LivingWorker {
    stop: watch::Sender<Stop>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl LivingWorker {
    /// Begins to live, with all built components.
    pub fn start(server: &FakeServer, home: &Home) -> Result<Self> {
        Self::start_with(server, home, &task_directories())
    }

    /// Begins to live, with the components of these directories.
    pub fn start_with(server: &FakeServer, home: &Home, tasks: &[PathBuf]) -> Result<Self> {
        let worker = assemble(&server.api_url(), TOKEN, home, tasks)?;
        let (stop, stopping) = watch::channel(Stop::No);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(worker.run(stopping));
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Asks it to end, and waits until it has: if it has to compile its tasks first, that takes a while.
    pub async fn stop(mut self, how: Stop) -> Result<()> {
        self.ask(how);
        let thread = self.thread.take().context("it has not ended before")?;
        let ended = tokio::task::spawn_blocking(move || thread.join());
        let ended = tokio::time::timeout(Duration::from_secs(120), ended).await??;
        ended.map_err(|_| anyhow::anyhow!("the worker panicked"))
    }

    /// Asks it to end.
    pub fn ask(&self, how: Stop) {
        self.stop.send_replace(how);
    }
}

impl Drop for LivingWorker {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Now);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn assemble(api_url: &str, token: &str, home: &Home, tasks: &[PathBuf]) -> Result<Worker> {
    let place = home.directory.path();
    let engine = Engine::new()?;
    let linkers = Arc::new(Linkers::new(&engine)?);
    let registry = Arc::new(Registry::open(engine, cache(), tasks)?);
    let server = Server::new(api_url, QUICK)?;
    let owner = Owner::new(server.api(), token);
    let server = server.with_token(token)?;
    let spool = Spool::open(&home.spool(), owner)?;
    let metrics = Arc::new(Metrics::new().with_traffic(&server));
    let operator = Arc::new(Operator::new(server.api(), spool.directory(), metrics));
    let images = place.join("cache");
    Ok(Worker {
        description: Description {
            registry: Arc::clone(&registry),
            linkers: Arc::clone(&linkers),
            facts: Arc::new(Machine::default()),
            kept: place.join("cache/architectures.json"),
        },
        dispatch: Dispatch {
            registry,
            linkers,
            facts: Arc::new(Machine::default()),
            commands: Arc::new(HostCommands::new()),
            downloads: Arc::new(WebDownloads::default()),
            environments: Box::new(move |store| Arc::new(LocalEnvironments::new(store, &images))),
            cache: place.join("cache"),
            options: RunOptions {
                directory: place.join("runs"),
                ..RunOptions::default()
            },
        },
        server,
        spool,
        operator,
        rhythm: Rhythm {
            reconnect: Duration::from_millis(20)..Duration::from_millis(60),
            farewell: Duration::from_secs(3),
            drain: Duration::from_secs(5),
            agony: Duration::from_secs(20),
            metadata: Duration::from_secs(2),
            disk: Duration::from_millis(100),
            components: Duration::from_millis(100),
            watchdog: None,
        },
    })
}
