//! What can be done with a running sandbox or virtual machine.

use super::{Abort, Commands, ExecutorError};
use async_trait::async_trait;
use std::fs::File;
use std::path::Path;

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
