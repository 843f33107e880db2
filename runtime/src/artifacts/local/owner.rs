//! Who runs a work request: a lock file that a process holds as long as it lives.
//!
//! A process id would not do: it may be used again, and it means something else in another container that shares the store.

use super::blobs::{create_directory, read_directory};
use super::failure::{Failure, Outcome};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How often a new lock file may be taken for a dead process's one before its lock is held.
const ATTEMPTS: usize = 16;

/// This process's lock file. Dropped, or dead with its process, it owns nothing any more.
pub(super) struct Owner {
    name: String,
    path: PathBuf,
    _lock: Flock<File>,
}

impl Owner {
    pub(super) fn new(store: &Path) -> Outcome<Self> {
        let directory = directory(store)?;
        for _ in 0..ATTEMPTS {
            let (file, path) = tempfile::Builder::new()
                .prefix("owner-")
                .rand_bytes(12)
                .tempfile_in(&directory)
                .and_then(|file| Ok(file.keep()?))
                .map_err(Failure::io("creating a lock file in running/"))?;
            // Another process may look between creation and lock, and remove the file; it then has no name any more.
            if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock)
                && lock.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
            {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                return Ok(Self {
                    name: name.into_owned(),
                    path,
                    _lock: lock,
                });
            }
        }
        Err(Failure::unavailable(format!(
            "artifact store {}: no lock file could be kept in running/; try again",
            store.display()
        )))
    }

    /// What the work requests that it runs are marked with.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The owners that live. The lock files of dead ones are removed.
pub(super) fn living(store: &Path) -> Outcome<BTreeSet<String>> {
    let mut living = BTreeSet::new();
    for path in read_directory(&directory(store)?)? {
        let Ok(file) = File::open(&path) else {
            continue;
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_lock) => {
                let _ = fs::remove_file(&path);
            }
            Err((_, Errno::EWOULDBLOCK)) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                living.insert(name.into_owned());
            }
            Err((_, errno)) => return Err(Failure::io("locking a file in running/")(errno.into())),
        }
    }
    Ok(living)
}

fn directory(store: &Path) -> Outcome<PathBuf> {
    let directory = store.join("running");
    create_directory(&directory)?;
    Ok(directory)
}
