//! One instance of a task component, with its exports as typed calls that tell failures, limits and traps apart.

mod error;
mod stages;

use super::HostState;
use super::bindings::exports::debusine::task::{execution, scheduling};
use super::capabilities::{Grants, Policy};
use super::contract;
use super::files::DirectoryHandle;
use super::linker::{self, Linkers, Purpose};
use crate::component::{Aborted, Engine, LimitReached, LoadedComponent, Metered};
use crate::executor::{Abort, DEFAULT_GRACE};
use error::call_error;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wasmtime::Store;
use wasmtime::component::{InstancePre, ResourceAny};

pub use super::bindings::debusine::task::types::{PathPart, Violation};
pub use error::{CallError, CallErrorReason};
pub use execution::PlannedCommand;
pub use scheduling::{Description, DynamicDataError, TaskConfigError};

/// How long a call may go on after an abort. The host calls in it end by themselves, at the latest with the grace period of a command;
/// after that the component may write its logs.
const PATIENCE: Duration = DEFAULT_GRACE.saturating_add(Duration::from_secs(5));

/// A component whose imports are resolved: instances of it start in microseconds.
#[derive(Clone)]
pub struct TaskComponent {
    name: String,
    engine: Engine,
    resolved: InstancePre<HostState>,
    scheduling: scheduling::GuestIndices,
    execution: Option<execution::GuestIndices>,
    grants: Option<Arc<Grants>>,
    /// Whether it has said that its name is that of its file.
    named: Arc<AtomicBool>,
}

/// The directories of a run.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// Inputs.
    pub download: DirectoryHandle,
    /// Working directory of the task's command.
    pub execute: DirectoryHandle,
}

/// A running instance, and the task in it once that is configured.
pub struct TaskInstance {
    name: String,
    store: Store<HostState>,
    scheduling: scheduling::Guest,
    execution: Option<execution::Guest>,
    task: Option<ResourceAny>,
    ended: bool,
    stack: usize,
    grants: Option<Arc<Grants>>,
}

impl TaskComponent {
    /// Resolves a component for a purpose, with all of the powers that it imports. What it imports or lacks is told in words.
    pub fn new(
        engine: &Engine,
        linkers: &Linkers,
        loaded: &LoadedComponent,
        purpose: Purpose,
    ) -> Result<Self, CallError> {
        Self::resolve(engine, linkers, loaded, purpose, None)
    }

    /// Resolves a component for a run with exactly the powers that its manifest asks for and the policy grants.
    pub fn granted(
        engine: &Engine,
        linkers: &Linkers,
        loaded: &LoadedComponent,
        policy: &Arc<Policy>,
    ) -> Result<Self, CallError> {
        let imports = linker::imports(&loaded.component);
        let imports: Vec<String> = imports.into_iter().map(|it| it.name).collect();
        let grants = Grants::resolve(&loaded.name, &loaded.manifest, &imports, policy);
        let grants = Some(Arc::new(grants));
        Self::resolve(engine, linkers, loaded, Purpose::Execution, grants)
    }

    fn resolve(
        engine: &Engine,
        linkers: &Linkers,
        loaded: &LoadedComponent,
        purpose: Purpose,
        grants: Option<Arc<Grants>>,
    ) -> Result<Self, CallError> {
        let unsuitable = |words: String| CallError {
            task: loaded.name.clone(),
            call: "load",
            reason: CallErrorReason::Unsuitable(words),
            last_words: None,
        };
        let explain = |error: wasmtime::Error| {
            let wasi = linkers.grants_wasi(loaded, grants.as_deref());
            let objections = contract::objections(&linker::interface(&loaded.component), wasi);
            unsuitable(match objections.is_empty() {
                true => format!("{}: {error:#}", loaded.path.display()),
                false => format!("{}: {}", loaded.path.display(), objections.join("; ")),
            })
        };
        let resolved = linkers
            .resolve(loaded, purpose, grants.as_deref())
            .map_err(explain)?;
        let scheduling = scheduling::GuestIndices::new(&resolved).map_err(explain)?;
        let execution = match purpose {
            Purpose::Scheduling => None,
            Purpose::Execution => Some(execution::GuestIndices::new(&resolved).map_err(explain)?),
        };
        Ok(Self {
            name: loaded.name.clone(),
            engine: engine.clone(),
            resolved,
            scheduling,
            execution,
            grants,
            named: Arc::default(),
        })
    }

    /// What it may do; none if that was not asked.
    pub fn grants(&self) -> Option<&Arc<Grants>> {
        self.grants.as_ref()
    }

    /// Name of the task.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The engine that runs it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Starts an instance around this state. Before the first one the component is asked for its name: one of another task is refused.
    pub async fn instantiate(&self, mut state: HostState) -> Result<TaskInstance, CallError> {
        if !self.named.load(Ordering::Acquire) {
            let mut asked = self.start(state.powerless(&self.engine)).await?;
            asked.describe().await?;
            self.named.store(true, Ordering::Release);
        }
        self.start(state).await
    }

