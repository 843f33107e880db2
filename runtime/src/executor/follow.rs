//! The runtime's side of a command: its words for what went wrong, its streams, its timeout, its abort.

use super::message::Channel;
use super::orders::{End, ErrorOutput, Launch, Order, Refusal, Report, Status, Step};
use super::{Abort, Command, ExecutorError, Exit, Limits, Sink, Stderr};
use nix::errno::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;
use tokio_util::sync::CancellationToken;

/// Bytes read from a command's output at once; also the size wished for its pipe.
const CHUNK: usize = 1 << 18;
/// How long a slow sink may take to accept the last words of a command that was ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A command taken apart: what its starter needs, and what stays here.
pub(super) struct Plan {
    pub(super) launch: Launch,
    streams: Streams,
    timeout: Option<Duration>,
}

/// The ends of a command's streams that the caller gave.
struct Streams {
    stdin: Option<File>,
    stdout: Option<Sink>,
    stderr: Option<Sink>,
}

impl Plan {
    /// Takes a command apart; `environment` is that of the place, for a command that brings none.
    pub(super) fn new(
        command: Command,
        environment: impl FnOnce() -> Vec<(OsString, OsString)>,
    ) -> Result<Self, ExecutorError> {
        let environment = match command.environment {
            Some(own) => own.into_iter().collect(),
            None => environment(),
        };
        let (stderr_sink, stderr) = match command.stderr {
            Stderr::WithStdout => (None, ErrorOutput::WithStdout),
            Stderr::Discard => (None, ErrorOutput::Nowhere),
            Stderr::To(sink) => (Some(sink), ErrorOutput::Pipe),
        };
        let launch = Launch {
            arguments: command.arguments,
            directory: command.directory.map(Into::into),
            environment,
            credentials: None,
            limits: Limits::default(),
            stdin: command.stdin.is_some(),
            stdout: command.stdout.is_some(),
            stderr,
        };
        check(&launch)?;
        Ok(Self {
            launch,
            streams: Streams {
                stdin: command.stdin,
                stdout: command.stdout,
                stderr: stderr_sink,
            },
            timeout: command.timeout,
        })
    }
}

/// Refuses what no kernel could be given.
fn check(launch: &Launch) -> Result<(), ExecutorError> {
    let refuse = |words: String| Err(ExecutorError::Command(words));
    let has_nul = |text: &OsString| text.as_bytes().contains(&0);
    if launch.arguments.is_empty() {
        return refuse("the command is empty; its first argument has to name a program".into());
    }
    if let Some(position) = launch.arguments.iter().position(has_nul) {
        return refuse(format!(
            "cannot start {}: argument {position} contains a NUL character, which ends an argument; remove it",
            name(launch)
        ));
    }
    for (variable, value) in &launch.environment {
        let bytes = variable.as_bytes();
        if bytes.is_empty() || bytes.contains(&b'=') || has_nul(variable) || has_nul(value) {
            return refuse(format!(
                "cannot start {}: the environment variable {variable:?} has no valid name or contains a NUL character; rename or remove it",
                name(launch)
            ));
        }
    }
    if launch.directory.as_ref().is_some_and(has_nul) {
        return refuse(format!(
            "cannot start {}: its working directory contains a NUL character; remove it",
            name(launch)
        ));
    }
    Ok(())
}

/// The program as messages name it.
fn name(launch: &Launch) -> String {
    launch.arguments[0].to_string_lossy().into_owned()
}

/// The words for a command that could not be started.
fn explain(refusal: Refusal, launch: &Launch) -> ExecutorError {
    let program = name(launch);
    let error = Errno::from_raw(refusal.errno);
    let system = |what: &str| {
        ExecutorError::System(format!(
            "cannot start {program}: {what}: {}; raise the limit or try again when less runs",
            error.desc()
        ))
    };
    let directory = || {
        launch
            .directory
            .clone()
            .unwrap_or_default()
            .display()
            .to_string()
    };
    let words = match (refusal.step, error) {
        (_, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN) => {
            return system("the system has no room for it");
        }
        (Step::Temporary, _) => {
            return ExecutorError::System(format!(
                "cannot start {program}: it gets no directory for its temporary files: {}; check TMPDIR of this process and the disk",
                error.desc()
            ));
        }
        (Step::Limits, _) => return system("its limits cannot be set"),
        (Step::Pipes | Step::Process | Step::Streams | Step::Credentials, _) => {
            return system("it could not be prepared");
        }
        (Step::Directory, Errno::ENOENT) => {
            format!(
                "its working directory {} does not exist; create it first",
                directory()
            )
        }
        (Step::Directory, _) => format!(
            "its working directory {} cannot be entered ({}); check its type and permissions",
            directory(),
            error.desc()
        ),
        (Step::Program, Errno::ENOENT) => {
            "there is no such program; install it or check PATH".to_owned()
        }
        (Step::Program, Errno::EACCES) => {
            "it is not executable; check its permissions and those of its directories".to_owned()
        }
        (Step::Program, Errno::ENOEXEC) => {
            "it is neither a program of this machine nor a script with a #! line; check its format"
                .to_owned()
        }
        (Step::Program, Errno::E2BIG) => format!(
            "its {} arguments and the environment are longer than the system allows; pass them in a file or in parts",
            launch.arguments.len()
        ),
        (Step::Program, _) => format!("{}; check the program file", error.desc()),
    };
    ExecutorError::Command(format!("cannot start {program}: {words}"))
}

