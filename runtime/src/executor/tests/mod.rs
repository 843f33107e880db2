//! The promises of the executor, one test for each.

mod abort;
mod commands;
mod devices;
mod floods;
mod ids;
mod images;
mod incus;
mod isolation;
mod leftovers;
mod limits;
mod measurements;
mod promises;
mod sandbox;
mod temporary;
mod transfer;
mod world;

use super::{Abort, Command, Commands, ExecutorError, Exit, HostCommands, Sink, Stderr};
use crate::testing::Journal;
use std::ffi::OsString;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::AsyncWrite;

/// How long something may take before it has failed: long, for test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets the test program be a helper, as `main` does in a real one.
#[ctor::ctor(unsafe)]
fn tests_can_be_helpers() {
    super::supervisor_main_if_called();
}

/// A command that runs a line of shell.
fn shell(line: impl Into<OsString>) -> Command {
    command(["/bin/sh".into(), "-c".into(), line.into()])
}

fn command<S: Into<OsString>>(arguments: impl IntoIterator<Item = S>) -> Command {
    Command {
        arguments: arguments.into_iter().map(Into::into).collect(),
        directory: None,
        environment: None,
        as_root: false,
        stdin: None,
        stdout: None,
        stderr: Stderr::WithStdout,
        timeout: None,
    }
}

/// Runs a line of shell and returns what it printed.
async fn output_of(
    place: &dyn Commands,
    mut command: Command,
) -> (Result<Exit, ExecutorError>, String) {
    let memory = Memory::default();
    command.stdout = Some(memory.sink());
    let exit = place.run(command, &Abort::new()).await;
    (exit, memory.text())
}

/// A sink that keeps everything.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn sink(&self) -> Sink {
        Box::new(self.clone())
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

impl AsyncWrite for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A sink that only counts, or takes nothing at all.
#[derive(Clone, Default)]
struct Meter {
    bytes: Arc<Mutex<u64>>,
    stalled: bool,
}

impl AsyncWrite for Meter {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.stalled {
            return Poll::Pending;
        }
        *self.bytes.lock().unwrap() += bytes.len() as u64;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// An abort that comes after a while.
fn abort_after(delay: Duration) -> Abort {
    let abort = Abort::new();
    let later = abort.clone();
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        later.cancel();
    });
    abort
}

/// How many processes of this machine have this word among their arguments.
fn processes_with(word: &str) -> usize {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return 0;
    };
    processes
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|arguments| {
            arguments
                .split(|&byte| byte == 0)
                .any(|argument| argument == word.as_bytes())
        })
        .count()
}

/// Whether nothing of a process is left but what its parent has to collect. A process loses its memory, and with it `/proc/PID/exe`, a moment
/// before it closes its files.
fn has_ended(process: nix::unistd::Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    stat.map_or(true, |stat| {
        let state = stat.rsplit(") ").next();
        state.is_some_and(|state| state.starts_with(['Z', 'X']))
    })
}

/// Waits until a condition holds, beside whatever else the test does; it has failed if that never comes.
async fn until(condition: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a condition holds; false if it never does.
fn eventually(condition: impl Fn() -> bool) -> bool {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
