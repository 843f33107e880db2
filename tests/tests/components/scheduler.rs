//! The scheduler: answers as single calls give them, and no question more than it takes.

use super::*;
use serde_json::Map;
use std::sync::atomic::{AtomicUsize, Ordering};
use task_runtime::host::Facts;
use task_runtime::scheduler::{Refusal, Scheduler, Task};

fn scheduler(processors: usize, facts: Arc<dyn Facts>) -> Result<Scheduler> {
    let engine = Engine::new()?;
    let linkers = Arc::new(Linkers::new(&engine)?);
    let registry = Registry::open(engine, cache(), &task_directories())?;
    Ok(Scheduler::new(registry, linkers, facts, processors))
}

fn task(name: &str, data: &str) -> Task {
    Task {
        name: name.to_owned(),
        data: data.to_owned(),
        dynamic_data: None,
    }
}

/// A machine that counts how often the guest `hostile` is called: it looks for its orders in each export, and finds none here.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Facts for Counting {
    fn command_available(&self, _name: &str) -> bool {
        false
    }

    fn architecture(&self) -> Option<String> {
        Some("amd64".to_owned())
    }

    fn environment_variable(&self, _name: &str) -> Option<String> {
        self.0.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn has_resolv_conf(&self) -> bool {
        false
    }
}

/// A scheduler with so many workers, and the calls to guests that some questions take.
struct Counted {
    scheduler: Scheduler,
    calls: Arc<Counting>,
    workers: usize,
}

impl Counted {
    fn new(workers: usize) -> Result<Self> {
        let calls = Arc::new(Counting::default());
        let mut counted = Self {
            scheduler: scheduler(1, Arc::clone(&calls) as _)?,
            calls,
            workers: 0,
        };
        for _ in 0..workers {
            counted.add_worker();
        }
        Ok(counted)
    }

    /// Adds one that says what no other says.
    fn add_worker(&mut self) {
        self.add_worker_like(self.workers);
        self.workers += 1;
    }

    fn add_worker_like(&mut self, number: usize) {
        let metadata = json!({"system:ram_in_bytes": number});
        let metadata = metadata.as_object().cloned().unwrap_or_default();
        self.scheduler.add_worker(metadata);
    }

    /// Three tasks, two of which have the same data.
    fn ask(&mut self) -> Result<usize> {
        let data = ["{}", r#"{"a": 1}"#, "{}"];
        let before = self.calls.0.load(Ordering::Relaxed);
        for answer in self.scheduler.ask(&data.map(|data| task("hostile", data))) {
            let row = answer?;
            assert_eq!(
                row.workers(self.scheduler.farm()).count(),
                self.scheduler.farm().workers().len()
            );
        }
        Ok(self.calls.0.load(Ordering::Relaxed) - before)
    }
}

#[test]
fn workers_are_asked_about_together() -> Result<()> {
    let few = Counted::new(1)?.ask()?;
    assert!(few > 0);
    assert_eq!(Counted::new(500)?.ask()?, few);
    Ok(())
}

#[test]
fn what_was_answered_is_not_asked_again_and_one_more_worker_costs_a_column() -> Result<()> {
    let mut counted = Counted::new(100)?;
    let whole = counted.ask()?;
    assert_eq!(counted.ask()?, 0, "all answers are remembered");
    counted.add_worker_like(7);
    assert_eq!(counted.ask()?, 0, "it says what another one says");
    counted.add_worker();
    let column = counted.ask()?;
    assert!(
        column > 0 && column <= whole,
        "{column} calls, {whole} for the first hundred"
    );
    assert_eq!(counted.ask()?, 0);
    Ok(())
}

#[tokio::test]
async fn a_scheduler_answers_as_single_calls_do() -> Result<()> {
    let mut scheduler = scheduler(2, Arc::new(Machine::default()))?;
    let bench = Bench::new()?;
    let worker = |number: usize| {
        let metadata = json!({
            "system:worker_type": "external",
            "system:architectures": if number.is_multiple_of(3) { json!(["arm64"]) } else { json!(["amd64"]) },
            "system:ram_in_bytes": number,
            "noop:version": if number.is_multiple_of(5) { 2 } else { 1 },
            "sbuild:version": 1,
            "sbuild:available": !number.is_multiple_of(4),
            "executor:unshare:available": true,
        });
        metadata.as_object().cloned().unwrap_or_default()
    };
    let sbuild = |number: usize| json!({"input": {"source_artifact": number}, "host_architecture": "amd64", "environment": 2});
    let mut tasks: Vec<Task> = (1..40)
        .map(|number| task("SBuild", &sbuild(number).to_string()))
        .collect();
    tasks.push(task("noop", "{}"));
    for range in [0..90, 90..91, 91..200] {
        for number in range {
            scheduler.add_worker(worker(number));
        }
        let answers = scheduler.ask(&tasks);
        for (task, answer) in tasks.iter().zip(answers).skip(37) {
            let row = answer?;
            let eligible: Vec<usize> = row.workers(scheduler.farm()).collect();
            let mut single = bench.instance(&task.name.to_lowercase()).await?;
            let data = serde_json::from_str(&task.data)?;
            single
                .configure(&data, None, None)
                .await?
                .expect("valid data");
            for number in 0..scheduler.farm().workers().len() {
                let metadata = Value::Object(worker(number)).to_string();
                let expected = single.can_run_on(&metadata).await?;
                assert_eq!(
                    eligible.contains(&number),
                    expected,
                    "{} {number}",
                    task.name
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_scheduler_refuses_what_has_no_answer_and_answers_the_rest() -> Result<()> {
    let mut scheduler = scheduler(1, Arc::new(Machine::default()))?;
    scheduler.add_worker(Map::new());
    let tasks = [
        task("nobody", "{}"),
        task("noop", "{\"result\": []}"),
        task("noop", "{}"),
        task("scripted", "{\"nonsense"),
    ];
    let answers = scheduler.ask(&tasks);
    assert!(matches!(answers[0], Err(Refusal::Registry(_))));
    assert!(matches!(answers[1], Err(Refusal::Configuration { .. })));
    assert!(answers[2].is_ok());
    assert!(answers[3].is_err());
    Ok(())
}
