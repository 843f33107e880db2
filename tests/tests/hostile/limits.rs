//! Each limit is reached by somebody who wants more, and is told as what it is.

use super::*;

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

/// A core module with the exports of a task, none of which answers; one of them does this before that.
fn module_with(export: &str, body: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some("scheduling-only"))?;
    let abi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
    let text = wasmprinter::print_bytes(wit_component::dummy_module(&resolve, world, abi))?;
    let exported = format!("(export \"debusine:task/scheduling@0.1.0#{export}\" (func ");
    let (_, rest) = text.split_once(&exported).expect("it is exported");
    let (number, _) = rest.split_once(')').expect("it has a number");
    let (before, function) = text
        .split_once(&format!("(func (;{number};)"))
        .expect("it is there");
    let function = function.replacen("unreachable", &format!("{body} unreachable"), 1);
    let text = format!("{before}(func (;{number};){function}");
    let end = text.rfind(')').expect("a module");
    let text = format!("{}(table $own 0 funcref))", &text[..end]);
    let mut module = wat::parse_str(text)?;
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding)?;
    Ok(module)
}

#[tokio::test]
async fn a_table_that_grows_without_end_reaches_its_limit_in_a_call() -> Result<()> {
    let grow = "(loop (drop (table.grow $own (ref.null func) (i32.const 1000))) (br 0))";
    let shelf = tempfile::tempdir()?;
    std::fs::write(
        shelf.path().join("tables.wasm"),
        module_with("describe", grow)?,
    )?;
    let runner = Bench::new()?.runner;
    let loaded = ComponentCache::none().load(&runner.engine, &shelf.path().join("tables.wasm"))?;
    let (engine, linkers) = (&runner.engine, &runner.linkers);
    let component = TaskComponent::new(engine, linkers, &loaded, Purpose::Scheduling)?;
    let state = HostState::new(engine, &LIMITS, Arc::clone(&runner.facts));
    let error = component.instantiate(state).await.err().expect("it grows");
    assert_eq!((error.task.as_str(), error.call), ("tables", "describe"));
    assert!(
        matches!(error.reason, CallErrorReason::Limit(LimitReached::Table { wanted, allowed })
            if allowed == LIMITS.table_elements && wanted > allowed),
        "{error}"
    );
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
