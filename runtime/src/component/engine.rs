//! The one place where wasmtime is configured, with the reason for each setting beside it.

use super::limits::{LimitReached, Limits, Meter, Metered, TICK};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use wasmtime::component::ResourceTableError;
use wasmtime::{
    CallHook, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
    UpdateDeadline,
};

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the WebAssembly engine: {0}")]
pub struct EngineError(wasmtime::Error);

/// What an engine is made for. Code that was compiled for one is code for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineOptions {
    /// Bytes of stack that nested calls of a guest may use.
    pub stack: usize,
    /// How many instances to keep room for: with a pool an instance starts in microseconds, and address space is reserved. None: each
    /// instance is given memory as it comes, which suits a process that starts a few.
    pub pool: Option<u32>,
    /// What an instance may use that answers a scheduler.
    pub scheduling: Limits,
    /// What an instance may use that runs a task.
    pub execution: Limits,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self::FEW
    }
}

impl EngineOptions {
    /// For a process that starts a few instances.
    pub const FEW: Self = Self {
        stack: 512 << 10,
        pool: None,
        scheduling: Limits::SCHEDULING,
        execution: Limits::EXECUTION,
    };

    /// For a process that asks many questions, a few at a time.
    pub const SCHEDULER: Self = Self {
        pool: Some(64),
        ..Self::FEW
    };
}

/// wasmtime's engine and the clock that its epochs follow.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    ticker: Arc<Ticker>,
    options: EngineOptions,
}

impl Engine {
    /// An engine for a few instances, with the usual limits.
    pub fn new() -> Result<Self, EngineError> {
        Self::with(EngineOptions::default())
    }

    /// An engine with these options. Where a pool cannot be had (its address space is limited, e.g. by `ulimit -v`), it does without, and
    /// says so in the journal.
    pub fn with(mut options: EngineOptions) -> Result<Self, EngineError> {
        let mut config = config();
        // Deep recursion ends in a trap, well before the stack of the host's own calls does.
        config.max_wasm_stack(options.stack);
        config.async_stack_size(options.stack + (1536 << 10));
        let mut pooled = None;
        if let Some(instances) = options.pool {
            let mut config = config.clone();
            config.allocation_strategy(pool(instances, &options));
            match wasmtime::Engine::new(&config) {
                Ok(engine) => pooled = Some(engine),
                Err(error) => {
                    options.pool = None;
                    tracing::warn!(
                        "no pool for {instances} instances: {error:#}; each takes memory as it comes, which is slower"
                    );
                }
            }
        }
        let wasmtime = match pooled {
            Some(engine) => engine,
            None => wasmtime::Engine::new(&config).map_err(EngineError)?,
        };
        let ticker = Arc::new(Ticker::default());
        Ok(Self {
            wasmtime,
            ticker,
            options,
        })
    }

    /// What it was made for; without the pool that could not be had.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// wasmtime's own engine.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// A meter with these limits, for the state of one store.
    pub fn meter(&self, limits: &Limits) -> Meter {
        self.ticker.start(&self.wasmtime);
        Meter::new(limits, Running::new(&self.ticker))
    }

