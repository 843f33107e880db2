//! The vocabulary of commands: what is to run, where its output goes, how it ended, and the place where it runs.

use super::ExecutorError;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

/// Cancelled when the task is to be aborted; every wait in the executor listens to it.
pub type Abort = CancellationToken;

/// Receives a command's output as it comes. A slow sink slows the command down (the pipe fills); nothing is buffered without bound.
pub type Sink = Box<dyn AsyncWrite + Send + Unpin>;

/// A command to run, composed like a [`std::process::Command`].
pub struct Command {
    /// Program and arguments; the program is looked up in the `PATH` of the place where it runs.
    pub arguments: Vec<OsString>,
    /// Working directory, as the command will see it; none is the default of the place (`/` in an instance).
    pub directory: Option<PathBuf>,
    /// The whole environment; none is the default of the place.
    pub environment: Option<BTreeMap<OsString, OsString>>,
    /// In an instance: as root, else as its unprivileged user. On the host only `false` is possible.
    pub as_root: bool,
    /// What it reads from its standard input; none is an empty input.
    pub stdin: Option<File>,
    /// Where its standard output goes; none discards it.
    pub stdout: Option<Sink>,
    /// Where its standard error goes.
    pub stderr: Stderr,
    /// How long it may take before it is ended.
    pub timeout: Option<Duration>,
}

/// Where a command's standard error goes.
#[derive(Default)]
pub enum Stderr {
    /// Into the same pipe as standard output, in the order in which it was written.
    #[default]
    WithStdout,
    /// Into a sink of its own.
    To(Sink),
    /// Nowhere.
    Discard,
}

/// How a command ended. Its descendants are gone by then as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself with this status.
    Exited(i32),
    /// A signal ended it that the executor did not send.
    Signalled(i32),
    /// It took longer than its timeout and was ended.
    TimedOut,
    /// The task was aborted and the command ended for that.
    Aborted,
    /// It exceeded its memory limit and was ended.
    OutOfMemory,
}

/// A place where commands run.
#[async_trait]
pub trait Commands: Send + Sync {
    /// Runs a command to its end and kills what it leaves behind.
    async fn run(&self, command: Command, abort: &Abort) -> Result<Exit, ExecutorError>;
}
