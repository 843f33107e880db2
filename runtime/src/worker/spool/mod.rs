//! The spool: what a task has made and how it ended, kept on disk until the server has it all.
//!
//! ```text
//! lock                   held by the worker
//! 17/                    a work request
//!   journal.json         what the server is to be told, and how far that has got
//!   files/SHA256         content of its artifacts
//! 18.refused/            the same of one whose result the server will never take
//! 19.unreadable/         the same of one whose journal makes no sense
//!   why                  the reason, in words
//! ```
//!
//! What is kept aside is the operator's to look at and to remove. Renamed to its number, it is offered again after the next start.

mod aside;
mod delivery;
mod journal;
mod store;
fn has_room(directory: &Path) -> Result<(), SpoolError> {
    let write = || {
        let mut file = tempfile::tempfile_in(directory)?;
        file.write_all(&[0; 64 << 10])
    };
    write().map_err(|error| SpoolError::Disk {
        path: directory.to_owned(),
        doing: "writing to it",
        error,
    })
}

#[cfg(test)]
mod tests;

use crate::worker::work_request::{Report, WorkRequest};
use journal::{Journal, State};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use aside::kept_aside;
pub use delivery::{Delivered, Undelivered};
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
    /// Work requests that are not offered again before the next start.
    postponed: Mutex<BTreeSet<u64>>,
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
            postponed: Mutex::default(),
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
        has_room(&self.directory)
    }

    /// Whether there is room for results in a directory, or, if that is still to be made, where it would be. Nothing is left there.
    pub fn check_room(directory: &Path) -> Result<(), SpoolError> {
        let is_there = |path: &&Path| path.symlink_metadata().is_ok();
        let place = directory.ancestors().find(is_there);
        has_room(place.unwrap_or(Path::new(".")))
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
        self.postponed().remove(&work_request.id);
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder.create(&directory).map_err(failed)?;
        builder.create(directory.join("files")).map_err(failed)?;
        sync(&self.directory).map_err(failed)?;
        let entry = Entry {
            journal: Journal::new(self.owner.clone(), work_request),
            directory: directory.clone(),
        };
        entry.save().map_err(failed)?;
        Ok(entry)
    }

    /// The work requests that the server is still to be told of, oldest first, but for those that were postponed.
    pub fn undelivered(&self) -> Vec<Entry> {
        let mut found = self.entries(|journal| journal.is_for_delivery());
        let postponed = self.postponed();
        found.retain(|entry| !postponed.contains(&entry.work_request()));
        found
    }

    /// The finished work request of this number, if the server would not take it when it was told.
    pub fn unassigned(&self, id: u64) -> Option<Entry> {
        let is_postponed = self.postponed().contains(&id);
        let is_it = |journal: &Journal| {
            let is_waiting = journal.state == State::Unassigned
                || is_postponed && journal.state == State::Finished;
            is_waiting && journal.work_request == id
        };
        self.entries(is_it).pop()
    }

    /// Lets the server alone with a work request until the worker starts again.
    pub fn postpone(&self, entry: &Entry) {
        self.postponed().insert(entry.work_request());
    }

    /// Removes results that nobody has asked for in a long time.
    pub fn expire(&self) {
        for entry in self.entries(|journal| journal.state == State::Unassigned) {
            if entry.is_expired() {
                forget(&entry.directory, EXPIRED).unwrap_or_else(|error| {
                    let shown = entry.directory.display();
                    tracing::warn!("{shown}: cannot be removed: {error}");
                });
            }
        }
    }

    fn postponed(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.postponed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self, wanted: impl Fn(&Journal) -> bool) -> Vec<Entry> {
        let places = numbered(&self.directory).unwrap_or_default();
        let entries = places.into_iter().filter_map(|(_, place)| {
            let entry = Entry::read(place).ok().flatten()?;
            let is_ours = entry.journal.owner == self.owner;
            (is_ours && wanted(&entry.journal)).then_some(entry)
        });
        let mut found: Vec<Entry> = entries.collect();
        found.sort_by_key(|entry| entry.journal.work_request);
        found
    }

    /// Removes what can be of no use any more; what makes no sense is kept aside.
    fn sweep(&self) -> io::Result<()> {
        for (number, place) in numbered(&self.directory)? {
            let shown = place.display();
            let entry = match Entry::read(place.clone()) {
                Ok(Some(entry)) if entry.work_request() == number => entry,
                Ok(None) => {
                    forget(&place, "its worker was killed before it ran")?;
                    continue;
                }
                unusable => {
                    let reason = unusable.err().unwrap_or_else(|| {
                        "its journal is that of another work request".to_owned()
                    });
                    let kept = aside::set_aside(&place, aside::UNREADABLE, &reason)?;
                    tracing::error!(
                        "{shown}: {reason}; what is there is not delivered, and kept as {}",
                        kept.display()
                    );
                    continue;
                }
            };
            match entry.journal.state {
                State::Running => forget(&place, "its worker was killed while it ran")?,
                State::Unassigned if entry.is_expired() => forget(&place, EXPIRED)?,
                _ if entry.journal.owner != self.owner => {
                    tracing::warn!("{shown}: results for another server or of another token; kept");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Why a result that was kept for a while is removed.
const EXPIRED: &str = "nobody has asked for it";

/// The places of work requests in a spool, with their numbers.
fn numbered(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut places = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Ok(number) = entry.file_name().to_string_lossy().parse() {
            places.push((number, entry.path()));
        }
    }
    Ok(places)
}

fn forget(place: &Path, reason: &str) -> io::Result<()> {
    tracing::info!("{}: {reason}; removing it", place.display());
    remove(place)
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

    /// The server will never take it: it is kept beside the others, for the operator. Where it is then.
    pub fn set_aside(self, reason: &str) -> Result<PathBuf, SpoolError> {
        aside::set_aside(&self.directory, aside::REFUSED, reason).map_err(|error| {
            SpoolError::Disk {
                path: self.directory.clone(),
                doing: "keeping a refused result",
                error,
            }
        })
    }

    fn is_expired(&self) -> bool {
        let changed = fs::metadata(&self.directory).and_then(|it| it.modified());
        changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > KEPT))
    }

    fn set_state(&mut self, state: State) -> Result<(), SpoolError> {
        self.journal.state = state;
        self.save().map_err(|error| SpoolError::Disk {
            path: self.directory.clone(),
            doing: "keeping a result",
            error,
        })
    }

    /// Writes the journal aside, and puts it in place when it is whole. The files that it names are there by then, come what may.
    fn save(&self) -> io::Result<()> {
        sync(&self.directory.join("files"))?;
        let text = serde_json::to_vec(&self.journal)?;
        let aside = self.directory.join("journal.new");
        let mut file = File::create(&aside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&aside, self.directory.join("journal.json"))?;
        sync(&self.directory)
    }

    /// The same where a failure must not stop anything: at worst something is told twice.
    fn note_progress(&self) {
        if let Err(error) = self.save() {
            let shown = self.directory.display();
            tracing::warn!("{shown}: cannot write down what was delivered: {error}");
        }
    }

    /// What is in a directory; none if no journal was ever written there. The error says why it makes no sense.
    fn read(directory: PathBuf) -> Result<Option<Self>, String> {
        let text = match fs::read(directory.join("journal.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| format!("its journal cannot be read: {error}"))?,
        };
        let journal = Journal::parse(&text)?;
        Ok(Some(Self { directory, journal }))
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

/// Puts the names in a directory on the disk.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
