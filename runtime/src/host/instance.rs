//! One instance of a task component, with its exports as typed calls that tell failures, limits and traps apart.

use super::bindings::debusine::task::commands::Exit;
use super::bindings::exports::debusine::task::{execution, scheduling};
use super::files::DirectoryHandle;
use super::linker::{self, Linkers, Purpose};
use super::{Failure, HostState};
use crate::component::{Engine, LimitReached, LoadedComponent, Metered, inspect, limit_reached};
use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{InstancePre, ResourceAny};

pub use super::bindings::debusine::task::types::{PathPart, Violation};
pub use execution::PlannedCommand;
pub use scheduling::{Description, DynamicDataError, TaskConfigError};

/// A call into a component that did not come back.
#[derive(Debug, thiserror::Error)]
#[error("task {task}: {call}: {reason}{}", said(.last_words.as_deref()))]
pub struct CallError {
    /// Name of the task.
    pub task: String,
    /// The call, e.g. `run`.
    pub call: &'static str,
    /// What happened.
    pub reason: CallErrorReason,
    /// What the component said last, if that is not the reason itself.
    pub last_words: Option<String>,
}

fn said(words: Option<&str>) -> String {
    words.map_or_else(String::new, |words| format!("; before that it said: {words}"))
}

/// What happened in a call that did not come back.
#[derive(Debug, thiserror::Error)]
pub enum CallErrorReason {
    /// The component reached one of its limits.
    #[error("limit reached: {0}")]
    Limit(LimitReached),
    /// The component panicked; this is what it said.
    #[error("the component panicked: {0}")]
    Panic(String),
    /// The component trapped without a word.
    #[error("the component trapped: {0}")]
    Trap(String),
    /// The component answered with something that is not what it should be.
    #[error("the component's answer is unusable: {0}")]
    Answer(String),
    /// The component cannot be run by this host.
    #[error("{0}")]
    Unsuitable(String),
    /// The instance ended with an earlier call.
    #[error("the instance has ended with an earlier error")]
    Ended,
}

/// A component whose imports are resolved: instances of it start in microseconds.
#[derive(Clone)]
pub struct TaskComponent {
    name: String,
    engine: Engine,
    resolved: InstancePre<HostState>,
    scheduling: scheduling::GuestIndices,
    execution: Option<execution::GuestIndices>,
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
}

impl TaskComponent {
    /// Resolves a component for a purpose. What it imports or lacks is told in words.
    pub fn new(
        engine: &Engine,
        linkers: &Linkers,
        loaded: &LoadedComponent,
        purpose: Purpose,
    ) -> Result<Self, CallError> {
        let unsuitable = |words: String| CallError {
            task: loaded.name.clone(),
            call: "load",
            reason: CallErrorReason::Unsuitable(words),
            last_words: None,
        };
        let explain = |error: wasmtime::Error| {
            let objections = inspect(&loaded.path).map(|interface| linker::objections(&interface));
            unsuitable(match objections {
                Ok(objections) if !objections.is_empty() => {
                    format!("{}: {}", loaded.path.display(), objections.join("; "))
                }
                _ => format!("{}: {error:#}", loaded.path.display()),
            })
        };
        let resolved = linkers
            .resolve(&loaded.component, purpose)
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
        })
    }

    /// Name of the task.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The engine that runs it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Starts an instance around this state.
    pub async fn instantiate(&self, state: HostState) -> Result<TaskInstance, CallError> {
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
            }),
            Err(error) => Err(call_error(&self.name, "instantiate", error, &mut store)),
        }
    }
}

