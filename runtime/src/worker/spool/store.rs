//! The artifact store of a running task: inputs come from the server, outputs go to the spool.

use super::Entry;
use super::journal::Creation;
use crate::artifacts::debusine::{ServerArtifacts, UploadFile};
use crate::artifacts::{
    Artifact, ArtifactFile, ArtifactId, ArtifactStore, NewArtifact, Relation, StoreError, Wanted,
};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much of a file is in memory at a time, in bytes.
const PIECE: usize = 256 << 10;

/// Artifacts as a task sees them while it runs. Those that it makes have provisional numbers until the server has them.
pub struct SpoolingStore {
    server: Arc<ServerArtifacts>,
    entry: Arc<Mutex<Entry>>,
}

impl SpoolingStore {
    /// Inputs from this server, outputs to this entry of the spool.
    pub fn new(server: Arc<ServerArtifacts>, entry: Arc<Mutex<Entry>>) -> Self {
        Self { server, entry }
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self, id: ArtifactId) -> Option<Artifact> {
        self.entry().journal.creation(id).map(described)
    }
}

#[async_trait]
impl ArtifactStore for SpoolingStore {
    async fn artifact(&self, id: ArtifactId) -> Result<Artifact, StoreError> {
        match self.own(id) {
            Some(artifact) => Ok(artifact),
            None => self.server.artifact(id).await,
        }
    }

    async fn fetch_file(&self, id: ArtifactId, path: &str, target: File) -> Result<(), StoreError> {
        let Some(artifact) = self.own(id) else {
            return self.server.fetch_file(id, path, target).await;
        };
        let file = artifact.files.iter().find(|file| file.path == path);
        let file = file.ok_or_else(|| {
            StoreError::NotFound(format!("artifact {id}: it has no file {path:?}"))
        })?;
        let source = self.entry().content(&file.sha256);
        let (wanted, _guard) = Wanted::until_dropped();
        let copied = tokio::task::spawn_blocking(move || {
            let write = |piece: &[u8]| (&target).write_all(piece);
            each_piece(&mut File::open(source)?, &wanted, write)
        });
        finished(copied.await, "copying from the spool")
    }

    async fn upload(&self, artifact: NewArtifact) -> Result<ArtifactId, StoreError> {
        let directory = self.entry().directory.join("files");
        let mut files = Vec::with_capacity(artifact.files.len());
        for file in artifact.files {
            let directory = directory.clone();
            let (wanted, _guard) = Wanted::until_dropped();
            let kept = tokio::task::spawn_blocking(move || keep(&directory, file.content, &wanted));
            let (size, sha256) = finished(kept.await, "writing to the spool")?;
            files.push(UploadFile {
                path: file.path,
                size,
                sha256,
            });
        }
        Ok(self
            .entry()
            .journal
            .create(artifact.category, artifact.data, files))
    }

    async fn relate(&self, relation: Relation) -> Result<(), StoreError> {
        self.entry().journal.relate(relation);
        Ok(())
    }

    async fn relations_from(&self, id: ArtifactId) -> Result<Vec<Relation>, StoreError> {
        if self.own(id).is_none() {
            return self.server.relations_from(id).await;
        }
        let entry = self.entry();
        let relations = entry.journal.relations();
        Ok(relations.filter(|relation| relation.from == id).collect())
    }
}

fn described(creation: &Creation) -> Artifact {
    let files = creation.files.iter().map(|file| ArtifactFile {
        path: file.path.clone(),
        size: file.size,
        sha256: file.sha256.clone(),
        url: None,
    });
    Artifact {
        id: creation.provisional,
        category: creation.category.clone(),
        data: creation.data.clone(),
        files: files.collect(),
    }
}

/// Copies content into the spool while it is hashed; its size and sha256. Nobody can change it afterwards.
pub(super) fn keep(
    directory: &Path,
    mut content: File,
    wanted: &Wanted,
) -> io::Result<(u64, String)> {
    let mut aside = tempfile::NamedTempFile::new_in(directory)?;
    content.seek(SeekFrom::Start(0))?;
    let (mut hasher, mut size) = (Sha256::new(), 0);
    let mut count = |piece: &[u8]| {
        hasher.update(piece);
        size += piece.len() as u64;
        Ok(())
    };
    // Where the file system can, the copy shares the blocks; it is the copy that counts, so that is hashed.
    match rustix::fs::ioctl_ficlone(aside.as_file(), &content) {
        Ok(()) => each_piece(aside.as_file_mut(), wanted, count)?,
        Err(_) => each_piece(&mut content, wanted, |piece| {
            count(piece)?;
            aside.write_all(piece)
        })?,
    }
    aside.as_file().sync_data()?;
    let sha256 = hex::encode(hasher.finalize());
    let place: PathBuf = directory.join(&sha256);
    let file = aside.into_temp_path();
    fs::rename(&file, place)?;
    // It has another name now: there is nothing to remove.
    let _ = file.keep();
    Ok((size, sha256))
}

/// Reads to the end, a piece at a time, for as long as it is wanted.
fn each_piece(
    source: &mut File,
    wanted: &Wanted,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        wanted.check()?;
        match source.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => take(&piece[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What came of work on a thread that may wait for the disk.
fn finished<T>(
    outcome: Result<io::Result<T>, tokio::task::JoinError>,
    doing: &str,
) -> Result<T, StoreError> {
    let told = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
            _ => "check its disk",
        };
        StoreError::Unavailable(format!("{doing}: {error}; {advice}"))
    };
    outcome
        .map_err(|error| told(io::Error::other(error)))?
        .map_err(told)
}
