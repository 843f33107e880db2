//! `artifact relations`.

use super::super::output::Output;
use super::super::places::Places;
use super::super::{Outcome, Status, table};
use super::named;
use serde_json::json;
use task_runtime::artifacts::{ArtifactStore, Relation};

/// Arguments of `artifact relations`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  task-runtime artifact relations 7")]
pub struct Arguments {
    /// Number or name of the artifact, or a look-up
    artifact: String,
}

/// Prints the relations of an artifact in both directions.
pub async fn relations(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let store = places.existing_store()?;
    let id = named(&store, &arguments.artifact).await?;
    let from = store.relations_from(id).await?;
    let to = store.relations_to(id).await?;
    output.answer(&json!({"id": id, "from": from, "to": to}), || {
        let rows: Vec<_> = from.iter().chain(&to).map(row).collect();
        table::table(&rows)
    })?;
    Ok(Status::Success)
}

fn row(relation: &Relation) -> Vec<String> {
    vec![
        relation.from.to_string(),
        relation.kind.to_string(),
        relation.to.to_string(),
    ]
}
