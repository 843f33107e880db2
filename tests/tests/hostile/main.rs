//! Components that attack: each attack ends in its own typed error within its limit, and the next task runs.

mod exports;
mod limits;
mod powers;
mod runs;

use anyhow::Result;
use serde_json::json;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use task_runtime::component::{ComponentCache, LimitReached, Limits};
use task_runtime::executor::{Abort, supervisor_main_if_called};
use task_runtime::host::bindings::debusine::task::commands::Exit as WitExit;
use task_runtime::host::capabilities::Policy;
use task_runtime::host::files::DirectoryHandle;
use task_runtime::host::{
    CallError, CallErrorReason, Facts, HostState, Purpose, TaskComponent, TaskInstance, Workspace,
};
use task_runtime::lifecycle::{Observer, RunRequest, Silent, Stage, Verdict};
use task_runtime_tests::fixtures::{Bench, Report};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

/// Commands of the attacks are run by this program, as by a worker.
#[ctor::ctor(unsafe)]
fn tests_can_be_helpers() {
    supervisor_main_if_called();
}

/// A machine that tells the guest where and how to attack: `EXPORT:ATTACK`.
struct Order(String);

/// How long this machine looks for the program `slow`: longer than an epoch.
const SLOW: Duration = Duration::from_millis(25);

impl Facts for Order {
    fn command_available(&self, name: &str) -> bool {
        if name == "slow" {
            std::thread::sleep(SLOW);
        }
        false
    }

    fn architecture(&self) -> Option<String> {
        Some("amd64".to_owned())
    }

    fn environment_variable(&self, name: &str) -> Option<String> {
        (name == "DEB_BUILD_OPTIONS").then(|| self.0.clone())
    }

    fn has_resolv_conf(&self) -> bool {
        false
    }
}

/// Enough time for everything that has an end, also on a busy machine.
const LIMITS: Limits = Limits {
    cpu: Duration::from_secs(60),
    wall: Some(Duration::from_secs(120)),
    ..Limits::SCHEDULING
};

/// For what has none.
const BRIEFLY: Limits = Limits {
    cpu: Duration::from_millis(500),
    ..LIMITS
};

async fn instance(bench: &Bench, order: &str) -> Result<TaskInstance, CallError> {
    limited(bench, order, &LIMITS).await
}

async fn limited(bench: &Bench, order: &str, limits: &Limits) -> Result<TaskInstance, CallError> {
    let runner = &bench.runner;
    let loaded = bench.load("hostile").expect("it is built: make guests");
    let component = TaskComponent::new(
        &runner.engine,
        &runner.linkers,
        &loaded,
        Purpose::Scheduling,
    )?;
    let facts = Arc::new(Order(order.to_owned()));
    let state = HostState::new(&runner.engine, limits, facts);
    component.instantiate(state).await
}

/// A configured task that is held to these limits.
async fn configured(bench: &Bench, order: &str, limits: &Limits) -> Result<TaskInstance> {
    let mut task = limited(bench, order, limits).await?;
    let configured = task.configure(&json!({}), None, None).await?;
    configured.expect("it takes any data");
    Ok(task)
}

/// Every export that a scheduler calls, one after the other, until one does not come back.
async fn ask_everything(bench: &Bench, order: &str) -> Result<(), CallError> {
    ask_everything_within(&LIMITS, bench, order).await
}

/// The same within these limits.
async fn ask_everything_within(
    limits: &Limits,
    bench: &Bench,
    order: &str,
) -> Result<(), CallError> {
    let mut task = limited(bench, order, limits).await?;
    task.describe().await?;
    task.analyze_worker().await?;
    let configured = task.configure(&json!({}), None, None).await?;
    configured.expect("it takes any data");
    task.data().await?;
    task.dynamic_data().await?;
    task.label().await?;
    task.host_architecture().await?;
    task.can_run_on(&"{}".to_owned()).await?;
    let workers = task.prepare_workers(&["{}".to_owned()]).await?;
    task.add_workers(workers, &["{}".to_owned()]).await?;
    task.can_run_on_each(workers).await?;
    task.compute_dynamic_data()
        .await?
        .expect("it computes something");
    task.source_artifact_ids().await?;
    Ok(())
}

const EXPORTS: [&str; 13] = [
    "describe",
    "analyze-worker",
    "configure",
    "data",
    "dynamic-data",
    "label",
    "host-architecture",
    "can-run-on",
    "workers",
    "add",
    "can-run-on-each",
    "compute-dynamic-data",
    "source-artifact-ids",
];

/// The error of an attack in one export; it names task and call.
async fn attacked(bench: &Bench, export: &str, attack: &str) -> CallErrorReason {
    attacked_within(&LIMITS, bench, export, attack).await
}

/// The same within these limits.
async fn attacked_within(
    limits: &Limits,
    bench: &Bench,
    export: &str,
    attack: &str,
) -> CallErrorReason {
    let order = format!("{export}:{attack}");
    let error = ask_everything_within(limits, bench, &order).await;
    let error = error.expect_err(attack);
    assert_eq!((error.task.as_str(), error.call), ("hostile", export));
    let words = error.to_string();
    assert!(
        words.starts_with(&format!("task hostile: {export}: ")),
        "{words}"
    );
    error.reason
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

#[tokio::test]
async fn an_honest_component_is_not_harmed() -> Result<()> {
    ask_everything(&Bench::new()?, "").await?;
    Ok(())
}

/// A run of the hostile task, with little room for logs.
async fn run(order: &str) -> Result<Report> {
    let mut bench = Bench::new()?;
    bench.runner.facts = Arc::new(Order(order.to_owned()));
    bench.runner.options.log_size = 8 << 20;
    bench.runner.options.limits = Limits {
        cpu: Duration::from_secs(1),
        memory: 32 << 20,
        ..Limits::EXECUTION
    };
    let report = bench
        .run("hostile", json!({}), json!({}), &Abort::new())
        .await?;
    assert!(
        report.left.is_empty(),
        "{order}: left behind: {:?}",
        report.left
    );
    bench.runner.facts = Arc::new(Order(String::new()));
    let next = bench
        .run("hostile", json!({}), json!({}), &Abort::new())
        .await?;
    assert_eq!(next.result?.verdict, Verdict::Success, "after {order}");
    Ok(report)
}

fn log_of(report: &Report) -> String {
    report.logs.values().cloned().collect::<Vec<_>>().join("\n")
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
