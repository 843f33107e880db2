//! What one component instance may use, and how a limit that it reaches is told.

use super::engine::Running;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use wasmtime::ResourceLimiter;

/// How often the engine looks whether a guest has used up its time.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Guest time that a call has left once the run is aborted: to notice, and to say something.
const AFTER_ABORT: Duration = Duration::from_secs(1);

/// Limits of one instance.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of linear memory.
    pub memory: usize,
    /// Elements of tables.
    pub table_elements: usize,
    /// Handles held at one time: the host's (directories, files, instances…), and likewise the component's own.
    pub handles: usize,
    /// Bytes that one call may pass from the guest to the host: arguments of a host call, the answer of an export.
    pub transfer: usize,
    /// Time that guest code may take in one call. Time in host calls does not count.
    pub cpu: Duration,
    /// Time that one call may take in all, with everything that it waits for; none where a build may take its days.
    pub wall: Option<Duration>,
}

impl Limits {
    /// For answers that a scheduler waits for.
    pub const SCHEDULING: Self = Self {
        memory: 64 << 20,
        table_elements: 20_000,
        handles: 10_000,
        transfer: 16 << 20,
        cpu: Duration::from_secs(5),
        wall: Some(Duration::from_secs(60)),
    };

    /// For a run, where a guest reads logs and archives.
    pub const EXECUTION: Self = Self {
        memory: 256 << 20,
        table_elements: 20_000,
        handles: 10_000,
        transfer: 64 << 20,
        cpu: Duration::from_secs(300),
        wall: None,
    };
}

/// A limit that an instance has reached. The instance is ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// It wanted more memory.
    #[error("it wants {wanted} bytes of memory where {allowed} are allowed")]
    Memory {
        /// Bytes it wanted to have in all.
        wanted: usize,
        /// Bytes it may have.
        allowed: usize,
    },
    /// It wanted a larger table.
    #[error("it wants a table of {wanted} elements where {allowed} are allowed")]
    Table {
        /// Elements it wanted to have in all.
        wanted: usize,
        /// Elements it may have.
        allowed: usize,
    },
    /// It computed for too long without an answer.
    #[error("it has computed for {0:?} without an answer")]
    Cpu(Duration),
    /// It waited for too long.
    #[error("it has not answered for {0:?}")]
    Wall(Duration),
    /// It held too many handles.
    #[error("it holds as many handles as are allowed")]
    Handles,
    /// It passed too much to the host in one call.
    #[error("it passes more data to the host than one call may")]
    Transfer,
    /// It called itself too deeply.
    #[error("it has used up its stack: calls go too deep")]
    Stack,
}

/// The run was aborted, and the guest did not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task was aborted")]
pub struct Aborted;

/// Measures one instance against its limits.
pub struct Meter {
    limits: Limits,
    ticks_left: u32,
    abort: Option<CancellationToken>,
    _running: Running,
}

/// State of a store that has a meter.
pub trait Metered: 'static {
    /// The meter.
    fn meter(&mut self) -> &mut Meter;
}

impl Meter {
    pub(super) fn new(limits: &Limits, running: Running) -> Self {
        let mut meter = Self {
            limits: limits.clone(),
            ticks_left: 0,
            abort: None,
            _running: running,
        };
        meter.begin_call();
        meter
    }

    /// Gives the next call its full time.
    pub fn begin_call(&mut self) {
        self.ticks_left = ticks(self.limits.cpu);
    }

    /// Ends computations soon after this token is cancelled.
    pub fn heed(&mut self, abort: CancellationToken) {
        self.abort = Some(abort);
    }

    /// The token that ends computations.
    pub fn abort(&self) -> Option<CancellationToken> {
        self.abort.clone()
    }

    /// How long the call may take in all.
    pub fn wall(&self) -> Option<Duration> {
        self.limits.wall
    }

    /// Bytes that a call may pass to the host, and handles of the component's own.
    pub(super) fn store_limits(&self) -> (usize, usize) {
        (self.limits.transfer, self.limits.handles)
    }

    pub(super) fn spend_tick(&mut self) -> wasmtime::Result<()> {
        let abort = self.abort.as_ref();
        let aborted = abort.is_some_and(CancellationToken::is_cancelled);
        if aborted {
            self.ticks_left = self.ticks_left.min(ticks(AFTER_ABORT));
        }
        self.ticks_left = match (self.ticks_left.checked_sub(1), aborted) {
            (Some(left), _) => left,
            (None, true) => return Err(Aborted.into()),
            (None, false) => return Err(LimitReached::Cpu(self.limits.cpu).into()),
        };
        Ok(())
    }
}

fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        _current: usize,
        wanted: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if wanted > self.limits.memory {
            let allowed = self.limits.memory;
            return Err(LimitReached::Memory { wanted, allowed }.into());
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        wanted: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if wanted > self.limits.table_elements {
            let allowed = self.limits.table_elements;
            return Err(LimitReached::Table { wanted, allowed }.into());
        }
        Ok(true)
    }
}
