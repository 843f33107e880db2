//! `list`: the tasks that are there.

use super::error::CliError;
use super::output::Output;
use super::places::Places;
use super::tasks::Tasks;
use super::{Outcome, Status, table};
use serde_json::json;

/// Prints name, summary and file of each task. One that cannot be asked does not hide the others.
pub async fn list(places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let mut found = Vec::new();
    let mut rows = Vec::new();
    for (name, path) in tasks.registry.tasks() {
        let path = path.display().to_string();
        let (summary, error) = match summary(&tasks, name).await {
            Ok(summary) => (summary, None),
            Err(error) => (format!("unusable: {}", error.message), Some(error)),
        };
        rows.push(vec![name.to_owned(), summary.clone(), path.clone()]);
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

async fn summary(tasks: &Tasks, name: &str) -> Result<String, CliError> {
    let loaded = tasks.registry.load(name)?;
    let mut instance = tasks.instance(&loaded, None).await?;
    Ok(instance.describe().await?.summary)
}