/// What an error of wasmtime means.
fn call_error(
    task: &str,
    call: &'static str,
    error: wasmtime::Error,
    store: &mut Store<HostState>,
) -> CallError {
    let mut last_words = store.data_mut().last_words.take();
    let reason = match (limit_reached(&error), last_words.take()) {
        (Some(limit), words) => {
            last_words = words;
            CallErrorReason::Limit(limit)
        }
        (None, Some(words)) => CallErrorReason::Panic(words),
        (None, None) => CallErrorReason::Trap(format!("{:#}", error.root_cause())),
    };
    CallError {
        task: task.to_owned(),
        call,
        reason,
        last_words,
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

    /// What the task adds to the metadata of this worker.
    pub async fn analyze_worker(&mut self) -> Result<serde_json::Map<String, Value>, CallError> {
        let guest = self.scheduling.clone();
        let text = self
            .call("analyze-worker", async |store| {
                guest.call_analyze_worker(store).await
            })
            .await?;
        self.parsed("analyze-worker", &text)
    }

    /// Makes a task of these data. The inner error is the task's own: the data break its rules.
    pub async fn configure(
        &mut self,
        data: &Value,
        dynamic_data: Option<&Value>,
        worker_architecture: Option<&str>,
    ) -> Result<Result<(), TaskConfigError>, CallError> {
        let dynamic_data = dynamic_data.map(Value::to_string);
        self.configure_json(&data.to_string(), dynamic_data.as_ref(), worker_architecture)
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
            self.call("drop", async |store| former.resource_drop_async(store).await)
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
        if self.ended {
            return Err(self.error(call, CallErrorReason::Ended));
        }
        let meter = self.store.data_mut().meter();
        meter.begin_call();
        let answer = match meter.wall() {
            None => work(&mut self.store).await,
            // What the call waits for is dropped with it, and with that what it started.
            Some(wall) => tokio::time::timeout(wall, work(&mut self.store))
                .await
                .unwrap_or_else(|_| Err(LimitReached::Wall(wall).into())),
        };
        answer.map_err(|error| {
            self.ended = true;
            call_error(&self.name, call, error, &mut self.store)
        })
    }
}

/// The stages of a run. The inner error is the task's own failure.
impl TaskInstance {
    /// Downloads the inputs.
    pub async fn fetch_input(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Result<bool, Failure>, CallError> {
        self.stage(
            "fetch-input",
            workspace,
            async |guest, store, task, workspace| {
                guest.call_fetch_input(store, task, workspace).await
            },
        )
        .await
    }

    /// Picks files, writes configuration, starts an instance of the environment.
    pub async fn configure_for_execution(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Result<bool, Failure>, CallError> {
        self.stage(
            "configure-for-execution",
            workspace,
            async |guest, store, task, workspace| {
                guest
                    .call_configure_for_execution(store, task, workspace)
                    .await
            },
        )
        .await
    }

    /// Takes the inputs into the instance of the environment.
    pub async fn prepare_to_run(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Result<(), Failure>, CallError> {
        self.stage(
            "prepare-to-run",
            workspace,
            async |guest, store, task, workspace| {
                guest.call_prepare_to_run(store, task, workspace).await
            },
        )
        .await
    }

    /// The command that `run` will run.
    pub async fn command_line(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Result<Option<PlannedCommand>, Failure>, CallError> {
        self.stage(
            "command-line",
            workspace,
            async |guest, store, task, workspace| {
                guest.call_command_line(store, task, workspace).await
            },
        )
        .await
    }

    /// Does the work and judges it.
    pub async fn run(&mut self, workspace: &Workspace) -> Result<Result<bool, Failure>, CallError> {
        self.stage("run", workspace, async |guest, store, task, workspace| {
            guest.call_run(store, task, workspace).await
        })
        .await
    }

    /// What `run` answers for a command that ended so.
    pub async fn task_succeeded(
        &mut self,
        workspace: &Workspace,
        exit: Exit,
    ) -> Result<Result<bool, Failure>, CallError> {
        self.stage(
            "task-succeeded",
            workspace,
            async |guest, store, task, workspace| {
                guest
                    .call_task_succeeded(store, task, workspace, exit)
                    .await
            },
        )
        .await
    }

    /// Checks that the results fit each other.
    pub async fn consistency_errors(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Result<Vec<String>, Failure>, CallError> {
        self.stage(
            "check-directory-for-consistency-errors",
            workspace,
            async |guest, store, task, workspace| {
                guest
                    .call_check_directory_for_consistency_errors(store, task, workspace)
                    .await
            },
        )
        .await
    }

    /// Uploads the results.
    pub async fn upload_artifacts(
        &mut self,
        workspace: &Workspace,
        execution_success: bool,
    ) -> Result<Result<(), Failure>, CallError> {
        self.stage(
            "upload-artifacts",
            workspace,
            async |guest, store, task, workspace| {
                guest
                    .call_upload_artifacts(store, task, workspace, execution_success)
                    .await
            },
        )
        .await
    }

    /// Stops what the task started.
    pub async fn cleanup(&mut self) -> Result<Result<(), Failure>, CallError> {
        let (guest, task) = self.executing("cleanup")?;
        self.call("cleanup", async |store| {
            guest.call_cleanup(store, task).await
        })
        .await
    }

    /// Whether a call has ended the instance.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn executing(&self, call: &'static str) -> Result<(execution::Guest, ResourceAny), CallError> {
        let (_, task) = self.configured(call)?;
        match &self.execution {
            Some(guest) => Ok((guest.clone(), task)),
            None => {
                let words = "the instance was made for scheduling only".to_owned();
                Err(self.error(call, CallErrorReason::Unsuitable(words)))
            }
        }
    }

    /// Calls a stage with handles on both directories.
    async fn stage<T>(
        &mut self,
        call: &'static str,
        workspace: &Workspace,
        work: impl AsyncFnOnce(
            &execution::Guest,
            &mut Store<HostState>,
            ResourceAny,
            execution::Workspace,
        ) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        let (guest, task) = self.executing(call)?;
        let workspace = workspace.clone();
        self.call(call, async |store| {
            let table = &mut store.data_mut().table;
            let handles = execution::Workspace {
                download: table.push(workspace.download)?,
                execute: table.push(workspace.execute)?,
            };
            work(&guest, store, task, handles).await
        })
        .await
    }
}