    async fn start(&self, mut state: HostState) -> Result<TaskInstance, CallError> {
        state.journal.speaks_for(&self.name);
        let mut store = self.engine.store(state);
        let started = async {
            let instance = self.resolved.instantiate_async(&mut store).await?;
            let scheduling = self.scheduling.load(&mut store, &instance)?;
            let execution = self.execution.as_ref();
            let execution = execution
                .map(|indices| indices.load(&mut store, &instance))
                .transpose()?;
            Ok((scheduling, execution))
        };
        match started.await {
            Ok((scheduling, execution)) => Ok(TaskInstance {
                name: self.name.clone(),
                store,
                scheduling,
                execution,
                task: None,
                ended: false,
                stack: self.engine.options().stack,
                grants: self.grants.clone(),
            }),
            Err(error) => Err(call_error(
                &self.name,
                "instantiate",
                error,
                &mut store,
                self.engine.options().stack,
                None,
            )),
        }
    }
}

impl TaskInstance {
    /// What the component is.
    pub async fn describe(&mut self) -> Result<Description, CallError> {
        let guest = self.scheduling.clone();
        let description = self
            .call("describe", async |store| guest.call_describe(store).await)
            .await?;
        if description.name != self.name {
            let words = format!(
                "it says that its name is {:?}, and its file is {}.wasm; rename the file",
                description.name, self.name
            );
            return Err(self.error("describe", CallErrorReason::Unsuitable(words)));
        }
        Ok(description)
    }

    /// What the task adds to the metadata of this worker: the keys `TASK:…`. Others are not the task's to say, and are left out.
    pub async fn analyze_worker(&mut self) -> Result<serde_json::Map<String, Value>, CallError> {
        let guest = self.scheduling.clone();
        let text = self
            .call("analyze-worker", async |store| {
                guest.call_analyze_worker(store).await
            })
            .await?;
        let metadata: serde_json::Map<String, Value> = self.parsed("analyze-worker", &text)?;
        let is_own = |key: &str| {
            let (task, _) = key.split_once(':').unwrap_or_default();
            task == self.name
        };
        let (own, foreign): (serde_json::Map<_, _>, serde_json::Map<_, _>) =
            metadata.into_iter().partition(|(key, _)| is_own(key));
        if let Some(key) = foreign.keys().next() {
            let key: String = key.chars().take(80).collect();
            tracing::warn!(
                "task {}: {} of its metadata are left out, {key:?} first: a task may only say {}:…",
                self.name,
                foreign.len(),
                self.name
            );
        }
        Ok(own)
    }

    /// Makes a task of these data. The inner error is the task's own: the data break its rules.
    pub async fn configure(
        &mut self,
        data: &Value,
        dynamic_data: Option<&Value>,
        worker_architecture: Option<&str>,
    ) -> Result<Result<(), TaskConfigError>, CallError> {
        let dynamic_data = dynamic_data.map(Value::to_string);
        self.configure_json(
            &data.to_string(),
            dynamic_data.as_ref(),
            worker_architecture,
        )
        .await
    }

    /// The same for data that are JSON text already. The task that was configured before is dropped.
    pub async fn configure_json(
        &mut self,
        data: &str,
        dynamic_data: Option<&String>,
        worker_architecture: Option<&str>,
    ) -> Result<Result<(), TaskConfigError>, CallError> {
        if let Some(former) = self.task.take() {
            self.call("drop", async |store| {
                former.resource_drop_async(store).await
            })
            .await?;
        }
        let guest = self.scheduling.clone();
        let data = data.to_owned();
        let configured = self
            .call("configure", async |store| {
                guest
                    .task()
                    .call_configure(store, &data, dynamic_data, worker_architecture)
                    .await
            })
            .await?;
        Ok(configured.map(|task| self.task = Some(task)))
    }

    /// The task data as the task understood them.
    pub async fn data(&mut self) -> Result<Value, CallError> {
        let (guest, task) = self.configured("data")?;
        let text = self
            .call("data", async |store| {
                guest.task().call_data(store, task).await
            })
            .await?;
        self.parsed("data", &text)
    }

    /// The dynamic data likewise.
    pub async fn dynamic_data(&mut self) -> Result<Option<Value>, CallError> {
        let (guest, task) = self.configured("dynamic-data")?;
        let text = self
            .call("dynamic-data", async |store| {
                guest.task().call_dynamic_data(store, task).await
            })
            .await?;
        text.map(|text| self.parsed("dynamic-data", &text))
            .transpose()
    }

    /// What the task is about.
    pub async fn label(&mut self) -> Result<String, CallError> {
        let (guest, task) = self.configured("label")?;
        self.call("label", async |store| {
            guest.task().call_label(store, task).await
        })
        .await
    }

    /// The architecture that it builds or tests for.
    pub async fn host_architecture(&mut self) -> Result<Option<String>, CallError> {
        let (guest, task) = self.configured("host-architecture")?;
        self.call("host-architecture", async |store| {
            guest.task().call_host_architecture(store, task).await
        })
        .await
    }

