//! Driving the stages.

use super::stages::{Observer, Stage};
use super::workdir::WorkDirectories;
use crate::artifacts::{
    ArtifactId, ArtifactStore, NewArtifact, NewFile, Relation, RelationType, StoreError,
};
use crate::component::{Engine, Limits, LoadedComponent};
use crate::executor::{Abort, Commands};
use crate::host::capabilities::Policy;
use crate::host::files::DirectoryHandle;
use crate::host::{
    CallError, CallErrorReason, Downloads, Executors, Facts, Failure, HostState, Linkers, Powers,
    TaskComponent, TaskConfigError, TaskInstance, TaskLogs, Workspace,
};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Category of the artifact that holds the logs of a run.
const DEBUG_LOGS: &str = "debusine:work-request-debug-logs";

/// Log of the stages.
const STAGES_LOG: &str = "stages.log";

/// How long the parts of a run may take, and how much they may leave.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Where the directories of runs are made; users of a sandbox must be able to reach it.
    pub directory: PathBuf,
    /// Limits of the component.
    pub limits: Limits,
    /// What the operator grants to tasks.
    pub policy: Arc<Policy>,
    /// How many bytes all logs of a run may have together.
    pub log_size: u64,
    /// How long stopping an instance may take before it is left to the kernel.
    pub stop: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            directory: std::env::temp_dir(),
            limits: Limits::EXECUTION,
            policy: Arc::default(),
            log_size: 4 << 30,
            stop: Duration::from_secs(30),
        }
    }
}

/// Runs tasks with the powers of this machine, or of a test.
#[derive(Clone)]
pub struct Runner {
    /// Runs components.
    pub engine: Engine,
    /// Links them.
    pub linkers: Arc<Linkers>,
    /// What is known of the machine.
    pub facts: Arc<dyn Facts>,
    /// Runs commands on the host.
    pub commands: Arc<dyn Commands>,
    /// Starts instances.
    pub executors: Arc<dyn Executors>,
    /// Holds the artifacts.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// Fetches by URL.
    pub downloads: Arc<dyn Downloads>,
    /// Limits and places.
    pub options: RunOptions,
}

/// A task to run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Number of the work request.
    pub work_request: Option<u64>,
    /// Its workspace.
    pub workspace: Option<String>,
    /// The task data.
    pub data: Value,
    /// The dynamic data.
    pub dynamic_data: Value,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The task succeeded.
    Success,
    /// The task failed: its own "no", a failure, a trap.
    Failure,
    /// The task was aborted.
    Aborted,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RunResult {
    /// What came of it.
    pub verdict: Verdict,
    /// The artifact with its logs.
    pub debug_logs: ArtifactId,
    /// The stage that ended the run before its time, and why.
    pub stopped: Option<Stopped>,
}

