//! `label`: what a task with its data is about.

use super::output::Output;
use super::places::Places;
use super::tasks::{TaskArguments, Tasks};
use super::{Outcome, Status, documents};
use serde_json::json;

/// Arguments of `label`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  task-runtime label sbuild --data build.yaml --dynamic-data dynamic.json"
)]
pub struct Arguments {
    #[command(flatten)]
    task: TaskArguments,
    /// Dynamic data, which often hold the subject of the label
    #[arg(long, value_name = "DATA")]
    dynamic_data: Option<String>,
}

/// Prints the label.
pub async fn label(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let loaded = tasks.registry.load(&arguments.task.task)?;
    let data = arguments.task.data()?;
    let dynamic_data = arguments
        .dynamic_data
        .as_deref()
        .map(documents::read)
        .transpose()?;
    let mut instance = tasks
        .configured(&loaded, &data, dynamic_data.as_ref())
        .await?;
    let label = instance.label().await?;
    output.answer(&json!({"label": label}), || label.clone())?;
    Ok(Status::Success)
}
