//! A worker and an unmodified Debusine server: from registration to reports, through restarts of both.
//!
//! One test, step by step: the server is one, and takes a while to start.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use task_runtime_tests::fixtures::task_directories;
use task_runtime_tests::real_server::{RealServer, WorkerHome, WorkerProcess};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// The program beside this one.
fn program() -> Option<PathBuf> {
    let tests = std::env::current_exe().ok()?;
    let program = tests.parent()?.parent()?.join("task-runtime");
    program.exists().then_some(program)
}

#[tokio::test]
async fn a_worker_serves_an_unmodified_server() -> Result<()> {
    if let Some(why) = RealServer::obstacle() {
        eprintln!("skipped: {why}");
        return Ok(());
    }
    let Some(program) = program() else {
        eprintln!("skipped: the program task-runtime is not built");
        return Ok(());
    };
    let server = RealServer::start()?;
    let home = WorkerHome::new(&server, program, task_directories())?;
    let worker = step("registration", register(&server, &home)).await?;
    step("noop", noop(&server)).await?;
    step("errors", errors(&server)).await?;
    step("aborted on the server", aborted_on_the_server(&server)).await?;
    step("disabled and enabled", disabled(&server, &home)).await?;
    step(
        "server away at the end of a task",
        server_away(&server, &home),
    )
    .await?;
    let worker = step("killed", killed(&server, &home, worker)).await?;
    step("asked to end", asked_to_end(&server, &home, worker)).await
}

async fn step<T>(name: &str, step: impl Future<Output = Result<T>>) -> Result<T> {
    eprintln!("{name}");
    step.await.with_context(|| name.to_owned())
}

/// From nothing to a worker that the server knows and listens to.
async fn register(server: &RealServer, home: &WorkerHome) -> Result<WorkerProcess> {
    let worker = home.start()?;
    let token = home.token().await?;
    home.wait_for("the server does not let this worker work", 1)
        .await?;
    server.admin(&["manage_worker", "enable", &token])?;
    home.wait_for("metadata accepted", 1).await?;
    Ok(worker)
}

async fn artifacts(server: &RealServer, shown: &Value) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for id in shown["artifacts"].as_array().into_iter().flatten() {
        found.push(server.artifact(id.as_u64().context("a number")?).await?);
    }
    Ok(found)
}

fn file_names(artifact: &Value) -> Vec<&str> {
    let files = artifact["files"].as_object();
    files
        .into_iter()
        .flat_map(|files| files.keys())
        .map(String::as_str)
        .collect()
}

/// As in the recordings of the reference: no logs of a success, the stages of a failure.
async fn noop(server: &RealServer) -> Result<()> {
    for (data, result, files) in [
        (json!({}), "success", &[][..]),
        (json!({"result": false}), "failure", &["stages.log"][..]),
    ] {
        let id = server.work_request("noop", data).await?;
        let shown = server.wait(id, "completed").await?;
        ensure!(shown["result"] == result, "{shown}");
        let made = artifacts(server, &shown).await?;
        let [logs] = made.as_slice() else {
            anyhow::bail!("one artifact, and not {made:?}");
        };
        ensure!(
            logs["category"] == "debusine:work-request-debug-logs",
            "{logs}"
        );
        ensure!(
            file_names(logs) == files && logs["files_to_upload"] == json!([]),
            "{logs}"
        );
        let output = server.output_data(id)?;
        let statistics = output["runtime_statistics"]
            .as_object()
            .context("statistics")?;
        ensure!(statistics.keys().eq(["duration", "cpu_time"]), "{output}");
    }
    Ok(())
}

/// What the server would not hand out by itself is put into its database.
async fn errors(server: &RealServer) -> Result<()> {
    let id = server
        .work_request("scripted_unknown_here", json!({}))
        .await;
    ensure!(id.is_err(), "the server checks names");
    let program = "\
from debusine.db.context import context
from debusine.db.models import User, WorkRequest, default_workspace
with context.disable_permission_checks():
    w = WorkRequest.objects.create(workspace=default_workspace(), created_by=User.objects.get(username='admin'), task_name='noop', task_type='Worker', task_data={'result': 'perhaps', 'bogus': 1})
    print(w.id)
";
    // Whether the server hands it out or refuses it by itself, the worker lives on.
    let id: u64 = server.python(program)?.trim().parse()?;
    let _ = server.show(id).await?;
    let after = server.work_request("noop", json!({})).await?;
    let shown = server.wait(after, "completed").await?;
    ensure!(shown["result"] == "success", "{shown}");
    Ok(())
}

