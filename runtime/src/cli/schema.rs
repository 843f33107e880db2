//! `schema`: the JSON Schema of a task's data.

use super::error::CliError;
use super::output::Output;
use super::places::Places;
use super::tasks::Tasks;
use super::{Outcome, Status};
use serde_json::Value;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  task-runtime schema sbuild > sbuild.schema.json")]
pub struct Arguments {
    /// Name of the task
    task: String,
    /// The schema of its dynamic data instead
    #[arg(long)]
    dynamic: bool,
}

/// Prints the schema.
pub async fn schema(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let loaded = tasks.registry.load(&arguments.task)?;
    let description = tasks.instance(&loaded, None).await?.describe().await?;
    let text = match arguments.dynamic {
        true => description.dynamic_data_schema,
        false => description.data_schema,
    };
    let schema: Value = serde_json::from_str(&text).map_err(|error| {
        let words = format!(
            "task {}: its schema is no JSON: {error}; rebuild it",
            loaded.name
        );
        CliError::new("task", words)
    })?;
    output.document(&schema)?;
    Ok(Status::Success)
}
