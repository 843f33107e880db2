//! Components that are put together so that each part is small: limits hold for all of them together.

use super::compiler::{Target, compile};
use super::native_code;
use super::{
    ComponentCache, Engine, EngineOptions, LimitReached, Limits, Meter, Metered, limit_reached,
};
use crate::testing::Journal;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wasmtime::component::Linker;

struct State(Meter);

impl Metered for State {
    fn meter(&mut self) -> &mut Meter {
        &mut self.0
    }
}

const LIMITS: Limits = Limits {
    memory: 4 << 20,
    table_elements: 1000,
    cpu: Duration::from_millis(200),
    ..Limits::SCHEDULING
};

/// Instantiates a component with these limits; the limit that it reaches, or how it ends otherwise.
async fn instantiate(text: &str, pool: Option<u32>) -> Result<(), String> {
    let options = EngineOptions {
        pool,
        ..EngineOptions::FEW
    };
    let engine = Engine::with(options).map_err(|error| error.to_string())?;
    assert_eq!(engine.options().pool, pool, "the pool can be had here");
    let bytes = wat::parse_str(text).map_err(|error| error.to_string())?;
    let code = compile(&bytes, Target::ThisMachine)?;
    let component =
        native_code::load(engine.wasmtime(), &code).map_err(|error| format!("{error:#}"))?;
    let mut store = engine.store(State(engine.meter(&LIMITS)));
    let linker = Linker::new(engine.wasmtime());
    let instance = linker.instantiate_async(&mut store, &component).await;
    let limit = |error| limit_reached(&error, &LIMITS, options.stack).ok_or(error);
    match instance.map_err(limit) {
        Ok(_) => Ok(()),
        Err(Ok(limit)) => Err(limit.to_string()),
        Err(Err(error)) => Err(format!("no limit: {error:#}")),
    }
}

/// With a pool and without.
async fn refused_for(text: &str, expected: &LimitReached) {
    for pool in [None, Some(64)] {
        let ended = instantiate(text, pool).await;
        assert_eq!(ended, Err(expected.to_string()), "pool: {pool:?}");
    }
}

/// A component of core modules, each of them several times.
fn component(modules: &[(&str, usize)]) -> String {
    let mut text = String::from("(component\n");
    for (number, (module, times)) in modules.iter().enumerate() {
        text.push_str(&format!("(core module $m{number} {module})\n"));
        let instance = format!("(core instance (instantiate $m{number}))\n");
        text.push_str(&instance.repeat(*times));
    }
    text + ")"
}

const MEMORY: LimitReached = LimitReached::Memory {
    wanted: 5 << 20,
    allowed: LIMITS.memory,
};

#[tokio::test]
async fn memories_count_together() {
    // A mebibyte each: four fit.
    assert_eq!(
        instantiate(&component(&[("(memory 16)", 4)]), None).await,
        Ok(())
    );
    refused_for(&component(&[("(memory 16)", 5)]), &MEMORY).await;
    let of_one_module = "(memory 16)".repeat(5);
    refused_for(&component(&[(of_one_module.as_str(), 1)]), &MEMORY).await;
    let growing = "(memory $a 1) (memory $b 1)
        (func $start (loop
            (drop (memory.grow $a (i32.const 1)))
            (drop (memory.grow $b (i32.const 1)))
            (br 0)))
        (start $start)";
    let limit = LimitReached::Memory {
        wanted: LIMITS.memory + (64 << 10),
        allowed: LIMITS.memory,
    };
    refused_for(&component(&[(growing, 1)]), &limit).await;
}

#[tokio::test]
async fn growth_beyond_a_maximum_is_the_components_own_affair_and_counts_nothing() {
    // It asks for more than its maximum again and again, then for what it may have.
    let patient = "(memory 1 16)
        (func $start (local $times i32)
            (loop
                (drop (memory.grow (i32.const 60)))
                (local.set $times (i32.add (local.get $times) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get $times) (i32.const 1000))))
            (if (i32.eq (memory.grow (i32.const 15)) (i32.const -1)) (then unreachable)))
        (start $start)";
    assert_eq!(instantiate(&component(&[(patient, 1)]), None).await, Ok(()));
}

