//! `dynamic-data`: what the look-ups in task data mean in the artifact store.

use super::output::Output;
use super::places::Places;
use super::tasks::{TaskArguments, Tasks};
use super::{Outcome, Status};
use std::sync::Arc;

/// Arguments of `dynamic-data`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  task-runtime dynamic-data sbuild --data build.yaml")]
pub struct Arguments {
    #[command(flatten)]
    task: TaskArguments,
}

/// Prints the dynamic data.
pub async fn dynamic_data(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let loaded = tasks.registry.load(&arguments.task.task)?;
    let data = arguments.task.data()?;
    let store = Arc::new(places.existing_store()?);
    let dynamic_data = tasks.dynamic_data(&loaded, &data, store).await?;
    output.document(&dynamic_data)?;
    Ok(Status::Success)
}