/// A stage that ended a run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Stopped {
    /// The stage.
    pub stage: Stage,
    /// Why, in words; none if it simply said no.
    pub reason: Option<String>,
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data are invalid.
    #[error("the task cannot be configured")]
    Configuration(TaskConfigError),
    /// The component did not come back, or cannot be used.
    #[error(transparent)]
    Component(#[from] CallError),
    /// The directories of the run cannot be made.
    #[error("{place}: cannot make the directories of the run: {error}; is the disk full?", place = place.display())]
    Directories {
        /// Where.
        place: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The logs cannot be written or stored.
    #[error("cannot keep the logs of the run: {0}")]
    Logs(String),
}

impl Runner {
    /// Runs a task from configuration to clean-up. Whatever happens, nothing that it started is left, and its logs are kept.
    pub async fn run(
        &self,
        component: &LoadedComponent,
        request: RunRequest,
        observer: Arc<dyn Observer>,
        abort: &Abort,
    ) -> Result<RunResult, RunError> {
        let directory = &self.options.directory;
        if let Err(error) = WorkDirectories::sweep(directory).await {
            tracing::warn!(
                "{}: cannot look for what killed runs left: {error}",
                directory.display()
            );
        }
        let directories = WorkDirectories::new(directory);
        let directories = directories.map_err(|error| RunError::Directories {
            place: directory.clone(),
            error,
        })?;
        let outcome = self
            .run_in(&directories, component, request, observer, abort)
            .await;
        if let Err(error) = directories.remove().await {
            tracing::warn!("{error}");
        }
        outcome
    }

    async fn run_in(
        &self,
        directories: &WorkDirectories,
        component: &LoadedComponent,
        request: RunRequest,
        observer: Arc<dyn Observer>,
        abort: &Abort,
    ) -> Result<RunResult, RunError> {
        let onlooker = Arc::clone(&observer);
        let logs = TaskLogs::new(directories.logs(), self.options.log_size)
            .with_onlooker(Arc::new(move |bytes| onlooker.output(bytes)));
        let granted =
            TaskComponent::granted(&self.engine, &self.linkers, component, &self.options.policy)?;
        let powers = self.powers(&request, logs, abort);
        let mut instance = self.configured(&granted, &request, &powers).await?;
        let workspace = directories
            .workspace()
            .map_err(|error| RunError::Directories {
                place: self.options.directory.clone(),
                error,
            })?;
        observer.workspace(&workspace);
        let mut run = Run {
            instance: &mut instance,
            workspace: &workspace,
            powers: &powers,
            observer: &*observer,
        };
        let stopped = run.stages().await;
        let cleaned = run.clean_up(stopped.as_ref(), self.options.stop).await;
        let verdict = match (&stopped, &cleaned) {
            _ if abort.is_cancelled() => Verdict::Aborted,
            (None, None) => Verdict::Success,
            _ => Verdict::Failure,
        };
        drop(instance);
        let debug_logs = self.keep_logs(&powers, verdict).await?;
        Ok(RunResult {
            verdict,
            debug_logs,
            stopped: stopped.or(cleaned),
        })
    }

    fn powers(&self, request: &RunRequest, logs: TaskLogs, abort: &Abort) -> Powers {
        Powers {
            work_request: request.work_request,
            workspace: request.workspace.clone(),
            commands: Arc::clone(&self.commands),
            executors: Arc::clone(&self.executors),
            artifacts: Arc::clone(&self.artifacts),
            downloads: Arc::clone(&self.downloads),
            logs: Arc::new(logs),
            abort: abort.clone(),
            record: Arc::default(),
        }
    }

    /// An instance that holds the configured task.
    async fn configured(
        &self,
        component: &TaskComponent,
        request: &RunRequest,
        powers: &Powers,
    ) -> Result<TaskInstance, RunError> {
        let lent = match component.grants() {
            None => powers.clone(),
            // The host's own uploads, of logs, need no grant.
            Some(grants) => Powers {
                commands: grants.commands(Arc::clone(&powers.commands)),
                executors: grants.executors(Arc::clone(&powers.executors)),
                artifacts: grants.artifacts(Arc::clone(&powers.artifacts)),
                ..powers.clone()
            },
        };
        let state = HostState::new(&self.engine, &self.options.limits, Arc::clone(&self.facts))
            .with_powers(lent);
        let mut instance = component.instantiate(state).await?;
        let architecture = self.facts.architecture();
        let configured = instance
            .configure(
                &request.data,
                Some(&request.dynamic_data),
                architecture.as_deref(),
            )
            .await?;
        configured.map_err(RunError::Configuration)?;
        Ok(instance)
    }

    /// Stores the log files as the debug-logs artifact, related to everything that was fetched.
    async fn keep_logs(&self, powers: &Powers, verdict: Verdict) -> Result<ArtifactId, RunError> {
        if verdict == Verdict::Success {
            powers
                .logs
                .remove(STAGES_LOG)
                .map_err(|error| RunError::Logs(error.to_string()))?;
        }
        let files = log_files(&powers.logs).map_err(|error| RunError::Logs(error.to_string()))?;
        let stored = |error: StoreError| RunError::Logs(error.to_string());
        let artifact = NewArtifact {
            category: DEBUG_LOGS.to_owned(),
            data: Value::Object(serde_json::Map::new()),
            files,
            work_request: powers.work_request,
            workspace: powers.workspace.clone(),
        };
        let from = self.artifacts.upload(artifact).await.map_err(stored)?;
        for to in powers.fetched() {
            let kind = RelationType::RelatesTo;
            let relation = Relation { from, to, kind };
            self.artifacts.relate(relation).await.map_err(stored)?;
        }
        Ok(from)
    }
}

/// The log files, ordered by their names. What a command has put in the place of one, e.g. a FIFO, is left out: opening it might never end.
fn log_files(logs: &TaskLogs) -> std::io::Result<Vec<NewFile>> {
    let directory = DirectoryHandle::open(logs.directory())?;
    let mut files = Vec::new();
    for path in logs.names() {
        let is_file = std::fs::symlink_metadata(logs.directory().join(&path))
            .is_ok_and(|found| found.is_file());
        if !is_file {
            tracing::warn!("log {path}: left out: it is not the file that was written");
            continue;
        }
        let content = directory
            .open_file(&path)
            .map_err(|fault| std::io::Error::other(format!("log {path}: {fault:?}")))?;
        files.push(NewFile { path, content });
    }
    Ok(files)
}

/// A run under way.
struct Run<'a> {
    instance: &'a mut TaskInstance,
    workspace: &'a Workspace,
    powers: &'a Powers,
    observer: &'a dyn Observer,
}

