//! `list`: the tasks that are there.

use super::error::CliError;
use super::output::Output;
use super::places::Places;
use super::tasks::Tasks;
use super::{Outcome, Status, table};
use serde_json::json;
use std::path::Path;
use task_runtime::component::Manifest;

/// Prints name, summary and file of each task. One that cannot be asked does not hide the others.
pub async fn list(places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let mut found = Vec::new();
    let mut rows = Vec::new();
    for (name, path) in tasks.registry.tasks() {
        let (summary, error) = match summary(&tasks, &name, &path).await {
            Ok(summary) => (summary, None),
            Err(error) => (format!("unusable: {}", error.message), Some(error)),
        };
        let path = path.display().to_string();
        rows.push(vec![name.clone(), summary.clone(), path.clone()]);
        found.push(match error {
            None => json!({"name": name, "summary": summary, "path": path}),
            Some(error) => json!({"name": name, "path": path, "error": error}),
        });
    }
    if found.is_empty() {
        let looked: Vec<_> = places
            .tasks()
            .iter()
            .map(|it| it.display().to_string())
            .collect();
        output.say(&format!(
            "no task was found in {}; build them with `make tasks`, or name their directory with --tasks",
            looked.join(", ")
        ));
    }
    output.answer(&found, || table::table(&rows))?;
    Ok(Status::Success)
}

/// What a task does: its manifest says so; only a component without one is asked, and compiled if it never was.
async fn summary(tasks: &Tasks, name: &str, path: &Path) -> Result<String, CliError> {
    let manifest = Manifest::of(path)?;
    match (manifest.task, manifest.summary) {
        (Some(task), Some(summary)) if task == name => Ok(summary),
        _ => {
            let loaded = tasks.registry.load(name)?;
            let mut instance = tasks.instance(&loaded, None).await?;
            Ok(instance.describe().await?.summary)
        }
    }
}
