//! `artifact list`.

use super::super::output::Output;
use super::super::places::Places;
use super::super::{Outcome, Status, table};
use super::{document, label};
use task_runtime::artifacts::local::{ArtifactFilter, StoredArtifact};

/// Arguments of `artifact list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  task-runtime artifact list --category debian:source-package")]
pub struct Arguments {
    /// Only artifacts of this category
    #[arg(long)]
    category: Option<String>,
    /// Only artifacts that this work request made
    #[arg(long, value_name = "ID")]
    work_request: Option<u64>,
}

/// Prints number, category, name and size of each artifact, oldest first.
pub async fn list(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let filter = ArtifactFilter {
        category: arguments.category,
        work_request: arguments.work_request,
    };
    let found = match places.store_if_there()? {
        Some(store) => store.list(filter).await?,
        None => Vec::new(),
    };
    if found.is_empty() {
        output.say(&format!(
            "no such artifact is in the artifact store {}; `task-runtime artifact import` brings some in",
            places.store_path()?.display()
        ));
    }
    let documents: Vec<_> = found.iter().map(document).collect();
    output.answer(&documents, || {
        table::table(&found.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(Status::Success)
}

fn row(it: &StoredArtifact) -> Vec<String> {
    let size = it.artifact.files.iter().map(|file| file.size).sum();
    vec![
        it.artifact.id.to_string(),
        it.artifact.category.clone(),
        table::size(size),
        table::moment(it.created_at),
        label(it),
    ]
}
