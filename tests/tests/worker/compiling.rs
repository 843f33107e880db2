//! Compiling: a worker that waits for most of its life leaves it to processes that end.

use crate::{program_trial, report};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::Duration;
use task_runtime_tests::fake_server::{FakeServer, work_request};
use task_runtime_tests::worker_program::WorkerProgram;

pub fn trials() -> Vec<Trial> {
    vec![
        program_trial("a_worker_never_compiles_itself", elsewhere),
        program_trial("a_task_that_is_none_is_told_and_the_others_work", junk),
        program_trial("a_compiler_does_not_outlive_its_worker", killed),
    ]
}

/// How many components a cache holds.
fn compiled(cache: &Path) -> usize {
    let entries = fs::read_dir(cache.join("components"));
    let entries = entries.into_iter().flatten().flatten();
    let is_code = |path: &Path| path.extension().is_some_and(|it| it == "cwasm");
    entries.filter(|it| is_code(&it.path())).count()
}

async fn elsewhere() -> Result<()> {
    let server = FakeServer::start().await?;
    let cache = tempfile::tempdir()?;
    let worker = WorkerProgram::of(&server)?.with_cache(cache.path());
    let process = worker.start(&["--log-level", "DEBUG"])?;
    worker.wait_for("metadata accepted").await?;
    ensure!(compiled(cache.path()) == 2, "noop and scripted");
    let log = worker.log();
    let by = |line: &str| line.rsplit_once(": compiled by process ")?.1.parse().ok();
    let compilers: Vec<u32> = log.lines().filter_map(by).collect();
    ensure!(compilers.len() == 2, "{log}");
    let this = process.0.id().context("it lives")?;
    ensure!(!compilers.contains(&this), "{log}");
    ensure!(!log.contains("compiled in this process"), "{log}");
    // What comes later is no exception.
    worker.add_task("debdiff")?;
    server.hand_out(work_request(1, "debdiff", json!({"bogus": 1})));
    let told = report(&server, 1).await;
    let code = &told["output_data"]["errors"][0]["code"];
    ensure!(code == "configure-failed", "{told}");
    ensure!(compiled(cache.path()) == 3, "debdiff too");
    ensure!(!worker.log().contains("compiled in this process"));
    // The log names the work request with each stage.
    server.hand_out(work_request(2, "noop", json!({})));
    worker.wait_for("work request 2: Running").await?;
    Ok(())
}

async fn junk() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    worker.add_junk("broken")?;
    let _process = worker.start(&[])?;
    let line = worker.wait_for("task broken is not offered").await?;
    ensure!(
        line.contains("not a usable WebAssembly component"),
        "{line}"
    );
    for (id, task, code) in [(1, "broken", Some("setup-failed")), (2, "noop", None)] {
        server.hand_out(work_request(id, task, json!({})));
        let told = report(&server, id).await;
        let error = told["output_data"]["errors"][0]["code"].as_str();
        ensure!(error == code, "{told}");
    }
    Ok(())
}

async fn killed() -> Result<()> {
    let server = FakeServer::start().await?;
    let cache = tempfile::tempdir()?;
    let worker = WorkerProgram::of(&server)?.with_cache(cache.path());
    for task in ["sbuild", "lintian", "autopkgtest"] {
        worker.add_task(task)?;
    }
    let mut process = worker.start(&[])?;
    let place = cache.path().display().to_string();
    let is_compiler = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        line.starts_with("task-runtime-compiler\0") && line.contains(&place)
    };
    let is_there = || {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let mut lines = processes.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
        lines.any(|line| is_compiler(&line))
    };
    for _ in 0..60_000 {
        if is_there() || worker.log().contains("metadata accepted") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ensure!(is_there(), "no compiler was seen: {}", worker.log());
    process.signal(Signal::SIGKILL)?;
    process.wait().await?;
    for _ in 0..1000 {
        if !is_there() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("the compiler lives on")
}
