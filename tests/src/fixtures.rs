//! A machine for tests: a fresh store, the built components, a runner with the real host and executor.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use task_runtime::artifacts::local::{ArtifactFilter, LocalStore};
use task_runtime::artifacts::{Artifact, ArtifactId, ArtifactStore};
use task_runtime::component::{ComponentCache, Engine, Limits, LoadedComponent, Registry};
use task_runtime::executor::{Abort, HostCommands};
use task_runtime::host::{
    HostState, Linkers, Machine, Purpose, TaskComponent, TaskInstance, WebDownloads, Workspace,
};
use task_runtime::lifecycle::{
    LocalEnvironments, Observer, RunError, RunOptions, RunRequest, RunResult, Runner, Stage,
};
use tempfile::TempDir;

/// Where guests that only tests use are built.
const TEST_GUESTS: &str = "guests/target/wasm32-unknown-unknown/release";

/// Where the built-in tasks are built.
const TASKS: &str = "../tasks/target/wasm32-unknown-unknown/release";

/// A runner around a store of its own; everything is gone when it is dropped.
pub struct Bench {
    /// Runs tasks.
    pub runner: Runner,
    /// Finds them.
    pub registry: Registry,
    /// Keeps what they make.
    pub store: Arc<LocalStore>,
    /// Holds all of it.
    pub directory: TempDir,
}

impl Bench {
    /// A fresh bench.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("bench-").tempdir()?;
        open_to_all(directory.path())?;
        let engine = Engine::new()?;
        let store = Arc::new(LocalStore::open(directory.path().join("store"))?);
        let runs = directory.path().join("runs");
        std::fs::create_dir(&runs)?;
        open_to_all(&runs)?;
        let runner = Runner {
            engine: engine.clone(),
            linkers: Arc::new(Linkers::new(&engine)?),
            facts: Arc::new(Machine::default()),
            commands: Arc::new(HostCommands::new()),
            executors: Arc::new(LocalEnvironments::new(
                Arc::clone(&store) as Arc<dyn ArtifactStore>,
                &directory.path().join("cache"),
            )),
            artifacts: Arc::clone(&store) as Arc<dyn ArtifactStore>,
            downloads: Arc::new(WebDownloads::default()),
            options: RunOptions {
                directory: runs,
                limits: Limits {
                    cpu: std::time::Duration::from_secs(2),
                    ..Limits::EXECUTION
                },
                ..RunOptions::default()
            },
        };
        let registry = Registry::open(engine, cache(), &task_directories())?;
        Ok(Self {
            runner,
            registry,
            store,
            directory,
        })
    }

    /// A built component.
    pub fn load(&self, task: &str) -> Result<LoadedComponent> {
        self.registry
            .load(task)
            .context("build the components first: make tasks")
    }

    /// Runs the scripted task with these data; what it did is in the report.
    pub async fn scripted(&self, data: Value) -> Result<Report> {
        self.run("scripted", data, json!({}), &Abort::new()).await
    }

    /// Runs a task.
    pub async fn run(
        &self,
        task: &str,
        data: Value,
        dynamic_data: Value,
        abort: &Abort,
    ) -> Result<Report> {
        let request = RunRequest {
            work_request: None,
            workspace: None,
            data,
            dynamic_data,
        };
        self.watch(task, request, Watched::default(), abort).await
    }

    /// Runs a task whose working directory somebody has prepared.
    pub async fn run_staged(
        &self,
        task: &str,
        stage: impl Fn(&Path) + Send + Sync + 'static,
    ) -> Result<Report> {
        let request = RunRequest {
            work_request: None,
            workspace: None,
            data: json!({}),
            dynamic_data: json!({}),
        };
        let watched = Watched {
            stage_files: Some(Box::new(stage)),
            ..Watched::default()
        };
        self.watch(task, request, watched, &Abort::new()).await
    }

    /// Runs the scripted task and aborts it soon after a stage has begun.
    pub async fn aborted_in(&self, stage: Stage, data: Value) -> Result<Report> {
        let abort = Abort::new();
        let watched = Watched {
            abort: Some((stage, abort.clone())),
            ..Watched::default()
        };
        let request = RunRequest {
            work_request: None,
            workspace: None,
            data,
            dynamic_data: json!({}),
        };
        self.watch("scripted", request, watched, &abort).await
    }

    async fn watch(
        &self,
        task: &str,
        request: RunRequest,
        watched: Watched,
        abort: &Abort,
    ) -> Result<Report> {
        let watched = Arc::new(watched);
        let observer = Arc::clone(&watched) as Arc<dyn Observer>;
        let component = self.load(task)?;
        let result = self.runner.run(&component, request, observer, abort).await;
        let stages = std::mem::take(&mut *watched.stages.lock().expect("no watcher panics"));
        let logs = match &result {
            Ok(result) => self.texts(result.debug_logs).await?,
            Err(_) => BTreeMap::new(),
        };
        Ok(Report {
            result,
            stages,
            logs,
            left: names(&self.runner.options.directory)?,
        })
    }

    /// An instance of a task for scheduling calls.
    pub async fn instance(&self, task: &str) -> Result<TaskInstance> {
        let runner = &self.runner;
        let loaded = self.load(task)?;
        let component = TaskComponent::new(
            &runner.engine,
            &runner.linkers,
            &loaded,
            Purpose::Scheduling,
        )?;
        let limits = Limits {
            cpu: std::time::Duration::from_secs(1),
            ..Limits::SCHEDULING
        };
        let state = HostState::new(&runner.engine, &limits, Arc::clone(&runner.facts));
        Ok(component.instantiate(state).await?)
    }

    /// All artifacts of a category, oldest first.
    pub async fn artifacts(&self, category: &str) -> Result<Vec<Artifact>> {
        let filter = ArtifactFilter {
            category: Some(category.to_owned()),
            ..ArtifactFilter::default()
        };
        let found = self.store.list(filter).await?;
        Ok(found.into_iter().map(|stored| stored.artifact).collect())
    }

    /// The files of an artifact as text.
    pub async fn texts(&self, id: ArtifactId) -> Result<BTreeMap<String, String>> {
        let mut texts = BTreeMap::new();
        for file in self.store.artifact(id).await?.files {
            let opened = self.store.open_file(id, &file.path).await?;
            texts.insert(file.path, std::io::read_to_string(opened)?);
        }
        Ok(texts)
    }
}

