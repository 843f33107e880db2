//! `artifact export`.

use super::super::error::CliError;
use super::super::output::Output;
use super::super::places::Places;
use super::super::{Outcome, Status};
use super::named;
use serde_json::json;
use std::path::{Path, PathBuf};
use task_runtime::artifacts::local::Overwrite;

/// Arguments of `artifact export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  task-runtime artifact export 7 out/")]
pub struct Arguments {
    /// Number or name of the artifact, or a look-up
    artifact: String,
    /// Where to; made if it is missing
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// Writes all files, verified, or none of them; prints their paths.
pub async fn export(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let store = places.existing_store()?;
    let id = named(&store, &arguments.artifact).await?;
    let overwrite = match arguments.force {
        true => Overwrite::Replace,
        false => Overwrite::Never,
    };
    let directory = &arguments.directory;
    let made = make(directory)?;
    let exported = store.export(id, directory.clone(), overwrite).await;
    if made && exported.is_err() {
        let _ = std::fs::remove_dir(directory);
    }
    let paths = exported?;
    output.answer(&json!({"id": id, "files": paths}), || {
        let lines = paths.iter().map(|path| format!("{}\n", path.display()));
        lines.collect()
    })?;
    Ok(Status::Success)
}

/// Makes the directory; false if it is there.
fn make(directory: &Path) -> Result<bool, CliError> {
    match std::fs::create_dir(directory) {
        Ok(()) => Ok(true),
        Err(_) if directory.is_dir() => Ok(false),
        Err(error) => Err(CliError::new(
            "file",
            format!(
                "{}: cannot be made: {error}; choose another directory",
                directory.display()
            ),
        )),
    }
}
