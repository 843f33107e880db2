//! The stored files, once each under their sha256, and the way in that a crash cannot leave half open.
//!
//! A new file is written aside in `incoming/`, synced, renamed there to `<sha256>.<random>`, linked into `files/`, and leaves
//! `incoming/` only after the transaction that mentions it. What is left there after a crash therefore names every blob that may
//! lack its transaction, and opening the store tidies up without walking through all files. Who brings files in holds a shared lock on
//! `incoming/`; who tidies up needs an exclusive one, so nothing that a live process is writing can be taken for a leftover.

use super::digest::{Copied, Digest, copy, digest_of};
use super::failure::{Failure, Outcome};
use crate::artifacts::Wanted;
use nix::fcntl::{Flock, FlockArg};
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The directories of the stored files.
#[derive(Debug)]
pub(super) struct Blobs {
    files: PathBuf,
    incoming: PathBuf,
}

impl Blobs {
    /// Creates the directories where they are missing.
    pub(super) fn open(store: &Path) -> Outcome<Self> {
        let (files, incoming) = (store.join("files"), store.join("incoming"));
        create_directory(&files)?;
        create_directory(&incoming)?;
        Ok(Self { files, incoming })
    }

    /// Where the file with this content is.
    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.files.join(&name[..2]).join(name)
    }

    pub(super) fn open_blob(&self, digest: Digest) -> io::Result<File> {
        File::open(self.path(digest))
    }

    /// Starts to bring files in; waits while another process tidies up.
    pub(super) fn receive(&self) -> Outcome<Reception<'_>> {
        let lock = self.lock(FlockArg::LockShared)?;
        Ok(Reception {
            blobs: self,
            _lock: lock,
            received: HashMap::new(),
        })
    }

    /// Removes what processes that died left behind. Does nothing while anybody brings files in; the next opening will.
    ///
    /// `is_known` tells whether the database mentions a content.
    pub(super) fn sweep(&self, mut is_known: impl FnMut(Digest) -> Outcome<bool>) -> Outcome<()> {
        let Ok(_lock) = self.lock(FlockArg::LockExclusiveNonblock) else {
            return Ok(());
        };
        for entry in read_directory(&self.incoming)? {
            if let Some(digest) = announced(&entry)
                && !is_known(digest)?
            {
                remove_if_there(&self.path(digest))?;
            }
            remove_if_there(&entry)?;
        }
        Ok(())
    }

    /// The contents that are on their way in, or were when their process died.
    pub(super) fn announced(&self) -> Outcome<Vec<Digest>> {
        let entries = read_directory(&self.incoming)?;
        Ok(entries
            .iter()
            .filter_map(|entry| announced(entry))
            .collect())
    }

    /// Every path beneath `files/`: blobs, and whatever else somebody put there.
    pub(super) fn all_paths(&self) -> Outcome<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in read_directory(&self.files)? {
            if entry.is_dir() && !entry.is_symlink() {
                paths.extend(read_directory(&entry)?);
            } else {
                paths.push(entry);
            }
        }
        Ok(paths)
    }

    /// The name in `incoming/` under which the complete file `part` waits for its transaction.
    fn announcing_name(&self, digest: Digest, part: &Path) -> PathBuf {
        let random = part.file_name().unwrap_or_default().to_string_lossy();
        self.incoming.join(format!("{digest}.{random}"))
    }

    fn lock(&self, how: FlockArg) -> Outcome<Flock<File>> {
        let doing = "locking incoming/";
        let directory = File::open(&self.incoming).map_err(Failure::io(doing))?;
        Flock::lock(directory, how).map_err(|(_, errno)| Failure::io(doing)(errno.into()))
    }
}

/// Files on their way in. Dropped before [`Reception::finish`], it leaves at most what [`Blobs::sweep`] removes.
pub(super) struct Reception<'a> {
    blobs: &'a Blobs,
    _lock: Flock<File>,
    received: HashMap<Digest, Received>,
}

