//! The program as a service: systemd, signals, Prometheus.

use crate::{Gate, delivered_by, making, program_trial, report};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use task_runtime_tests::fake_server::{FakeServer, Order, work_request};
use task_runtime_tests::worker_program::{Process, WorkerProgram};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::time::timeout;

pub fn trials() -> Vec<Trial> {
    vec![
        program_trial(
            "systemd_hears_that_the_worker_is_ready_alive_and_ending",
            notified,
        ),
        program_trial(
            "a_drain_by_signal_finishes_first_and_asks_systemd_for_time",
            drained,
        ),
        program_trial("a_second_signal_ends_a_drain_at_once", ended_at_once),
        program_trial("nothing_wakes_a_worker_that_waits", waits),
        program_trial("metrics_are_offered_over_http", metrics),
    ]
}

/// The end of systemd. It always listens: a service would wait for it.
#[derive(Clone)]
struct Systemd(Arc<Mutex<Vec<String>>>);

impl Systemd {
    fn listen(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        let this = Self(Arc::default());
        let heard = Arc::clone(&this.0);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer).await {
                let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                heard.lock().expect("whole").push(message);
            }
        });
        Ok(this)
    }

    /// Waits until it has heard this so many times.
    async fn hears(&self, wanted: &str, times: usize) -> Result<()> {
        for _ in 0..3000 {
            let is_it = |message: &&String| message.lines().any(|line| line == wanted);
            let count = self.0.lock().expect("whole").iter().filter(is_it).count();
            if count >= times {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let heard = self.0.lock().expect("whole").join(", ");
        anyhow::bail!("{wanted:?} is not {times} times in {heard}")
    }
}

/// A worker that systemd has started.
fn start(worker: &WorkerProgram, arguments: &[&str]) -> Result<(Process, Systemd)> {
    let socket = worker.place("notify");
    let systemd = Systemd::listen(&socket)?;
    let mut command = worker.command(arguments)?;
    command
        .env("NOTIFY_SOCKET", socket)
        .env("WATCHDOG_USEC", "200000");
    let process = command.stderr(worker.log_file()?).spawn()?;
    Ok((Process(process), systemd))
}

async fn notified() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    let (mut process, systemd) = start(&worker, &[])?;
    systemd.hears("READY=1", 1).await?;
    systemd.hears("STATUS=waiting for work", 1).await?;
    systemd.hears("WATCHDOG=1", 3).await?;
    process.signal(Signal::SIGTERM)?;
    systemd.hears("STOPPING=1", 1).await?;
    ensure!(process.wait().await?.success(), "{}", worker.log());
    Ok(())
}

async fn drained() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    let (mut process, systemd) = start(&worker, &["--on-terminate", "drain"])?;
    let gate = Gate::new()?;
    server.hand_out(gate.before(2));
    systemd
        .hears("STATUS=work request 2: scripted: Running", 1)
        .await?;
    process.signal(Signal::SIGTERM)?;
    systemd.hears("EXTEND_TIMEOUT_USEC=120000000", 1).await?;
    server.hand_out(work_request(3, "noop", json!({})));
    ensure!(process.0.try_wait()?.is_none(), "it ended with its task");
    gate.open()?;
    ensure!(process.wait().await?.success(), "{}", worker.log());
    delivered_by(&server, 2)?;
    ensure!(server.state().queue.len() == 1);
    Ok(())
}

async fn ended_at_once() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    let (mut process, systemd) = start(&worker, &["--on-terminate", "drain"])?;
    let mark = worker.place("mark").display().to_string();
    let data = json!({"run": "command", "command": ["sh", "-c", "sleep 1000; true", mark]});
    server.hand_out(work_request(2, "scripted", data));
    systemd
        .hears("STATUS=work request 2: scripted: Running", 1)
        .await?;
    process.signal(Signal::SIGTERM)?;
    systemd.hears("STOPPING=1", 1).await?;
    process.signal(Signal::SIGTERM)?;
    ensure!(process.wait().await?.success(), "{}", worker.log());
    ensure!(server.state().completed.is_empty());
    for _ in 0..1000 {
        if !is_running(&mark) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("its task lives on")
}

/// How often each thread of a process has been switched to.
fn wake_ups(id: u32) -> Result<BTreeMap<String, u64>> {
    let mut counted = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{id}/task"))? {
        let place = task?.path();
        // Threads that wait for more work end after a while.
        let Ok(status) = std::fs::read_to_string(place.join("status")) else {
            continue;
        };
        let line = status
            .lines()
            .find_map(|it| it.strip_prefix("voluntary_ctxt_switches:"));
        let count = line.context("a count")?.trim().parse()?;
        counted.insert(place.display().to_string(), count);
    }
    Ok(counted)
}

async fn waits() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    let process = worker.start(&[])?;
    worker.wait_for("metadata accepted").await?;
    let id = process.0.id().context("it has ended")?;
    let mut before = wake_ups(id)?;
    // What it did at the start goes on for some seconds; components are looked for once a minute.
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = wake_ups(id)?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
    anyhow::bail!("it never sleeps for three seconds: {before:?}")
}

fn is_running(mark: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut lines = processes.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(mark))
}

async fn metrics() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    let _process = worker.start(&["--metrics-port", "0"])?;
    let line = worker.wait_for("metrics on http://").await?;
    let address = line.split_once("http://").context("an address")?.1;
    let address = address.split('/').next().context("an address")?.to_owned();
    ensure!(address.starts_with("127.0.0.1:"), "{line}");
    server.hand_out(work_request(1, "noop", json!({})));
    let input = server
        .state()
        .add_artifact("debusine:test", &[("input", b"input")]);
    let mut wanted = making(2);
    wanted["task_data"]["artifacts"] = json!([input]);
    server.hand_out(wanted);
    for id in [1, 2] {
        ensure!(report(&server, id).await["result"] == "success");
    }
    worker.wait_for("work request 2: delivered").await?;
    let answer = scrape(&address).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("a head")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    ensure!(head.contains("application/openmetrics-text"), "{head}");
    for line in [
        "task_runtime_work_requests_total{task=\"noop\",result=\"success\"} 1",
        "task_runtime_work_requests_total{task=\"scripted\",result=\"success\"} 1",
        "task_runtime_stage_seconds_count{stage=\"Running\"} 2",
        "task_runtime_delivery_seconds_count 2",
        "task_runtime_connected 1",
        "task_runtime_connections_total 1",
        "task_runtime_received_bytes_total 5",
        "# EOF",
    ] {
        ensure!(body.lines().any(|it| it == line), "{line} is not in {body}");
    }
    let sent = body
        .lines()
        .find_map(|line| line.strip_prefix("task_runtime_sent_bytes_total "));
    // The two files, and the log.
    let sent: u64 = sent.context("bytes")?.parse()?;
    ensure!(sent > 8, "{sent}");
    // To be connected again is counted.
    server.order(Order::Cut(b""));
    for _ in 0..1000 {
        if scrape(&address)
            .await?
            .contains("task_runtime_connections_total 2")
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("the second connection is not counted")
}

async fn scrape(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await??;
    Ok(answer)
}
