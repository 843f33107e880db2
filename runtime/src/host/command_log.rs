//! The formats in which a command appears in the task's logs (`cmd-output.log`, `install.log`), as Debusine's readers know them.

use super::files::DirectoryHandle;
use super::listing::{BOUNDS, Bounds, TooMuch};
use super::long_work::Wanted;
use super::{Fault, TaskLogs};
use crate::executor::Exit;
use std::io::{self, BufWriter, Read, Write};
use std::ops::ControlFlow;

/// The most names that are listed after a command. A source tree of a web browser has three times as many, but nobody reads them.
const LISTED: usize = 100_000;

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
        let log = self
            .logs
            .writer(COMMAND_LOG)
            .map_err(|error| Fault::io(COMMAND_LOG, &error))?;
        let mut log = BufWriter::with_capacity(64 << 10, log);
        self.write_end(exit, files, LISTED, wanted, &mut log)?;
        log.flush().map_err(|error| Fault::io(COMMAND_LOG, &error))
    }

    fn write_end(
        &self,
        exit: Exit,
        files: &DirectoryHandle,
        listed: usize,
        wanted: &Wanted,
        log: &mut impl Write,
    ) -> Result<(), Fault> {
        let written = |error| Fault::io(COMMAND_LOG, &error);
        if self.place == Place::Host {
            let aborted = if exit == Exit::Aborted {
                "True"
            } else {
                "False"
            };
            let status = return_code(exit);
            write!(log, "\naborted: {aborted}\nreturncode: {status}\n").map_err(written)?;
        }
        log.write_all(b"\nFiles in working directory:\n")
            .map_err(written)?;
        list(files, listed, wanted, log)?;
        log.write_all(SEPARATOR.as_bytes()).map_err(written)?;
        if let Some(name) = self.capture {
            copy_text(&mut wanted.reader(files.open_file(name)?), log)
                .and_then(|()| log.write_all(b"\n"))
                .and_then(|()| log.write_all(SEPARATOR.as_bytes()))
                .map_err(|error| Fault::io(format!("{name}: captured output"), &error))?;
        }
        Ok(())
    }
}

/// Writes the names of all files, or of the first ones, and says so.
fn list(
    files: &DirectoryHandle,
    listed: usize,
    wanted: &Wanted,
    log: &mut impl Write,
) -> Result<(), Fault> {
    let bounds = Bounds {
        held: listed.saturating_add(1),
        ..BOUNDS
    };
    let mut number = 0;
    let all = files.each_name(bounds, wanted, |name| {
        if number == listed {
            writeln!(log, "(and more: the list ends after {listed} names)")?;
            return Ok(ControlFlow::Break(()));
        }
        number += 1;
        writeln!(log, "{name}")?;
        Ok(ControlFlow::Continue(()))
    });
    match all {
        // As the reference writes no names at all.
        Ok(()) if number == 0 => writeln!(log),
        // The command has done nothing wrong, and its output is what the log is for.
        Err(error) if error.get_ref().is_some_and(|inner| inner.is::<TooMuch>()) => {
            writeln!(log, "(and more: the list ends here, {error})")
        }
        result => result,
    }
    .map_err(|error| Fault::io(files.location().display(), &error))
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
    let mut after_return = false;
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
        write_lines(&buffer[..valid], &mut after_return, to)?;
        buffer.copy_within(valid..filled, 0);
        kept = filled - valid;
        if length == 0 {
            return Ok(());
        }
    }
}

/// Writes text with newlines for all ends of lines, as the reference reads it. `after_return`: it goes on after a carriage return.
fn write_lines(text: &[u8], after_return: &mut bool, to: &mut impl Write) -> io::Result<()> {
    let Some(last) = text.last() else {
        return Ok(());
    };
    let begun = std::mem::replace(after_return, *last == b'\r');
    for (place, line) in text.split(|&byte| byte == b'\r').enumerate() {
        if place > 0 {
            to.write_all(b"\n")?;
        }
        let ends = place > 0 || begun;
        let line = line.strip_prefix(b"\n").filter(|_| ends).unwrap_or(line);
        to.write_all(line)?;
    }
    Ok(())
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
    fn all_ends_of_lines_become_newlines() {
        assert_eq!(
            copied(b"a\r\nb\rc\r\r\n\nd\r").unwrap(),
            b"a\nb\nc\n\n\nd\n"
        );
        let mut target = Vec::new();
        let mut after_return = false;
        for piece in ["a\r", "", "\n", "b\r", "c\n", "\nd"] {
            write_lines(piece.as_bytes(), &mut after_return, &mut target).unwrap();
        }
        assert_eq!(target, b"a\nb\nc\n\nd");
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        assert!(copied(b"good \xff bad").is_err());
        assert!(copied("cut é".as_bytes().split_last().unwrap().1).is_err());
    }

    /// What stands after the output of a command that left these files, of which so many are listed.
    fn ended(names: &[String], listed: usize) -> String {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let log = CommandLog {
            logs: &TaskLogs::new(directory.path(), 0),
            capture: None,
            place: Place::Instance,
        };
        let files = DirectoryHandle::open(directory.path()).unwrap();
        let mut text = Vec::new();
        log.write_end(
            Exit::Exited(0),
            &files,
            listed,
            &Wanted::always(),
            &mut text,
        )
        .unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn so_many_files_are_listed_and_no_more() {
        let names: Vec<String> = (100..300).map(|number| format!("d/{number}")).collect();
        let few = ended(&names, 3);
        let list = "d\nd/100\nd/101\n(and more: the list ends after 3 names)\n";
        assert_eq!(
            few,
            format!("\nFiles in working directory:\n{list}{SEPARATOR}")
        );
        let all = ended(&names, 201);
        assert_eq!(all.lines().count(), 204);
        assert!(!all.contains("more"), "{all}");
        let none = ended(&[], 3);
        assert_eq!(
            none,
            format!("\nFiles in working directory:\n\n{SEPARATOR}")
        );
    }

    #[test]
    fn a_tree_too_deep_for_a_list_is_no_failure_of_the_command() {
        let deep = format!("{}file", "d/".repeat(300));
        let text = ended(&[deep], 1000);
        let words = "(and more: the list ends here, more than 256 directories in one another)";
        assert!(text.ends_with(&format!("{words}\n{SEPARATOR}")), "{text}");
    }

    #[test]
    fn a_signal_is_written_as_a_negative_number() {
        assert_eq!(return_code(Exit::Signalled(9)), "-9");
    }
}
