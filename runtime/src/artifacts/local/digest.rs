//! SHA-256 digests, and copying a file while hashing it.

use super::failure::{Failure, Outcome};
use crate::artifacts::Wanted;
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::str::FromStr;

/// How much of a file is in memory at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// A SHA-256; its text is 64 lower-case hexadecimal digits, and nothing else is accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Digest([u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 64 || !text.as_bytes().iter().all(is_digit) {
            return Err(());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(bytes))
    }
}

impl ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value
            .as_str()?
            .parse()
            .map_err(|()| FromSqlError::InvalidType)
    }
}

/// How much was copied or read, and its digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Copied {
    pub(super) digest: Digest,
    /// In bytes.
    pub(super) size: u64,
}

/// Copies all of `source` to `target` at its position, and digests what was copied.
///
/// Where the file system can, an empty target shares the source's blocks; the digest is then that of `reread`, which must be the target
/// itself if the source may change meanwhile. `writing` tells, in an error, what the target is, e.g. `writing a new file`. Given up when it is not
/// wanted any more.
pub(super) fn copy(
    source: &File,
    target: &File,
    reread: Option<&File>,
    wanted: &Wanted,
    writing: &str,
) -> Outcome<Copied> {
    if share_blocks(source, target) {
        let copied = each_chunk(
            reread.unwrap_or(source),
            |error| Failure::io("reading a file")(error),
            |_| wanted.check().map_err(Failure::io(writing)),
        )?;
        (&*target)
            .seek(SeekFrom::End(0))
            .map_err(Failure::io(writing))?;
        return Ok(copied);
    }
    each_chunk(
        source,
        |error| Failure::io("reading the file to copy")(error),
        |chunk| {
            let written = wanted.check().and_then(|()| (&*target).write_all(chunk));
            written.map_err(Failure::io(writing))
        },
    )
}

/// Digests all of `file`, whatever its position.
pub(super) fn digest_of(file: &File) -> io::Result<Copied> {
    each_chunk(file, |error| error, |_| Ok(()))
}

fn each_chunk<E>(
    file: &File,
    unreadable: impl FnOnce(io::Error) -> E,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<Copied, E> {
    let mut chunk = vec![0; CHUNK];
    let mut hasher = Sha256::new();
    let mut size = 0;
    loop {
        match file.read_at(&mut chunk, size) {
            Ok(0) => break,
            Ok(length) => {
                hasher.update(&chunk[..length]);
                take(&chunk[..length])?;
                size += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    let digest = Digest(hasher.finalize().into());
    Ok(Copied { digest, size })
}

/// Only an empty target that is at its start may share all blocks.
fn share_blocks(source: &File, target: &File) -> bool {
    let is_empty = target.metadata().is_ok_and(|metadata| metadata.len() == 0);
    let at_start = (&*target)
        .stream_position()
        .is_ok_and(|position| position == 0);
    is_empty && at_start && rustix::fs::ioctl_ficlone(target, source).is_ok()
}
