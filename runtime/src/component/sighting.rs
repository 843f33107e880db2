//! Which bytes a file had when it was last read, so that an unchanged component is neither read nor hashed again.
//!
//! One small text file for each component, named by its path: device, inode, size and times of the file, and the digest of its bytes.
//! Whoever changes the bytes cannot set the file's change time (ctime) back. Only a change within the resolution of that time could go
//! unnoticed, and so a file that was changed shortly before it was read is not remembered (as git does with its index).

use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a file must have been left alone before it was read: more than the resolution of any file system's times.
const SETTLED_SECONDS: i64 = 3;

/// The bytes of a component's file, and what the file looked like while they were read.
pub struct Contents {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// SHA-256 of them, in hexadecimal digits.
    pub digest: String,
    sighting: Option<String>,
}

impl Contents {
    /// Reads and hashes a file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let now = seconds_now();
        let mut file = File::open(path)?;
        let before = file.metadata()?;
        let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        let sighting = describe(&before);
        let unchanged = describe(&file.metadata()?) == sighting;
        let settled = before.ctime().max(before.mtime()) + SETTLED_SECONDS <= now;
        Ok(Self {
            digest: hex::encode(Sha256::digest(&bytes)),
            bytes,
            sighting: (unchanged && settled).then_some(sighting),
        })
    }

    /// Remembers the digest for as long as the file does not change. A failure costs time at the next start, nothing else.
    pub fn remember(&self, memory: &Path, path: &Path) {
        if let Some(sighting) = &self.sighting {
            note(memory, path, sighting, &self.digest);
        }
    }
}

/// Remembers the digest of a file that this process has just written, in a directory where nobody else writes.
pub fn remember_own(memory: &Path, path: &Path, digest: &str) {
    if let Some(sighting) = look(path) {
        note(memory, path, &sighting, digest);
    }
}

fn note(memory: &Path, path: &Path, sighting: &str, digest: &str) {
    let written = tempfile::Builder::new()
        .prefix(".seen-")
        .tempfile_in(memory)
        .and_then(|mut aside| {
            writeln!(aside, "{sighting} {digest}")?;
            aside.persist(place(memory, path))?;
            Ok(())
        });
    if let Err(error) = written {
        tracing::debug!("{}: cannot be remembered: {error}", path.display());
    }
}

/// The digest of a file that has not changed since it was remembered.
pub fn recall(memory: &Path, path: &Path) -> Option<String> {
    let remembered = std::fs::read_to_string(place(memory, path)).ok()?;
    let (sighting, digest) = remembered.trim_end().rsplit_once(' ')?;
    let is_digest = digest.len() == 64 && digest.bytes().all(|it| it.is_ascii_hexdigit());
    (is_digest && sighting == look(path)?).then(|| digest.to_owned())
}

/// What a file looks like; none if it is not there.
pub fn look(path: &Path) -> Option<String> {
    Some(describe(&path.metadata().ok()?))
}

/// Where what is known of a path is kept. Relative names of one directory may mean another one tomorrow; the inode tells them apart.
fn place(memory: &Path, path: &Path) -> PathBuf {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    memory.join(format!("{}.seen", hex::encode(&digest[..16])))
}

fn describe(file: &Metadata) -> String {
    format!(
        "{} {} {} {}.{:09} {}.{:09}",
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    )
}

fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn put(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
    }

    /// As if some time had passed since the file was written.
    fn settle(contents: &mut Contents, path: &Path) {
        contents.sighting = Some(describe(&path.metadata().unwrap()));
    }

    #[test]
    fn a_file_written_just_now_is_not_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wasm");
        put(&path, "one");
        let contents = Contents::read(&path).unwrap();
        contents.remember(directory.path(), &path);
        assert_eq!(recall(directory.path(), &path), None);
    }

    #[test]
    fn a_changed_file_is_noticed_whatever_its_times_claim() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wasm");
        put(&path, "one");
        let mut contents = Contents::read(&path).unwrap();
        settle(&mut contents, &path);
        contents.remember(directory.path(), &path);
        assert_eq!(
            recall(directory.path(), &path).as_ref(),
            Some(&contents.digest)
        );
        let modified = path.metadata().unwrap().modified().unwrap();
        // The kernel stamps times with the last tick of its clock.
        std::thread::sleep(Duration::from_millis(20));
        put(&path, "two");
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(recall(directory.path(), &path), None);
    }

    #[test]
    fn a_damaged_memory_is_no_memory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wasm");
        put(&path, "one");
        for text in ["", "1 2 3", "x y\n"] {
            put(&place(directory.path(), &path), text);
            assert_eq!(recall(directory.path(), &path), None, "{text:?}");
        }
    }
}
