//! `artifact`: what goes into the artifact store, what is in it, what comes out.

mod content;
mod debian;
mod export;
mod import;
mod list;
mod relations;
mod show;
mod verify;

pub use content::FilesOf;

use super::error::CliError;
use super::output::Output;
use super::places::Places;
use super::{Outcome, table};
use serde_json::{Value, json};
use task_runtime::artifacts::local::{LocalStore, StoredArtifact};
use task_runtime::artifacts::{ArtifactId, TaskDatabase};

/// Examples of the group.
pub const EXAMPLES: &str = "\
Examples:
  task-runtime artifact import hello_2.10-3.dsc --name hello
  task-runtime artifact list
  task-runtime artifact show hello
  task-runtime artifact export 7 out/";

/// Subcommands of `artifact`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Bring an artifact into the store, and print its number
    Import(import::Arguments),
    /// List artifacts
    List(list::Arguments),
    /// Show an artifact: its data, its files
    Show(show::Arguments),
    /// Write the files of an artifact into a directory
    Export(export::Arguments),
    /// Show what an artifact refers to, and what refers to it
    Relations(relations::Arguments),
    /// Read the whole store and report what is damaged
    #[command(
        after_help = "Example:\n  task-runtime artifact verify\n\nExit status: 1 if something is damaged."
    )]
    Verify,
}

/// Does it.
pub async fn artifact(command: Command, places: &Places, output: &Output) -> Outcome {
    match command {
        Command::Import(arguments) => import::import(arguments, places, output).await,
        Command::List(arguments) => list::list(arguments, places, output).await,
        Command::Show(arguments) => show::show(arguments, places, output).await,
        Command::Export(arguments) => export::export(arguments, places, output).await,
        Command::Relations(arguments) => relations::relations(arguments, places, output).await,
        Command::Verify => verify::verify(places, output).await,
    }
}

/// The artifact that an argument names: its number, its name, or a look-up such as debian/match:codename=bookworm.
async fn named(store: &LocalStore, argument: &str) -> Result<ArtifactId, CliError> {
    if let Ok(id) = argument.parse() {
        return Ok(ArtifactId(id));
    }
    let lookup = Value::String(argument.to_owned());
    Ok(store
        .lookup_single(&lookup, Some("debian:environments"))
        .await?
        .id)
}

/// An artifact for machines.
fn document(it: &StoredArtifact) -> Value {
    json!({
        "id": it.artifact.id,
        "category": it.artifact.category,
        "names": it.names,
        "created_at": table::moment(it.created_at),
        "work_request": it.work_request,
        "workspace": it.workspace,
        "data": it.artifact.data,
        "files": it.artifact.files,
    })
}

/// What to call an artifact, for people: its names, else what its data say.
pub fn label(it: &StoredArtifact) -> String {
    if !it.names.is_empty() {
        return it.names.join(", ");
    }
    let category = it.artifact.category.parse();
    let label = category
        .ok()
        .map(|category| task_sdk::artifacts::label(category, &it.artifact.data));
    label.and_then(Result::ok).flatten().unwrap_or_default()
}