#[tokio::test]
async fn tables_count_together() {
    let tables = component(&[("(table 400 funcref)", 2)]);
    assert_eq!(instantiate(&tables, None).await, Ok(()));
    let limit = LimitReached::Table {
        wanted: 1200,
        allowed: LIMITS.table_elements,
    };
    refused_for(&component(&[("(table 400 funcref)", 3)]), &limit).await;
    let growing = "(table $t 0 funcref)
        (func $start (loop
            (drop (table.grow $t (ref.null func) (i32.const 100)))
            (br 0)))
        (start $start)";
    let limit = LimitReached::Table {
        wanted: 1100,
        allowed: LIMITS.table_elements,
    };
    refused_for(&component(&[(growing, 1)]), &limit).await;
}

#[tokio::test]
async fn an_endless_start_ends() {
    let looping = "(func $start (loop (br 0))) (start $start)";
    let limit = LimitReached::Cpu(LIMITS.cpu);
    refused_for(&component(&[(looping, 1)]), &limit).await;
    // Also where the first one only is patient.
    let patient = "(func $start (local $times i32)
        (loop
            (local.set $times (i32.add (local.get $times) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $times) (i32.const 1000)))))
        (start $start)";
    refused_for(&component(&[(patient, 3), (looping, 1)]), &limit).await;
}

/// A busy machine must not eat an honest guest's time: the guest has a tenth of a processor here, and the time that it needs.
#[tokio::test]
async fn time_in_which_others_have_the_processor_is_not_the_guests() {
    let busy = "(func $start (local $times i64)
        (loop
            (local.set $times (i64.add (local.get $times) (i64.const 1)))
            (br_if 0 (i64.lt_u (local.get $times) (i64.const 30000000)))))
        (start $start)";
    let text = component(&[(busy, 1)]);
    let crowd = Crowd::on_one_processor(20);
    let begun = std::time::Instant::now();
    assert_eq!(instantiate(&text, None).await, Ok(()));
    let elapsed = begun.elapsed();
    drop(crowd);
    assert!(
        elapsed > LIMITS.cpu,
        "a limit by the clock would hold, too: {elapsed:?}"
    );
}

/// Threads that do nothing, on the processor that this thread may use.
struct Crowd(Arc<AtomicBool>, Vec<std::thread::JoinHandle<()>>);

impl Crowd {
    fn on_one_processor(size: usize) -> Self {
        let mut one = CpuSet::new();
        let mine = sched_getaffinity(Pid::from_raw(0)).expect("it can be asked");
        let place = (0..CpuSet::count()).find(|&place| mine.is_set(place) == Ok(true));
        one.set(place.expect("this runs somewhere"))
            .expect("a place");
        sched_setaffinity(Pid::from_raw(0), &one).expect("a part of what was allowed");
        let stop = Arc::new(AtomicBool::new(false));
        let idler = || {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        };
        let idlers = (0..size).map(|_| idler()).collect();
        Self(stop, idlers)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        for idler in self.1.drain(..) {
            idler.join().expect("it only idles");
        }
    }
}

#[tokio::test]
async fn recursion_in_a_start_ends_with_the_stack() {
    let diving = "(func $start (call $start)) (start $start)";
    let allowed = EngineOptions::FEW.stack;
    refused_for(&component(&[(diving, 1)]), &LimitReached::Stack { allowed }).await;
}

#[tokio::test]
async fn parts_are_counted() {
    let parts = |what, allowed| LimitReached::Parts { what, allowed };
    let memories = component(&[("(memory 0)", Limits::MEMORIES + 1)]);
    refused_for(&memories, &parts("memories", Limits::MEMORIES)).await;
    let many = "(table 0 funcref)".repeat(10);
    let tables = component(&[(many.as_str(), Limits::TABLES / 10 + 1)]);
    refused_for(&tables, &parts("tables", Limits::TABLES)).await;
    let instances = component(&[("(func)", Limits::CORE_INSTANCES + 1)]);
    let limit = parts("core instances", Limits::CORE_INSTANCES);
    refused_for(&instances, &limit).await;
}

