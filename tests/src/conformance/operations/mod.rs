//! Carrying out an operation: each gives what the reference's output would look like if it were ours.

mod analysis;
mod debian;
mod execute;
mod lintian;
mod models;
mod parsers;
mod scheduling;
mod session;
mod stages;

use super::suite::Suite;
use super::vector::Vector;
use serde_json::{Value, json};
use std::path::Path;
use task_runtime::host::{CallError, Failure, PathPart, Violation};

/// Why an operation has no output.
#[derive(Debug)]
pub enum Trouble {
    /// It was not tried: why.
    Skipped(String),
    /// A component trapped, or the machine failed.
    Broken(String),
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// An operation's output, or why there is none.
pub type Output = Result<Value, Trouble>;

/// Carries out the operation of a vector; `files` is the folder's directory of binary files.
pub async fn carry_out(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let input = &vector.input;
    match vector.op.as_str() {
        "configure" => scheduling::configure(suite, vector).await,
        "configure_dynamic" => scheduling::configure_dynamic(suite, vector).await,
        "label" => scheduling::label(suite, vector).await,
        "source_artifact_ids" => scheduling::source_artifact_ids(suite, vector).await,
        "host_architecture" => scheduling::host_architecture(suite, vector).await,
        "can_run_on" => scheduling::can_run_on(suite, vector).await,
        "dynamic_data" => scheduling::dynamic_data(suite, vector).await,
        "analyze_worker" if vector.task == "_all" => analysis::all_tasks(suite, vector).await,
        "analyze_worker" => analysis::worker(suite, vector).await,
        "analyze_executors" => Ok(analysis::executors(input)),
        "system_metadata" => Ok(analysis::system(input)),
        "lookup_single" => Ok(models::lookup_single(input)),
        "lookup_multiple" => Ok(models::lookup_multiple(input)),
        "extra_repository" => Ok(models::extra_repository(input)),
        "codename_support" => Ok(models::codename_support(input)),
        "artifact_data" => Ok(models::artifact_data(input)),
        "os_release" => Ok(debian::os_release(input)),
        "read_dsc" => debian::read_dsc(input, files),
        "make_artifact" => debian::make_artifact(input, files),
        "fetch_input" => stages::fetch_input(suite, files, vector).await,
        "cmdline" => stages::cmdline(suite, files, vector).await,
        "configure_for_execution" => stages::configure_for_execution(suite, files, vector).await,
        "task_succeeded" => stages::task_succeeded(suite, files, vector).await,
        "consistency" => stages::consistency(suite, files, vector).await,
        "upload_artifacts" => stages::upload_artifacts(suite, files, vector).await,
        "execute" => execute::execute(suite, files, vector).await,
        "dose3" => parsers::dose3(suite, files, vector).await,
        "merge_changes" => parsers::merge_changes(suite, files, vector).await,
        "lintian_parse" => lintian::parse(input, files),
        "lintian_analysis" => lintian::analysis(suite, files, vector).await,
        "autopkgtest_summary" => parsers::autopkgtest_summary(suite, files, vector).await,
        other => Err(Trouble::Skipped(format!("no way to do {other} yet"))),
    }
}

/// An exception; its class is informational.
fn exception(class: impl std::fmt::Display) -> Value {
    json!({"exception": class.to_string()})
}

/// The answer of a stage, or its failure.
fn answer<T: Into<Value>>(answer: Result<T, Failure>) -> Value {
    match answer {
        Ok(answer) => answer.into(),
        Err(failure) => exception(format!("{}: {}", failure.kind, failure.message)),
    }
}

/// Violations as vectors have them.
fn errors(violations: &[Violation]) -> Value {
    let part = |part: &PathPart| match part {
        PathPart::Member(name) => json!(name),
        PathPart::Element(index) => json!(index),
    };
    let error = |violation: &Violation| {
        let location: Vec<Value> = violation.location.iter().map(part).collect();
        json!({"loc": location, "type": violation.kind})
    };
    json!({"ok": false, "errors": violations.iter().map(error).collect::<Vec<_>>()})
}
