//! What all tasks take to be there: time to load them, memory, and whether memory grows with calls.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use task_runtime::component::{ComponentCache, Engine, EngineOptions, Limits, Registry};
use task_runtime::host::{Facts, HostState, Linkers, Machine, Purpose, TaskComponent};

/// Milliseconds to load all tasks, mebibytes resident with them, and mebibytes grown by so many calls, each in a fresh instance.
pub async fn measure(calls: u32) -> Result<Value> {
    let directory = |name| std::env::var_os(name).with_context(|| format!("{name} is not set"));
    let cache = directory("TASK_RUNTIME_CACHE")?;
    let cache = ComponentCache::new(&Path::new(&cache).join("components"));
    let engine = Engine::with(EngineOptions::SCHEDULER)?;
    let linkers = Linkers::new(&engine).map_err(anyhow::Error::from)?;
    let tasks = directory("TASK_RUNTIME_TASKS")?;
    let registry = Registry::open(engine.clone(), cache, &[tasks.into()])?;

    let begun = Instant::now();
    let loaded = registry.load_all()?;
    let load = begun.elapsed();
    let resolve = |task| TaskComponent::new(&engine, &linkers, task, Purpose::Scheduling);
    let components: Vec<_> = loaded.iter().map(resolve).collect::<Result<_, _>>()?;
    let resident_loaded = resident();

    let facts: Arc<dyn Facts> = Arc::new(Machine::default());
    let call = async |count: u32| -> Result<()> {
        for number in 0..count {
            let state = HostState::new(&engine, &Limits::SCHEDULING, Arc::clone(&facts));
            let component = &components[number as usize % components.len()];
            component.instantiate(state).await?.describe().await?;
        }
        Ok(())
    };
    call(1_000).await?;
    let before = resident();
    call(calls).await?;
    Ok(json!({
        "tasks": components.len(),
        "load_milliseconds": load.as_secs_f64() * 1000.0,
        "resident_mebibytes": resident_loaded,
        "grown_mebibytes": (resident() - before).max(0.0),
    }))
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4096.0 / f64::from(1 << 20)
}
