//! What one component instance may use, and how a limit that it reaches is told.

use super::engine::Running;
use nix::time::ClockId;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use wasmtime::ResourceLimiter;

/// How often the engine looks whether a guest has used up its time.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Guest time that a call has left once the run is aborted: to notice, and to say something.
const AFTER_ABORT: Duration = Duration::from_secs(1);

/// Limits of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all its linear memories together.
    pub memory: usize,
    /// Elements of all its tables together.
    pub table_elements: usize,
    /// Handles held at one time: the host's (directories, files, instances…), and likewise the component's own.
    pub handles: usize,
    /// Bytes that one call may pass from the guest to the host: arguments of a host call, the answer of an export.
    pub transfer: usize,
    /// Processor time that guest code may take in one call. Neither time in host calls counts, nor time in which others have the processor.
    pub cpu: Duration,
    /// Time that one call may take in all, with everything that it waits for; none where a build may take its days.
    pub wall: Option<Duration>,
}

impl Limits {
    /// Core modules that a component may put together; those of interpreters have more than thirty.
    pub const CORE_INSTANCES: usize = 100;

    /// Linear memories in them; components of today's toolchains have one, or two.
    pub const MEMORIES: usize = 16;

    /// Tables in them; linkers of components add one to each group of imports.
    pub const TABLES: usize = 100;

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
    /// It wanted larger tables.
    #[error("it wants tables of {wanted} elements where {allowed} are allowed")]
    Table {
        /// Elements it wanted to have in all.
        wanted: usize,
        /// Elements it may have.
        allowed: usize,
    },
    /// It is put together from too many parts.
    #[error("it has more than the {allowed} {what} that are allowed")]
    Parts {
        /// Which: core instances, memories or tables.
        what: &'static str,
        /// How many it may have.
        allowed: usize,
    },
    /// It computed for too long without an answer.
    #[error("it has computed for {0:?} without an answer")]
    Cpu(Duration),
    /// It waited for too long.
    #[error("it has not answered for {0:?}")]
    Wall(Duration),
    /// It held too many handles.
    #[error("it holds all the {allowed} handles that are allowed")]
    Handles {
        /// How many it may hold, of the host's and likewise of its own.
        allowed: usize,
    },
    /// It held too many open files and directories: a descriptor of this process stands behind each of them.
    #[error(
        "it holds {allowed} open files and directories, which is all that are allowed; `ulimit -n` of this process is four times as much"
    )]
    OpenFiles {
        /// How many it may hold.
        allowed: usize,
    },
    /// It passed too much to the host in one call.
    #[error("it passes more data to the host than the {allowed} bytes that one call may")]
    Transfer {
        /// Bytes that one call may pass.
        allowed: usize,
    },
    /// It called itself too deeply.
    #[error("it has used up its stack of {allowed} bytes: calls go too deep")]
    Stack {
        /// Bytes of stack.
        allowed: usize,
    },
}

/// The run was aborted, and the guest did not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task was aborted")]
pub struct Aborted;

/// Measures one instance against its limits.
pub struct Meter {
    limits: Limits,
    memory: Sum,
    tables: Sum,
    /// Guest time of this call.
    spent: Duration,
    /// When guest code last began to run; none while the host does something.
    since: Option<Since>,
    /// Whether this call has gone on for a tick, so that its processor time is worth asking for.
    is_long: bool,
    /// Guest time that this call may take.
    budget: Duration,
    abort: Option<CancellationToken>,
    _running: Running,
}

/// When guest code began to run.
enum Since {
    /// By the clock: most calls end within microseconds, in which asking the kernel would be a good part.
    Clock(Instant),
    /// By the processor time of this thread. Between host calls a guest stays in one.
    Processor(Duration),
}

impl Since {
    fn elapsed(&self) -> Duration {
        match self {
            // What took longer was asked for at a tick, or waited for the processor.
            Self::Clock(since) => since.elapsed().min(2 * TICK),
            Self::Processor(since) => processor_time().saturating_sub(*since),
        }
    }
}

