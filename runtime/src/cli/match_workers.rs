//! `match`: which workers can run which tasks, for many of both.

use super::error::CliError;
use super::output::Output;
use super::places::Places;
use super::tasks::Tasks;
use super::{Outcome, Status, number};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use task_runtime::scheduler::{Answer, Refusal, Scheduler, Task};

/// How many tasks are answered at a time, so that answers come while tasks are still being read.
const BATCH: usize = 512;

const STANDARD_INPUT: &str = "standard input";

/// Arguments of `match`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A line of tasks:    {\"id\": 7, \"task\": \"sbuild\", \"data\": {…}, \"dynamic_data\": {…}}   (without id: its number; dynamic data may be missing)
A line of workers:  {\"name\": \"w1\", \"metadata\": {…}}, or the metadata alone   (its name then is its number)
A line of answers:  {\"task\": 7, \"workers\": [\"w1\", …]}, or {\"task\": 7, \"error\": {…}}

Examples:
  task-runtime match --tasks tasks.jsonl --workers workers.jsonl
  tail -f queue.jsonl | task-runtime match --tasks - --workers workers.jsonl

Exit status: 0 if every task was answered, 1 if one could not be."
)]
pub struct Arguments {
    /// The tasks, one JSON object on each line; `-` for standard input. A directory is one of components, as elsewhere
    #[arg(long, value_name = "FILE.jsonl", required = true)]
    tasks: Vec<PathBuf>,
    /// The workers, likewise
    #[arg(long, value_name = "FILE.jsonl")]
    workers: String,
    /// How many processors to use; all if missing
    #[arg(short, long, value_name = "NUMBER", value_parser = number::<usize>)]
    jobs: Option<usize>,
}

/// Prints a line for each task, in their order.
pub fn match_workers(arguments: &Arguments, places: &Places, output: &Output) -> Outcome {
    let (directories, files): (Vec<_>, Vec<_>) = arguments.tasks.iter().partition(|it| it.is_dir());
    let [file] = files[..] else {
        let words = "--tasks: wants one file of tasks; put all of them into one";
        return Err(CliError::new("usage", words));
    };
    let file = file.to_string_lossy();
    if file == "-" && arguments.workers == "-" {
        let words = "standard input: wanted twice; give tasks or workers as a file";
        return Err(CliError::new("usage", words));
    }
    let directories = directories.into_iter().cloned().collect();
    let tasks = Tasks::open(&places.with_tasks(directories))?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let processors = arguments.jobs.unwrap_or(processors);
    let mut scheduler = Scheduler::new(tasks.registry, tasks.linkers, tasks.facts, processors);
    let names = read_workers(&arguments.workers, &mut scheduler)?;
    let mut lines = Lines::open(&file)?;
    let mut status = Status::Success;
    loop {
        let batch = lines.batch()?;
        if batch.is_empty() {
            return Ok(status);
        }
        let (ids, tasks): (Vec<Value>, Vec<Task>) = batch.into_iter().unzip();
        let mut printed = Vec::new();
        for (id, answer) in ids.iter().zip(scheduler.ask(&tasks)) {
            if answer.is_err() {
                status = Status::Failure;
            }
            write_answer(&mut printed, id, answer, &scheduler, &names);
        }
        output.print(&printed)?;
    }
}

/// Adds the workers; their names, as JSON.
fn read_workers(path: &str, scheduler: &mut Scheduler) -> Result<Vec<String>, CliError> {
    let mut lines = Lines::open(path)?;
    let mut names = Vec::new();
    while let Some(mut worker) = lines.next_object()? {
        let named = worker.get("metadata").is_some_and(Value::is_object);
        let name = match named {
            true => worker.get("name").cloned(),
            false => None,
        };
        names.push(name.unwrap_or_else(|| lines.number.into()).to_string());
        let metadata = match worker.remove("metadata") {
            Some(Value::Object(metadata)) => metadata,
            _ => worker,
        };
        scheduler.add_worker(metadata);
    }
    Ok(names)
}

