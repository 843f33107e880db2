//! Which bytes a file had when it was last read, so that an unchanged component is neither read nor hashed again.
//!
//! One small text file for each component, named by its path: device, inode, size and times of the file, the digest of its bytes, and what
//! was found in them (with a checksum: these files are not synced, and what a component asks for must not be lost with the power).
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

    /// Remembers the digest, and some words about what is in the file, for as long as it does not change. A failure costs time at the next
    /// start, nothing else.
    pub fn remember(&self, memory: &Path, path: &Path, words: &str) {
        if let Some(sighting) = &self.sighting {
            note(memory, path, sighting, &self.digest, words);
        }
    }
}

/// What is remembered of a file that has not changed since.
#[derive(Debug, PartialEq, Eq)]
pub struct Recalled {
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub digest: String,
    /// The words about what is in it.
    pub words: String,
}

/// Remembers the digest of a file that this process has just written, in a directory where nobody else writes.
pub fn remember_own(memory: &Path, path: &Path, digest: &str) {
    if let Some(sighting) = look(path) {
        note(memory, path, &sighting, digest, "");
    }
}

fn note(memory: &Path, path: &Path, sighting: &str, digest: &str, words: &str) {
    let check = checksum(words);
    let written = tempfile::Builder::new()
        .prefix(".seen-")
        .tempfile_in(memory)
        .and_then(|mut aside| {
            write!(aside, "{sighting} {digest} {check}\n{words}")?;
            aside.persist(place(memory, path))?;
            Ok(())
        });
    if let Err(error) = written {
        tracing::debug!("{}: cannot be remembered: {error}", path.display());
    }
}

/// What is remembered of a file, if it has not changed since.
pub fn recall(memory: &Path, path: &Path) -> Option<Recalled> {
    let remembered = std::fs::read_to_string(place(memory, path)).ok()?;
    let (line, words) = remembered.split_once('\n')?;
    let (line, check) = line.rsplit_once(' ')?;
    let (sighting, digest) = line.rsplit_once(' ')?;
    let is_digest = digest.len() == 64 && digest.bytes().all(|it| it.is_ascii_hexdigit());
    let is_whole = is_digest && check == checksum(words);
    (is_whole && sighting == look(path)?).then(|| Recalled {
        digest: digest.to_owned(),
        words: words.to_owned(),
    })
}

fn checksum(words: &str) -> String {
    hex::encode(Sha256::digest(words))
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
        contents.remember(directory.path(), &path, "words\nof two lines");
        assert_eq!(recall(directory.path(), &path), None);
    }

    #[test]
    fn a_changed_file_is_noticed_whatever_its_times_claim() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wasm");
        put(&path, "one");
        let mut contents = Contents::read(&path).unwrap();
        settle(&mut contents, &path);
        contents.remember(directory.path(), &path, "words\nof two lines");
        let recalled = Recalled {
            digest: contents.digest,
            words: "words\nof two lines".to_owned(),
        };
        assert_eq!(recall(directory.path(), &path), Some(recalled));
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
        let mut contents = Contents::read(&path).unwrap();
        settle(&mut contents, &path);
        contents.remember(directory.path(), &path, "words");
        let place = place(directory.path(), &path);
        let whole = std::fs::read_to_string(&place).unwrap();
        assert!(recall(directory.path(), &path).is_some());
        // As former versions wrote it.
        let (former, _) = whole.split_once('\n').unwrap().0.rsplit_once(' ').unwrap();
        let former = format!("{former}\n");
        for text in [
            "",
            "1 2 3",
            "x y\n",
            "x y z\n",
            &former,
            &whole[..whole.len() - 1],
        ] {
            put(&place, text);
            assert_eq!(recall(directory.path(), &path), None, "{text:?}");
        }
    }
}
