//! Who may change an image and who uses it, agreed between all runtimes of a machine. A lock ends with its holder, however that ends.

use super::{ImageDigest, broken};
use crate::executor::{Abort, ExecutorError};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between the first looks at a lock that somebody else holds.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// Between the later ones.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What a lock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To fetch, unpack or recode: one at a time.
    Change,
    /// To use: many at a time. Keeps the image from being removed.
    Use,
}

/// A lock that is held.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "held, not read")] Vec<File>);

impl Lock {
    /// Waits for a lock, which another runtime may hold as long as a fetch takes. Asked for again and again: a thread that waited inside the kernel could
    /// not be called back, and this process could not end.
    pub(super) async fn wait(
        directory: &Path,
        sha256: &ImageDigest,
        purpose: Purpose,
        abort: &Abort,
    ) -> Result<Self, ExecutorError> {
        let path = path(directory, sha256, purpose);
        let file = open(&path)?;
        let mut pause = FIRST_PAUSE;
        loop {
            let locked = match purpose {
                Purpose::Change => file.try_lock(),
                Purpose::Use => file.try_lock_shared(),
            };
            match locked {
                Ok(()) => return Ok(Self(vec![file])),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(broken(&path, &error)),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (2 * pause).min(LONGEST_PAUSE),
                () = abort.cancelled() => return Err(ExecutorError::Aborted),
            }
        }
    }

    /// The locks needed to remove an image, or none if anybody uses or changes it.
    pub(super) fn try_exclusive(
        directory: &Path,
        sha256: &ImageDigest,
    ) -> Result<Option<Self>, ExecutorError> {
        Self::try_all(directory, sha256, &[Purpose::Change, Purpose::Use])
    }

    /// The lock needed to change an image, or none if anybody changes it.
    pub(super) fn try_change(
        directory: &Path,
        sha256: &ImageDigest,
    ) -> Result<Option<Self>, ExecutorError> {
        Self::try_all(directory, sha256, &[Purpose::Change])
    }

    fn try_all(
        directory: &Path,
        sha256: &ImageDigest,
        purposes: &[Purpose],
    ) -> Result<Option<Self>, ExecutorError> {
        let mut held = Vec::new();
        for &purpose in purposes {
            let path = path(directory, sha256, purpose);
            let file = open(&path)?;
            match file.try_lock() {
                Ok(()) => held.push(file),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(broken(&path, &error)),
            }
        }
        Ok(Some(Self(held)))
    }
}

fn path(directory: &Path, sha256: &ImageDigest, purpose: Purpose) -> PathBuf {
    let kind = match purpose {
        Purpose::Change => "change",
        Purpose::Use => "use",
    };
    directory.join("locks").join(format!("{sha256}.{kind}"))
}

fn open(path: &Path) -> Result<File, ExecutorError> {
    let open = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
    };
    open().map_err(|error| broken(path, &error))
}
