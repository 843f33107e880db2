//! Attacks in a run: in its stages, by names, by handles, by logs.

use super::*;

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
            ("loop", "limit reached: it has computed for 1s"),
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
