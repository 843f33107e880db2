//! `configure`: checks task data.

use super::output::Output;
use super::places::Places;
use super::tasks::{TaskArguments, Tasks};
use super::{Outcome, Status, documents};
use serde_json::json;

/// Arguments of `configure`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  echo 'result: false' | task-runtime configure noop --data -")]
pub struct Arguments {
    #[command(flatten)]
    task: TaskArguments,
    /// Dynamic data to check with them
    #[arg(long, value_name = "DATA")]
    dynamic_data: Option<String>,
}

/// Prints the data in normal form: every default filled in, every value of its own type.
pub async fn configure(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
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
    let data = instance.data().await?;
    match instance.dynamic_data().await? {
        None => output.document(&data)?,
        Some(dynamic_data) => {
            output.document(&json!({"data": data, "dynamic_data": dynamic_data}))?;
        }
    }
    Ok(Status::Success)
}
