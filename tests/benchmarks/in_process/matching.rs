//! Many tasks of mixed kinds and many workers: everything that `match` does between reading and printing.

use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use task_runtime::component::{ComponentCache, Engine, Registry};
use task_runtime::host::{Linkers, Machine};
use task_runtime::scheduler::{Scheduler, Task};

/// Pairs in a microsecond on one processor and on two, microseconds for one more worker, and the share of yes.
pub fn measure(tasks: &str, workers: &str) -> Result<Value> {
    let tasks: Vec<Task> = lines(tasks)?.into_iter().map(task).collect::<Result<_>>()?;
    let workers = lines(workers)?;
    let mut report = Map::new();
    for processors in [1, 2] {
        let mut scheduler = scheduler(processors)?;
        // Loading the components is measured elsewhere.
        scheduler.ask(&tasks[..3.min(tasks.len())]);
        let newcomers = workers.clone();
        let begun = Instant::now();
        for worker in newcomers {
            scheduler.add_worker(worker);
        }
        let answers = scheduler.ask(&tasks);
        let elapsed = begun.elapsed();
        let mut yes = 0;
        for answer in answers {
            let row = answer.map_err(|refusal| anyhow!("{refusal}: {refusal:?}"))?;
            yes += row.workers(scheduler.farm()).count();
        }
        let pairs = (tasks.len() * workers.len()) as f64;
        let rate = pairs / elapsed.as_secs_f64() / 1e6;
        report.insert(format!("pairs_per_microsecond_{processors}"), rate.into());
        report.insert("yes".to_owned(), (yes as f64 / pairs).into());

        let mut another = workers[0].clone();
        another.insert("system:ram_in_bytes".to_owned(), json!(1));
        let begun = Instant::now();
        scheduler.add_worker(another);
        scheduler.ask(&tasks);
        let column = begun.elapsed().as_secs_f64() * 1e6;
        report.insert("microseconds_column".to_owned(), column.into());
    }
    Ok(Value::Object(report))
}

fn scheduler(processors: usize) -> Result<Scheduler> {
    let directory = |name| std::env::var_os(name).with_context(|| format!("{name} is not set"));
    let cache = directory("TASK_RUNTIME_CACHE")?;
    let cache = ComponentCache::new(&Path::new(&cache).join("components"));
    let engine = Engine::new()?;
    let linkers = Arc::new(Linkers::new(&engine).map_err(anyhow::Error::from)?);
    let registry = Registry::open(engine, cache, &[directory("TASK_RUNTIME_TASKS")?.into()])?;
    let facts = Arc::new(Machine::default());
    Ok(Scheduler::new(registry, linkers, facts, processors))
}

fn task(line: Map<String, Value>) -> Result<Task> {
    let name = line.get("task").and_then(Value::as_str);
    Ok(Task {
        name: name.context("a task has a name")?.to_owned(),
        data: line.get("data").context("a task has data")?.to_string(),
        dynamic_data: None,
    })
}

fn lines(path: &str) -> Result<Vec<Map<String, Value>>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{path}: cannot be read"))?;
    let parsed = text.lines().map(serde_json::from_str);
    Ok(parsed.collect::<Result<_, _>>()?)
}
