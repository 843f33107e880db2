//! `work-request`: what was run with this store, and how it ended.

use super::output::Output;
use super::places::Places;
use super::{Outcome, Status, table};
use serde_json::{Value, json};
use task_runtime::artifacts::local::WorkRequest;

/// Examples of the group.
pub const EXAMPLES: &str = "\
Examples:
  task-runtime work-request list
  task-runtime work-request show 3 --json";

/// Subcommands of `work-request`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List all work requests
    #[command(after_help = "Example:\n  task-runtime work-request list")]
    List,
    /// Show one work request: its data, its result, its artifacts
    #[command(after_help = "Example:\n  task-runtime work-request show 3")]
    Show {
        /// Number of the work request
        id: u64,
    },
}

/// Does it.
pub async fn work_request(command: Command, places: &Places, output: &Output) -> Outcome {
    match command {
        Command::List => {
            let found = match places.store_if_there()? {
                Some(store) => store.work_requests().await?,
                None => Vec::new(),
            };
            if found.is_empty() {
                output.say(&format!(
                    "no work request is in the artifact store {}; `task-runtime run` makes them",
                    places.store_path()?.display()
                ));
            }
            let documents: Vec<_> = found.iter().map(document).collect();
            output.answer(&documents, || {
                table::table(&found.iter().map(row).collect::<Vec<_>>())
            })?;
        }
        Command::Show { id } => {
            let found = places.existing_store()?.work_request(id).await?;
            output.document(&document(&found))?;
        }
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
fn document(it: &WorkRequest) -> Value {
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