    /// A store whose instance is held to the limits of its meter.
    pub fn store<T: Metered + Send>(&self, mut state: T) -> Store<T> {
        let (transfer, handles) = state.meter().store_limits();
        let mut store = Store::new(&self.wasmtime, state);
        store.limiter(|state| state.meter());
        store.set_hostcall_fuel(transfer);
        store.set_max_component_handles(handles);
        store.set_epoch_deadline(1);
        // Only the guest's own time counts: the host may wait half an hour for a command. Yielding is the host's time, too.
        store.call_hook(|mut context, border| {
            let meter = context.data_mut().meter();
            match border {
                CallHook::CallingWasm | CallHook::ReturningFromHost => meter.enter_guest(),
                CallHook::ReturningFromWasm | CallHook::CallingHost => meter.leave_guest(),
            }
            Ok(())
        });
        store.epoch_deadline_callback(|mut context| {
            context.data_mut().meter().check_time()?;
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }
}

/// The configuration of every engine. A compiler's differs from it in nothing that its code depends on.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    #[cfg(feature = "compiler")]
    config.enable_compiler(false);
    // A guest that loops must be stopped; epochs cost 8-12 % where fuel costs 12-16 %.
    config.epoch_interruption(true);
    // What a trap in a guest says is for the task's author: function names are enough, lines would need debug information.
    config.wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    // So are the tables that lead from native code to places in a component, and to its frames from a debugger: a seventh of what is kept and
    // mapped of each.
    config.generate_address_map(false);
    config.native_unwind_info(false);
    // Task components use none of it; leaving it out keeps the surface small.
    config.wasm_memory64(false);
    config
}

/// Room for so many instances at a time, each as large as the limits let it become.
fn pool(instances: u32, options: &EngineOptions) -> InstanceAllocationStrategy {
    let (one, other) = (&options.scheduling, &options.execution);
    let mut pool = PoolingAllocationConfig::new();
    // A component of the Rust SDK has four core modules, one memory, two tables; those of interpreters have more than thirty modules. How
    // many one may have is for its meter to say, in words.
    pool.total_component_instances(instances)
        .total_core_instances(instances * 8)
        .max_core_instance_size(1 << 20)
        .max_component_instance_size(1 << 20)
        .total_memories(instances)
        .total_tables(instances * 4)
        .total_stacks(instances)
        .max_tables_per_module(Limits::TABLES as u32)
        .max_memories_per_module(Limits::MEMORIES as u32)
        .table_elements(one.table_elements.max(other.table_elements))
        .max_memory_size(one.memory.max(other.memory))
        // What an instance touched is wiped rather than unmapped and faulted in again. A value that covers stack and data of a guest only
        // in part would be worse than none: a task's are about 400 KiB.
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        // Where the kernel can tell which pages were touched (Linux 6.7), only those are wiped.
        .pagemap_scan(Enabled::Auto);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Raises the engine's epoch while some store may be running a guest, and sleeps otherwise, until one does.
#[derive(Default)]
struct Ticker {
    running: AtomicUsize,
    thread: OnceLock<std::thread::Thread>,
}

impl Ticker {
    /// Starts the thread that ticks, with the first instance.
    fn start(self: &Arc<Self>, engine: &wasmtime::Engine) {
        self.thread.get_or_init(|| {
            let engine = engine.weak();
            let ticker = Arc::downgrade(self);
            // A thread of its own: a task of the asynchronous runtime would stand still with the guest that it is to interrupt.
            let tick = move || {
                // Most processes that ask one question have their answer before the first tick.
                std::thread::sleep(TICK);
                while let (Some(ticker), Some(engine)) = (ticker.upgrade(), engine.upgrade()) {
                    engine.increment_epoch();
                    let idle = ticker.running.load(Ordering::Acquire) == 0;
                    // It might be the last one that holds them.
                    drop((ticker, engine));
                    match idle {
                        true => std::thread::park(),
                        false => std::thread::sleep(TICK),
                    }
                }
            };
            let started = std::thread::Builder::new()
                .name("epoch-ticker".to_owned())
                .stack_size(64 << 10)
                .spawn(tick);
            started
                .expect("the system can start a thread")
                .thread()
                .clone()
        });
    }

    /// Whoever is woken before he sleeps does not fall asleep.
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Drop for Ticker {
    /// The thread finds nothing left to tick for.
    fn drop(&mut self) {
        self.wake();
    }
}

/// Keeps the ticker awake for as long as it lives.
pub(super) struct Running(Arc<Ticker>);

impl Running {
    fn new(ticker: &Arc<Ticker>) -> Self {
        // Only the first one finds the ticker asleep.
        if ticker.running.fetch_add(1, Ordering::AcqRel) == 0 {
            ticker.wake();
        }
        Self(Arc::clone(ticker))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The limit that an error of wasmtime stands for, if it is one, in a store with these limits and so many bytes of stack.
pub(crate) fn limit_reached(
    error: &wasmtime::Error,
    limits: &Limits,
    stack: usize,
) -> Option<LimitReached> {
    if let Some(limit) = error.downcast_ref::<LimitReached>() {
        return Some(limit.clone());
    }
    let handles = LimitReached::Handles {
        allowed: limits.handles,
    };
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(handles);
    }
    if let Some(wasmtime::Trap::StackOverflow) = error.downcast_ref() {
        return Some(LimitReached::Stack { allowed: stack });
    }
    // These have no public type.
    let words = error.root_cause().to_string();
    if let Some(parts) = words.strip_prefix("resource limit exceeded: ") {
        return too_many(parts);
    }
    if words.contains("store handle limit exceeded") {
        return Some(handles);
    }
    words
        .contains("fuel allocated for hostcalls has been exhausted")
        .then_some(LimitReached::Transfer {
            allowed: limits.transfer,
        })
}

/// Which parts of a component are too many, in wasmtime's words.
fn too_many(parts: &str) -> Option<LimitReached> {
    let known = [
        ("instance ", "core instances", Limits::CORE_INSTANCES),
        ("memory ", "memories", Limits::MEMORIES),
        ("table ", "tables", Limits::TABLES),
    ];
    let mut known = known.into_iter();
    let (_, what, allowed) = known.find(|(word, ..)| parts.starts_with(word))?;
    Some(LimitReached::Parts { what, allowed })
}
