//! `compile`: compiles tasks ahead of their first use.

use super::output::Output;
use super::places::Places;
use super::tasks::Tasks;
use super::{Outcome, Status};
use serde_json::json;

/// Arguments of `compile`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  task-runtime compile\n  task-runtime compile sbuild lintian")]
pub struct Arguments {
    /// Names of the tasks; all if none is named
    #[arg(value_name = "TASK")]
    names: Vec<String>,
}

/// Prints the names of the tasks for which there was something to do.
pub fn compile(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let mut compiled = Vec::new();
    if arguments.names.is_empty() {
        compiled.extend(tasks.registry.compile()?.into_iter().map(str::to_owned));
    }
    let cache = places.components()?;
    for wanted in arguments.names {
        let found = tasks
            .registry
            .tasks()
            .find(|(name, _)| **name == wanted.to_lowercase());
        match found {
            Some((name, path)) if cache.compile(tasks.engine(), path)? => {
                compiled.push(name.to_owned());
            }
            Some(_) => {}
            None => drop(tasks.registry.load(&wanted)?),
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
