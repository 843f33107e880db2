//! `environment`: what tasks can run in.

use super::output::Output;
use super::places::Places;
use super::{Outcome, Status, table};

/// Examples of the group.
pub const EXAMPLES: &str = "Example:\n  task-runtime environment list";

/// Subcommands of `environment`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the system tarballs and images that look-ups such as debian/match:codename=bookworm find
    #[command(after_help = "Example:\n  task-runtime environment list --json")]
    List,
}

/// Does it.
pub async fn environment(command: Command, places: &Places, output: &Output) -> Outcome {
    match command {
        Command::List => list(places, output).await,
    }
}

async fn list(places: &Places, output: &Output) -> Outcome {
    let environments = match places.store_if_there()? {
        Some(store) => store.environments().await?,
        None => Vec::new(),
    };
    if environments.is_empty() {
        output.say(&format!(
            "no environment is in the artifact store {}; `task-runtime run mmdebstrap` makes one, `task-runtime artifact import` takes one in",
            places.store_path()?.display()
        ));
    }
    output.answer(&environments, || {
        let optional = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let rows = environments.iter().map(|it| {
            vec![
                it.artifact.to_string(),
                it.codename.clone(),
                it.architecture.clone(),
                optional(&it.variant),
                it.format.name().to_owned(),
                optional(&it.backend),
            ]
        });
        table::table(&rows.collect::<Vec<_>>())
    })?;
    Ok(Status::Success)
}
