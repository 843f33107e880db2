//! `metadata`: what this worker tells a scheduler.

use super::output::Output;
use super::places::Places;
use super::tasks::Tasks;
use super::{Outcome, Status};
use std::sync::Arc;
use task_runtime::executor::probe;
use task_runtime::lifecycle::sandbox_scratch;
use task_runtime::worker::metadata::worker_metadata;

/// Prints the metadata of this machine, its executors and all tasks.
pub async fn metadata(places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let facts = Arc::clone(&tasks.facts);
    let mut metadata = worker_metadata(&tasks.registry, &tasks.linkers, facts).await?;
    let guarantees = probe(&sandbox_scratch(&places.cache()?)).await;
    metadata.extend(guarantees.metadata());
    output.document(&metadata)?;
    Ok(Status::Success)
}
