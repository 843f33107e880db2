//! `can-run-on`: whether workers can run a task.

use super::error::CliError;
use super::output::Output;
use super::places::Places;
use super::tasks::{TaskArguments, Tasks};
use super::{Outcome, Status, documents, table};
use serde_json::{Value, json};
use std::sync::Arc;
use task_runtime::component::LoadedComponent;
use task_runtime::worker::metadata::{machine_metadata, task_metadata};

/// Arguments of `can-run-on`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  task-runtime can-run-on sbuild --data build.yaml\n  task-runtime metadata > here.json\n  task-runtime can-run-on sbuild --data build.yaml --worker here.json\n\nExit status: 0 if a worker can run it, 1 if none can."
)]
pub struct Arguments {
    #[command(flatten)]
    task: TaskArguments,
    /// Metadata of a worker, or an array of several, in the same forms as task data; may be given several times. Without it: this machine and
    /// what the task itself says of it
    #[arg(short, long, value_name = "METADATA")]
    worker: Vec<String>,
}

/// A worker: what to call it, and its metadata.
struct Worker {
    name: String,
    metadata: Value,
}

/// Prints yes or no, for each worker if there are several.
pub async fn can_run_on(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let tasks = Tasks::open(places)?;
    let loaded = tasks.registry.load(&arguments.task.task)?;
    let data = arguments.task.data()?;
    let mut instance = tasks.configured(&loaded, &data, None).await?;
    let workers = match arguments.worker.is_empty() {
        true => vec![this_machine(&tasks, &loaded).await?],
        false => named(&arguments.worker)?,
    };
    let metadata: Vec<String> = workers.iter().map(|it| it.metadata.to_string()).collect();
    let prepared = instance.prepare_workers(&metadata).await?;
    let answers = instance.can_run_on_each(prepared).await?;
    let can_run = |place: usize| {
        answers
            .get(place / 64)
            .is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    };
    let any = (0..workers.len()).any(can_run);
    let each = workers.iter().enumerate();
    let each =
        each.map(|(place, worker)| json!({"worker": worker.name, "can_run": can_run(place)}));
    let answer = json!({"can_run": any, "workers": each.collect::<Vec<_>>()});
    output.answer(&answer, || match workers.len() {
        1 => yes_or_no(any).to_owned(),
        _ => {
            let row = |(place, worker): (usize, &Worker)| {
                vec![yes_or_no(can_run(place)).to_owned(), worker.name.clone()]
            };
            table::table(&workers.iter().enumerate().map(row).collect::<Vec<_>>())
        }
    })?;
    Ok(if any {
        Status::Success
    } else {
        Status::Failure
    })
}

fn yes_or_no(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}

async fn this_machine(tasks: &Tasks, loaded: &LoadedComponent) -> Result<Worker, CliError> {
    let facts = Arc::clone(&tasks.facts);
    let mut metadata = machine_metadata(&*facts)?;
    metadata.extend(task_metadata(tasks.engine(), &tasks.linkers, loaded, facts).await?);
    Ok(Worker {
        name: "this machine".to_owned(),
        metadata: metadata.into(),
    })
}

fn named(arguments: &[String]) -> Result<Vec<Worker>, CliError> {
    let mut workers = Vec::new();
    for argument in arguments {
        match documents::read(argument)? {
            Value::Array(several) => {
                let several = several.into_iter().enumerate();
                workers.extend(several.map(|(place, metadata)| Worker {
                    name: format!("{argument}[{place}]"),
                    metadata,
                }));
            }
            metadata => workers.push(Worker {
                name: argument.clone(),
                metadata,
            }),
        }
    }
    match workers.iter().find(|worker| !worker.metadata.is_object()) {
        None => Ok(workers),
        Some(worker) => Err(CliError::new(
            "document",
            format!(
                "{}: metadata of a worker are an object; `task-runtime metadata` prints those of this machine",
                worker.name
            ),
        )),
    }
}
