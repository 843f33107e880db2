//! Programs of the host that helpers run for themselves, such as `newuidmap`. Whatever such a program does, waiting for it has an end.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::process::{PidfdFlags, pidfd_open};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes of its complaints that are read, at most.
const COMPLAINT: u64 = 1 << 16;

/// How long one may take to die that was killed.
const DYING_TAKES: Duration = Duration::from_secs(5);

/// A program that runs, reads nothing and says nothing but what is wrong. Killed when it is dropped.
pub(super) struct Program {
    name: String,
    child: Child,
    /// Where it complains: not a pipe, which could be full while nobody reads.
    complaints: File,
}

impl Program {
    /// Starts one.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let complaints = File::from(memfd_create("complaints", MFdFlags::MFD_CLOEXEC)?);
        let child = command
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(complaints.try_clone()?)
            .spawn()?;
        Ok(Self {
            name: command.get_program().display().to_string(),
            child,
            complaints,
        })
    }

    /// How it is called.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Waits for its end: how it ended, and what it complained about. Killed when it takes longer than `limit`, or when the other end of `control` is closed.
    pub(super) fn end(
        mut self,
        limit: Duration,
        control: Option<BorrowedFd<'_>>,
    ) -> io::Result<(ExitStatus, String)> {
        self.wait(limit, control)?;
        let status = self.child.wait()?;
        let mut complaint = Vec::new();
        self.complaints.rewind()?;
        (&self.complaints)
            .take(COMPLAINT)
            .read_to_end(&mut complaint)?;
        Ok((status, String::from_utf8_lossy(&complaint).into_owned()))
    }

    /// Until its status can be taken at once.
    fn wait(&self, limit: Duration, control: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let child = pidfd_open(
            rustix::process::Pid::from_child(&self.child),
            PidfdFlags::empty(),
        )?;
        let give_up = Instant::now() + limit;
        loop {
            let mut entries = vec![PollFd::new(child.as_fd(), PollFlags::POLLIN)];
            // Nothing is expected but the hang-up, which poll always tells.
            entries.extend(control.map(|it| PollFd::new(it, PollFlags::empty())));
            let left = give_up.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut entries, timeout) {
                Ok(0) if Instant::now() >= give_up => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!(
                            "{} has not ended within {} s, and was killed; is a disk or a directory service down?",
                            self.name,
                            limit.as_secs()
                        ),
                    ));
                }
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let is_due = |entry: &PollFd<'_>| entry.any().unwrap_or(true);
            if is_due(&entries[0]) {
                return Ok(());
            }
            if entries.get(1).is_some_and(is_due) {
                return Err(io::Error::new(
                    io::ErrorKind::Interrupted,
                    format!("{} was killed: nobody waits for it any more", self.name),
                ));
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = self.child.kill();
        // Should it not die of this, then whoever adopts it takes its status.
        let _ = self.wait(DYING_TAKES, None);
        let _ = self.child.try_wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::message;

    fn shell(line: &str) -> Program {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]);
        Program::start(command).unwrap()
    }

    /// Whether nothing is left of a process, not even a zombie.
    fn is_gone(process: u32) -> bool {
        !std::path::Path::new(&format!("/proc/{process}")).exists()
    }

    #[test]
    fn a_program_says_how_it_ended_and_what_was_wrong() {
        let (status, complaint) = shell("echo wrong >&2; exit 3")
            .end(Duration::from_secs(60), None)
            .unwrap();
        assert_eq!((status.code(), complaint.as_str()), (Some(3), "wrong\n"));
    }

    #[test]
    fn a_program_that_complains_more_than_anybody_reads_ends() {
        let (status, complaint) = shell("head -c 1000000 /dev/zero >&2")
            .end(Duration::from_secs(60), None)
            .unwrap();
        assert!(status.success());
        assert_eq!(complaint.len() as u64, COMPLAINT);
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let program = shell("exec sleep 600");
        let process = program.child.id();
        let error = program.end(Duration::from_millis(20), None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            error.to_string().contains("/bin/sh has not ended"),
            "{error}"
        );
        assert!(is_gone(process));
    }

    #[test]
    fn a_program_that_is_dropped_is_killed() {
        let program = shell("exec sleep 600");
        let process = program.child.id();
        drop(program);
        assert!(is_gone(process));
    }

    #[test]
    fn a_program_for_which_nobody_waits_any_more_is_killed() {
        let (ours, theirs) = message::pair().unwrap();
        let program = shell("exec sleep 600");
        let process = program.child.id();
        drop(ours);
        let error = program
            .end(Duration::from_secs(600), Some(theirs.as_fd()))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        assert!(is_gone(process));
    }
}
