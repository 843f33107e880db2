//! One work request: from the server's document to a result in the spool.

use super::operator::{Operator, Watched};
use super::spool::{Entry, Spool, SpoolError, SpoolingStore};
use super::statistics::Statistics;
use super::work_request::{ErrorCode, Outcome, Report, WorkRequest};
use crate::artifacts::ArtifactStore;
use crate::artifacts::debusine::{Patience, Server, ServerArtifacts};
use crate::component::{LoadedComponent, Registry, RegistryError};
use crate::executor::{Abort, Commands, ExecutorError, Instance};
use crate::host::bindings::debusine::task::executor::Backend;
use crate::host::executor::image_file;
use crate::host::{
    Downloads, Executors, Facts, Linkers, PathPart, PreparedImage, TaskConfigError, Violation,
};
use crate::lifecycle::{
    RunError, RunOptions, RunRequest, RunResult, Runner, Verdict, check_machine,
};
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The type of the tasks that this worker runs.
const TASK_TYPE: &str = "Worker";

/// How often memory and disk space are looked at; the reference does so every 10 s.
const SAMPLES: Duration = Duration::from_secs(5);

/// Makes the environments of a run around its artifacts.
pub type Environments = dyn Fn(Arc<dyn ArtifactStore>) -> Arc<dyn Executors> + Send + Sync;

/// What it takes to run tasks.
pub struct Dispatch {
    /// The tasks.
    pub registry: Arc<Registry>,
    /// Links them.
    pub linkers: Arc<Linkers>,
    /// What is known of the machine.
    pub facts: Arc<dyn Facts>,
    /// Runs commands on the host.
    pub commands: Arc<dyn Commands>,
    /// Fetches by URL.
    pub downloads: Arc<dyn Downloads>,
    /// Starts instances.
    pub environments: Box<Environments>,
    /// Where the files of instances are.
    pub cache: PathBuf,
    /// Limits and places of runs.
    pub options: RunOptions,
}

impl Dispatch {
    /// Runs a work request. Whatever comes of it is in the spool then, ready to be delivered.
    pub async fn run(
        &self,
        work_request: &WorkRequest,
        server: &Server,
        spool: &Spool,
        operator: &Arc<Operator>,
        abort: &Abort,
    ) -> Result<Entry, SpoolError> {
        let entry = Arc::new(Mutex::new(spool.begin(work_request)?));
        let report = match self.load(work_request).await {
            Err(report) => Some(report),
            Ok(loaded) => match suits(&loaded, work_request).await {
                Err(report) => Some(report),
                Ok(()) => {
                    let store = spooling(server, &entry);
                    self.execute(&loaded, work_request, store, operator, abort)
                        .await
                }
            },
        };
        let mut entry = take(entry);
        match report {
            Some(report) => entry.finish(report),
            None => entry.abort(),
        }
        // Nothing is lost yet: the entry lives on in memory.
        .unwrap_or_else(|error| {
            tracing::error!("{error}; a restart of the worker would lose this result")
        });
        Ok(entry)
    }

