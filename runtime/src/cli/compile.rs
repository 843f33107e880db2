//! `compile`: compiles tasks ahead of their first use.

use super::error::CliError;
use super::output::Output;
use super::places::Places;
use super::tasks::Tasks;
use super::{Outcome, Status};
use serde_json::json;
use std::path::PathBuf;
use task_runtime::component::ComponentCache;

/// Arguments of `compile`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  task-runtime compile\n  task-runtime compile sbuild lintian\n  task-runtime compile --into /usr/local/lib/task-runtime/compiled"
)]
pub struct Arguments {
    /// Names of the tasks; all if none is named
    #[arg(value_name = "TASK")]
    names: Vec<String>,
    /// Compile into this directory instead, for any machine of this architecture: to be shipped to workers that have no compiler, which find
    /// it by TASK_RUNTIME_COMPILED
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

/// Prints the names of the tasks for which there was something to do.
pub fn compile(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let cache = places.components()?;
    let mut compiled = Vec::new();
    for (name, path) in chosen(&tasks, &arguments.names)? {
        let done = match &arguments.into {
            Some(directory) => ComponentCache::compile_into(&path, directory).map(|()| true)?,
            None => cache.compile(tasks.engine(), &path)?,
        };
        if done {
            compiled.push(name);
        }
    }
    output.answer(&json!({"compiled": compiled}), || {
        match compiled.is_empty() {
            true => "nothing to do: all tasks are compiled".to_owned(),
            false => compiled
                .iter()
                .map(|name| format!("compiled {name}\n"))
                .collect(),
        }
    })?;
    Ok(Status::Success)
}

/// Names and files of the tasks that are meant: all if none is named.
fn chosen(tasks: &Tasks, names: &[String]) -> Result<Vec<(String, PathBuf)>, CliError> {
    let all: Vec<_> = tasks.registry.tasks().collect();
    if names.is_empty() {
        return Ok(all);
    }
    let find = |wanted: &String| {
        let found = all.iter().find(|(name, _)| *name == wanted.to_lowercase());
        found
            .cloned()
            .ok_or_else(|| tasks.registry.unknown(wanted).into())
    };
    names.iter().map(find).collect()
}
