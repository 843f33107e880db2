//! Programs of the machine that are asked something: they answer soon, or have no answer.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a program may take that has nothing to do but to look something up.
pub const BRIEFLY: Duration = Duration::from_secs(10);

/// The longest answer, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// How long one may take to die.
const AGONY: Duration = Duration::from_secs(1);

/// Why a program has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It cannot be started; most often it is not there.
    #[error("{program}: {error}")]
    NotStarted {
        /// The program.
        program: String,
        /// What the system says.
        error: io::Error,
    },
    /// It failed.
    #[error("{program}: {status}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It was killed: it took too long, or said too much.
    #[error("{program}: killed, for it had not ended after {took:?}; see what it waits for")]
    Stuck {
        /// The program.
        program: String,
        /// How long it had.
        took: Duration,
    },
    /// What it printed is no text.
    #[error("{program}: its answer cannot be read: {error}")]
    Garbled {
        /// The program.
        program: String,
        /// What is wrong with it.
        error: io::Error,
    },
}

/// What a program prints to its standard output, once it has ended with success. It is killed, with what it has started, if that takes
/// longer than `longest`. The calling thread waits.
pub fn ask(program: &str, arguments: &[&str], longest: Duration) -> Result<String, ToolError> {
    let not_started = |error| ToolError::NotStarted {
        program: program.to_owned(),
        error,
    };
    // A file, and no pipe: a pipe would have to be read meanwhile, also from heirs who keep it open.
    let answer = memfd_create("answer", MemfdFlags::CLOEXEC);
    let mut answer = File::from(answer.map_err(|error| not_started(error.into()))?);
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(answer.try_clone().map_err(not_started)?)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(not_started)?;
    let is_too_long = || answer.metadata().is_ok_and(|it| it.len() > LONGEST_ANSWER);
    let Some(status) = end_of(&mut child, longest, is_too_long) else {
        // Nobody else waits for it, so that its number is still its own.
        let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
        let _ = end_of(&mut child, AGONY, || false);
        return Err(ToolError::Stuck {
            program: program.to_owned(),
            took: begun.elapsed(),
        });
    };
    if !status.success() {
        return Err(ToolError::Failed {
            program: program.to_owned(),
            status,
        });
    }
    let mut text = String::new();
    let read = answer
        .rewind()
        .and_then(|()| answer.take(LONGEST_ANSWER).read_to_string(&mut text));
    read.map_err(|error| ToolError::Garbled {
        program: program.to_owned(),
        error,
    })?;
    Ok(text)
}

/// Waits for the end of a process; none if it does not come in time.
fn end_of(
    child: &mut Child,
    longest: Duration,
    is_enough: impl Fn() -> bool,
) -> Option<ExitStatus> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status);
        }
        if begun.elapsed() > longest || is_enough() {
            return None;
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_is_heard() {
        let said = ask("sh", &["-c", "echo one; echo two >&2"], BRIEFLY).expect("an answer");
        assert_eq!(said, "one\n");
    }

    #[test]
    fn a_program_that_fails_has_no_answer() {
        let failed = ask("sh", &["-c", "echo one; exit 3"], BRIEFLY).expect_err("a failure");
        assert!(failed.to_string().contains("exit status: 3"), "{failed}");
        let absent = ask("no-such-program", &[], BRIEFLY).expect_err("not there");
        assert!(matches!(absent, ToolError::NotStarted { .. }), "{absent}");
        let garbled = ask("printf", &["\\377"], BRIEFLY).expect_err("no text");
        assert!(matches!(garbled, ToolError::Garbled { .. }), "{garbled}");
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_what_it_started() {
        let directory = tempfile::tempdir().expect("a directory");
        let note = directory.path().join("child");
        let script = format!("sleep 1000 & echo $! >{}; wait", note.display());
        let stuck = ask("sh", &["-c", &script], Duration::from_secs(3));
        let stuck = stuck.expect_err("stuck");
        assert!(matches!(stuck, ToolError::Stuck { .. }), "{stuck}");
        let child = std::fs::read_to_string(note).expect("it was started");
        let child = Pid::from_raw(child.trim().parse().expect("a number"));
        let is_gone = || nix::sys::signal::kill(child, None).is_err() || is_zombie(child);
        for _ in 0..6000 {
            if is_gone() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("{child} lives on");
    }

    #[test]
    fn a_program_that_never_stops_talking_is_killed() {
        let stuck = ask("yes", &[], Duration::from_secs(600)).expect_err("endless");
        assert!(matches!(stuck, ToolError::Stuck { .. }), "{stuck}");
    }

    /// Dead, but its new parent has not noticed.
    fn is_zombie(process: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.contains(") Z ")
    }
}
