//! Powers that were not granted, or to another component.

use super::*;

/// Replaces files when a stage begins.
struct Replacing(Stage, Box<dyn Fn() + Send + Sync>);

impl Observer for Replacing {
    fn stage(&self, stage: Stage) {
        if stage == self.0 {
            (self.1)();
        }
    }
}

/// What a run of the hostile task comes to whose manifest is another one, and whose component is gone, when it begins, or once it has begun.
async fn run_of_replaced(order: &str, manifest: &str, replaced: Option<Stage>) -> Result<String> {
    let mut bench = Bench::new()?;
    bench.runner.facts = Arc::new(Order(order.to_owned()));
    let shelf = tempfile::tempdir()?;
    let (component, beside) = (
        shelf.path().join("hostile.wasm"),
        shelf.path().join("hostile.manifest"),
    );
    std::fs::copy(bench.load("hostile")?.path, &component)?;
    std::fs::write(&beside, manifest)?;
    let loaded = ComponentCache::none().load(&bench.runner.engine, &component)?;
    let replace = move || {
        let other = match std::fs::read_to_string(&beside).expect("it is there") {
            text if text.contains("true") => "Commands: rm\n",
            _ => "Commands: true\n",
        };
        std::fs::write(&beside, other).expect("it can be written");
        std::fs::write(&component, "no component").expect("it can be written");
    };
    let observer: Arc<dyn Observer> = match replaced {
        Some(stage) => Arc::new(Replacing(stage, Box::new(replace))),
        None => {
            replace();
            Arc::new(Silent)
        }
    };
    let request = RunRequest {
        work_request: None,
        workspace: None,
        data: json!({}),
        dynamic_data: json!({}),
    };
    let result = bench
        .runner
        .run(&loaded, request, observer, &Abort::new())
        .await?;
    let logs = bench.texts(result.debug_logs).await?;
    Ok(format!(
        "{:?} {}",
        result.verdict,
        logs.values().cloned().collect::<String>()
    ))
}

#[tokio::test]
async fn a_run_has_the_powers_of_what_was_loaded_whatever_lies_there_now() -> Result<()> {
    for replaced in [None, Some(Stage::FetchInput), Some(Stage::Run)] {
        let ended = run_of_replaced("run:variables", "Commands: true\n", replaced).await?;
        assert!(ended.starts_with("Success"), "{replaced:?}: {ended}");
        let ended = run_of_replaced("run:not-granted", "HTTP: no\n", replaced).await?;
        assert!(
            ended.starts_with("Failure")
                && ended.contains("no capability command: its manifest does not ask for it"),
            "{replaced:?}: {ended}"
        );
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
async fn no_variable_lets_another_program_run_than_was_granted() -> Result<()> {
    let report = run("run:variables").await?;
    let log = log_of(&report);
    assert_eq!(report.result?.verdict, Verdict::Success, "{log}");
    Ok(())
}
