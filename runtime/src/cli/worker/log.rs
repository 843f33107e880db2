//! Where the worker's log goes: a file, the journal of systemd, or standard error.

use super::super::error::CliError;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use task_runtime::worker::configuration::LogLevel;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Where it goes.
pub enum LogTarget {
    /// To the end of a file.
    File(File),
    /// Standard error, which is systemd's journal.
    Journal,
    /// Standard error.
    StandardError,
}

impl LogTarget {
    /// A file if one is named.
    pub fn open(path: Option<PathBuf>) -> Result<Self, CliError> {
        let Some(path) = path else {
            return Ok(if is_journal() {
                Self::Journal
            } else {
                Self::StandardError
            });
        };
        let file = File::options().append(true).create(true).open(&path);
        file.map(Self::File).map_err(|error| {
            let shown = path.display();
            CliError::new(
                "configuration",
                format!(
                    "log file {shown}: {error}; check log-file, and the directory's permissions"
                ),
            )
        })
    }

    /// Begins to log.
    pub fn start(self, level: Option<LogLevel>) {
        let level = match level.unwrap_or(LogLevel::Info) {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warning => "warn",
            LogLevel::Error => "error",
        };
        // Libraries are quiet unless they are asked by name.
        let asked = std::env::var("TASK_RUNTIME_LOG");
        let filter = asked.unwrap_or_else(|_| format!("warn,task_runtime={level}"));
        let filter = EnvFilter::new(filter);
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_target(false);
        match self {
            Self::File(file) => builder.with_writer(Mutex::new(file)).init(),
            Self::StandardError => builder.with_writer(io::stderr).init(),
            Self::Journal => builder
                .with_writer(io::stderr)
                .event_format(ForJournal)
                .init(),
        }
    }
}

/// Whether standard error goes to the journal: systemd names its device and inode (systemd.exec(5), `$JOURNAL_STREAM`). A process whose standard
/// error was sent elsewhere since then inherits the variable too.
fn is_journal() -> bool {
    let Some(named) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = rustix::fs::fstat(io::stderr());
    stderr.is_ok_and(|it| named.to_string_lossy() == format!("{}:{}", it.st_dev, it.st_ino))
}

/// Lines as systemd takes them from standard error: their priority before them (sd-daemon(3)), and no time, which it knows.
struct ForJournal;

impl<S, N> FormatEvent<S, N> for ForJournal
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
