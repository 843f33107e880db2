//! Attacks in each export: loops, panics, traps, lies.

use super::*;

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

/// The destructor of a task is a function of the guest, too.
#[tokio::test]
async fn an_attack_while_a_task_is_dropped_ends() -> Result<()> {
    let bench = Bench::new()?;
    for (attack, expected) in [
        ("loop", "computed"),
        ("panic", "told to panic"),
        ("trap", "trapped"),
    ] {
        let mut task = configured(&bench, &format!("drop:{attack}"), &BRIEFLY).await?;
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
            let state = HostState::new(engine, &BRIEFLY, facts);
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
async fn an_instance_is_dead_after_a_trap() -> Result<()> {
    let bench = Bench::new()?;
    let mut task = instance(&bench, "analyze-worker:trap").await?;
    task.analyze_worker().await.expect_err("it traps");
    assert!(task.has_ended());
    let error = task.describe().await.expect_err("it is dead");
    assert!(matches!(error.reason, CallErrorReason::Ended), "{error}");
    Ok(())
}
