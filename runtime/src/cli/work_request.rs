//! `work-request`: what was run with this store, and how it ended.

use super::output::Output;
use super::places::Places;
use super::{Outcome, Status, table};
use serde_json::{Value, json};
use task_runtime::artifacts::local::WorkRequest;

/// Subcommands of `work-request`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List all work requests
    List,
    /// Show one work request: its data, its result, its artifacts
    Show {
        /// Number of the work request
        id: u64,
    },
}

/// Does it.
pub async fn work_request(command: Command, places: &Places, output: &Output) -> Outcome {
    let store = places.existing_store()?;
    match command {
        Command::List => {
            let found = store.work_requests().await?;
            let documents: Vec<_> = found.iter().map(document).collect();
            output.answer(&documents, || {
                table::table(&found.iter().map(row).collect::<Vec<_>>())
            })?;
        }
        Command::Show { id } => output.document(&document(&store.work_request(id).await?))?,
    }
    Ok(Status::Success)
}

fn row(it: &WorkRequest) -> Vec<String> {
    let result = it.result.map_or(it.status.name(), |result| result.name());
    let artifacts: Vec<_> = it.artifacts.iter().map(ToString::to_string).collect();
    vec![
        it.id.to_string(),
        it.task_name.clone(),
        result.to_owned(),
        table::moment(it.created_at),
        artifacts.join(" "),
    ]
}

/// A work request for machines, with the names of the reference's interface.
pub fn document(it: &WorkRequest) -> Value {
    json!({
        "id": it.id,
        "task_name": it.task_name,
        "task_data": it.task_data,
        "dynamic_task_data": it.dynamic_task_data,
        "workspace": it.workspace,
        "status": it.status,
        "result": it.result,
        "output_data": it.output_data,
        "created_at": table::moment(it.created_at),
        "started_at": it.started_at.map(table::moment),
        "completed_at": it.completed_at.map(table::moment),
        "artifacts": it.artifacts,
    })
}
