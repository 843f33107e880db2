//! `describe`: what a task is.

use super::output::Output;
use super::places::Places;
use super::tasks::Tasks;
use super::{Outcome, Status, table};
use serde_json::json;
use task_runtime::component::inspect;

/// Arguments of `describe`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  task-runtime describe sbuild")]
pub struct Arguments {
    /// Name of the task
    task: String,
}

/// Prints what the component says of itself, and what it needs from its host.
pub async fn describe(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let loaded = tasks.registry.load(&arguments.task)?;
    let description = tasks.instance(&loaded, None).await?.describe().await?;
    let interface = inspect(&loaded.path)?;
    let imports: Vec<_> = interface.imports.into_iter().map(|it| it.name).collect();
    let path = loaded.path.display().to_string();
    let answer = json!({
        "name": description.name,
        "summary": description.summary,
        "type": "Worker",
        "version": description.version,
        "path": path,
        "imports": imports,
    });
    output.answer(&answer, || {
        let row = |name: &str, value: String| vec![format!("{name}:"), value];
        table::table(&[
            row("name", description.name),
            row("summary", description.summary),
            row("type", "Worker".to_owned()),
            row("version", description.version.to_string()),
            row("file", path),
            row("imports", imports.join(", ")),
        ])
    })?;
    Ok(Status::Success)
}
