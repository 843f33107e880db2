//! The directories on disk in which sandboxes keep what they change, and those that killed ones left behind.

use super::open_path;
use crate::executor::ids::IdMap;
use crate::executor::orders::Work;
use crate::executor::{Abort, ExecutorError, owner, work};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// The directory beneath the scratch directory that belongs to the root of sandboxes.
const ARENA: &str = "sandboxes";

/// Where the scratch directories of sandboxes are made.
pub(super) struct Arena(OwnedFd);

impl Arena {
    /// Opens the arena beneath a directory; makes both if needed.
    pub(super) async fn open(
        directory: &Path,
        ids: &IdMap,
        abort: &Abort,
    ) -> Result<Self, ExecutorError> {
        let path = directory.join(ARENA);
        let found = fs::symlink_metadata(&path).ok();
        let is_ours = |found: &fs::Metadata| found.is_dir() && ids.own(found);
        if found.as_ref().is_some_and(|found| !is_ours(found)) {
            work::put_aside(&path)
                .await
                .map_err(|error| unusable(&path, &error))?;
        }
        if !found.is_some_and(|found| is_ours(&found)) {
            make_private(directory).map_err(|error| unusable(directory, &error))?;
            let parent = open_path(directory)?;
            let make = Work::MakeDirectory { name: ARENA.into() };
            work::request(Some(*ids), make, &[parent.as_fd()], abort).await?;
        }
        Ok(Self(open_path(&path)?))
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes a directory that nobody else can pass: other programs with the same sub-ids have no business in what sandboxes change.
fn make_private(directory: &Path) -> io::Result<()> {
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Removes what killed sandboxes have left in a scratch directory; how many there were. To be called when a runtime starts.
///
/// Those of other runtimes that still live stay. Processes need no sweeping: they die with their runtime. What cannot be removed keeps nobody
/// from working: a warning names it and says why, each time.
pub async fn sweep(directory: &Path) -> usize {
    let path = directory.join(ARENA);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
        Err(error) => {
            tracing::warn!("{}", unusable(&path, &error));
            return 0;
        }
    };
    let abandoned = entries
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.to_str().is_some_and(owner::is_abandoned));
    let mut removed = 0;
    for name in abandoned {
        match remove(&path, &name).await {
            Ok(()) => removed += 1,
            Err(error) => tracing::warn!(
                "{}: left by a sandbox that was killed, and not removed: {error}",
                path.join(name).display()
            ),
        }
    }
    removed
}

async fn remove(arena: &Path, name: &OsStr) -> Result<(), ExecutorError> {
    let ids = IdMap::of_this_process()?;
    let arena = open_path(arena)?;
    let remove = Work::Remove { name: name.into() };
    work::request(Some(ids), remove, &[arena.as_fd()], &Abort::new()).await
}

fn unusable(directory: &Path, error: &io::Error) -> ExecutorError {
    ExecutorError::System(format!(
        "cannot use the scratch directory {}: {error}; check its permissions",
        directory.display()
    ))
}