struct Received {
    /// Its name in `incoming/`.
    path: PathBuf,
    linked: bool,
}

impl Reception<'_> {
    /// Copies `content`, from its start to its end, into `incoming/` and syncs it. Memory does not grow with the file.
    pub(super) fn take(&mut self, content: &File, wanted: &Wanted) -> Outcome<Copied> {
        let aside = tempfile::Builder::new()
            .prefix("part-")
            .rand_bytes(12)
            .tempfile_in(&self.blobs.incoming)
            .map_err(Failure::io("creating a file in incoming/"))?;
        let copied = copy(
            content,
            aside.as_file(),
            Some(aside.as_file()),
            wanted,
            "writing a new file",
        )?;
        if self.received.contains_key(&copied.digest) {
            return Ok(copied);
        }
        aside
            .as_file()
            .set_permissions(Permissions::from_mode(0o400))
            .and_then(|()| aside.as_file().sync_all())
            .map_err(Failure::io("syncing a new file"))?;
        let path = self.blobs.announcing_name(copied.digest, aside.path());
        aside
            .into_temp_path()
            .persist(&path)
            .map_err(|refused| Failure::io("renaming a new file")(refused.error))?;
        let linked = false;
        self.received
            .insert(copied.digest, Received { path, linked });
        Ok(copied)
    }

    /// Puts everything that was taken into its place. To be followed by the transaction that mentions it, then by `finish`.
    pub(super) fn publish(&mut self) -> Outcome<()> {
        let mut touched = vec![self.blobs.files.clone()];
        for (digest, received) in &mut self.received {
            let place = self.blobs.path(*digest);
            let directory = place.parent().unwrap_or(&self.blobs.files).to_owned();
            create_directory(&directory)?;
            received.linked = true;
            put_in_place(&received.path, &place)?;
            touched.push(directory);
        }
        touched.sort();
        touched.dedup();
        touched
            .iter()
            .try_for_each(|directory| sync_directory(directory))
    }

    /// After the transaction: what was taken is no more on its way.
    pub(super) fn finish(mut self) {
        for (_, received) in self.received.drain() {
            let _ = fs::remove_file(received.path);
        }
    }
}

impl Drop for Reception<'_> {
    fn drop(&mut self) {
        // A linked file keeps its name here: another upload may rely on the same blob by now, only a sweep can tell.
        for received in self.received.values().filter(|received| !received.linked) {
            let _ = fs::remove_file(&received.path);
        }
    }
}

/// Gives `aside` the second name `place`, in one step and whatever is there: should the same content be there already, it may be damaged.
fn put_in_place(aside: &Path, place: &Path) -> Outcome<()> {
    let mut second = aside.as_os_str().to_owned();
    second.push(".link");
    fs::hard_link(aside, &second)
        .and_then(|()| fs::rename(&second, place))
        .map_err(Failure::io("moving a new file into files/"))
}

/// The size and digest of the file that is stored under `digest`, as they are now.
pub(super) fn measure(blobs: &Blobs, digest: Digest) -> io::Result<Copied> {
    digest_of(&blobs.open_blob(digest)?)
}

/// The content that an entry of `incoming/` announces; a part of a file announces none.
fn announced(entry: &Path) -> Option<Digest> {
    Digest::from_str(entry.file_stem()?.to_str()?).ok()
}

/// Creates a directory that only its owner may enter, with its parents, unless it is there.
pub(super) fn create_directory(path: &Path) -> Outcome<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Failure::io(format!("creating {}", path.display())))
}

pub(super) fn read_directory(path: &Path) -> Outcome<Vec<PathBuf>> {
    fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Failure::io(format!("listing {}", path.display())))
}

pub(super) fn remove_if_there(path: &Path) -> Outcome<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::io(format!("removing {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Outcome<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(Failure::io(format!("syncing {}", path.display())))
}
