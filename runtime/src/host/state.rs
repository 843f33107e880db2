//! What one component instance holds: its handles, its limits, and the powers of the run it belongs to.

use super::bindings::debusine::task::types;
use super::files::OpenFile;
use super::journal::Journal;
use super::{Downloads, Executors, Facts, Fault, TaskLogs};
use crate::artifacts::{ArtifactId, ArtifactStore, TaskDatabase};
use crate::component::{Engine, Limits, Meter, Metered};
use crate::executor::{Abort, Commands, ExecutorError, Instance};
use nix::sys::resource::{Resource, getrlimit};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

/// The data of a component's store.
pub struct HostState {
    pub(super) table: ResourceTable,
    pub(super) facts: Arc<dyn Facts>,
    pub(super) database: Option<Arc<dyn TaskDatabase>>,
    pub(super) powers: Option<Powers>,
    pub(super) journal: Journal,
    /// Made when a component asks for it.
    pub(super) wasi: Option<Box<WasiCtx>>,
    /// What the component said last in this call, as an error.
    pub(super) last_words: Option<String>,
    /// Descriptors that are open because the component asked for them, and how many may be.
    pub(super) open_files: OpenFile,
    pub(super) most_open_files: usize,
    meter: Meter,
}

/// What a run may do: each handle is a power. A component that is only asked for scheduling has none of them.
#[derive(Clone)]
pub struct Powers {
    /// Number of the work request; uploads carry it.
    pub work_request: Option<u64>,
    /// Workspace of the work request; uploads go there.
    pub workspace: Option<String>,
    /// Runs commands on the host.
    pub commands: Arc<dyn Commands>,
    /// Starts instances of environments.
    pub executors: Arc<dyn Executors>,
    /// Artifacts in and out.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// Fetches by URL.
    pub downloads: Arc<dyn Downloads>,
    /// The task's log files.
    pub logs: Arc<TaskLogs>,
    /// Cancelled to abort the run.
    pub abort: Abort,
    /// What the run has taken in and started so far.
    pub record: Arc<RunRecord>,
}

/// What a run has done so far, for whoever must report it or clean up after it.
#[derive(Default)]
pub struct RunRecord {
    fetched: Mutex<Vec<ArtifactId>>,
    instances: Mutex<Vec<Weak<dyn Instance>>>,
}

impl Powers {
    /// Artifacts fetched so far, in order, with repetitions.
    pub fn fetched(&self) -> Vec<ArtifactId> {
        locked(&self.record.fetched).clone()
    }

    pub(super) fn record_fetch(&self, id: ArtifactId) {
        locked(&self.record.fetched).push(id);
    }

    pub(super) fn register(&self, instance: &Arc<dyn Instance>) {
        locked(&self.record.instances).push(Arc::downgrade(instance));
    }

    /// Ends every instance that is still there; true if there was one.
    pub async fn stop_instances(&self) -> Result<bool, ExecutorError> {
        let instances = std::mem::take(&mut *locked(&self.record.instances));
        let mut stopped = false;
        for instance in instances.iter().filter_map(Weak::upgrade) {
            instance.stop().await?;
            stopped = true;
        }
        Ok(stopped)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostState {
    /// State for scheduling calls; with a database also for `compute-dynamic-data`.
    pub fn new(engine: &Engine, limits: &Limits, facts: Arc<dyn Facts>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        Self {
            table,
            facts,
            database: None,
            powers: None,
            journal: Journal::default(),
            wasi: None,
            last_words: None,
            open_files: OpenFile::default(),
            most_open_files: 0,
            meter: engine.meter(limits),
        }
    }

    /// The same without its powers and look-ups, for a question to the component before anything else.
    pub(super) fn powerless(&mut self, engine: &Engine) -> Self {
        let mut state = Self::new(engine, self.meter.limits(), Arc::clone(&self.facts));
        if let Some(abort) = self.meter.abort() {
            state.meter.heed(abort);
        }
        state
    }

    /// Adds the database that look-ups ask.
    pub fn with_database(mut self, database: Arc<dyn TaskDatabase>) -> Self {
        self.database = Some(database);
        self
    }

    /// Adds the powers of a run.
    pub fn with_powers(mut self, powers: Powers) -> Self {
        self.meter.heed(powers.abort.clone());
        self.most_open_files = self.meter.limits().handles.min(share_of_descriptors());
        self.powers = Some(powers);
        self
    }

    /// The powers of the run. An instance without one is linked so that nobody asks.
    pub(super) fn powers(&self) -> wasmtime::Result<&Powers> {
        self.powers
            .as_ref()
            .ok_or_else(|| wasmtime::format_err!("execution is not granted to this instance"))
    }
}

/// The part of this process's descriptors that one component may hold.
fn share_of_descriptors() -> usize {
    // Where that cannot be asked, the least that systems have.
    let (all, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
    usize::try_from(all / 4).unwrap_or(usize::MAX)
}

impl HostState {
    /// Cancelled to abort the run.
    pub(super) fn abort(&self) -> wasmtime::Result<&Abort> {
        Ok(&self.powers()?.abort)
    }
}

impl Metered for HostState {
    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }
}

impl types::Host for HostState {
    fn convert_failure(&mut self, fault: Fault) -> wasmtime::Result<types::Failure> {
        match fault {
            Fault::Failure(failure) => Ok(failure),
            Fault::Trap(error) => Err(error),
        }
    }
}
