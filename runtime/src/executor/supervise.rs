//! Watching one command from its start until nothing of it is left: signals and orders are waited for, nothing is polled.

use super::cgroup::Cgroup;
use super::launch;
use super::orders::{End, Launch, Order, Report, Status};
use super::{message, system};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long none of the killed processes may vanish before those that are left are reported as survivors.
const KILL_TAKES: Duration = Duration::from_secs(10);

/// How long killing may take in all, while processes still come and vanish.
const KILLING_TAKES: Duration = Duration::from_secs(600);

/// The processes among which a command runs: how it gets in, and how everything it left is killed.
pub(super) trait Territory {
    /// The cgroup that the command has to be put into.
    fn cgroup(&self) -> Option<&Cgroup>;

    /// Whether a cgroup limits the memory of the command.
    fn limits_memory(&self) -> bool;

    /// Sends SIGKILL to everything that is still alive, as far as it can be seen at this moment. The attempts are counted from 0: who is left after some
    /// deserves more effort.
    fn kill_all(&self, attempt: u32);

    /// Whether the kernel has killed something for want of memory.
    fn out_of_memory(&self) -> bool;

    /// Removes what the command left on disk, when nothing of it runs any more.
    fn clear_away(&self) {}
}

/// The ends of the watcher that stay the same from command to command.
pub(super) struct Watch<'a> {
    /// Brings orders, takes reports. Closed at the other end: the runtime is gone.
    pub(super) control: BorrowedFd<'a>,
    /// Says when a child has ended.
    pub(super) children: SignalFd,
    pub(super) territory: &'a dyn Territory,
}

/// Arranges that ended children are announced by a descriptor. Other processes' wishes that this one end are not heard: it ends when the runtime does.
pub(super) fn announce_children() -> nix::Result<SignalFd> {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGPIPE,
    ] {
        system::ignore(signal);
    }
    // Whoever started this program may have ignored it, and what is ignored is not announced.
    system::act_by_default(Signal::SIGCHLD);
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// What [`Watch::wait`] was woken by.
enum Event {
    Child,
    Order(Order),
    /// The runtime has closed its end, or died.
    Alone,
    Late,
}

