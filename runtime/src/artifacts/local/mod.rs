//! The embedded artifact store: a directory with a SQLite database and every file once, under its sha256. No server is needed.
//!
//! Several processes may use one store at once. Whatever happens to them, the store opens again: files are written aside, synced and linked
//! into place before one transaction mentions them.
//!
//! ```text
//! store.sqlite3             artifacts, relations, collections, work requests, settings
//! files/<2 digits>/<sha256> the files
//! incoming/                 files on their way in
//! running/                  one lock file for each process that runs work requests
//! ```

mod blobs;
mod collections;
mod dict_lookups;
mod digest;
mod environments;
mod export;
mod failure;
mod integers;
mod lookups;
mod moment;
mod owner;
mod paths;
mod records;
mod relations;
mod schema;
mod settings;
mod verify;
mod work_requests;

#[cfg(test)]
mod tests;

pub use environments::{Environment, EnvironmentFormat, EnvironmentVariables};
pub use export::Overwrite;
pub use records::{ArtifactFilter, StoredArtifact};
pub use verify::{Problem, VerifyProgress, VerifyReport};
pub use work_requests::{NewWorkRequest, WorkRequest, WorkRequestResult, WorkRequestStatus};

use super::Wanted;
use super::{Artifact, ArtifactId, ArtifactStore, NewArtifact, Relation, StoreError};
use async_trait::async_trait;
use blobs::{Blobs, Reception, create_directory, read_directory};
use digest::{Copied, copy};
use failure::{Failure, Outcome};
use nix::fcntl::{Flock, FlockArg};
use owner::Owner;
use relations::End;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Judges a new artifact by the rules of its category before it is stored: why it breaks them, or nothing.
pub type Validator = Box<dyn Fn(&NewArtifact) -> Result<(), String> + Send + Sync>;

/// An embedded artifact store. Clones are the same store.
///
/// The asynchronous methods do their work on Tokio's blocking threads. An upload or a fetch whose future is dropped is given up; an upload that was about
/// to be done may still be.
#[derive(Clone)]
pub struct LocalStore {
    inner: Arc<Inner>,
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.inner.path;
        f.debug_struct("LocalStore").field("path", path).finish()
    }
}

/// What the parts of the store share.
struct Inner {
    path: PathBuf,
    database: Mutex<Connection>,
    blobs: Blobs,
    /// Made when the first work request is started.
    owner: Mutex<Option<Owner>>,
    validator: Validator,
}

impl LocalStore {
    /// Opens the store in the directory `path`, which is created (for its owner only) if it is missing, and removes what processes that
    /// died left in it. Takes a few milliseconds; blocks.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a directory that holds something else, [`StoreError::Damaged`] for a database that is none any more,
    /// [`StoreError::Unavailable`] for a store that a newer program wrote, or when the system refuses.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_validating(path, Box::new(|_| Ok(())))
    }

    /// Like [`LocalStore::open`]; every new artifact must pass `validator`.
    pub fn open_validating(
        path: impl Into<PathBuf>,
        validator: Validator,
    ) -> Result<Self, StoreError> {
        let path = path.into();
        match Inner::open(&path, validator) {
            Ok(inner) => Ok(Self {
                inner: Arc::new(inner),
            }),
            Err(failure) => Err(failure.told(&path)),
        }
    }

    /// The store's directory.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Stores a new artifact like [`ArtifactStore::upload`], with names by which look-ups find it. All or nothing.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] also for a name that another artifact has, or that a look-up would take for something else.
    pub async fn import(
        &self,
        artifact: NewArtifact,
        names: Vec<String>,
    ) -> Result<ArtifactId, StoreError> {
        let (wanted, _guard) = Wanted::until_dropped();
        self.blocking(move |store| store.import(&artifact, &names, &wanted))
            .await
    }

    /// Gives an artifact one more name.
    pub async fn add_name(&self, id: ArtifactId, name: String) -> Result<(), StoreError> {
        self.blocking(move |store| store.write(|rows| records::add_name(rows, id, &name)))
            .await
    }

    /// An artifact with everything that the store knows of it.
    pub async fn show(&self, id: ArtifactId) -> Result<StoredArtifact, StoreError> {
        self.blocking(move |store| store.read(|rows| records::stored(rows, id)))
            .await
    }

    /// The artifacts that pass a filter, oldest first.
    pub async fn list(&self, filter: ArtifactFilter) -> Result<Vec<StoredArtifact>, StoreError> {
        self.blocking(move |store| store.read(|rows| records::list(rows, &filter)))
            .await
    }

    /// Opens one file of an artifact for reading. Unlike [`ArtifactStore::fetch_file`] it compares the size only.
    pub async fn open_file(&self, id: ArtifactId, path: &str) -> Result<File, StoreError> {
        let path = path.to_owned();
        self.blocking(move |store| Ok(store.open_file(id, &path)?.0))
            .await
    }

    /// Writes all files of an artifact beneath the existing directory `directory`, verified, and returns their paths.
    /// Unless all are good, none gets its name. No symlink beneath `directory` is followed.
    pub async fn export(
        &self,
        id: ArtifactId,
        directory: PathBuf,
        overwrite: Overwrite,
    ) -> Result<Vec<PathBuf>, StoreError> {
        self.blocking(move |store| export::export(store, id, &directory, overwrite))
            .await
    }

    /// The relations that lead from other artifacts to this one, in the order in which they were recorded.
    pub async fn relations_to(&self, id: ArtifactId) -> Result<Vec<Relation>, StoreError> {
        self.blocking(move |store| store.read(|rows| relations::relations(rows, id, End::To)))
            .await
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        let worker = tokio::task::spawn_blocking(move || {
            work(&inner).map_err(|failure| failure.told(&inner.path))
        });
        worker.await.unwrap_or_else(|panic| {
            Err(StoreError::Unavailable(format!(
                "artifact store: an operation ended unexpectedly: {panic}; verify the store"
            )))
        })
    }
}

