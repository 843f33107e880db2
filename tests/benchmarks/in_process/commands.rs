//! Commands on the host: how long one takes, how soon an aborted one is dead, how fast output flows and how much memory that needs.

use crate::place::{milliseconds_since, shell_words, true_command};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use task_runtime::executor::{Abort, Command, Commands, Exit, HostCommands};
use tokio::io::AsyncWrite;

const COMMANDS: u32 = 30;
const ABORTS: u32 = 5;
const OUTPUT: u64 = 1 << 30;

/// Seventy-five in sessions of their own and as many whose parents are gone; none heeds SIGTERM.
const HOSTILE: &str = "trap '' TERM; i=0; while [ $i -lt 75 ]; do setsid sleep 60 & (sleep 60 &); i=$((i+1)); done; echo ready; wait";

/// Milliseconds for commands and aborts, GiB/s for output, MiB above idle meanwhile.
pub async fn measure() -> Result<Value> {
    let host = HostCommands::new();
    let mut commands = Vec::new();
    for _ in 0..COMMANDS {
        let begun = Instant::now();
        host.run(true_command(), &Abort::new()).await?;
        commands.push(milliseconds_since(begun));
    }
    let mut aborts = Vec::new();
    let mut hostile = Vec::new();
    for _ in 0..ABORTS {
        aborts.push(abort(&host, "echo ready; exec sleep 60").await?);
        let at_once = host.clone().grace(Duration::ZERO);
        hostile.push(abort(&at_once, HOSTILE).await?);
    }
    let idle = resident();
    let begun = Instant::now();
    let counted = Counted::default();
    let size = OUTPUT.to_string();
    let mut flood = shell_words(["head", "-c", &size, "/dev/zero"]);
    flood.stdout = Some(Box::new(counted.clone()));
    host.run(flood, &Abort::new()).await?;
    let rate = 1.0 / begun.elapsed().as_secs_f64();
    ensure!(counted.bytes() == OUTPUT, "output was lost");
    let above = counted.peak().saturating_sub(idle) as f64 / 1024.0;
    Ok(
        json!({"command": commands, "abort": aborts, "descendants": hostile, "output": [rate], "memory": [above]}),
    )
}

/// Milliseconds from the abort of a line of shell, once it has said that it is ready, until nothing of it is left.
async fn abort(host: &HostCommands, line: &str) -> Result<f64> {
    let counted = Counted::default();
    let command = Command {
        stdout: Some(Box::new(counted.clone())),
        ..shell_words(["sh", "-c", line])
    };
    let abort = Abort::new();
    let aborting = async {
        while counted.bytes() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        abort.cancel();
        Instant::now()
    };
    let (exit, aborted) = tokio::join!(host.run(command, &abort), aborting);
    ensure!(exit? == Exit::Aborted, "the command was not aborted");
    Ok(milliseconds_since(aborted))
}

/// KiB of memory that this process has now.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

/// A sink that counts, and looks at the memory from time to time.
#[derive(Clone, Default)]
struct Counted {
    bytes: Arc<AtomicU64>,
    peak: Arc<AtomicU64>,
}

impl Counted {
    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Bytes of output between two looks.
const LOOK_EVERY: u64 = 64 << 20;

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let length = bytes.len() as u64;
        let before = self.bytes.fetch_add(length, Ordering::Relaxed);
        if before / LOOK_EVERY != (before + length) / LOOK_EVERY {
            self.peak.fetch_max(resident(), Ordering::Relaxed);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
