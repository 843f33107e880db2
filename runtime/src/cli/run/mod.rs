//! `run`: runs a task on this machine, with the artifact store in place of a server.

mod environments;
mod mirror;
mod report;
mod signals;

use super::allowance::AllowanceArguments;
use super::error::CliError;
use super::output::Output;
use super::places::Places;
use super::progress::{Progress, TICK};
use super::tasks::{TaskArguments, Tasks};
use super::{Outcome, Status, documents};
pub use environments::PassableEnvironments;
use report::Ended;
use serde_json::{Value, json};
pub use signals::Signals;
use std::sync::Arc;
use task_runtime::artifacts::local::{LocalStore, NewWorkRequest, WorkRequestResult};
use task_runtime::component::LoadedComponent;
use task_runtime::executor::{Abort, Allowance, HostCommands};
use task_runtime::host::capabilities::Policy;
use task_runtime::host::{TaskComponent, WebDownloads};
use task_runtime::lifecycle::{
    RunError, RunOptions, RunRequest, RunResult, Runner, Verdict, check_machine,
};
use task_runtime::worker::Statistics;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  task-runtime run noop
  task-runtime run sbuild --data build.yaml -v
  echo '{\"input\": {\"source_artifact\": \"hello\"}, …}' | task-runtime run lintian --data - --json
  task-runtime run sbuild --data build.yaml --memory-limit 8GiB --cpu-limit 2

Exit status:
  0  the task succeeded
  1  the task failed
  2  error: it was not run, or its result could not be kept
  3  aborted by SIGINT (Ctrl-C) or SIGTERM; a second one does not wait for the task's own clean-up

What it uploads goes to the artifact store, its logs too. With -v the output of its commands is shown as it comes, on standard error.")]
pub struct Arguments {
    #[command(flatten)]
    task: TaskArguments,
    /// Dynamic data to use instead of asking the artifact store, in the same forms as task data
    #[arg(long, value_name = "DATA")]
    dynamic_data: Option<String>,
    /// Workspace of what it uploads
    #[arg(long)]
    workspace: Option<String>,
    #[command(flatten)]
    allowance: AllowanceArguments,
}

/// Runs a task from its data to its result.
pub async fn run(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let loaded = tasks.registry.load(&arguments.task.task)?;
    // What this host does not offer is told before anything is recorded.
    let policy = Arc::new(places.policy()?);
    TaskComponent::granted(tasks.engine(), &tasks.linkers, &loaded, &policy)?;
    let data = arguments.task.data()?;
    tasks.configured(&loaded, &data, None).await?;
    let store = Arc::new(places.store()?);
    let dynamic_data = match &arguments.dynamic_data {
        Some(argument) => given(&tasks, &loaded, &data, documents::read(argument)?).await?,
        None => {
            let database = Arc::clone(&store);
            tasks.dynamic_data(&loaded, &data, database).await?
        }
    };
    check_machine(loaded.manifest.needs.as_ref(), &data)
        .await
        .map_err(|error| CliError::new("unsupported", format!("task {}: {error}", loaded.name)))?;
    let work_request = WorkRequest::begin(
        &store,
        NewWorkRequest {
            task_name: loaded.name.clone(),
            task_data: data.clone(),
            workspace: arguments.workspace.clone(),
        },
        &dynamic_data,
    )
    .await?;
    let request = RunRequest {
        work_request: Some(work_request.id),
        workspace: arguments.workspace,
        data,
        dynamic_data,
    };
    let runner = runner(
        &tasks,
        &store,
        places,
        policy,
        &arguments.allowance.allowance(),
    )?;
    let progress = Arc::new(Progress::new(output));
    let outcome = drive(&runner, &loaded, request, &progress).await;
    progress.finish();
    let ended = work_request.end(&loaded, outcome).await?;
    report::report(&ended, &store, output).await?;
    Ok(ended.status())
}

/// Dynamic data that were given are checked before anything is recorded.
async fn given(
    tasks: &Tasks,
    loaded: &LoadedComponent,
    data: &Value,
    dynamic_data: Value,
) -> Result<Value, CliError> {
    tasks.configured(loaded, data, Some(&dynamic_data)).await?;
    Ok(dynamic_data)
}

