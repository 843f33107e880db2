//! The one place where wasmtime is configured, with the reason for each setting beside it.

use super::limits::{LimitReached, Limits, Meter, Metered, TICK};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use wasmtime::{Config, Store, UpdateDeadline};

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the WebAssembly engine: {0}")]
pub struct EngineError(wasmtime::Error);

/// wasmtime's engine and the clock that its epochs follow.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    ticker: Arc<Ticker>,
}

impl Engine {
    /// The engine that every binary, test and benchmark uses: what one precompiled, the others load.
    pub fn new() -> Result<Self, EngineError> {
        let wasmtime = wasmtime::Engine::new(&config()).map_err(EngineError)?;
        let ticker = Arc::new(Ticker::default());
        Ok(Self { wasmtime, ticker })
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
    pub fn store<T: Metered + Send>(&self, state: T) -> Store<T> {
        let mut store = Store::new(&self.wasmtime, state);
        store.limiter(|state| state.meter());
        store.set_epoch_deadline(1);
        // Only guest code notices epochs, so each call-back stands for one tick of guest time: host calls are free.
        store.epoch_deadline_callback(|mut context| {
            context.data_mut().meter().spend_tick()?;
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
    // Task components use none of it; leaving it out keeps the surface small.
    config.wasm_memory64(false);
    // Deep recursion ends in a trap, well before the host's own stack does.
    config.max_wasm_stack(512 << 10);
    config.async_stack_size(2 << 20);
    config
}

/// Raises the engine's epoch while some store may be running a guest, and sleeps otherwise.
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
                    drop((ticker, engine));
                    match idle {
                        // Not for ever: the engine may be dropped meanwhile.
                        true => std::thread::park_timeout(Duration::from_secs(1)),
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
}

/// Keeps the ticker awake for as long as it lives.
pub(super) struct Running(Arc<Ticker>);

impl Running {
    fn new(ticker: &Arc<Ticker>) -> Self {
        // Only the first one finds the ticker asleep.
        if ticker.running.fetch_add(1, Ordering::AcqRel) == 0
            && let Some(thread) = ticker.thread.get()
        {
            thread.unpark();
        }
        Self(Arc::clone(ticker))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The limit that an error of wasmtime stands for, if it is one.
pub(crate) fn limit_reached(error: &wasmtime::Error) -> Option<LimitReached> {
    if let Some(limit) = error.downcast_ref::<LimitReached>() {
        return Some(limit.clone());
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::StackOverflow) => Some(LimitReached::Stack),
        _ => None,
    }
}
