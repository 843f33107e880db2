//! The spool: what a task has made and how it ended, kept on disk until the server has it all.
//!
//! ```text
//! lock                   held by the worker
//! 17/                    a work request
//!   journal.json         what the server is to be told, and how far that has got
//!   files/SHA256         content of its artifacts
//! ```

mod delivery;
mod journal;
mod store;
#[cfg(test)]
mod tests;

use crate::worker::work_request::{Report, WorkRequest};
use journal::{Journal, State};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use delivery::Delivered;
pub use store::SpoolingStore;

/// How long a result is kept that nobody wants at the moment.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Why the spool cannot keep anything.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another worker has it.
    #[error("spool {0}: another worker uses it; stop that one, or name another place with --spool")]
    InUse(PathBuf),
    /// The disk does not do what it should.
    #[error("spool {path}: {doing}: {error}; check its disk, owner and permissions", path = .path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

/// Whose results these are: another server, or the same one with another token, cannot take them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    server: String,
    /// SHA-256 of the worker's token.
    token: String,
}

impl Owner {
    /// A worker by its server and its token.
    pub fn new(server: &str, token: &str) -> Self {
        Self {
            server: server.to_owned(),
            token: hex::encode(Sha256::digest(token.as_bytes())),
        }
    }
}

/// A directory of work requests.
pub struct Spool {
    directory: PathBuf,
    owner: Owner,
    _lock: Flock<File>,
}

impl Spool {
    /// Takes possession of the spool, which is made if it is missing. Work that a killed worker left half done is removed.
    pub fn open(directory: &Path, owner: Owner) -> Result<Self, SpoolError> {
        let failed = |doing| {
            move |error| SpoolError::Disk {
                path: directory.to_owned(),
                doing,
                error,
            }
        };
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed("making it"))?;
        let lock = lock(directory).map_err(failed("locking it"))?;
        let spool = Self {
            directory: directory.to_owned(),
            owner,
            _lock: lock.ok_or_else(|| SpoolError::InUse(directory.to_owned()))?,
        };
        spool.sweep().map_err(failed("reading it"))?;
        Ok(spool)
    }

    /// Whether somebody has taken possession of a spool.
    pub fn is_in_use(directory: &Path) -> bool {
        let there = directory.join("lock").exists();
        there && matches!(lock(directory), Ok(None))
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether it can keep anything: work whose result could not be kept is not taken.
    pub fn check(&self) -> Result<(), SpoolError> {
        let write = || {
            let mut file = tempfile::tempfile_in(&self.directory)?;
            file.write_all(&[0; 64 << 10])
        };
        write().map_err(|error| SpoolError::Disk {
            path: self.directory.clone(),
            doing: "writing to it",
            error,
        })
    }

    /// A place for a work request that is about to run. What an earlier run of it left is gone.
    pub fn begin(&self, work_request: &WorkRequest) -> Result<Entry, SpoolError> {
        let directory = self.directory.join(work_request.id.to_string());
        let failed = |error| SpoolError::Disk {
            path: directory.clone(),
            doing: "making room for a work request",
            error,
        };
        remove(&directory).map_err(failed)?;
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder.create(&directory).map_err(failed)?;
        builder.create(directory.join("files")).map_err(failed)?;
        let entry = Entry {
            journal: Journal::new(self.owner.clone(), work_request),
            directory: directory.clone(),
        };
        entry.save().map_err(failed)?;
        Ok(entry)
    }

    /// The work requests that the server is still to be told of, oldest first.
    pub fn undelivered(&self) -> Vec<Entry> {
        self.entries(|journal| matches!(journal.state, State::Finished | State::Aborted))
    }

    /// The finished work request of this number, if the server would not take it when it was told.
    pub fn unassigned(&self, id: u64) -> Option<Entry> {
        let is_it =
            |journal: &Journal| journal.state == State::Unassigned && journal.work_request == id;
        self.entries(is_it).pop()
    }

    fn entries(&self, wanted: impl Fn(&Journal) -> bool) -> Vec<Entry> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            if let Some(entry) = Entry::read(entry.path()) {
                let is_ours = entry.journal.owner == self.owner;
                if is_ours && wanted(&entry.journal) {
                    found.push(entry);
                }
            }
        }
        found.sort_by_key(|entry| entry.journal.work_request);
        found
    }

    /// Removes what can be of no use any more.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let is_number = entry.file_name().to_string_lossy().parse::<u64>().is_ok();
            if !is_number {
                continue;
            }
            let shown = entry.path().display().to_string();
            let journal = Entry::read(entry.path()).map(|entry| entry.journal);
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            let reason = match journal
                .as_ref()
                .map(|journal| (&journal.state, &journal.owner))
            {
                None => "it is damaged",
                Some((State::Running, _)) => "its worker was killed while it ran",
                Some((State::Unassigned, _)) if age > KEPT => "nobody has asked for it",
                Some((_, owner)) if *owner != self.owner => {
                    tracing::warn!("{shown}: results for another server or of another token; kept");
                    continue;
                }
                Some(_) => continue,
            };
            tracing::info!("{shown}: {reason}; removing it");
            remove(&entry.path())?;
        }
        Ok(())
    }
}

/// One work request in the spool.
#[derive(Debug, Clone)]
pub struct Entry {
    directory: PathBuf,
    journal: Journal,
}

impl Entry {
    /// Number of the work request.
    pub fn work_request(&self) -> u64 {
        self.journal.work_request
    }

    /// Name of its task.
    pub fn task(&self) -> &str {
        &self.journal.task
    }

    /// What the server is told; none of a task that was aborted.
    pub fn report(&self) -> Option<&Report> {
        self.journal.report.as_ref()
    }

    /// The task has ended: from now on this outlives the worker.
    pub fn finish(&mut self, report: Report) -> Result<(), SpoolError> {
        self.journal.report = Some(report);
        self.set_state(State::Finished)
    }

    /// The task was aborted: its logs are delivered, and no result.
    pub fn abort(&mut self) -> Result<(), SpoolError> {
        self.set_state(State::Aborted)
    }

    /// Nobody needs it any more.
    pub fn remove(self) {
        if let Err(error) = remove(&self.directory) {
            tracing::warn!("{}: cannot be removed: {error}", self.directory.display());
        }
    }

    fn set_state(&mut self, state: State) -> Result<(), SpoolError> {
        self.journal.state = state;
        self.save().map_err(|error| SpoolError::Disk {
            path: self.directory.clone(),
            doing: "keeping a result",
            error,
        })
    }

    /// Writes the journal aside, and puts it in place when it is whole.
    fn save(&self) -> io::Result<()> {
        let text = serde_json::to_vec(&self.journal)?;
        let aside = self.directory.join("journal.new");
        let mut file = File::create(&aside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&aside, self.directory.join("journal.json"))?;
        File::open(&self.directory)?.sync_all()
    }

    /// The same where a failure must not stop anything: at worst something is told twice.
    fn note_progress(&self) {
        if let Err(error) = self.save() {
            let shown = self.directory.display();
            tracing::warn!("{shown}: cannot write down what was delivered: {error}");
        }
    }

    fn read(directory: PathBuf) -> Option<Self> {
        let text = fs::read(directory.join("journal.json")).ok()?;
        let journal = serde_json::from_slice(&text).ok()?;
        Some(Self { directory, journal })
    }

    fn content(&self, sha256: &str) -> PathBuf {
        self.directory.join("files").join(sha256)
    }
}

fn lock(directory: &Path) -> io::Result<Option<Flock<File>>> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("lock"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
