//! Directories of compiled code: only those who may decide what runs here can have written them, and their bytes are still what was written.
//!
//! Beside each file of code lies one with the SHA-256 of it (`.sum`). Once that was found right it is not computed again for as long as the
//! file does not change ([`sighting`](super::sighting)): hashing the code of all tasks takes longer than loading it.

use super::engine::Engine;
use super::native_code;
use super::sighting::{self, Contents};
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use wasmtime::component::Component;

/// Write permission for others than the owner.
const OTHERS_WRITE: u32 = 0o022;

/// Makes a directory that is ours alone, or sees to it that it is. If others could write there until now, nothing that they may have put
/// there stays.
pub fn ensure_private(directory: &Path) -> Result<(), String> {
    let found = match directory.metadata() {
        Ok(found) => found,
        Err(_) => make_private(directory).map_err(|error| error.to_string())?,
    };
    let me = nix::unistd::geteuid().as_raw();
    if found.uid() != me {
        return Err(format!("it belongs to user {}, not to {me}", found.uid()));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let ours = Permissions::from_mode(0o700);
        std::fs::set_permissions(directory, ours).map_err(|error| error.to_string())?;
    }
    if mode & OTHERS_WRITE != 0 {
        tracing::warn!(
            "{}: others could write there (mode {mode:04o}); closed, and emptied: the tasks are compiled anew",
            directory.display()
        );
        empty(directory).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn make_private(directory: &Path) -> io::Result<Metadata> {
    // Only the directory itself is private: its parents may hold what others must reach.
    let parent = directory.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)?;
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    directory.metadata()
}

fn empty(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        match path.symlink_metadata()?.is_dir() {
            // Nobody looks into those.
            true => {}
            false => std::fs::remove_file(path)?,
        }
    }
    Ok(())
}

/// Bytes that are written at once.
const PART: usize = 32 << 10;

/// Code in a file that only this user, or root, can have written; none if there is none, or it is not to be trusted, damaged or stale.
/// `memory`: where to remember which files were found whole.
pub fn load(engine: &Engine, path: &Path, memory: Option<&Path>) -> Option<Component> {
    let found = path.symlink_metadata().ok()?;
    let loaded = check_writers(path, &found)
        .and_then(|()| check_whole(path, memory))
        .and_then(|()| {
            native_code::load_file(engine.wasmtime(), path)
                .map_err(|error| format!("stale: {error}"))
        });
    loaded
        .inspect_err(|why| tracing::warn!("{}: not loaded: {why}", path.display()))
        .ok()
}

fn check_writers(path: &Path, file: &Metadata) -> Result<(), String> {
    if !file.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let directory = path.parent().unwrap_or(Path::new("/")).metadata();
    let directory = directory.map_err(|error| error.to_string())?;
    let me = nix::unistd::geteuid().as_raw();
    for (what, found) in [("its directory", &directory), ("it", file)] {
        if found.uid() != 0 && found.uid() != me {
            return Err(format!("{what} belongs to user {}", found.uid()));
        }
        if found.permissions().mode() & OTHERS_WRITE != 0 {
            return Err(format!(
                "others than its owner can write {what}; `chmod go-w` that"
            ));
        }
    }
    Ok(())
}

fn check_whole(path: &Path, memory: Option<&Path>) -> Result<(), String> {
    let sum = std::fs::read_to_string(sum_of(path));
    let sum = sum.map_err(|error| format!("its checksum cannot be read: {error}"))?;
    let recalled = memory.and_then(|memory| sighting::recall(memory, path));
    let digest = match recalled {
        Some(recalled) => recalled.digest,
        None => {
            let contents = Contents::read(path).map_err(|error| error.to_string())?;
            if let Some(memory) = memory {
                contents.remember(memory, path, "");
            }
            contents.digest
        }
    };
    match sum.trim_end() == digest {
        true => Ok(()),
        false => Err("damaged: its checksum is another one".to_owned()),
    }
}

/// Keeps code: written aside, synced, renamed; a half-written file never has the name of a whole one.
/// `memory`: where to remember that the file is whole.
pub fn store(code: &[u8], target: &Path, mode: u32, memory: Option<&Path>) -> io::Result<()> {
    // The sum comes first: code without one is not loaded.
    let sum = hex::encode(Sha256::digest(code));
    put(format!("{sum}\n").as_bytes(), &sum_of(target), mode)?;
    put(code, target, mode)?;
    if let Some(memory) = memory {
        sighting::remember_own(memory, target, &sum);
    }
    Ok(())
}

fn put(bytes: &[u8], target: &Path, mode: u32) -> io::Result<()> {
    let directory = target.parent().unwrap_or(Path::new("."));
    let mut aside = tempfile::Builder::new()
        .prefix(".compiled-")
        .tempfile_in(directory)?;
    // In small parts: what is written at once lies in the page cache as one piece, and is mapped as one later, touched or not.
    for part in bytes.chunks(PART) {
        aside.write_all(part)?;
    }
    aside
        .as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    aside.as_file().sync_all()?;
    aside.persist(target)?;
    Ok(())
}

fn sum_of(code: &Path) -> PathBuf {
    code.with_extension("sum")
}
