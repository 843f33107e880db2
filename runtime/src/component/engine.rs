//! The one place where wasmtime is configured, with the reason for each setting beside it.

use super::limits::{LimitReached, Limits, Meter, Metered, TICK};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
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
        ticker.start(&wasmtime);
        Ok(Self { wasmtime, ticker })
    }

    /// wasmtime's own engine.
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// A meter with these limits, for the state of one store.
    pub fn meter(&self, limits: &Limits) -> Meter {
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

fn config() -> Config {
    let mut config = Config::new();
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
    running: Mutex<usize>,
    changed: Condvar,
}

impl Ticker {
    fn start(self: &Arc<Self>, engine: &wasmtime::Engine) {
        let engine = engine.weak();
        let ticker = Arc::downgrade(self);
        // A thread of its own: a task of the asynchronous runtime would stand still with the guest that it is to interrupt.
        let tick = move || {
            while let (Some(ticker), Some(engine)) = (ticker.upgrade(), engine.upgrade()) {
                engine.increment_epoch();
                drop(engine);
                ticker.wait();
                drop(ticker);
                std::thread::sleep(TICK);
            }
        };
        std::thread::Builder::new()
            .name("epoch-ticker".to_owned())
            .spawn(tick)
            .expect("the system can start a thread");
    }

    /// Waits until a store exists, or a second to see whether the engine still does.
    fn wait(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running == 0 {
            let _ = self.changed.wait_timeout(running, Duration::from_secs(1));
        }
    }
}

/// Keeps the ticker awake for as long as it lives.
pub(super) struct Running(Arc<Ticker>);

impl Running {
    fn new(ticker: &Arc<Ticker>) -> Self {
        let mut running = ticker
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        ticker.changed.notify_all();
        drop(running);
        Self(Arc::clone(ticker))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= 1;
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