/// What a run did.
#[derive(Debug)]
pub struct Report {
    /// What came of it.
    pub result: Result<RunResult, RunError>,
    /// The stages that began, in order.
    pub stages: Vec<Stage>,
    /// Its log files.
    pub logs: BTreeMap<String, String>,
    /// What is left in the directory of runs: nothing, it is to be hoped.
    pub left: Vec<String>,
}

type StageFiles = dyn Fn(&Path) + Send + Sync;

#[derive(Default)]
struct Watched {
    stages: Mutex<Vec<Stage>>,
    /// What to abort in which stage.
    abort: Option<(Stage, Abort)>,
    /// What to put into the working directory.
    stage_files: Option<Box<StageFiles>>,
}

impl Observer for Watched {
    fn workspace(&self, workspace: &Workspace) {
        if let Some(stage) = &self.stage_files {
            stage(workspace.execute.location());
        }
    }

    fn stage(&self, stage: Stage) {
        self.stages.lock().expect("no watcher panics").push(stage);
        if let Some((when, abort)) = &self.abort
            && *when == stage
        {
            let abort = abort.clone();
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                abort.cancel();
            });
        }
    }
}

/// Compiled code is shared by all tests of a checkout.
pub fn cache() -> ComponentCache {
    ComponentCache::new(&beside("../target/test-components"))
}

/// The cache of workers that are tested as a program, likewise.
pub fn worker_cache() -> PathBuf {
    beside("../target/test-worker")
}

/// The directories of the built components, tasks and test guests.
pub fn task_directories() -> Vec<PathBuf> {
    vec![beside(TASKS), beside(TEST_GUESTS)]
}

/// The program, beside the tests that were built with it.
pub fn program() -> Option<PathBuf> {
    let tests = std::env::current_exe().ok()?;
    let program = tests.parent()?.parent()?.join("task-runtime");
    program.exists().then_some(program)
}

/// A path relative to this crate.
fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn open_to_all(path: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

fn names(directory: &Path) -> std::io::Result<Vec<String>> {
    std::fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