#[tokio::test]
async fn a_pool_that_cannot_be_had_is_done_without() {
    // More address space than there is.
    let options = EngineOptions {
        pool: Some(1 << 20),
        ..EngineOptions::FEW
    };
    let journal = Journal::begin();
    let engine = Engine::with(options).expect("it does without");
    assert_eq!(engine.options().pool, None);
    let warnings = journal.warnings();
    assert!(
        matches!(&*warnings, [warning] if warning.contains("no pool for 1048576 instances")),
        "{warnings:?}"
    );
}

/// Threads of this process that tick.
fn tickers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names
        .filter(|name| name.trim_end() == "epoch-ticker")
        .count()
}

/// Waits until there are some, or none; whether that came.
fn tickers_become(some: bool) -> bool {
    // Others may be those of other tests, which end too.
    (0..3000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        (tickers() > 0) == some
    })
}

#[test]
fn the_clock_of_guests_ends_with_its_engine() {
    let engine = Engine::new().unwrap();
    let copy = engine.clone();
    drop(engine.meter(&LIMITS));
    drop(engine);
    assert!(tickers_become(true), "it is still needed");
    drop(copy);
    assert!(tickers_become(false), "it ticks for nobody");
}

/// Code with a right checksum that other settings have led to: it is noticed when it is loaded, and made anew.
#[test]
fn code_of_another_engine_is_stale_and_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (path, place) = (
        directory.path().join("a.wasm"),
        directory.path().join("cache"),
    );
    let bytes = wat::parse_str(component(&[("(memory 1)", 1)])).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let (cache, engine) = (ComponentCache::new(&place), Engine::new().unwrap());
    cache.load(&engine, &path).unwrap();
    let is_code = |path: &std::path::PathBuf| path.extension().is_some_and(|it| it == "cwasm");
    let files = std::fs::read_dir(&place).unwrap();
    let code = files.map(|it| it.unwrap().path()).find(is_code).unwrap();
    let ours = std::fs::read(&code).unwrap();

    let mut other = super::engine::config();
    other.enable_compiler(true).epoch_interruption(false);
    let other = wasmtime::Engine::new(&other).unwrap();
    let stale = other.precompile_component(&bytes).unwrap();
    super::code::store(&stale, &code, 0o600, None).unwrap();
    assert!(cache.load_compiled(&engine, &path).unwrap().is_none());
    cache.load(&engine, &path).unwrap();
    assert_eq!(std::fs::read(&code).unwrap(), ours);
    assert!(cache.load_compiled(&engine, &path).unwrap().is_some());
}

/// Nobody ever finds half of a file under its name: many load, compile and overwrite at once.
#[test]
fn whoever_loads_while_others_write_finds_whole_code() {
    let directory = tempfile::tempdir().unwrap();
    let (path, place) = (
        directory.path().join("a.wasm"),
        directory.path().join("cache"),
    );
    let bytes = wat::parse_str(component(&[("(memory 1)", 1)])).unwrap();
    std::fs::write(&path, bytes).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let engine = Engine::new().unwrap();
                for _ in 0..10 {
                    let cache = ComponentCache::new(&place);
                    cache.load(&engine, &path).unwrap();
                    let files = std::fs::read_dir(&place).unwrap().flatten();
                    let code = files
                        .map(|it| it.path())
                        .find(|it| it.extension().is_some_and(|it| it == "cwasm"));
                    // The next one compiles again.
                    let _ = code.map(std::fs::remove_file);
                }
            });
        }
    });
    let left: Vec<_> = std::fs::read_dir(&place)
        .unwrap()
        .flatten()
        .map(|it| it.file_name())
        .collect();
    let aside = |it: &&std::ffi::OsString| it.to_string_lossy().starts_with('.');
    assert_eq!(
        left.iter().find(aside),
        None,
        "nothing half-written is left"
    );
}