#[async_trait]
impl ArtifactStore for LocalStore {
    async fn artifact(&self, id: ArtifactId) -> Result<Artifact, StoreError> {
        self.blocking(move |store| store.read(|rows| records::artifact(rows, id)))
            .await
    }

    async fn fetch_file(&self, id: ArtifactId, path: &str, target: File) -> Result<(), StoreError> {
        let path = path.to_owned();
        let (wanted, _guard) = Wanted::until_dropped();
        self.blocking(move |store| store.fetch_file(id, &path, &target, &wanted))
            .await
    }

    async fn upload(&self, artifact: NewArtifact) -> Result<ArtifactId, StoreError> {
        self.import(artifact, Vec::new()).await
    }

    async fn relate(&self, relation: Relation) -> Result<(), StoreError> {
        self.blocking(move |store| store.write(|rows| relations::relate(rows, relation)))
            .await
    }

    async fn relations_from(&self, id: ArtifactId) -> Result<Vec<Relation>, StoreError> {
        self.blocking(move |store| store.read(|rows| relations::relations(rows, id, End::From)))
            .await
    }
}

impl Inner {
    fn open(path: &Path, validator: Validator) -> Outcome<Self> {
        create_directory(path)?;
        let _alone = lock_opening(path)?;
        refuse_other_directories(path)?;
        let database = schema::open(&path.join(DATABASE), path)?;
        let store = Self {
            path: path.to_owned(),
            database: Mutex::new(database),
            blobs: Blobs::open(path)?,
            owner: Mutex::new(None),
            validator,
        };
        store.sweep()?;
        store.abort_orphans()?;
        Ok(store)
    }

