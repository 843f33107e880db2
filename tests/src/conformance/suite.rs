//! Running vectors: components once, a fresh instance and a fresh world for each vector, on as many threads as there are cores.

use super::difference::differences;
use super::operations::{self, Trouble};
use super::vector::{Folder, Vector};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use task_runtime::component::{
    ComponentCache, Engine, EngineError, LoadedComponent, Registry, RegistryError,
};
use task_runtime::host::{CallError, Linkers, Purpose, TaskComponent};

/// Everything that vectors need besides themselves.
pub struct Suite {
    pub(super) engine: Engine,
    pub(super) linkers: Arc<Linkers>,
    tasks: BTreeMap<String, Task>,
}

/// The component of a task, for both purposes.
pub(super) struct Task {
    pub(super) loaded: LoadedComponent,
    pub(super) scheduling: TaskComponent,
    pub(super) execution: TaskComponent,
}

/// Why there is no suite.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The host's imports cannot be linked.
    #[error("cannot link the host's imports: {0}")]
    Linking(String),
    /// A task cannot be loaded.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A component does not fit this host.
    #[error(transparent)]
    Component(#[from] CallError),
}

/// What became of a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Ours agrees with the reference.
    Passed,
    /// It does not: how, a line each.
    Failed(Vec<String>),
    /// It was not tried: why.
    Skipped(String),
}

impl Suite {
    /// Loads the tasks of these directories (all, or those that are named); compiled code is kept in `cache`.
    pub fn new(
        directories: &[PathBuf],
        cache: &Path,
        only: Option<&str>,
    ) -> Result<Self, SuiteError> {
        let engine = Engine::new()?;
        let linkers = Linkers::new(&engine);
        let linkers = linkers.map_err(|error| SuiteError::Linking(format!("{error:#}")))?;
        let registry = Registry::open(engine.clone(), ComponentCache::new(cache), directories)?;
        let mut tasks = BTreeMap::new();
        for (name, _) in registry.tasks() {
            if only.is_some_and(|only| only != name) {
                continue;
            }
            let loaded = registry.load(&name)?;
            let resolve = |purpose| TaskComponent::new(&engine, &linkers, &loaded, purpose);
            let task = Task {
                scheduling: resolve(Purpose::Scheduling)?,
                execution: resolve(Purpose::Execution)?,
                loaded: loaded.clone(),
            };
            tasks.insert(name, task);
        }
        Ok(Self {
            engine,
            linkers: Arc::new(linkers),
            tasks,
        })
    }

    /// The names of the tasks that have a component.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.tasks.keys().map(String::as_str)
    }

    pub(super) fn task(&self, name: &str) -> Result<&Task, Trouble> {
        self.tasks
            .get(name)
            .ok_or_else(|| Trouble::Skipped("no component".to_owned()))
    }

    /// Runs all vectors of a folder; the outcomes are in the order of the vectors.
    pub fn run(&self, folder: &Folder, threads: usize) -> Vec<Outcome> {
        let next = AtomicUsize::new(0);
        let work = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("the system gives a thread what it waits with");
            let mut outcomes = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(vector) = folder.vectors.get(index) else {
                    return outcomes;
                };
                outcomes.push((index, runtime.block_on(self.outcome(folder, vector))));
            }
        };
        let mut outcomes: Vec<(usize, Outcome)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("no operation panics"))
                .collect()
        });
        outcomes.sort_by_key(|(index, _)| *index);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    async fn outcome(&self, folder: &Folder, vector: &Vector) -> Outcome {
        match operations::carry_out(self, &folder.files, vector).await {
            Err(Trouble::Skipped(why)) => Outcome::Skipped(why),
            Err(Trouble::Broken(why)) => Outcome::Failed(vec![why]),
            Ok(actual) => match differences(&vector.output, &actual) {
                found if found.is_empty() => Outcome::Passed,
                found => Outcome::Failed(found),
            },
        }
    }
}