fn write_answer(
    printed: &mut Vec<u8>,
    id: &Value,
    answer: Answer,
    scheduler: &Scheduler,
    names: &[String],
) {
    let row = match answer {
        Ok(row) => row,
        Err(refusal) => {
            let error = explain(refusal);
            append(printed, &json!({"task": id, "error": error}));
            return printed.push(b'\n');
        }
    };
    printed.extend_from_slice(b"{\"task\":");
    append(printed, id);
    printed.extend_from_slice(b",\"workers\":[");
    let mut separator: &[u8] = b"";
    for worker in row.workers(scheduler.farm()) {
        printed.extend_from_slice(separator);
        printed.extend_from_slice(names[worker].as_bytes());
        separator = b",";
    }
    printed.extend_from_slice(b"]}\n");
}

/// Writing to memory does not fail.
fn append(printed: &mut Vec<u8>, value: &impl Serialize) {
    let _ = serde_json::to_writer(printed, value);
}

fn explain(refusal: Refusal) -> CliError {
    match refusal {
        Refusal::Registry(error) => CliError::new("unknown-task", error.to_string()),
        Refusal::Call(error) => CliError::new("task", error.to_string()),
        Refusal::Configuration { task, error } => {
            CliError::configuration(&task, Arc::unwrap_or_clone(error))
        }
    }
}

/// The JSON objects of a file, one on each line; empty lines do not count.
struct Lines {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    line: String,
    number: usize,
}

impl Lines {
    fn open(path: &str) -> Result<Self, CliError> {
        let (name, source): (_, Box<dyn Read>) = match path {
            "-" => (STANDARD_INPUT, Box::new(io::stdin())),
            _ => {
                let file = File::open(Path::new(path)).map_err(|error| {
                    let words = format!("{path}: {error}; check its name and permissions");
                    CliError::new("file", words)
                })?;
                (path, Box::new(file))
            }
        };
        Ok(Self {
            name: name.to_owned(),
            reader: BufReader::with_capacity(256 << 10, source),
            line: String::new(),
            number: 0,
        })
    }

    fn next_object(&mut self) -> Result<Option<Map<String, Value>>, CliError> {
        loop {
            self.line.clear();
            let read = self.reader.read_line(&mut self.line);
            self.number += 1;
            if read.map_err(|error| self.refuse("file", &error.to_string()))? == 0 {
                return Ok(None);
            }
            let text = self.line.trim();
            if !text.is_empty() {
                let parsed = serde_json::from_str(text);
                return parsed.map(Some).map_err(|error| {
                    let words = format!("not a JSON object: {error}; correct that line");
                    self.refuse("document", &words)
                });
            }
        }
    }

    /// Tasks as they come: at most a batch, fewer if no more are there yet.
    fn batch(&mut self) -> Result<Vec<(Value, Task)>, CliError> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(object) = self.next_object()? else {
                break;
            };
            batch.push(self.task(object)?);
            // Whoever feeds us line by line waits for answers, not for a full batch.
            if self.name == STANDARD_INPUT && self.reader.buffer().is_empty() {
                break;
            }
        }
        Ok(batch)
    }

    fn task(&self, mut object: Map<String, Value>) -> Result<(Value, Task), CliError> {
        let Some(Value::String(name)) = object.remove("task") else {
            return Err(self.refuse("document", "no name of a task; add \"task\": NAME"));
        };
        let id = object.remove("id").unwrap_or_else(|| self.number.into());
        let data = object.remove("data");
        let dynamic_data = object.remove("dynamic_data").filter(|it| !it.is_null());
        let task = Task {
            name,
            data: data.map_or_else(|| "{}".to_owned(), |data| data.to_string()),
            dynamic_data: dynamic_data.map(|it| it.to_string()),
        };
        Ok((id, task))
    }

    fn refuse(&self, kind: &'static str, words: &str) -> CliError {
        CliError::new(
            kind,
            format!("{}: line {}: {words}", self.name, self.number),
        )
    }
}
