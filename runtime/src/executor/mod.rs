//! Running commands: on the host in a process group of their own, or in a sandbox made from an image.
//!
//! Linux only; knows nothing of WebAssembly or Debusine. The traits here are what the rest of the runtime sees; tests implement them too.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
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

/// Why a command or a file operation of an instance could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The command cannot be started as it was given (no such program, not executable, a NUL, too many arguments, directory missing).
    #[error("{0}")]
    Command(String),
    /// The image is missing, damaged or of the wrong kind.
    #[error("{0}")]
    Image(String),
    /// A file that was to be pushed or pulled breaks a rule: symlink, not a regular file, outside its directory, too big.
    #[error("{0}")]
    File(String),
    /// The machine lacks what the operation needs; the words say what, and how to get it.
    #[error("{0}")]
    Unsupported(String),
    /// The operation was aborted with its task.
    #[error("aborted")]
    Aborted,
    /// The system refused: disk full, too many processes…
    #[error("{0}")]
    System(String),
}

/// A place where commands run.
#[async_trait]
pub trait Commands: Send + Sync {
    /// Runs a command to its end and kills what it leaves behind.
    async fn run(&self, command: Command, abort: &Abort) -> Result<Exit, ExecutorError>;
}

/// A running sandbox or virtual machine made from an image.
///
/// Paths are as they are inside. Dropping an instance without `stop` ends it too.
#[async_trait]
pub trait Instance: Commands {
    /// Makes sure that the unprivileged user exists.
    async fn create_user(&self, abort: &Abort) -> Result<(), ExecutorError>;

    /// Copies a directory of the host, with its name, into the directory `target`; everything in it belongs to the unprivileged user.
    async fn push_directory(
        &self,
        source: &Path,
        target: &Path,
        abort: &Abort,
    ) -> Result<(), ExecutorError>;

    /// Copies an open file of the host to the path `target`, with these permission bits.
    async fn push_file(
        &self,
        source: File,
        target: &Path,
        mode: u32,
        abort: &Abort,
    ) -> Result<(), ExecutorError>;

    /// Copies the regular file at `source` (no symlink anywhere in its path leads out) to an open file of the host.
    async fn pull_file(
        &self,
        source: &Path,
        target: File,
        abort: &Abort,
    ) -> Result<(), ExecutorError>;

    /// Makes a directory with these permission bits, owned by the unprivileged user; its parents are made too.
    async fn create_directory(
        &self,
        path: &Path,
        mode: u32,
        abort: &Abort,
    ) -> Result<(), ExecutorError>;

    /// Ends the instance: every process in it is killed, everything it held is given back.
    async fn stop(&self) -> Result<(), ExecutorError>;
}