/// mmdebstrap with this mirror runs for some seconds, and fails.
fn some_seconds(mirror: SocketAddr) -> Value {
    let mirror = format!("http://{mirror}/debian");
    json!({
        "bootstrap_options": {"architecture": "amd64", "variant": "essential"},
        "bootstrap_repositories": [{"mirror": mirror, "suite": "bookworm", "components": ["main"]}],
    })
}

/// A mirror that says nothing for some seconds, and then hangs up.
async fn slow_mirror() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                sleep(Duration::from_secs(3)).await;
                drop(stream);
            });
        }
    });
    Ok(address)
}

async fn aborted_on_the_server(server: &RealServer) -> Result<()> {
    let id = server
        .work_request("mmdebstrap", some_seconds(slow_mirror().await?))
        .await?;
    server.wait(id, "running").await?;
    server.python(&format!(
        "from debusine.db.context import context\nfrom debusine.db.models import WorkRequest\nwith context.disable_permission_checks():\n    WorkRequest.objects.get(id={id}).mark_aborted()\n"
    ))?;
    let after = server.work_request("noop", json!({})).await?;
    server.wait(after, "completed").await?;
    let shown = server.show(id).await?;
    ensure!(shown["status"] == "aborted", "{shown}");
    Ok(())
}

async fn disabled(server: &RealServer, home: &WorkerHome) -> Result<()> {
    let token = home.token().await?;
    let id = server
        .work_request("mmdebstrap", some_seconds(slow_mirror().await?))
        .await?;
    server.wait(id, "running").await?;
    server.admin(&["manage_worker", "disable", &token])?;
    home.wait_for("the server does not let this worker work", 2)
        .await?;
    server.admin(&["manage_worker", "enable", &token])?;
    let shown = server.wait(id, "completed").await?;
    ensure!(shown["result"] == "failure", "{shown}");
    let ended = home
        .log()
        .matches(&format!("work request {id}: ended"))
        .count();
    ensure!(ended == 1, "it was run {ended} times: {}", home.log());
    Ok(())
}

/// The result is delivered when the server is back, and the task is not run again.
async fn server_away(server: &RealServer, home: &WorkerHome) -> Result<()> {
    for how in ["stop", "kill"] {
        let id = server
            .work_request("mmdebstrap", some_seconds(slow_mirror().await?))
            .await?;
        server.wait(id, "running").await?;
        server.daphne(how)?;
        home.wait_for(&format!("work request {id}: ended"), 1)
            .await?;
        server.daphne("start")?;
        let shown = server.wait(id, "completed").await?;
        ensure!(shown["result"] == "failure", "{shown}");
        ensure!(
            shown["workflow_data"] == json!({}),
            "it was handed out again: {shown}"
        );
        let names: Vec<_> = artifacts(server, &shown).await?;
        ensure!(names.len() == 1, "{names:?}");
    }
    Ok(())
}

/// The server gives a lost task out again, under another number.
async fn killed(
    server: &RealServer,
    home: &WorkerHome,
    worker: WorkerProcess,
) -> Result<WorkerProcess> {
    let id = server
        .work_request("mmdebstrap", some_seconds(slow_mirror().await?))
        .await?;
    server.wait(id, "running").await?;
    worker.end(Signal::SIGKILL)?;
    let worker = home.start()?;
    let lost = server.wait(id, "aborted").await?;
    ensure!(lost["status"] == "aborted", "{lost}");
    let after = server.work_request("noop", json!({})).await?;
    server.wait(after, "completed").await?;
    Ok(worker)
}

async fn asked_to_end(server: &RealServer, home: &WorkerHome, worker: WorkerProcess) -> Result<()> {
    let id = server
        .work_request("mmdebstrap", some_seconds(slow_mirror().await?))
        .await?;
    server.wait(id, "running").await?;
    let status = worker.end(Signal::SIGTERM)?;
    ensure!(status.success(), "{status}");
    let shown = server.show(id).await?;
    ensure!(
        shown["status"] == "running",
        "the reference reports nothing either: {shown}"
    );
    let token = home.token().await?;
    server.admin(&["manage_worker", "disable", &token])?;
    Ok(())
}
