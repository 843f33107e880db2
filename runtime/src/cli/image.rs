//! `image`: the cache of system images on this machine.

use super::error::CliError;
use super::output::Output;
use super::places::Places;
use super::{Outcome, Status, number, table};
use serde_json::{Value, json};
use std::path::Path;
use task_runtime::executor::{CachedImage, DEFAULT_KEPT, ExecutorError, ImageCache, ImageDigest};
use task_runtime::lifecycle::image_cache;

/// Examples of the group.
pub const EXAMPLES: &str = "\
Examples:
  task-runtime image list
  task-runtime image verify --remove
  task-runtime image prune --keep 2";

/// Subcommands of `image`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the images in the cache, those used last first
    #[command(after_help = "Example:\n  task-runtime image list --json")]
    List,
    /// Remove the images that were used least recently, and what killed runs left half-made
    Prune(PruneArguments),
    /// Read the images and report those that are damaged
    Verify(VerifyArguments),
}

/// Arguments of `image prune`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  task-runtime image prune\n  task-runtime image prune --keep 0\n\nImages in use stay. They are fetched again when a task needs them."
)]
pub struct PruneArguments {
    /// How many images are kept
    #[arg(long, value_name = "IMAGES", default_value_t = DEFAULT_KEPT, value_parser = number::<usize>)]
    keep: usize,
}

/// Arguments of `image verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  task-runtime image verify\n  task-runtime image verify --remove\n\nExit status: 1 if an image is damaged and stays."
)]
pub struct VerifyArguments {
    /// Checksums of the images to read, or beginnings of them that tell them apart; default: all
    #[arg(value_name = "SHA256")]
    images: Vec<String>,
    /// Remove those that are damaged: they are fetched again when a task needs them
    #[arg(long)]
    remove: bool,
}

/// Does it.
pub async fn image(command: Command, places: &Places, output: &Output) -> Outcome {
    let directory = places.cache()?;
    let cache = image_cache(&directory);
    match command {
        Command::List => list(&cache, &directory, output),
        Command::Prune(arguments) => prune(arguments, &cache, output).await,
        Command::Verify(arguments) => verify(arguments, &cache, output).await,
    }
}

fn list(cache: &ImageCache, directory: &Path, output: &Output) -> Outcome {
    let images = cache.list()?;
    if images.is_empty() {
        output.say(&format!(
            "no image is in the cache {}; tasks fetch those that they need",
            directory.display()
        ));
    }
    output.answer(&documents(&images), || {
        let rows = images.iter().map(|image| {
            vec![
                short(&image.sha256),
                table::size(image.size),
                if image.unpacked { "unpacked" } else { "-" }.to_owned(),
                table::moment(image.used),
                image.names.join(" "),
            ]
        });
        table::table(&rows.collect::<Vec<_>>())
    })?;
    Ok(Status::Success)
}

async fn prune(arguments: PruneArguments, cache: &ImageCache, output: &Output) -> Outcome {
    let removed = cache.prune(arguments.keep).await?;
    output.answer(&documents(&removed), || {
        let lines = removed.iter().map(|image| {
            format!(
                "removed {} {}\n",
                short(&image.sha256),
                image.names.join(" ")
            )
        });
        let left = cache.list().map_or(0, |images| images.len());
        lines.chain([format!("{left} images left\n")]).collect()
    })?;
    Ok(Status::Success)
}

async fn verify(arguments: VerifyArguments, cache: &ImageCache, output: &Output) -> Outcome {
    let all = cache.list()?;
    let images: Vec<&CachedImage> = match arguments.images.is_empty() {
        true => all.iter().collect(),
        false => chosen(&all, &arguments.images)?,
    };
    let mut verdicts = Vec::new();
    for image in images {
        let problem = match cache.verify(&image.sha256).await {
            Ok(()) => None,
            Err(ExecutorError::Image(words)) => Some(words),
            Err(error) => return Err(error.into()),
        };
        let removed = problem.is_some() && arguments.remove;
        if removed {
            cache.remove(&image.sha256).await?;
        }
        verdicts.push((image, problem, removed));
    }
    let document: Vec<Value> = verdicts
        .iter()
        .map(|(image, problem, removed)| {
            json!({"sha256": image.sha256.to_string(), "names": image.names, "problem": problem, "removed": removed})
        })
        .collect();
    output.answer(&document, || {
        let line = |(image, problem, removed): &(&CachedImage, Option<String>, bool)| {
            let verdict = match problem {
                None => "good".to_owned(),
                Some(words) if *removed => format!("removed: {words}"),
                Some(words) => {
                    format!("damaged: {words}; `task-runtime image verify --remove` removes it")
                }
            };
            format!("{} {verdict}\n", short(&image.sha256))
        };
        verdicts.iter().map(line).collect()
    })?;
    let stays = verdicts
        .iter()
        .any(|(_, problem, removed)| problem.is_some() && !removed);
    Ok(if stays {
        Status::Failure
    } else {
        Status::Success
    })
}

/// The images with these checksums.
fn chosen<'a>(all: &'a [CachedImage], named: &[String]) -> Result<Vec<&'a CachedImage>, CliError> {
    let one = |beginning: &String| {
        let mut fitting = all
            .iter()
            .filter(|image| image.sha256.to_string().starts_with(beginning.as_str()));
        match (fitting.next(), fitting.next()) {
            (Some(image), None) => Ok(image),
            (None, _) => Err(CliError::new(
                "not-found",
                format!(
                    "image {beginning}: there is none in the cache; `task-runtime image list` shows them"
                ),
            )),
            _ => Err(CliError::new(
                "usage",
                format!("image {beginning}: several begin like this; give more of the checksum"),
            )),
        }
    };
    named.iter().map(one).collect()
}

fn documents(images: &[CachedImage]) -> Vec<Value> {
    let document = |image: &CachedImage| {
        json!({
            "sha256": image.sha256.to_string(),
            "names": image.names,
            "size": image.size,
            "unpacked": image.unpacked,
            "used": table::moment(image.used),
        })
    };
    images.iter().map(document).collect()
}

/// As much of a checksum as people read.
fn short(sha256: &ImageDigest) -> String {
    sha256.to_string().chars().take(12).collect()
}