fn runner(
    tasks: &Tasks,
    store: &Arc<LocalStore>,
    places: &Places,
    policy: Arc<Policy>,
    allowance: &Allowance,
) -> Result<Runner, CliError> {
    let options = RunOptions {
        policy,
        ..places.limits().run(tasks.engine().options())
    };
    let environments = PassableEnvironments::new(
        Arc::clone(store) as _,
        &places.cache()?,
        &options.directory,
        allowance,
    );
    Ok(Runner {
        engine: tasks.engine().clone(),
        linkers: Arc::clone(&tasks.linkers),
        facts: Arc::clone(&tasks.facts),
        commands: Arc::new(HostCommands::new().allowance(allowance)),
        executors: Arc::new(environments),
        artifacts: Arc::clone(store) as _,
        downloads: Arc::new(WebDownloads::default()),
        options,
    })
}

/// Runs the task while signals are listened to and progress is drawn. None: it was aborted before its first stage, or a second signal did not want to wait; whatever ran is dropped,
/// which kills its processes and removes its directories.
async fn drive(
    runner: &Runner,
    loaded: &LoadedComponent,
    request: RunRequest,
    progress: &Arc<Progress>,
) -> Option<Result<RunResult, RunError>> {
    let mut signals = Signals::listen();
    let abort = Abort::new();
    let run = runner.run(loaded, request, Arc::clone(progress) as _, &abort);
    tokio::pin!(run);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            outcome = &mut run => return match outcome {
                // Before its first stage: there is nothing to report.
                Err(RunError::Component(error)) if error.is_abort() => None,
                outcome => Some(outcome),
            },
            _ = tick.tick(), if progress.is_alive() => progress.tick(),
            signal = signals.next() => {
                if abort.is_cancelled() {
                    progress.say(&format!("{signal} again: ending at once"));
                    return None;
                }
                progress.say(&format!("{signal}: aborting; once more to end at once"));
                abort.cancel();
            }
        }
    }
}

/// The run as the artifact store keeps it.
struct WorkRequest<'a> {
    store: &'a LocalStore,
    id: u64,
    statistics: Statistics,
}

impl<'a> WorkRequest<'a> {
    /// Records that it runs.
    async fn begin(
        store: &'a LocalStore,
        new: NewWorkRequest,
        dynamic_data: &Value,
    ) -> Result<Self, CliError> {
        let id = store.create_work_request(new).await?;
        store
            .set_dynamic_task_data(id, dynamic_data.clone())
            .await?;
        store.start_work_request(id).await?;
        Ok(Self {
            store,
            id,
            statistics: Statistics::begin(),
        })
    }

    /// Records how it ended.
    async fn end(
        self,
        loaded: &LoadedComponent,
        outcome: Option<Result<RunResult, RunError>>,
    ) -> Result<Ended, CliError> {
        let took = self.statistics.took();
        let (id, task) = (self.id, loaded.name.clone());
        let ended = |result| Ended {
            id,
            task: task.clone(),
            took,
            result,
        };
        let Some(outcome) = outcome else {
            self.store.abort_work_request(id).await?;
            return Ok(ended(None));
        };
        let result = match outcome {
            Ok(result) => result,
            Err(error) => return Err(self.fail(&task, error).await),
        };
        let verdict = match result.verdict {
            Verdict::Success => WorkRequestResult::Success,
            Verdict::Failure => WorkRequestResult::Failure,
            Verdict::Aborted => {
                self.store.abort_work_request(id).await?;
                return Ok(ended(Some(result)));
            }
        };
        let statistics = json!({"runtime_statistics": self.statistics.document()});
        self.store
            .complete_work_request(id, verdict, Some(statistics))
            .await?;
        Ok(ended(Some(result)))
    }

    /// Records that it could not be run, in the reference's form.
    async fn fail(&self, task: &str, error: RunError) -> CliError {
        let (code, error) = match error {
            RunError::Configuration(error) => {
                ("configure-failed", CliError::configuration(task, error))
            }
            RunError::Component(error) => ("execute-failed", error.into()),
            error @ (RunError::Directories { .. } | RunError::Logs(_)) => {
                ("execute-failed", CliError::new("system", error.to_string()))
            }
        };
        let output_data = json!({
            "errors": [{"message": error.message, "code": code}],
            "runtime_statistics": self.statistics.document(),
        });
        let result = WorkRequestResult::Error;
        let recorded = self
            .store
            .complete_work_request(self.id, result, Some(output_data));
        if let Err(unrecorded) = recorded.await {
            tracing::warn!(
                "work request {}: not recorded as failed: {unrecorded}",
                self.id
            );
        }
        error
    }
}

impl Ended {
    fn status(&self) -> Status {
        match self.result.as_ref().map(|result| result.verdict) {
            Some(Verdict::Success) => Status::Success,
            Some(Verdict::Failure) => Status::Failure,
            Some(Verdict::Aborted) | None => Status::Aborted,
        }
    }
}
