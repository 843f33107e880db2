//! A real Debusine server on loopback, worker processes beside it, and a wire between them that can be cut.

mod console;
mod mirror;
mod server;
mod wire;
mod worker_process;

pub use mirror::SilentMirror;
pub use server::RealServer;
pub use wire::{Caught, Exchange, Moment, Part, Wire};
pub use worker_process::{WorkerHome, WorkerProcess};

use anyhow::{Result, bail};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long something may take that is a matter of seconds, on a machine that does other things too.
pub const SECONDS: Duration = Duration::from_secs(120);

/// How long a task may take that installs packages.
pub const MINUTES: Duration = Duration::from_secs(900);

/// Waits until there is an answer.
pub async fn wait_for<T>(
    what: &str,
    longest: Duration,
    mut answer: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = answer().await? {
            return Ok(answer);
        }
        if begun.elapsed() > longest {
            bail!("not within {} s: {what}", longest.as_secs());
        }
        sleep(Duration::from_millis(50)).await;
    }
}