    /// Whether a worker with these metadata can run it.
    pub async fn can_run_on(&mut self, worker_metadata: &String) -> Result<bool, CallError> {
        let (guest, task) = self.configured("can-run-on")?;
        self.call("can-run-on", async |store| {
            guest
                .task()
                .call_can_run_on(store, task, worker_metadata)
                .await
        })
        .await
    }

    /// Parses the metadata of many workers, once for all tasks of this instance.
    pub async fn prepare_workers(&mut self, metadata: &[String]) -> Result<ResourceAny, CallError> {
        let guest = self.scheduling.clone();
        self.call("workers", async |store| {
            guest.workers().call_constructor(store, metadata).await
        })
        .await
    }

    /// Adds workers to prepared ones; their positions follow the last one's.
    pub async fn add_workers(
        &mut self,
        workers: ResourceAny,
        metadata: &[String],
    ) -> Result<(), CallError> {
        let guest = self.scheduling.clone();
        self.call("add", async |store| {
            guest.workers().call_add(store, workers, metadata).await
        })
        .await
    }

    /// Which of the prepared workers can run it: bit n of element n / 64 is worker n.
    pub async fn can_run_on_each(&mut self, workers: ResourceAny) -> Result<Vec<u64>, CallError> {
        let (guest, task) = self.configured("can-run-on-each")?;
        self.call("can-run-on-each", async |store| {
            guest
                .task()
                .call_can_run_on_each(store, task, workers)
                .await
        })
        .await
    }

    /// Resolves what the data name.
    pub async fn compute_dynamic_data(
        &mut self,
    ) -> Result<Result<Value, DynamicDataError>, CallError> {
        let (guest, task) = self.configured("compute-dynamic-data")?;
        let computed = self
            .call("compute-dynamic-data", async |store| {
                guest.task().call_compute_dynamic_data(store, task).await
            })
            .await?;
        match computed {
            Ok(text) => self.parsed("compute-dynamic-data", &text).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Numbers of the artifacts that it will read, if it tells.
    pub async fn source_artifact_ids(&mut self) -> Result<Option<Vec<u64>>, CallError> {
        let (guest, task) = self.configured("source-artifact-ids")?;
        self.call("source-artifact-ids", async |store| {
            guest.task().call_source_artifact_ids(store, task).await
        })
        .await
    }

    fn configured(
        &self,
        call: &'static str,
    ) -> Result<(scheduling::Guest, ResourceAny), CallError> {
        match self.task {
            Some(task) => Ok((self.scheduling.clone(), task)),
            None => Err(self.error(
                call,
                CallErrorReason::Answer("no task is configured".into()),
            )),
        }
    }

    fn parsed<T: serde::de::DeserializeOwned>(
        &self,
        call: &'static str,
        text: &str,
    ) -> Result<T, CallError> {
        serde_json::from_str(text).map_err(|error| {
            let words = format!("not the JSON it should be: {error}");
            self.error(call, CallErrorReason::Answer(words))
        })
    }

    fn error(&self, call: &'static str, reason: CallErrorReason) -> CallError {
        CallError {
            task: self.name.clone(),
            call,
            reason,
            last_words: None,
        }
    }

    /// Calls an export. After a trap the instance is dead, and says so from then on.
    async fn call<T>(
        &mut self,
        call: &'static str,
        work: impl AsyncFnOnce(&mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        self.call_patiently(call, PATIENCE, work).await
    }

    /// Calls an export that may wait for so long after an abort.
    async fn call_patiently<T>(
        &mut self,
        call: &'static str,
        patience: Duration,
        work: impl AsyncFnOnce(&mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        if self.ended {
            return Err(self.error(call, CallErrorReason::Ended));
        }
        let state = self.store.data_mut();
        state.last_words = None;
        let meter = state.meter();
        meter.begin_call();
        let (wall, abort) = (meter.wall(), meter.abort());
        // What the call waits for is dropped with it, and with that what it started.
        let answer = tokio::select! {
            biased;
            answer = work(&mut self.store) => answer,
            limit = elapsed(wall) => Err(limit.into()),
            aborted = lost_patience(abort, patience) => Err(aborted.into()),
        };
        answer.map_err(|error| {
            self.ended = true;
            call_error(
                &self.name,
                call,
                error,
                &mut self.store,
                self.stack,
                self.grants.as_deref(),
            )
        })
    }
}

/// Waits until a call has taken all the time that it may.
async fn elapsed(wall: Option<Duration>) -> LimitReached {
    match wall {
        None => std::future::pending().await,
        Some(wall) => {
            tokio::time::sleep(wall).await;
            LimitReached::Wall(wall)
        }
    }
}

/// Waits for an abort, and then for an answer in spite of it.
async fn lost_patience(abort: Option<Abort>, patience: Duration) -> Aborted {
    match abort {
        None => std::future::pending().await,
        Some(abort) => {
            abort.cancelled().await;
            tokio::time::sleep(patience).await;
            Aborted
        }
    }
}
