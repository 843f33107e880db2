//! `logs`: the task's log files, which become its debug-logs artifact.

use super::bindings::debusine::task::logs;
use super::files::DirectoryHandle;
use super::{Fault, HostState, long_work};
use crate::executor::Sink;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::Resource;

/// How many log files a run may have; each is opened for the upload. Real tasks have fewer than ten.
const MOST_FILES: usize = 100;

/// The longest words of the host that are kept, in bytes.
const LONGEST_NOTE: usize = 64 << 10;

/// The logs of a run have reached a limit.
#[derive(Debug, thiserror::Error)]
pub enum LogLimit {
    /// Bytes of all of them.
    #[error(
        "the logs of this run have reached their limit of {0} bytes together; --log-size raises it"
    )]
    Size(u64),
    /// Number of files.
    #[error("this run has {0} log files, which is all that it may have; write into one of these")]
    Files(usize),
}

impl From<LogLimit> for io::Error {
    fn from(limit: LogLimit) -> Self {
        Self::new(io::ErrorKind::QuotaExceeded, limit)
    }
}

/// Sees the output of commands as it comes.
pub type Onlooker = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// The directory of a run's log files, with a limit on what they hold together.
pub struct TaskLogs {
    directory: PathBuf,
    limit: u64,
    left: Arc<AtomicU64>,
    names: Mutex<BTreeSet<String>>,
    onlooker: Option<Onlooker>,
}

impl TaskLogs {
    /// Logs in this directory, with at most `limit` bytes in all.
    pub fn new(directory: &Path, limit: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            limit,
            left: Arc::new(AtomicU64::new(limit)),
            names: Mutex::default(),
            onlooker: None,
        }
    }

    /// Shows the output of commands to somebody as it comes.
    pub fn with_onlooker(mut self, onlooker: Onlooker) -> Self {
        self.onlooker = Some(onlooker);
        self
    }

    /// Where the files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Appends text to a log file; the first use creates it.
    pub fn append(&self, name: &str, text: &str) -> io::Result<()> {
        self.writer(name)?.write_all(text.as_bytes())
    }

    /// Appends what the host has to say of the run. There is room for that whatever the task has written, so that the log tells how a flood
    /// ended; of very long words it takes the beginning.
    pub fn note(&self, name: &str, text: &str) -> io::Result<()> {
        let text = &text[..text.floor_char_boundary(LONGEST_NOTE)];
        self.known().insert(name.to_owned());
        let taken = |left: u64| Some(left.saturating_sub(text.len() as u64));
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        self.open(name)?.write_all(text.as_bytes())
    }

    /// A sink that appends to a log file what a command says, and shows it to the onlooker.
    pub fn sink(&self, name: &str) -> io::Result<Sink> {
        Ok(super::sinks::sink(ShownWriter {
            writer: self.writer(name)?,
            onlooker: self.onlooker.clone(),
        }))
    }

    /// Removes a log file that is not wanted after all.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.known().remove(name);
        match std::fs::remove_file(self.directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Appends to a log file within the limit of them all.
    pub fn writer(&self, name: &str) -> io::Result<LogWriter> {
        let is_plain = !name.is_empty()
            && name.len() <= 255
            && !name.starts_with('.')
            && !name.contains(['/', '\0']);
        if !is_plain {
            let shown: String = name.chars().take(80).collect();
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("log {shown:?}: not a plain file name"),
            ));
        }
        self.count(name)?;
        Ok(LogWriter {
            file: self.open(name)?,
            limit: self.limit,
            left: Arc::clone(&self.left),
        })
    }
}

impl TaskLogs {
    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.directory.join(name))
    }

    /// Names of the log files, in order.
    pub fn names(&self) -> Vec<String> {
        self.known().iter().cloned().collect()
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One log file more, unless it is known.
    fn count(&self, name: &str) -> Result<(), LogLimit> {
        let mut names = self.known();
        if !names.contains(name) {
            if names.len() >= MOST_FILES {
                return Err(LogLimit::Files(MOST_FILES));
            }
            names.insert(name.to_owned());
        }
        Ok(())
    }
}

/// An open log file.
pub struct LogWriter {
    file: File,
    limit: u64,
    left: Arc<AtomicU64>,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wanted = bytes.len() as u64;
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(wanted)
            })
            .map_err(|_| LogLimit::Size(self.limit))?;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

struct ShownWriter {
    writer: LogWriter,
    onlooker: Option<Onlooker>,
}

impl Write for ShownWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(onlooker) = &self.onlooker {
            onlooker(bytes);
        }
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl logs::Host for HostState {
    async fn append(&mut self, name: String, text: String) -> Result<(), Fault> {
        self.powers()?
            .logs
            .append(&name, &text)
            .map_err(|error| Fault::io(&name, &error))
    }

    async fn copy(
        &mut self,
        name: String,
        from: Resource<DirectoryHandle>,
        source: String,
    ) -> Result<(), Fault> {
        let mut file = self.directory(&from)?.open_file(&source)?;
        let logs = Arc::clone(&self.powers()?.logs);
        // After an abort as well: the log of what was aborted is worth having.
        long_work::to_its_end(move |wanted| {
            let mut copy = || wanted.copy(&mut file, &mut logs.writer(&name)?);
            copy().map_err(|error| Fault::io(format!("{source}: log {name}"), &error))
        })
        .await
    }
}
