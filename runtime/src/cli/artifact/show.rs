//! `artifact show`.

use super::super::output::Output;
use super::super::places::Places;
use super::super::{Outcome, Status, table};
use super::{document, named};
use task_runtime::artifacts::local::StoredArtifact;

/// Arguments of `artifact show`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  task-runtime artifact show 7\n  task-runtime artifact show hello"
)]
pub struct Arguments {
    /// Number or name of the artifact, or a look-up such as debian/match:codename=bookworm
    artifact: String,
}

/// Prints everything that the store knows of an artifact.
pub async fn show(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let store = places.existing_store()?;
    let found = store
        .show(named(&store, &arguments.artifact).await?)
        .await?;
    output.answer(&document(&found), || text(&found))?;
    Ok(Status::Success)
}

fn text(it: &StoredArtifact) -> String {
    let mut rows = vec![
        vec!["artifact:".to_owned(), it.artifact.id.to_string()],
        vec!["category:".to_owned(), it.artifact.category.clone()],
        vec!["created:".to_owned(), table::moment(it.created_at)],
    ];
    if !it.names.is_empty() {
        rows.push(vec!["names:".to_owned(), it.names.join(", ")]);
    }
    if let Some(id) = it.work_request {
        rows.push(vec!["made by:".to_owned(), format!("work request {id}")]);
    }
    let data = serde_json::to_string_pretty(&it.artifact.data).unwrap_or_default();
    let files = it.artifact.files.iter();
    let files = files.map(|file| {
        vec![
            format!("  {}", file.path),
            table::size(file.size),
            file.sha256.clone(),
        ]
    });
    let files = table::table(&files.collect::<Vec<_>>());
    format!("{}data:\n{data}\nfiles:\n{files}", table::table(&rows))
}
