//! WASI 0.2 for components of other toolchains, where the operator allows it: all of its functions are there, and nothing is behind them.
//!
//! No argument, variable, file or address; streams that are at their end; clocks that stand still; random numbers that are always the same.
//! So the answers to a scheduler stay pure.

use super::HostState;
use std::time::Duration;
use wasmtime::component::Linker;
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

/// The packages of it that are offered.
const PACKAGES: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Whether an import, e.g. `wasi:cli/environment@0.2.0`, is one of these.
pub fn is_offered(import: &str) -> bool {
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    PACKAGES.iter().any(|package| path.starts_with(package)) && version.starts_with("0.2.")
}

/// Links all of it.
pub fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(|| Box::new(empty())),
            table: &mut self.table,
        }
    }
}

fn empty() -> WasiCtx {
    WasiCtx::builder()
        .secure_random(Deterministic::new(vec![0]))
        .insecure_random(Deterministic::new(vec![0]))
        .insecure_random_seed(0)
        .wall_clock(Still)
        .monotonic_clock(Still)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

/// A clock that stands still.
struct Still;

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use super::*;
    use crate::component::{ComponentCache, Engine, Limits};
    use crate::host::capabilities::Policy;
    use crate::host::{HostState, Linkers, Machine, Purpose};
    use std::sync::Arc;

    /// A component that traps while it starts, unless clocks stand still and random numbers repeat.
    const ASKING: &str = r#"(component
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))
        (import "wasi:random/random@0.2.3" (instance $random (export "get-random-u64" (func (result u64)))))
        (core func $now (canon lower (func $clock "now")))
        (core func $random (canon lower (func $random "get-random-u64")))
        (core module $m
            (import "w" "now" (func $now (result i64)))
            (import "w" "random" (func $random (result i64)))
            (func $start
                (if (i64.ne (call $now) (i64.const 0)) (then unreachable))
                (if (i64.ne (call $random) (call $random)) (then unreachable)))
            (start $start))
        (core instance (instantiate $m (with "w" (instance
            (export "now" (func $now))
            (export "random" (func $random))))))
    )"#;

    /// Starts it for a scheduler's questions, under a policy.
    async fn started(policy: &str) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let (path, rules) = (
            directory.path().join("asking.wasm"),
            directory.path().join("policy"),
        );
        std::fs::write(&path, wat::parse_str(ASKING).unwrap()).unwrap();
        std::fs::write(&rules, policy).unwrap();
        let engine = Engine::new().unwrap();
        let loaded = ComponentCache::none().load(&engine, &path).unwrap();
        let policy = Arc::new(Policy::read(&rules).unwrap());
        let linkers = Linkers::new(&engine).unwrap().with_policy(policy);
        let resolved = linkers.resolve(&loaded, Purpose::Scheduling, None);
        let resolved = resolved.map_err(|error| format!("{error:#}"))?;
        let facts = Arc::new(Machine::default());
        let mut store = engine.store(HostState::new(&engine, &Limits::SCHEDULING, facts));
        let instance = resolved.instantiate_async(&mut store).await;
        instance.map(drop).map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn a_component_that_is_allowed_wasi_gets_an_empty_one_for_a_scheduler_too() {
        assert_eq!(started("allow asking wasi").await, Ok(()));
        for policy in ["allow * *", "allow another wasi", ""] {
            let refused = started(policy).await.unwrap_err();
            assert!(
                refused.contains("wasi:clocks/monotonic-clock@0.2.0")
                    && refused.contains("`allow TASK wasi`"),
                "{policy}: {refused}"
            );
        }
    }

    #[test]
    fn other_interfaces_and_versions_of_wasi_are_not_offered() {
        assert!(is_offered("wasi:cli/environment@0.2.9"));
        for name in [
            "wasi:cli/environment@0.3.0",
            "wasi:http/types@0.2.0",
            "wasi:cli/run",
        ] {
            assert!(!is_offered(name), "{name}");
        }
    }
}
