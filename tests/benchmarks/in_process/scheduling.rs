//! `can-run-on`, asked many times: with a fresh instance for each question, and with a task and workers that are kept.

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use task_runtime::component::{ComponentCache, Engine, EngineOptions, Limits, Registry};
use task_runtime::host::{HostState, Linkers, Machine, Purpose, TaskComponent, TaskInstance};

const ANEW: u32 = 2_000;
const KEPT: u32 = 300;

/// Microseconds for a question, questions in a microsecond, and the share that was answered with yes.
pub async fn measure(data: &str, worker: &str, farm: &str) -> Result<Value> {
    let (data, worker) = (read(data)?, read(worker)?);
    let farm: Vec<Value> = serde_json::from_str(&read(farm)?)?;
    let asked = Sbuild::load()?;

    let start = Instant::now();
    let mut yes_anew = 0;
    for _ in 0..ANEW {
        let mut task = asked.configured(&data).await?;
        yes_anew += u32::from(task.can_run_on(&worker).await?);
    }
    let anew = start.elapsed();

    let start = Instant::now();
    let mut labels = 0;
    for _ in 0..ANEW {
        let mut task = asked.configured(&data).await?;
        labels += task.label().await?.len();
    }
    let label = start.elapsed();
    ensure!(labels > 0, "sbuild has no label");

    let metadata: Vec<String> = farm.iter().map(Value::to_string).collect();
    let mut task = asked.configured(&data).await?;
    let workers = task.prepare_workers(&metadata).await?;
    let start = Instant::now();
    let mut yes_kept = 0;
    for _ in 0..KEPT {
        let eligible = task.can_run_on_each(workers).await?;
        yes_kept += eligible.iter().map(|bits| bits.count_ones()).sum::<u32>();
    }
    let kept = start.elapsed();
    let pairs = f64::from(KEPT) * metadata.len() as f64;

    Ok(json!({
        "microseconds_anew": anew.as_secs_f64() * 1e6 / f64::from(ANEW),
        "microseconds_label": label.as_secs_f64() * 1e6 / f64::from(ANEW),
        "yes_anew": f64::from(yes_anew) / f64::from(ANEW),
        "pairs_per_microsecond_kept": pairs / kept.as_secs_f64() / 1e6,
        "yes_kept": f64::from(yes_kept) / pairs,
    }))
}

/// The task sbuild, compiled and linked.
struct Sbuild {
    engine: Engine,
    component: TaskComponent,
    facts: Arc<Machine>,
}

impl Sbuild {
    fn load() -> Result<Self> {
        let directory = |name| std::env::var_os(name).with_context(|| format!("{name} is not set"));
        let tasks = directory("TASK_RUNTIME_TASKS")?;
        let cache = directory("TASK_RUNTIME_CACHE")?;
        let cache = ComponentCache::new(&Path::new(&cache).join("components"));
        let engine = Engine::with(EngineOptions::SCHEDULER)?;
        let registry = Registry::open(engine.clone(), cache, &[tasks.into()])?;
        let loaded = registry.load("sbuild")?;
        let linkers = Linkers::new(&engine).map_err(anyhow::Error::from)?;
        let component = TaskComponent::new(&engine, &linkers, &loaded, Purpose::Scheduling)?;
        Ok(Self {
            engine,
            component,
            facts: Arc::default(),
        })
    }

    /// A fresh instance with a task of these data.
    async fn configured(&self, data: &str) -> Result<TaskInstance> {
        let facts = Arc::clone(&self.facts);
        let state = HostState::new(&self.engine, &Limits::SCHEDULING, facts as _);
        let mut instance = self.component.instantiate(state).await?;
        match instance.configure_json(data, None, None).await? {
            Ok(()) => Ok(instance),
            Err(refused) => Err(anyhow!("sbuild refuses its data: {refused:?}")),
        }
    }
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{path}: cannot be read"))
}