impl Run<'_> {
    /// All stages but the clean-up; what ended them before their time, or made the task fail.
    async fn stages(&mut self) -> Option<Stopped> {
        let workspace = self.workspace;
        self.begin(Stage::FetchInput);
        let fetched = self.instance.fetch_input(workspace).await;
        if let Some(stopped) = self.refused(Stage::FetchInput, fetched) {
            return Some(stopped);
        }
        self.begin(Stage::ConfigureForExecution);
        let configured = self.instance.configure_for_execution(workspace).await;
        if let Some(stopped) = self.refused(Stage::ConfigureForExecution, configured) {
            return Some(stopped);
        }
        self.begin(Stage::PrepareToRun);
        let prepared = self.instance.prepare_to_run(workspace).await;
        if let Err(stopped) = self.answer(Stage::PrepareToRun, prepared) {
            return Some(stopped);
        }
        self.begin(Stage::Run);
        let ran = self.instance.run(workspace).await;
        let succeeded = match self.answer(Stage::Run, ran) {
            Ok(succeeded) => succeeded,
            Err(stopped) => return Some(stopped),
        };
        if self.powers.abort.is_cancelled() {
            return Some(aborted(Stage::Run));
        }
        self.begin(Stage::CheckOutput);
        let checked = self.instance.consistency_errors(workspace).await;
        match self.answer(Stage::CheckOutput, checked) {
            Err(stopped) => return Some(stopped),
            Ok(flaws) if !flaws.is_empty() => return Some(self.inconsistent(flaws)),
            Ok(_) => {}
        }
        self.begin(Stage::UploadArtifacts);
        let uploaded = self.instance.upload_artifacts(workspace, succeeded).await;
        if let Err(stopped) = self.answer(Stage::UploadArtifacts, uploaded) {
            return Some(stopped);
        }
        (!succeeded).then_some(Stopped {
            stage: Stage::Run,
            reason: None,
        })
    }

    /// Lets the task clean up, then does it for it: after a trap, or if it forgot.
    async fn clean_up(&mut self, after: Option<&Stopped>, patience: Duration) -> Option<Stopped> {
        if after.is_none_or(|stopped| stopped.stage >= Stage::PrepareToRun) {
            self.begin(Stage::CleanUp);
        } else {
            // The reference does not clean up so early: readers of its stages log do not look for the line.
            self.observer.stage(Stage::CleanUp);
        }
        let cleaned = match self.instance.has_ended() {
            true => Ok(Ok(())),
            false => self.instance.cleanup().await,
        };
        let cleaned = self.answer(Stage::CleanUp, cleaned).err();
        let stopped = tokio::time::timeout(patience, self.powers.stop_instances()).await;
        let trouble = match stopped {
            Ok(Ok(_)) => return cleaned,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("an instance did not stop within {patience:?}"),
        };
        self.log_exception(Stage::CleanUp, "executor", &trouble);
        let stage = Stage::CleanUp;
        let reason = Some(trouble);
        cleaned.or(Some(Stopped { stage, reason }))
    }

    fn begin(&self, stage: Stage) {
        self.observer.stage(stage);
        let now = humantime::format_rfc3339_micros(std::time::SystemTime::now()).to_string();
        // The reference writes UTC as an offset.
        let line = format!("{}+00:00 {}\n", now.trim_end_matches('Z'), stage.message());
        if let Err(error) = self.powers.logs.note(STAGES_LOG, &line) {
            tracing::warn!("{STAGES_LOG}: {error}");
        }
    }

    /// A stage that answers yes or no: what stops the run, if it does.
    fn refused(
        &self,
        stage: Stage,
        answer: Result<Result<bool, Failure>, CallError>,
    ) -> Option<Stopped> {
        match self.answer(stage, answer) {
            Err(stopped) => Some(stopped),
            Ok(_) if self.powers.abort.is_cancelled() => Some(aborted(stage)),
            Ok(true) => None,
            Ok(false) => Some(Stopped {
                stage,
                reason: None,
            }),
        }
    }

    /// The answer of a stage; a failure or a trap goes to the stage's log.
    fn answer<T>(
        &self,
        stage: Stage,
        answer: Result<Result<T, Failure>, CallError>,
    ) -> Result<T, Stopped> {
        let (kind, message) = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => (failure.kind, failure.message),
            Err(error) => match error.reason {
                CallErrorReason::Aborted => ("aborted".to_owned(), error.to_string()),
                _ => ("trap".to_owned(), error.to_string()),
            },
        };
        self.log_exception(stage, &kind, &message);
        let reason = Some(format!("{kind}: {message}"));
        Err(Stopped { stage, reason })
    }

    /// Writes a failure in the layout that readers of the reference's logs know.
    fn log_exception(&self, stage: Stage, kind: &str, message: &str) {
        let name = stage.exception_log();
        let text = format!("Exception type: {kind}\nMessage: {message}\n\nStage: {stage}\n");
        if let Err(error) = self.powers.logs.note(name, &text) {
            tracing::warn!("{name}: {error}: {kind}: {message}");
        }
    }

    fn inconsistent(&self, mut flaws: Vec<String>) -> Stopped {
        flaws.sort();
        let text = flaws.join("\n") + "\n";
        if let Err(error) = self.powers.logs.note("consistency.log", &text) {
            tracing::warn!("consistency.log: {error}");
        }
        Stopped {
            stage: Stage::CheckOutput,
            reason: Some(flaws.join("; ")),
        }
    }
}

fn aborted(stage: Stage) -> Stopped {
    Stopped {
        stage,
        reason: Some("the task was aborted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_in_the_place_of_a_log_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let logs = TaskLogs::new(directory.path(), 1 << 20);
        for name in ["b.log", "a.log", "link.log"] {
            logs.append(name, name).unwrap();
        }
        for name in ["a.log", "link.log"] {
            std::fs::remove_file(directory.path().join(name)).unwrap();
        }
        let fifo = directory.path().join("a.log");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", directory.path().join("link.log")).unwrap();
        let files = log_files(&logs).unwrap();
        let names: Vec<_> = files.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(names, ["b.log"]);
    }
}
