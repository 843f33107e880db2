//! `logs`: the task's log files, which become its debug-logs artifact.

use super::bindings::debusine::task::logs;
use super::files::DirectoryHandle;
use super::{Fault, HostState, long_work};
use crate::executor::Sink;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::component::Resource;

/// Sees the output of commands as it comes.
pub type Onlooker = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// The directory of a run's log files, with a limit on what they hold together.
pub struct TaskLogs {
    directory: PathBuf,
    limit: u64,
    left: Arc<AtomicU64>,
    onlooker: Option<Onlooker>,
}

impl TaskLogs {
    /// Logs in this directory, with at most `limit` bytes in all.
    pub fn new(directory: &Path, limit: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            limit,
            left: Arc::new(AtomicU64::new(limit)),
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

    /// A sink that appends to a log file what a command says, and shows it to the onlooker.
    pub fn sink(&self, name: &str) -> io::Result<Sink> {
        Ok(super::sinks::sink(ShownWriter {
            writer: self.writer(name)?,
            onlooker: self.onlooker.clone(),
        }))
    }

    /// Removes a log file that is not wanted after all.
    pub fn remove(&self, name: &str) -> io::Result<()> {
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
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.directory.join(name))?;
        Ok(LogWriter {
            file,
            limit: self.limit,
            left: Arc::clone(&self.left),
        })
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
            .map_err(|_| {
                let words = format!(
                    "the logs of this run have reached their limit of {} bytes together; --log-size raises it",
                    self.limit
                );
                io::Error::new(io::ErrorKind::QuotaExceeded, words)
            })?;
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
