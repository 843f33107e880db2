//! The formats in which a command appears in the task's logs (`cmd-output.log`, `install.log`), as Debusine's readers know them.

use super::files::DirectoryHandle;
use super::long_work::Wanted;
use super::{Fault, TaskLogs};
use crate::executor::Exit;
use std::io::{self, Read, Write};

/// Log of the task's main commands.
const COMMAND_LOG: &str = "cmd-output.log";

const SEPARATOR: &str = "--------------------\n";

/// Where a command runs: the log of a command on the host tells a little more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the host.
    Host,
    /// In an instance.
    Instance,
}

/// One command's part of `cmd-output.log`.
pub struct CommandLog<'a> {
    /// The task's logs.
    pub logs: &'a TaskLogs,
    /// Name of the file that gets standard output, if it is captured.
    pub capture: Option<&'a str>,
    /// Where the command runs.
    pub place: Place,
}

impl CommandLog<'_> {
    /// What stands before the output.
    pub fn begin(&self, arguments: &[String]) -> Result<crate::executor::Sink, Fault> {
        let contains = match self.capture {
            Some(_) => "stderr only, stdout was captured",
            None => "stdout and stderr",
        };
        let command = quote(arguments);
        let header = format!("cmd: {command}\noutput (contains {contains}):\n");
        self.logs
            .append(COMMAND_LOG, &header)
            .and_then(|()| self.logs.sink(COMMAND_LOG))
            .map_err(|error| Fault::io(COMMAND_LOG, &error))
    }

    /// What stands after it: how it ended, the working directory, what was captured.
    pub fn end(&self, exit: Exit, files: &DirectoryHandle, wanted: &Wanted) -> Result<(), Fault> {
        let mut log = self
            .logs
            .writer(COMMAND_LOG)
            .map_err(|error| Fault::io(COMMAND_LOG, &error))?;
        let mut text = String::new();
        if self.place == Place::Host {
            let aborted = if exit == Exit::Aborted {
                "True"
            } else {
                "False"
            };
            text = format!("\naborted: {aborted}\nreturncode: {}\n", return_code(exit));
        }
        text.push_str("\nFiles in working directory:\n");
        text.push_str(&files.names_recursive()?.join("\n"));
        text.push('\n');
        text.push_str(SEPARATOR);
        log.write_all(text.as_bytes())
            .map_err(|error| Fault::io(COMMAND_LOG, &error))?;
        if let Some(name) = self.capture {
            copy_text(&mut wanted.reader(files.open_file(name)?), &mut log)
                .and_then(|()| log.write_all(b"\n"))
                .and_then(|()| log.write_all(SEPARATOR.as_bytes()))
                .map_err(|error| Fault::io(format!("{name}: captured output"), &error))?;
        }
        Ok(())
    }
}

/// What stands before the output of a command in a log such as `install.log`.
pub fn begin_plain(arguments: &[String]) -> String {
    format!("Executing: {}\n", quote(arguments))
}

/// What stands after it, if it succeeded: what follows such a command relies on it, so the reference's log ends where one fails.
pub const END_PLAIN: &str = "Execution completed (exit code 0)\n";

/// A command line as a shell would read it.
fn quote(arguments: &[String]) -> String {
    task_sdk::shell::join(arguments)
}

/// The exit status as the reference writes it: a signal is a negative number.
fn return_code(exit: Exit) -> String {
    match exit {
        Exit::Exited(status) => status.to_string(),
        Exit::Signalled(signal) => (-signal).to_string(),
        Exit::TimedOut | Exit::Aborted | Exit::OutOfMemory => "None".to_owned(),
    }
}

/// Copies text of any length; bytes that are no UTF-8 are an error.
fn copy_text(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut kept = 0;
    loop {
        let length = from.read(&mut buffer[kept..])?;
        let filled = kept + length;
        let valid = match std::str::from_utf8(&buffer[..filled]) {
            Ok(_) => filled,
            // The last character may go on in the next piece.
            Err(error) if error.error_len().is_none() && length > 0 => error.valid_up_to(),
            Err(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "not valid UTF-8",
                ));
            }
        };
        to.write_all(&buffer[..valid])?;
        buffer.copy_within(valid..filled, 0);
        kept = filled - valid;
        if length == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut target = Vec::new();
        copy_text(&mut &bytes[..], &mut target)?;
        Ok(target)
    }

    #[test]
    fn text_longer_than_the_buffer_is_copied_whole() {
        let text = "aé漢🦀".repeat(30_000);
        assert_eq!(copied(text.as_bytes()).unwrap(), text.as_bytes());
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        assert!(copied(b"good \xff bad").is_err());
        assert!(copied("cut é".as_bytes().split_last().unwrap().1).is_err());
    }

    #[test]
    fn a_signal_is_written_as_a_negative_number() {
        assert_eq!(return_code(Exit::Signalled(9)), "-9");
    }
}