    /// Reads one consistent state of the database.
    fn read<T>(&self, work: impl FnOnce(&Transaction) -> Outcome<T>) -> Outcome<T> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        work(&transaction)
    }

    /// Changes the database in one transaction, which a failure undoes. Waits for other processes' changes.
    fn write<T>(&self, work: impl FnOnce(&Transaction) -> Outcome<T>) -> Outcome<T> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic cut short was undone when it was dropped.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn import(
        &self,
        artifact: &NewArtifact,
        names: &[String],
        wanted: &Wanted,
    ) -> Outcome<ArtifactId> {
        check(artifact)?;
        names
            .iter()
            .try_for_each(|name| records::check_name(name))?;
        (self.validator)(artifact).map_err(Failure::invalid)?;

        let mut reception = self.blobs.receive()?;
        match self.bring_in(&mut reception, artifact, names, wanted) {
            Ok(id) => {
                reception.finish();
                Ok(id)
            }
            Err(failure) => {
                drop(reception);
                let _ = self.sweep();
                Err(failure)
            }
        }
    }

    fn bring_in(
        &self,
        reception: &mut Reception,
        artifact: &NewArtifact,
        names: &[String],
        wanted: &Wanted,
    ) -> Outcome<ArtifactId> {
        let mut files = Vec::with_capacity(artifact.files.len());
        for file in &artifact.files {
            files.push((file.path.clone(), reception.take(&file.content, wanted)?));
        }
        reception.publish()?;
        self.write(|rows| {
            let id = records::insert(rows, artifact, &files)?;
            names
                .iter()
                .try_for_each(|name| records::add_name(rows, id, name))?;
            environments::add_fresh(rows, id, &artifact.category, &artifact.data)?;
            Ok(id)
        })
    }

    fn sweep(&self) -> Outcome<()> {
        self.blobs.sweep(|digest| {
            self.read(|rows| {
                let mut known = rows.prepare_cached("SELECT 1 FROM blobs WHERE sha256 = ?")?;
                Ok(known.exists([digest])?)
            })
        })
    }

    fn open_file(&self, id: ArtifactId, path: &str) -> Outcome<(File, Copied)> {
        let content = self.read(|rows| records::file(rows, id, path))?;
        let file = self.blobs.open_blob(content.digest);
        let file = file.map_err(|error| lost(id, path, &error))?;
        let size = file
            .metadata()
            .map_err(Failure::io("reading a stored file"))?
            .len();
        if size != content.size {
            return Err(Failure::damaged(format!(
                "file {path:?} of artifact {id}: {size} bytes are there, {} were stored; import the same file again to heal it",
                content.size
            )));
        }
        Ok((file, content))
    }

    fn fetch_file(
        &self,
        id: ArtifactId,
        path: &str,
        target: &File,
        wanted: &Wanted,
    ) -> Outcome<()> {
        let (source, content) = self.open_file(id, path)?;
        let copied = copy(
            &source,
            target,
            None,
            wanted,
            &format!("writing a copy of {path:?}"),
        )?;
        match copied == content {
            true => Ok(()),
            false => Err(changed(id, path, content, copied)),
        }
    }
}

const DATABASE: &str = "store.sqlite3";

/// Everything that the store makes in its directory begins with one of these.
const OWN_ENTRIES: [&str; 4] = [DATABASE, "files", "incoming", "running"];

/// A directory that may be there before the store is: that in which a worker on this machine keeps its results until they are delivered.
pub const SPOOL: &str = "worker";

/// Only one process at a time opens a store, until the lock is dropped.
fn lock_opening(store: &Path) -> Outcome<Flock<File>> {
    let doing = "locking the store while it is opened";
    let directory = File::open(store).map_err(Failure::io(doing))?;
    Flock::lock(directory, FlockArg::LockExclusive)
        .map_err(|(_, errno)| Failure::io(doing)(errno.into()))
}

/// A mistyped path must not fill somebody's home directory with our files.
fn refuse_other_directories(store: &Path) -> Outcome<()> {
    if store.join(DATABASE).exists() {
        return Ok(());
    }
    let stranger = read_directory(store)?.into_iter().find(|entry| {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        name != SPOOL && !OWN_ENTRIES.iter().any(|own| name.starts_with(own))
    });
    match stranger {
        None => Ok(()),
        Some(entry) => Err(Failure::invalid(format!(
            "artifact store {}: the directory is no store and not empty ({:?} is in it); choose an empty or a new one",
            store.display(),
            entry.file_name().unwrap_or_default()
        ))),
    }
}

/// The rules that hold for artifacts of every category.
fn check(artifact: &NewArtifact) -> Outcome<()> {
    if artifact.category.is_empty() {
        return Err(Failure::invalid(
            "category of the new artifact: it is empty; name one, e.g. debian:source-package",
        ));
    }
    if !artifact.data.is_object() {
        return Err(Failure::invalid(
            "data of the new artifact: not a JSON object; give an object, empty if need be",
        ));
    }
    paths::check_all(&artifact.files)
}

/// The file's row is there, its bytes are not.
fn lost(id: ArtifactId, path: &str, error: &io::Error) -> Failure {
    Failure::damaged(format!(
        "file {path:?} of artifact {id}: the store cannot read its content: {error}; import the same file again to heal it"
    ))
}

/// The file's bytes are not those that were stored.
fn changed(id: ArtifactId, path: &str, stored: Copied, found: Copied) -> Failure {
    Failure::damaged(format!(
        "file {path:?} of artifact {id}: damaged: {} bytes with sha256 {} are there, {} bytes with sha256 {} were stored; import the same file again to heal it",
        found.size, found.digest, stored.size, stored.digest
    ))
}