impl Watch<'_> {
    /// Runs one command to its end and clears up after it, reporting to the runtime. False when the runtime is gone.
    pub(super) fn command(&self, id: u64, launch: &Launch) -> io::Result<bool> {
        let started = match launch::start(launch, self.territory) {
            Ok(started) => started,
            Err(refusal) => {
                self.territory.clear_away();
                self.report(&Report::Refused { id, refusal }, &[])?;
                return Ok(true);
            }
        };
        let pipes: Vec<BorrowedFd<'_>> = started.pipes.iter().map(AsFd::as_fd).collect();
        // Failing to tell means that the runtime is gone; the wait below sees that too, and ends the command.
        let _ = self.report(&Report::Started { id }, &pipes);
        drop(started.pipes);

        let mut running = Running {
            id,
            child: started.child,
            status: None,
            terminated: false,
            kill_at: None,
            ended: 0,
        };
        let accompanied = self.follow(&mut running).unwrap_or(false);
        let _ = killpg(running.child, Signal::SIGKILL);
        let survivors = self.clear(&mut running).unwrap_or(true);
        self.territory.clear_away();
        let end = End {
            status: running.status.unwrap_or(Status::Unkillable),
            terminated: running.terminated,
            out_of_memory: self.territory.out_of_memory(),
            survivors,
        };
        Ok(accompanied && self.report(&Report::Ended { id, end }, &[]).is_ok())
    }

    /// Waits for the end of the main process, carrying out orders meanwhile. False when the runtime is gone.
    fn follow(&self, running: &mut Running) -> io::Result<bool> {
        loop {
            running.reap()?;
            if running.status.is_some() {
                return Ok(true);
            }
            match self.wait(running.kill_at)? {
                Event::Child => {}
                Event::Alone => return Ok(false),
                Event::Order(Order::Terminate { id, grace }) if id == running.id => {
                    running.terminate(Duration::from_millis(grace));
                    if grace == 0 {
                        // Nothing more is read: the next order may be for another command.
                        return Ok(true);
                    }
                }
                Event::Order(Order::Stop) => return Ok(false),
                Event::Order(_) => {}
                Event::Late => return Ok(true),
            }
        }
    }

    /// Kills until no child is left; whether some would not go.
    fn clear(&self, running: &mut Running) -> io::Result<bool> {
        let begin = Instant::now();
        let (mut last_end, mut ended) = (begin, running.ended);
        for attempt in 0.. {
            self.territory.kill_all(attempt);
            if !running.reap()? {
                return Ok(false);
            }
            if running.ended != ended {
                (last_end, ended) = (Instant::now(), running.ended);
            }
            if last_end.elapsed() > KILL_TAKES || begin.elapsed() > KILLING_TAKES {
                break;
            }
            // Usually a child's end wakes this. The short limit is for those that were born between two looks.
            self.wait_for_children(Duration::from_millis(5))?;
        }
        Ok(true)
    }

    fn wait_for_children(&self, limit: Duration) -> io::Result<()> {
        let mut entries = [PollFd::new(self.children.as_fd(), PollFlags::POLLIN)];
        poll_for(&mut entries, Some(limit))?;
        self.drain_signals();
        Ok(())
    }

    /// However many have ended, there is one announcement. Whoever announces as fast as it is read must not hold this process up: hence no loop.
    fn drain_signals(&self) {
        let _ = self.children.read_signal();
    }

    fn wait(&self, until: Option<Instant>) -> io::Result<Event> {
        // Looked at first: children that end all the time must hide neither the deadline nor an order.
        let limit = match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return Ok(Event::Late),
            limit => limit,
        };
        let mut entries = [
            PollFd::new(self.children.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.control, PollFlags::POLLIN),
        ];
        if poll_for(&mut entries, limit)? == 0 {
            return Ok(Event::Late);
        }
        if !entries[1].any().unwrap_or(true) {
            self.drain_signals();
            return Ok(Event::Child);
        }
        Ok(match message::receive(self.control)? {
            Some((order, _)) => Event::Order(order),
            None => Event::Alone,
        })
    }

    fn report(&self, report: &Report, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        message::send(self.control, report, descriptors)
    }
}

/// Waits for one of the entries; the number of those that are ready, 0 when the time is over.
fn poll_for(entries: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<i32> {
    let limit = match limit {
        None => PollTimeout::NONE,
        // Rounded up: woken too early, the loop would spin through the last millisecond.
        Some(limit) => PollTimeout::try_from(limit.as_millis() + 1).unwrap_or(PollTimeout::MAX),
    };
    loop {
        match poll(entries, limit) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

/// A command that has been started.
struct Running {
    id: u64,
    child: Pid,
    status: Option<Status>,
    terminated: bool,
    kill_at: Option<Instant>,
    /// How many processes have ended, this one and its descendants.
    ended: u64,
}

impl Running {
    /// Takes the status of every process that has ended; whether children are left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match system::reap() {
                Ok(Some((pid, status))) => {
                    self.ended += 1;
                    if pid == self.child {
                        self.status = Some(status);
                    }
                }
                Ok(None) => return Ok(true),
                Err(Errno::ECHILD) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// SIGTERM for the group, also for its stopped members; SIGKILL later.
    fn terminate(&mut self, grace: Duration) {
        self.terminated = true;
        let first = if grace.is_zero() {
            Signal::SIGKILL
        } else {
            Signal::SIGTERM
        };
        let _ = killpg(self.child, first);
        let _ = killpg(self.child, Signal::SIGCONT);
        let deadline = Instant::now() + grace;
        self.kill_at = Some(
            self.kill_at
                .map_or(deadline, |earlier| earlier.min(deadline)),
        );
    }
}
