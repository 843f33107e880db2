//! Components that attack: each attack ends in its own typed error within its limit, and the next task runs.

use anyhow::Result;
use serde_json::json;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use task_runtime::component::{LimitReached, Limits};
use task_runtime::executor::{Abort, supervisor_main_if_called};
use task_runtime::host::bindings::debusine::task::commands::Exit as WitExit;
use task_runtime::host::capabilities::Policy;
use task_runtime::host::files::DirectoryHandle;
use task_runtime::host::{
    CallError, CallErrorReason, Facts, HostState, Purpose, TaskComponent, TaskInstance, Workspace,
};
use task_runtime::lifecycle::Verdict;
use task_runtime_tests::fixtures::{Bench, Report};

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

#[tokio::test]
async fn an_endless_loop_ends_in_every_export() -> Result<()> {
    let bench = Bench::new()?;
    for export in EXPORTS {
        let reason = attacked_within(&BRIEFLY, &bench, export, "loop").await;
        assert!(
            matches!(reason, CallErrorReason::Limit(LimitReached::Cpu(_))),
            "{export}: {reason}"
        );
    }
    ask_everything(&bench, "").await?;
    Ok(())
}

#[tokio::test]
async fn each_hoard_reaches_its_own_limit_and_memory_returns() -> Result<()> {
    let bench = Bench::new()?;
    ask_everything(&bench, "").await?;
    let before = resident();
    for _ in 0..3 {
        let reason = attacked(&bench, "label", "memory").await;
        assert!(
            matches!(reason, CallErrorReason::Limit(LimitReached::Memory { .. })),
            "{reason}"
        );
        let reason = attacked(&bench, "label", "own-handles").await;
        assert!(
            matches!(reason, CallErrorReason::Limit(LimitReached::Handles { allowed }) if allowed == LIMITS.handles),
            "{reason}"
        );
        for attack in ["argument", "long"] {
            let reason = attacked(&bench, "label", attack).await;
            let expected = matches!(
                reason,
                CallErrorReason::Limit(LimitReached::Transfer { .. } | LimitReached::Memory { .. })
            );
            assert!(expected, "{attack}: {reason}");
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 48 << 20, "grown by {grown} bytes");
    ask_everything(&bench, "").await?;
    Ok(())
}

#[tokio::test]
async fn the_hosts_memory_returns_after_every_attack() -> Result<()> {
    let bench = Bench::new()?;
    let attacks = [
        "label:memory",
        "label:recursion",
        "label:own-handles",
        "label:argument",
        "label:long",
        "label:gigabyte",
        "label:not-utf8",
        "label:journal",
        "label:calls",
        "data:deep",
        "analyze-worker:foreign",
        "every:panic",
        "can-run-on:trap",
    ];
    let round = async || {
        for attack in attacks {
            let _ = ask_everything_within(&BRIEFLY, &bench, attack).await;
        }
    };
    round().await;
    let before = resident();
    for _ in 0..3 {
        round().await;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "grown by {grown} bytes");
    ask_everything(&bench, "").await?;
    Ok(())
}

#[tokio::test]
async fn the_hosts_time_is_not_the_guests() -> Result<()> {
    let bench = Bench::new()?;
    // The host takes three times what the guest may compute.
    assert!(SLOW * 60 >= BRIEFLY.cpu * 3);
    let mut task = configured(&bench, "label:slow-calls", &BRIEFLY).await?;
    task.label().await?;
    // And calls to the host are no way to hide one's own time.
    let reason = attacked_within(&BRIEFLY, &bench, "label", "busy-calls").await;
    assert!(
        matches!(reason, CallErrorReason::Limit(LimitReached::Cpu(limit)) if limit == BRIEFLY.cpu),
        "{reason}"
    );
    Ok(())
}

#[tokio::test]
async fn a_call_ends_with_its_deadline_whatever_time_it_has_computed() -> Result<()> {
    let bench = Bench::new()?;
    let limits = Limits {
        cpu: Duration::from_secs(3600),
        wall: Some(Duration::from_millis(300)),
        ..LIMITS
    };
    let mut task = configured(&bench, "label:loop", &limits).await?;
    let error = task.label().await.expect_err("it does not end");
    assert_eq!((error.task.as_str(), error.call), ("hostile", "label"));
    assert!(
        matches!(&error.reason, CallErrorReason::Limit(LimitReached::Wall(wall)) if Some(*wall) == limits.wall),
        "{error}"
    );
    assert!(task.has_ended());
    Ok(())
}

#[tokio::test]
async fn a_smaller_limit_is_reached_sooner() -> Result<()> {
    let bench = Bench::new()?;
    let limits = Limits {
        memory: 4 << 20,
        handles: 50,
        transfer: 1 << 20,
        ..LIMITS
    };
    for (attack, expected) in [
        ("memory", "where 4194304 are allowed"),
        ("own-handles", "all the 50 handles that are allowed"),
        ("argument", "than the 1048576 bytes that one call may"),
    ] {
        // What it wants to pass does not fit into its memory otherwise.
        let memory = if attack == "argument" {
            LIMITS.memory
        } else {
            limits.memory
        };
        let limits = Limits { memory, ..limits };
        let mut task = configured(&bench, &format!("label:{attack}"), &limits).await?;
        let words = task.label().await.expect_err(attack).to_string();
        assert!(
            words.starts_with("task hostile: label: limit reached: ") && words.contains(expected),
            "{words}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_gigabyte_of_text_is_not_taken_from_a_guest_that_may_hold_it() -> Result<()> {
    let bench = Bench::new()?;
    let limits = Limits {
        memory: 3 << 30,
        cpu: Duration::from_secs(60),
        wall: None,
        ..LIMITS
    };
    let before = resident();
    for export in ["label", "data"] {
        let order = format!("{export}:true-gigabyte");
        let mut task = configured(&bench, &order, &limits).await?;
        let error = match export {
            "label" => task.label().await.map(drop),
            _ => task.data().await.map(drop),
        };
        let error = error.expect_err("it is longer than one call may pass");
        assert_eq!(error.call, export);
        assert!(
            matches!(error.reason, CallErrorReason::Limit(LimitReached::Transfer { allowed }) if allowed == limits.transfer),
            "{error}"
        );
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 48 << 20, "grown by {grown} bytes");
    ask_everything(&bench, "").await?;
    Ok(())
}

#[tokio::test]
async fn data_that_nest_ten_thousand_levels_are_borne_by_every_task() -> Result<()> {
    let bench = Bench::new()?;
    let nested = |open: &str, close: &str| [open.repeat(10_000), close.repeat(10_000)].concat();
    let deep = [
        nested("[", "]"),
        nested("{\"a\":", "}").replace(":}", ":1}"),
        format!("{{\"input\": {}}}", nested("[", "]")),
        format!("{{\"environment\": {}}}", nested("[", "]")),
        "[".repeat(10_000),
    ];
    for (name, _) in bench.registry.tasks() {
        let mut task = bench.instance(&name).await?;
        for data in &deep {
            // Refused, or a limit of this instance; never the host's end.
            if let Err(error) = task.configure_json(data, None, None).await {
                assert_eq!(error.call, "configure", "{error}");
                task = bench.instance(&name).await?;
            }
        }
        let Ok(Ok(())) = task.configure_json("{}", None, None).await else {
            continue;
        };
        if task.can_run_on(&deep[0]).await.is_ok() {
            let workers = task.prepare_workers(&deep).await?;
            let answers = task.can_run_on_each(workers).await?;
            assert!(name == "hostile" || answers.iter().all(|bits| *bits == 0));
        }
    }
    ask_everything(&bench, "").await?;
    Ok(())
}

#[tokio::test]
async fn only_a_panic_is_told_by_what_was_said_before_it() -> Result<()> {
    let bench = Bench::new()?;
    // Said in an earlier call: that is over.
    let error = ask_everything(&bench, "data:mutter,label:trap").await;
    let error = error.expect_err("it traps");
    assert_eq!(error.call, "label");
    assert!(
        matches!(error.reason, CallErrorReason::Trap(_)) && error.last_words.is_none(),
        "{error}"
    );
    // Said in this call, before something else went wrong.
    for attack in ["mutter-and-trap-elsewhere", "not-granted"] {
        let error = ask_everything(&bench, &format!("label:{attack}")).await;
        let error = error.expect_err(attack);
        assert!(matches!(error.reason, CallErrorReason::Trap(_)), "{error}");
        assert_eq!(error.last_words.as_deref(), Some("I mutter"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_power_that_is_not_granted_is_named_whatever_was_said_before() -> Result<()> {
    let mut bench = Bench::new()?;
    let policy = bench.directory.path().join("policy");
    std::fs::write(&policy, "allow * *\ndeny hostile command\n")?;
    bench.runner.options.policy = Arc::new(Policy::read(&policy)?);
    bench.runner.facts = Arc::new(Order("run:not-granted".to_owned()));
    let abort = Abort::new();
    let run = bench.run("hostile", json!({}), json!({}), &abort).await?;
    let log = log_of(&run);
    assert!(
        log.contains("not granted: task hostile has no capability command")
            && log.contains("`allow hostile command` would"),
        "{log}"
    );
    assert!(log.contains("before that it said: I mutter"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_task_speaks_only_for_itself_in_a_workers_metadata() -> Result<()> {
    let bench = Bench::new()?;
    let mut task = instance(&bench, "analyze-worker:foreign").await?;
    let metadata = task.analyze_worker().await?;
    assert_eq!(
        serde_json::Value::Object(metadata),
        json!({"hostile:version": 1})
    );
    Ok(())
}

#[tokio::test]
async fn recursion_ends_with_the_stack() -> Result<()> {
    let bench = Bench::new()?;
    let reason = attacked(&bench, "label", "dive").await;
    let allowed = bench.runner.engine.options().stack;
    assert!(
        matches!(reason, CallErrorReason::Limit(LimitReached::Stack { allowed: told }) if told == allowed),
        "{reason}"
    );
    // The guest's own stack, in its memory, ends before that: a trap as any other.
    let reason = attacked(&bench, "label", "recursion").await;
    let words = reason.to_string();
    assert!(
        words.contains("stack") || words.contains("out of bounds"),
        "{words}"
    );
    Ok(())
}

/// The destructor of a task is a function of the guest, too.
#[tokio::test]
async fn an_attack_while_a_task_is_dropped_ends() -> Result<()> {
    let bench = Bench::new()?;
    for (attack, expected) in [
        ("loop", "computed"),
        ("panic", "told to panic"),
        ("trap", "trapped"),
    ] {
        let mut task = configured(&bench, &format!("drop:{attack}"), &LIMITS).await?;
        let error = task.configure(&json!({}), None, None).await;
        let words = error.expect_err(attack).to_string();
        assert!(
            words.starts_with("task hostile: drop: ") && words.contains(expected),
            "{words}"
        );
        assert!(task.has_ended());
    }
    Ok(())
}

/// Those that no run calls: they are for people who want to see a command.
#[tokio::test]
async fn an_attack_in_the_exports_beside_a_run_ends_too() -> Result<()> {
    let bench = Bench::new()?;
    let runner = &bench.runner;
    let loaded = bench.load("hostile")?;
    let (engine, linkers) = (&runner.engine, &runner.linkers);
    let component = TaskComponent::new(engine, linkers, &loaded, Purpose::Execution)?;
    let directory = tempfile::tempdir()?;
    let handle = DirectoryHandle::open(directory.path())?;
    let workspace = Workspace {
        download: handle.clone(),
        execute: handle,
    };
    for export in ["command-line", "task-succeeded"] {
        for (attack, expected) in [
            ("loop", "limit reached: it has computed"),
            ("memory", "limit reached: it wants"),
            ("panic", "panicked: told to panic"),
            ("trap", "trapped"),
        ] {
            let facts = Arc::new(Order(format!("{export}:{attack}")));
            let state = HostState::new(engine, &LIMITS, facts);
            let mut task = component.instantiate(state).await?;
            task.configure(&json!({}), None, None)
                .await?
                .expect("any data");
            let error = match export {
                "command-line" => task.command_line(&workspace).await.map(drop),
                _ => task
                    .task_succeeded(&workspace, WitExit::Exited(0))
                    .await
                    .map(drop),
            };
            let words = error.expect_err(attack).to_string();
            assert!(
                words.starts_with(&format!("task hostile: {export}: ")) && words.contains(expected),
                "{words}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_panic_is_told_in_the_guests_words() -> Result<()> {
    let bench = Bench::new()?;
    for export in EXPORTS {
        let reason = attacked(&bench, export, "panic").await;
        assert!(
            matches!(&reason, CallErrorReason::Panic(words) if words == "told to panic"),
            "{reason}"
        );
        let reason = attacked(&bench, export, "trap").await;
        assert!(matches!(reason, CallErrorReason::Trap(_)), "{reason}");
    }
    Ok(())
}

#[tokio::test]
async fn answers_that_are_none_are_refused() -> Result<()> {
    let bench = Bench::new()?;
    for export in [
        "data",
        "dynamic-data",
        "analyze-worker",
        "compute-dynamic-data",
    ] {
        for attack in ["not-json", "deep"] {
            let reason = attacked(&bench, export, attack).await;
            assert!(
                matches!(reason, CallErrorReason::Answer(_)),
                "{export}: {reason}"
            );
        }
    }
    for attack in ["not-utf8", "gigabyte"] {
        let reason = attacked(&bench, "label", attack).await;
        assert!(matches!(reason, CallErrorReason::Trap(_)), "{reason}");
    }
    let reason = attacked(&bench, "describe", "lie").await;
    assert!(matches!(reason, CallErrorReason::Unsuitable(_)), "{reason}");
    Ok(())
}

#[tokio::test]
async fn floods_of_host_calls_are_borne() -> Result<()> {
    let bench = Bench::new()?;
    for attack in ["calls", "journal"] {
        match ask_everything_within(&BRIEFLY, &bench, &format!("label:{attack}")).await {
            Ok(()) => {}
            Err(error) => assert!(
                matches!(error.reason, CallErrorReason::Limit(LimitReached::Cpu(_))),
                "{error}"
            ),
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_instance_is_dead_after_a_trap() -> Result<()> {
    let bench = Bench::new()?;
    let mut task = instance(&bench, "analyze-worker:trap").await?;
    task.analyze_worker().await.expect_err("it traps");
    assert!(task.has_ended());
    let error = task.describe().await.expect_err("it is dead");
    assert!(matches!(error.reason, CallErrorReason::Ended), "{error}");
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

#[tokio::test]
async fn an_attack_in_any_stage_fails_that_run_alone() -> Result<()> {
    let stages = [
        "fetch-input",
        "configure-for-execution",
        "prepare-to-run",
        "run",
        "check-directory-for-consistency-errors",
        "upload-artifacts",
        "cleanup",
    ];
    for stage in stages {
        for (attack, words) in [
            ("trap", "the component trapped"),
            ("panic", "the component panicked: told to panic"),
            ("loop", "limit reached: it has computed for 500ms"),
            ("memory", "limit reached: it wants"),
            ("dive", "limit reached: it has used up its stack"),
        ] {
            let report = run(&format!("{stage}:{attack}")).await?;
            let verdict = report.result.as_ref().map(|result| result.verdict);
            assert_eq!(verdict.ok(), Some(Verdict::Failure), "{stage}:{attack}");
            let log = log_of(&report);
            // Task, call, and what it was.
            let words = format!("task hostile: {stage}: {words}");
            assert!(log.contains(&words), "{stage}:{attack}: {log}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_name_leads_out_of_a_directory() -> Result<()> {
    let outside = tempfile::tempdir()?;
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "what nobody may read")?;
    let mut bench = Bench::new()?;
    bench.runner.facts = Arc::new(Order("run:paths".to_owned()));
    let staged = outside.path().to_owned();
    let stage = move |place: &Path| {
        for (link, target) in [
            ("link", staged.clone()),
            ("secret", staged.join("secret")),
            ("up", "..".into()),
        ] {
            symlink(target, place.join(link)).expect("an empty directory");
        }
    };
    let report = bench.run_staged("hostile", stage).await?;
    let log = log_of(&report);
    assert_eq!(report.result?.verdict, Verdict::Success, "{log}");
    let left: Vec<_> = std::fs::read_dir(outside.path())?.collect::<Result<_, _>>()?;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(std::fs::read_to_string(secret)?, "what nobody may read");
    assert!(!log.contains("what nobody may read"), "{log}");
    Ok(())
}

#[tokio::test]
async fn handles_are_counted_and_cannot_be_forged() -> Result<()> {
    let report = run("run:host-handles").await?;
    let log = log_of(&report);
    assert!(
        log.contains("task hostile: run: limit reached: it holds ")
            && log.contains("open files and directories"),
        "{log}"
    );
    let report = run("run:dropped-handle").await?;
    assert_eq!(
        report.result.as_ref().ok().map(|it| it.verdict),
        Some(Verdict::Failure)
    );
    let log = log_of(&report);
    assert!(
        log.contains("task hostile: run: the component trapped: unknown handle index"),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn a_flood_of_logs_ends_at_its_limit() -> Result<()> {
    let report = run("run:logs").await?;
    let size: usize = report.logs.values().map(String::len).sum();
    assert!(size <= 9 << 20, "{size} bytes");
    let stopped = report.result?.stopped.expect("it gives up");
    let words = stopped.reason.unwrap_or_default();
    assert!(
        words.contains("log-limit: ") && words.contains("their limit of 8388608 bytes together"),
        "{words}"
    );
    // So does one of files with nothing in them, each of which the host must open.
    let report = run("run:many-logs").await?;
    // Its own, and two of the host's.
    assert!(report.logs.len() <= 102, "{}", report.logs.len());
    let log = log_of(&report);
    let stopped = report.result?.stopped.expect("it gives up");
    let words = stopped.reason.unwrap_or_default();
    assert!(
        words.contains("log-limit: ") && words.contains("100 log files"),
        "{words}"
    );
    assert!(
        log.contains(&words[words.len() - 40..]),
        "there is room to say why: {log}"
    );
    Ok(())
}

#[tokio::test]
async fn directories_nested_without_end_are_removed_at_once() -> Result<()> {
    let report = run("run:deep-tree").await?;
    let log = log_of(&report);
    assert_eq!(report.result?.verdict, Verdict::Success, "{log}");
    Ok(())
}

#[tokio::test]
async fn a_command_does_not_run_where_a_link_has_taken_its_directorys_place() -> Result<()> {
    let outside = tempfile::tempdir()?;
    std::fs::write(outside.path().join("secret"), "the secret")?;
    let mut bench = Bench::new()?;
    bench.runner.facts = Arc::new(Order("run:moved-directory".to_owned()));
    let staged = outside.path().to_owned();
    let stage =
        move |place: &Path| symlink(&staged, place.join("link")).expect("an empty directory");
    let report = bench.run_staged("hostile", stage).await?;
    let log = log_of(&report);
    assert_eq!(report.result?.verdict, Verdict::Success, "{log}");
    assert!(!log.contains("the secret"), "{log}");
    Ok(())
}

#[tokio::test]
async fn no_variable_lets_another_program_run_than_was_granted() -> Result<()> {
    let report = run("run:variables").await?;
    let log = log_of(&report);
    assert_eq!(report.result?.verdict, Verdict::Success, "{log}");
    Ok(())
}

#[tokio::test]
async fn the_hosts_memory_returns_after_attacks_in_a_run() -> Result<()> {
    let attacks = [
        "run:memory",
        "run:dive",
        "run:host-handles",
        "run:logs",
        "run:many-logs",
        "run:dropped-handle",
        "cleanup:panic",
    ];
    let round = async || {
        for attack in attacks {
            run(attack).await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    round().await?;
    let (before, open) = (resident(), descriptors());
    for _ in 0..2 {
        round().await?;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "grown by {grown} bytes");
    assert!(
        descriptors() <= open + 8,
        "{open} descriptors before, {} now",
        descriptors()
    );
    Ok(())
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[test]
fn a_link_that_somebody_staged_is_a_link_only() -> Result<()> {
    // What the path attack meets in a run is an empty directory; the links themselves are tested beneath one handle.
    let directory = tempfile::tempdir()?;
    symlink("/etc", directory.path().join("link"))?;
    let handle = task_runtime::host::files::DirectoryHandle::open(directory.path())?;
    assert!(handle.open_file("link/passwd").is_err());
    assert!(handle.open_file("link").is_err());
    Ok(())
}