/// A command on its way, as its watcher knows it.
pub(super) struct Conversation<'a> {
    /// To the watcher. Nobody else reads from it meanwhile.
    pub(super) channel: &'a Channel,
    /// The command's number on this channel.
    pub(super) id: u64,
    /// Between SIGTERM and SIGKILL.
    pub(super) grace: Duration,
}

impl Conversation<'_> {
    /// Accompanies a command whose launch has been sent until everything of it is gone.
    ///
    /// Given up (dropped) half-way, the command is killed.
    pub(super) async fn follow(&self, plan: Plan, abort: &Abort) -> Result<Exit, ExecutorError> {
        let Plan {
            launch,
            streams,
            timeout,
        } = plan;
        let unattended = KillWhenDropped(self);
        let first = tokio::select! {
            first = self.next_report() => first?,
            // Whoever has to start it is busy with something slow; once he comes to it, he finds that it is to end at once.
            () = last_words(abort, false) => return Ok(Exit::Aborted),
        };
        let pipes = match first {
            Event::Started(pipes) => pipes,
            Event::Refused(refusal) => {
                std::mem::forget(unattended);
                return Err(explain(refusal, &launch));
            }
            Event::Ended(_) => return Err(lost()),
        };
        let gone = CancellationToken::new();
        let pumps = streams.pump(&launch, pipes, gone.clone());
        tokio::pin!(pumps);
        let mut pumped = None;
        let mut why = None;
        let expired = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(expired);
        let end = loop {
            tokio::select! {
                event = self.next_report() => match event {
                    Ok(Event::Ended(end)) => break end,
                    _ => return Err(lost()),
                },
                () = abort.cancelled(), if why.is_none() => {
                    why = Some(Exit::Aborted);
                    self.terminate(self.grace).await?;
                }
                () = &mut expired, if why.is_none() => {
                    why = Some(Exit::TimedOut);
                    self.terminate(self.grace).await?;
                }
                result = &mut pumps, if pumped.is_none() => {
                    if result.is_err() {
                        self.terminate(Duration::ZERO).await?;
                    }
                    pumped = Some(result);
                }
            }
        };
        std::mem::forget(unattended);
        gone.cancel();
        let pumped = match pumped {
            Some(result) => result,
            None => tokio::select! {
                result = &mut pumps => result,
                () = last_words(abort, why.is_some()) => Ok(()),
            },
        };
        pumped.map_err(|error| {
            ExecutorError::System(format!(
                "cannot keep the output of {}: {error}; is the disk full?",
                name(&launch)
            ))
        })?;
        judge(end, why, &launch)
    }

    async fn terminate(&self, grace: Duration) -> Result<(), ExecutorError> {
        let id = self.id;
        let grace = grace.as_millis() as u64;
        // Not to be delivered: the watcher is gone, which the next look at the channel tells.
        let _ = self
            .channel
            .send(&Order::Terminate { id, grace }, &[])
            .await;
        Ok(())
    }

    /// The next report about this command; those about earlier ones, which nobody followed to their end, are passed over.
    async fn next_report(&self) -> Result<Event, ExecutorError> {
        loop {
            match self.channel.receive().await {
                Ok(Some((Report::Started { id }, pipes))) if id == self.id => {
                    return Ok(Event::Started(pipes));
                }
                Ok(Some((Report::Refused { id, refusal }, _))) if id == self.id => {
                    return Ok(Event::Refused(refusal));
                }
                Ok(Some((Report::Ended { id, end }, _))) if id == self.id => {
                    return Ok(Event::Ended(end));
                }
                Ok(Some((Report::Emptied, _)) | None) | Err(_) => return Err(lost()),
                Ok(Some(_)) => {}
            }
        }
    }
}

