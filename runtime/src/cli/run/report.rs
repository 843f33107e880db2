//! The end of a run as a person or a machine reads it: the verdict, what was made, and of a failure the log that tells why.

use super::super::artifact::label;
use super::super::error::CliError;
use super::super::output::Output;
use super::super::table;
use super::mirror;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;
use task_runtime::artifacts::ArtifactId;
use task_runtime::artifacts::local::{ArtifactFilter, LocalStore, StoredArtifact};
use task_runtime::lifecycle::{RunResult, Stage, Verdict};

/// How many lines of a log are shown.
const LINES_SHOWN: usize = 20;

/// How much of the end of a log is read for them, in bytes.
const END_READ: u64 = 64 << 10;

/// The log of a task's command.
const COMMAND_LOG: &str = "cmd-output.log";

/// A run that has ended.
pub struct Ended {
    /// Number of the work request.
    pub id: u64,
    /// Name of the task.
    pub task: String,
    /// How long it took.
    pub took: Duration,
    /// Its result; none if nobody waited for it.
    pub result: Option<RunResult>,
}

/// The end of a log file.
struct LogEnd {
    artifact: ArtifactId,
    name: String,
    lines: String,
    /// The mirror that could not be reached, if that is what it tells.
    mirror: Option<String>,
}

/// Prints a run.
pub async fn report(ended: &Ended, store: &LocalStore, output: &Output) -> Result<(), CliError> {
    let filter = ArtifactFilter {
        work_request: Some(ended.id),
        ..ArtifactFilter::default()
    };
    let artifacts = store.list(filter).await?;
    let log = match &ended.result {
        Some(result) if result.verdict == Verdict::Failure => telling_log(result, store).await?,
        _ => None,
    };
    output.answer(&document(ended, &artifacts, log.as_ref()), || {
        text(ended, &artifacts, log.as_ref(), output)
    })?;
    if let Some(log) = log {
        output.say(&format!(
            "\nThe end of {}:\n{}",
            log.name,
            log.lines.trim_end()
        ));
        let id = log.artifact;
        output.say(&format!(
            "\nAll logs: task-runtime artifact export {id} logs-{id}"
        ));
    }
    Ok(())
}

fn document(ended: &Ended, artifacts: &[StoredArtifact], log: Option<&LogEnd>) -> Value {
    let artifacts = artifacts.iter().map(|it| {
        json!({"id": it.artifact.id, "category": it.artifact.category, "files": it.artifact.files})
    });
    json!({
        "work_request": ended.id,
        "task": ended.task,
        "verdict": verdict(ended),
        "duration": (ended.took.as_secs_f64() * 1000.0).round() / 1000.0,
        "stopped": ended.result.as_ref().map(|result| &result.stopped),
        "debug_logs": ended.result.as_ref().map(|result| result.debug_logs),
        "artifacts": artifacts.collect::<Vec<_>>(),
        "cause": log.and_then(|log| log.mirror.as_ref()),
        "log": log.map(|log| json!({"artifact": log.artifact, "file": log.name, "end": log.lines})),
    })
}

fn verdict(ended: &Ended) -> Verdict {
    let result = ended.result.as_ref();
    result.map_or(Verdict::Aborted, |result| result.verdict)
}

fn text(
    ended: &Ended,
    artifacts: &[StoredArtifact],
    log: Option<&LogEnd>,
    output: &Output,
) -> String {
    let verdict = match verdict(ended) {
        Verdict::Success => output.green("success"),
        Verdict::Failure => output.red("failure"),
        Verdict::Aborted => output.red("aborted"),
    };
    let seconds = ended.took.as_secs_f64();
    let mut text = format!(
        "{verdict}: {}, work request {}, {seconds:.1} s\n",
        ended.task, ended.id
    );
    let stopped = ended
        .result
        .as_ref()
        .and_then(|result| result.stopped.as_ref());
    if let Some(stopped) = stopped {
        let reason = stopped.reason.as_deref().unwrap_or(match stopped.stage {
            Stage::Run => "the task says that its work has failed",
            _ => "the task says that this does not fit",
        });
        text.push_str(&format!("  {}: {reason}\n", stopped.stage));
    }
    if let Some(mirror) = log.and_then(|log| log.mirror.as_ref()) {
        text.push_str(&format!("  {mirror}\n"));
    }
    let rows: Vec<_> = artifacts.iter().map(row).collect();
    text.push_str(&table::table(&rows));
    text
}

fn row(it: &StoredArtifact) -> Vec<String> {
    let files = it.artifact.files.iter().map(|file| file.path.as_str());
    vec![
        format!("  artifact {}", it.artifact.id),
        it.artifact.category.clone(),
        label(it),
        files.collect::<Vec<_>>().join(" "),
    ]
}

/// The log that tells most of a failure: that of the stage that ended the run, else that of the command, else whatever there is.
async fn telling_log(result: &RunResult, store: &LocalStore) -> Result<Option<LogEnd>, CliError> {
    let logs = store.show(result.debug_logs).await?.artifact;
    let has = |name: &&str| {
        logs.files
            .iter()
            .any(|file| file.path == **name && file.size > 0)
    };
    let of_the_stage: &[&str] = match result.stopped.as_ref().map(|stopped| stopped.stage) {
        Some(Stage::FetchInput) => &["fetch_input.log"],
        Some(Stage::ConfigureForExecution) => &["configure_for_execution.log"],
        Some(Stage::CheckOutput) => &["post_execution.log", "consistency.log"],
        Some(Stage::UploadArtifacts | Stage::CleanUp) => &["post_execution.log"],
        Some(Stage::PrepareToRun | Stage::Run) | None => &["execution.log"],
    };
    let others = [COMMAND_LOG, "install.log", "stages.log"];
    let Some(name) = of_the_stage.iter().copied().chain(others).find(has) else {
        return Ok(None);
    };
    let end = read_end(store, logs.id, name).await?;
    let mut mirror = mirror::unreachable(&end);
    // Another stage's log may be chosen, or the task's own words; apt's are in that of the command.
    if mirror.is_none() && has(&COMMAND_LOG) {
        mirror = mirror::unreachable(&read_end(store, logs.id, COMMAND_LOG).await?);
    }
    Ok(Some(LogEnd {
        artifact: logs.id,
        name: name.to_owned(),
        lines: last_lines(&end),
        mirror,
    }))
}

/// The end of a log, as text.
async fn read_end(store: &LocalStore, logs: ArtifactId, name: &str) -> Result<String, CliError> {
    let file = store.open_file(logs, name).await?;
    end_of(file).map_err(|error| {
        CliError::new(
            "file",
            format!("{name}: cannot be read: {error}; verify the store"),
        )
    })
}

fn end_of(mut file: File) -> io::Result<String> {
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(END_READ)))?;
    let mut end = Vec::new();
    file.take(END_READ).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}