/// Processor time of this thread.
fn processor_time() -> Duration {
    let now = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    Duration::from(now.expect("every thread has such a clock"))
}

/// What all memories of an instance, or all its tables, have together.
#[derive(Default)]
struct Sum(usize);

impl Sum {
    /// Whether one of them can grow: not beyond its own maximum. An error with the sum that was wanted, if that is more than is allowed.
    ///
    /// Growth that the system then cannot give stays counted: a failure is also told of growth that was never asked about, so that taking
    /// back what was counted last would let a guest count itself small.
    fn grow(
        &mut self,
        from: usize,
        to: usize,
        maximum: Option<usize>,
        allowed: usize,
    ) -> Result<bool, usize> {
        if maximum.is_some_and(|maximum| to > maximum) {
            return Ok(false);
        }
        let wanted = self.0.saturating_add(to.saturating_sub(from));
        if wanted > allowed {
            return Err(wanted);
        }
        self.0 = wanted;
        Ok(true)
    }
}

/// State of a store that has a meter.
pub trait Metered: 'static {
    /// The meter.
    fn meter(&mut self) -> &mut Meter;
}

impl Meter {
    pub(super) fn new(limits: &Limits, running: Running) -> Self {
        Self {
            limits: *limits,
            memory: Sum::default(),
            tables: Sum::default(),
            spent: Duration::ZERO,
            since: None,
            is_long: false,
            budget: limits.cpu,
            abort: None,
            _running: running,
        }
    }

    /// Gives the next call its full time.
    pub fn begin_call(&mut self) {
        self.spent = Duration::ZERO;
        self.since = None;
        self.is_long = false;
        self.budget = self.limits.cpu;
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
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

    /// Guest code begins to run, or goes on after the host has done something for it.
    pub(super) fn enter_guest(&mut self) {
        self.since = Some(match self.is_long {
            false => Since::Clock(Instant::now()),
            true => Since::Processor(processor_time()),
        });
    }

    /// The host does something for it, or has its answer.
    pub(super) fn leave_guest(&mut self) {
        if let Some(since) = self.since.take() {
            self.spent += since.elapsed();
        }
    }

    /// An error once the call has used up its time. It is asked at each tick, in the host.
    pub(super) fn check_time(&mut self) -> wasmtime::Result<()> {
        self.is_long = true;
        let abort = self.abort.as_ref();
        let aborted = abort.is_some_and(CancellationToken::is_cancelled);
        if aborted {
            self.budget = self.budget.min(self.spent + AFTER_ABORT);
        }
        match (self.spent < self.budget, aborted) {
            (true, _) => Ok(()),
            (false, true) => Err(Aborted.into()),
            (false, false) => Err(LimitReached::Cpu(self.limits.cpu).into()),
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        wanted: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = self.limits.memory;
        let grown = self.memory.grow(current, wanted, maximum, allowed);
        grown.map_err(|wanted| LimitReached::Memory { wanted, allowed }.into())
    }

    fn table_growing(
        &mut self,
        current: usize,
        wanted: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = self.limits.table_elements;
        let grown = self.tables.grow(current, wanted, maximum, allowed);
        grown.map_err(|wanted| LimitReached::Table { wanted, allowed }.into())
    }

    fn instances(&self) -> usize {
        Limits::CORE_INSTANCES
    }

    fn memories(&self) -> usize {
        Limits::MEMORIES
    }

    fn tables(&self) -> usize {
        Limits::TABLES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together_and_none_outgrows_its_maximum() {
        let mut sum = Sum::default();
        assert_eq!(sum.grow(0, 60, None, 100), Ok(true));
        assert_eq!(sum.grow(0, 60, None, 100), Err(120), "another memory");
        assert_eq!(sum.grow(60, 80, Some(70), 100), Ok(false));
        assert_eq!(sum.grow(0, 40, None, 100), Ok(true), "and no more");
        assert_eq!(sum.grow(40, 41, None, 100), Err(101));
    }
}