/// A report about the command that is followed.
enum Event {
    Started(Vec<OwnedFd>),
    Refused(Refusal),
    Ended(End),
}

struct KillWhenDropped<'a>(&'a Conversation<'a>);

impl Drop for KillWhenDropped<'_> {
    fn drop(&mut self) {
        let id = self.0.id;
        let _ = self.0.channel.try_send(&Order::Terminate { id, grace: 0 });
    }
}

fn lost() -> ExecutorError {
    ExecutorError::System(
        "the process that watched over the command was killed, and the command with it; was memory exhausted?".into(),
    )
}

/// Ends when the rest of the output is not worth waiting for any more: a while after an abort.
async fn last_words(abort: &Abort, ended_by_us: bool) {
    if !ended_by_us {
        abort.cancelled().await;
    }
    tokio::time::sleep(LAST_WORDS).await;
}

fn judge(end: End, why: Option<Exit>, launch: &Launch) -> Result<Exit, ExecutorError> {
    if end.survivors || end.status == Status::Unkillable {
        return Err(ExecutorError::System(format!(
            "processes of {} cannot be killed, they still run; look for them with ps (state D: the disk or the network file system they wait for hangs)",
            name(launch)
        )));
    }
    Ok(match (why, end.status) {
        (Some(why), _) if end.terminated => why,
        // Also when it was a child that was killed, and the command failed for that.
        (_, status) if end.out_of_memory && status != Status::Exited(0) => Exit::OutOfMemory,
        (_, Status::Signalled(signal)) => Exit::Signalled(signal),
        (_, Status::Exited(status)) => Exit::Exited(status),
        (_, Status::Unkillable) => unreachable!("answered above"),
    })
}

impl Streams {
    /// Moves everything between the command's pipes and the caller's ends.
    async fn pump(
        self,
        launch: &Launch,
        pipes: Vec<OwnedFd>,
        gone: CancellationToken,
    ) -> io::Result<()> {
        let mut pipes = pipes.into_iter();
        let mut next = |wanted: bool| wanted.then(|| pipes.next()).flatten();
        let stdin = next(launch.stdin);
        let stdout = next(launch.stdout);
        let stderr = next(launch.stderr == ErrorOutput::Pipe);
        if let (Some(mut source), Some(pipe)) = (self.stdin, stdin) {
            // Not waited for: it ends when the source does, or when the command stops reading.
            tokio::task::spawn_blocking(move || io::copy(&mut source, &mut File::from(pipe)));
        }
        tokio::try_join!(
            drain(stdout, self.stdout, &gone),
            drain(stderr, self.stderr, &gone),
        )?;
        Ok(())
    }
}

/// Copies a pipe to a sink until the pipe is closed, or the command is gone and the pipe is empty.
async fn drain(
    pipe: Option<OwnedFd>,
    sink: Option<Sink>,
    gone: &CancellationToken,
) -> io::Result<()> {
    let (Some(pipe), Some(mut sink)) = (pipe, sink) else {
        return Ok(());
    };
    // A wish: an unprivileged user may have used up his share of pipe memory.
    let _ = nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(CHUNK as i32));
    let mut pipe = Receiver::from_owned_fd(pipe)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = tokio::select! {
            biased;
            length = pipe.read(&mut buffer) => length?,
            // The kernel is asked directly: tokio may not have heard yet that there is something to read.
            () = gone.cancelled() => match nix::unistd::read(&pipe, &mut buffer) {
                Err(Errno::EAGAIN) => 0,
                length => length?,
            },
        };
        if length == 0 {
            return sink.flush().await;
        }
        sink.write_all(&buffer[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::message;
    use std::os::fd::AsFd;

    #[tokio::test]
    async fn an_abort_that_meets_the_end_of_a_command_does_not_lose_it() {
        let (ours, theirs) = message::pair().unwrap();
        let channel = Channel::new(ours).unwrap();
        let conversation = Conversation {
            channel: &channel,
            id: 0,
            grace: Duration::ZERO,
        };
        let end = End {
            status: Status::Exited(0),
            terminated: false,
            out_of_memory: false,
            survivors: false,
        };
        message::send(theirs.as_fd(), &Report::Ended { id: 0, end }, &[]).unwrap();
        conversation.terminate(Duration::ZERO).await.unwrap();
        drop(theirs);
        assert!(matches!(
            conversation.next_report().await,
            Ok(Event::Ended(_))
        ));
        assert!(conversation.next_report().await.is_err());
    }
}