    /// The task's component, or what the server is told instead of a result.
    async fn load(&self, work_request: &WorkRequest) -> Result<LoadedComponent, Report> {
        let (name, kind) = (&work_request.task_name, &work_request.task_type);
        if kind != TASK_TYPE {
            return Err(Report::error(
                ErrorCode::WrongTaskType,
                format!("Task: {name} is of type {kind}, not {TASK_TYPE}"),
            ));
        }
        let failed = |words: String| setup_failed(name, &words);
        let registry = Arc::clone(&self.registry);
        let wanted = name.clone();
        // Compiling a task for the first time takes seconds of processor time.
        let loaded = tokio::task::spawn_blocking(move || registry.load(&wanted)).await;
        match loaded {
            Ok(Ok(loaded)) => Ok(loaded),
            Ok(Err(RegistryError::Unknown { .. })) => {
                let name = name.to_lowercase();
                Err(failed(format!(
                    "'{name}' is not a registered {TASK_TYPE} task_name"
                )))
            }
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Runs the task; none if it was aborted.
    async fn execute(
        &self,
        loaded: &LoadedComponent,
        work_request: &WorkRequest,
        store: Arc<dyn ArtifactStore>,
        operator: &Arc<Operator>,
        abort: &Abort,
    ) -> Option<Report> {
        let statistics = Arc::new(Statistics::begin());
        let runner = self.runner(store, &statistics, operator);
        let request = RunRequest {
            work_request: Some(work_request.id),
            workspace: work_request.workspace.clone(),
            data: work_request.task_data.clone(),
            dynamic_data: dynamic_data(work_request),
        };
        let watched = Arc::new(Watched::new(Arc::clone(operator), work_request.id));
        let run = runner.run(loaded, request, Arc::clone(&watched) as _, abort);
        tokio::pin!(run);
        let mut samples = tokio::time::interval(SAMPLES);
        let outcome = loop {
            tokio::select! {
                outcome = &mut run => break outcome,
                _ = samples.tick() => statistics.sample(),
            }
        };
        watched.finish();
        if abort.is_cancelled() {
            return None;
        }
        Some(report(&work_request.task_name, outcome, &statistics))
    }

    fn runner(
        &self,
        store: Arc<dyn ArtifactStore>,
        statistics: &Arc<Statistics>,
        operator: &Arc<Operator>,
    ) -> Runner {
        Runner {
            engine: self.registry.engine().clone(),
            linkers: Arc::clone(&self.linkers),
            facts: Arc::clone(&self.facts),
            commands: Arc::clone(&self.commands),
            executors: Arc::new(Counted {
                environments: (self.environments)(Arc::clone(&store)),
                statistics: Arc::clone(statistics),
                operator: Arc::clone(operator),
                cache: self.cache.clone(),
            }),
            artifacts: store,
            downloads: Arc::clone(&self.downloads),
            options: self.options.clone(),
        }
    }
}

/// Whether this machine has what the task needs: else the server is told so, and not of a failure in the middle of a run, which would be taken
/// for the package's.
async fn suits(loaded: &LoadedComponent, work_request: &WorkRequest) -> Result<(), Report> {
    let name = &work_request.task_name;
    check_machine(loaded.manifest.needs.as_ref(), &work_request.task_data)
        .await
        .map_err(|error| setup_failed(name, &error.to_string()))
}

fn setup_failed(task: &str, words: &str) -> Report {
    let message = format!("Task: {task} Error setup: {words}");
    Report::error(ErrorCode::SetupFailed, message)
}

/// Inputs from the server, however long it is away or somebody else answers in its place; outputs to the spool.
fn spooling(server: &Server, entry: &Arc<Mutex<Entry>>) -> Arc<dyn ArtifactStore> {
    let patience = Patience {
        for_permission: true,
        for_sense: true,
        ..*server.patience()
    };
    let server = server.clone().with_patience(patience);
    let inputs = Arc::new(ServerArtifacts::new(server));
    Arc::new(SpoolingStore::new(inputs, Arc::clone(entry)))
}

/// The run has ended, and with it every other holder; if one were left, it would find an entry to which nothing can be added.
fn take(entry: Arc<Mutex<Entry>>) -> Entry {
    match Arc::try_unwrap(entry) {
        Ok(entry) => entry.into_inner().unwrap_or_else(PoisonError::into_inner),
        Err(shared) => shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone(),
    }
}

/// Tasks without dynamic data get an empty object, as from the reference.
fn dynamic_data(work_request: &WorkRequest) -> Value {
    let empty = || Value::Object(Map::new());
    work_request.dynamic_task_data.clone().unwrap_or_else(empty)
}

fn report(task: &str, outcome: Result<RunResult, RunError>, statistics: &Statistics) -> Report {
    let error = match outcome {
        Ok(result) => {
            let result = match result.verdict {
                Verdict::Success => Outcome::Success,
                Verdict::Failure | Verdict::Aborted => Outcome::Failure,
            };
            return Report::new(result, statistics.document());
        }
        Err(error) => error,
    };
    if let RunError::Configuration(error) = &error {
        let message = format!("Task: {task} Error configure: {}", words(task, error));
        return Report::error(ErrorCode::ConfigureFailed, message);
    }
    let mut report = Report::new(Outcome::Error, statistics.document());
    let message = format!("Task: {task} Error execute: {error}");
    report.add_error(ErrorCode::ExecuteFailed, message);
    report
}

/// Broken rules in the layout that readers of the reference's errors know.
fn words(task: &str, error: &TaskConfigError) -> String {
    let (model, violations) = match error {
        TaskConfigError::Data(violations) => ("Data", violations),
        TaskConfigError::DynamicData(violations) => ("DynamicData", violations),
        TaskConfigError::Unsuitable(words) => return words.clone(),
    };
    let mut letters = task.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let name: String = first.into_iter().chain(letters).collect();
    let errors = if violations.len() == 1 {
        "error"
    } else {
        "errors"
    };
    let mut text = format!("{} validation {errors} for {name}{model}", violations.len());
    violations.iter().for_each(|it| text.push_str(&line(it)));
    text
}

fn line(violation: &Violation) -> String {
    let place = violation.location.iter().map(|part| match part {
        PathPart::Member(name) => name.clone(),
        PathPart::Element(index) => index.to_string(),
    });
    let place = place.collect::<Vec<_>>().join(" -> ");
    let (words, kind) = (&violation.message, &violation.kind);
    format!("\n{place}\n  {words} (type={kind})")
}

/// Environments that tell the statistics, and the operator, of their use.
struct Counted {
    environments: Arc<dyn Executors>,
    statistics: Arc<Statistics>,
    operator: Arc<Operator>,
    cache: PathBuf,
}

#[async_trait]
impl Executors for Counted {
    async fn prepare(
        &self,
        backend: Backend,
        environment: crate::artifacts::ArtifactId,
        abort: &Abort,
    ) -> Result<PreparedImage, ExecutorError> {
        let prepared = self.environments.prepare(backend, environment, abort).await;
        self.statistics.has_environment();
        if let Ok(image) = &prepared {
            let size = image_file(&image.artifact).map_or(0, |file| file.size);
            self.operator.image(image.cached, size);
        }
        prepared
    }

    async fn start(
        &self,
        image: &PreparedImage,
        abort: &Abort,
    ) -> Result<Arc<dyn Instance>, ExecutorError> {
        let started = self.environments.start(image, abort).await;
        self.statistics.has_instance(&self.cache);
        started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_rules_read_as_in_the_reference() {
        let violation = |location: &[&str], kind: &str, message: &str| Violation {
            location: location
                .iter()
                .map(|it| PathPart::Member((*it).to_owned()))
                .collect(),
            kind: kind.to_owned(),
            message: message.to_owned(),
        };
        let error = TaskConfigError::Data(vec![
            violation(
                &["result"],
                "type_error.bool",
                "value could not be parsed to a boolean",
            ),
            violation(
                &["input", "bogus"],
                "value_error.extra",
                "extra fields not permitted",
            ),
        ]);
        assert_eq!(
            words("noop", &error),
            "2 validation errors for NoopData\nresult\n  value could not be parsed to a boolean (type=type_error.bool)\ninput -> bogus\n  extra fields not permitted (type=value_error.extra)"
        );
    }
}
