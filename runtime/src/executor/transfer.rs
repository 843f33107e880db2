//! Bytes on their way into an instance and out of it.

use super::{Abort, ExecutorError};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Whence, lseek, pipe2};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::task::JoinHandle;

/// Bytes that are copied between two looks at the abort.
const STRETCH: u64 = 16 << 20;

/// A directory with its name as an archive that is written while it is read.
pub(super) fn archive_of(
    source: &Path,
    abort: &Abort,
) -> Result<(OwnedFd, JoinHandle<Result<(), ExecutorError>>), ExecutorError> {
    let Some(name) = source.file_name().map(|name| name.to_owned()) else {
        return Err(ExecutorError::File(format!(
            "{} has no name to be pushed under; name the directory itself",
            source.display()
        )));
    };
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(|error| {
        ExecutorError::System(format!(
            "cannot make a pipe: {}; raise the limit of open files (ulimit -n)",
            error.desc()
        ))
    })?;
    let _ = nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 18));
    let source = source.to_owned();
    let pipe = UntilAbort {
        pipe: File::from(write),
        abort: abort.clone(),
    };
    let abort = abort.clone();
    let writer = tokio::task::spawn_blocking(move || {
        let mut archive = tar::Builder::new(io::BufWriter::with_capacity(1 << 18, pipe));
        archive.follow_symlinks(false);
        archive.sparse(false);
        let written = archive
            .append_dir_all(name, &source)
            .and_then(|()| archive.into_inner()?.flush());
        match written {
            Ok(()) => Ok(()),
            // The reader has given up, and says why itself.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(_) if abort.is_cancelled() => Err(ExecutorError::Aborted),
            Err(error) => Err(ExecutorError::File(format!(
                "cannot push {}: {error}; it may hold readable directories, regular files and symbolic links only",
                source.display()
            ))),
        }
    });
    Ok((read, writer))
}

/// A pipe that takes nothing more after an abort.
struct UntilAbort {
    pipe: File,
    abort: Abort,
}

impl Write for UntilAbort {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.abort.is_cancelled() {
            return Err(io::Error::other("aborted"));
        }
        self.pipe.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}

/// Copies one file to another, both from where they are, off the asynchronous threads. Holes stay holes.
pub(super) async fn copy(
    mut from: File,
    mut to: File,
    limit: u64,
    abort: &Abort,
) -> Result<(), ExecutorError> {
    let abort = abort.clone();
    let copied = tokio::task::spawn_blocking(move || {
        let size = from.metadata().map_err(failed)?.len();
        if size > limit {
            return Err(ExecutorError::File(format!(
                "the file has {size} bytes, more than the {limit} that are allowed; make it smaller or raise the limit"
            )));
        }
        // What it grows by meanwhile is not taken.
        match copy_data(&mut from, size, &mut to, &abort) {
            Err(error) if abort.is_cancelled() => {
                tracing::debug!("a copy was given up: {error}");
                Err(ExecutorError::Aborted)
            }
            result => result.map_err(failed),
        }
    });
    copied
        .await
        .unwrap_or_else(|error| Err(ExecutorError::System(error.to_string())))
}

fn copy_data(from: &mut File, size: u64, to: &mut File, abort: &Abort) -> io::Result<()> {
    let Ok(mut position) = from.stream_position() else {
        return copy_stream(from, to, u64::MAX, abort);
    };
    let start = to.stream_position()?;
    let first = position;
    while position < size {
        let data = match lseek(&*from, position as i64, Whence::SeekData) {
            Ok(data) => data as u64,
            // Nothing but a hole up to the end.
            Err(Errno::ENXIO) => break,
            Err(_) => position,
        };
        let end = lseek(&*from, data as i64, Whence::SeekHole)
            .map_or(size, |end| end as u64)
            .min(size);
        from.seek(SeekFrom::Start(data))?;
        to.seek(SeekFrom::Start(start + data - first))?;
        copy_stream(from, to, end - data, abort)?;
        position = end;
    }
    let end = start + size - first;
    if to.metadata()?.len() < end {
        to.set_len(end)?;
    }
    to.seek(SeekFrom::Start(end)).map(drop)
}

fn copy_stream(from: &mut File, to: &mut File, length: u64, abort: &Abort) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        if abort.is_cancelled() {
            return Err(io::Error::other("aborted"));
        }
        let copied = io::copy(&mut from.take(left.min(STRETCH)), to)?;
        if copied == 0 {
            return Ok(());
        }
        left -= copied;
    }
    Ok(())
}

fn failed(error: io::Error) -> ExecutorError {
    ExecutorError::System(format!(
        "cannot copy a file between host and instance: {error}; is a disk full?"
    ))
}
