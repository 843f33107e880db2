//! The helper: this program once more, small and single-threaded, from which commands and sandboxes are started.
//!
//! The runtime has many threads and much memory; forking it is slow and unsafe. The helper is started on first use and forks one supervisor
//! for each command. Every supervisor holds a socket to the runtime: when the runtime ends, even by `kill -9`, the sockets close and
//! everything that was started for it is killed.

use super::cgroup::{self, Cgroup};
use super::orders::{Errand, Launch};
use super::supervise::{Territory, Watch, announce_children, kill_children};
use super::system::{self, Fork};
use super::{ExecutorError, message, sandbox, work};
use nix::sys::signal::Signal;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The only argument of a helper.
const HELPER: &str = "--task-runtime-helper";

/// Whether this program's `main` lets itself be used as a helper.
static ENTRY_IS_THERE: AtomicBool = AtomicBool::new(false);

/// The helper of this process.
static HELPER_PROCESS: Mutex<Option<Connection>> = Mutex::new(None);

/// Does a helper's work and exits, if this process was started as one; otherwise returns at once.
///
/// Has to be the first thing that `main` does in every program that runs commands or sandboxes with this library, before any thread exists.
pub fn supervisor_main_if_called() {
    ENTRY_IS_THERE.store(true, Ordering::Relaxed);
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(HELPER)) || arguments.next().is_some() {
        return;
    }
    let served = serve(system::own_stdin());
    system::exit(i32::from(served.is_err()));
}

/// Hands an errand to the helper. The first descriptor is the socket on whose other end it will be answered.
pub(super) fn send(errand: &Errand, descriptors: &[BorrowedFd<'_>]) -> Result<(), ExecutorError> {
    let failed = |error: io::Error| {
        ExecutorError::System(format!(
            "cannot start the helper process: {error}; are processes or memory exhausted?"
        ))
    };
    let mut helper = HELPER_PROCESS
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(connection) = &*helper
        && message::send(connection.socket.as_fd(), errand, descriptors).is_ok()
    {
        return Ok(());
    }
    // None yet, or somebody killed it: a new one, once.
    let connection = helper.insert(Connection::open()?);
    message::send(connection.socket.as_fd(), errand, descriptors).map_err(failed)
}

/// A running helper. Dropped, the helper sees its socket close and ends.
struct Connection {
    socket: OwnedFd,
    process: Child,
}

impl Connection {
    fn open() -> Result<Self, ExecutorError> {
        if !ENTRY_IS_THERE.load(Ordering::Relaxed) {
            return Err(ExecutorError::Unsupported(
                "this program cannot start commands: its main does not call executor::supervisor_main_if_called(); call it there first"
                    .into(),
            ));
        }
        let start = || {
            let (socket, theirs) = message::pair()?;
            let process = Command::new("/proc/self/exe")
                .arg0("task-runtime-helper")
                .arg(HELPER)
                .env_clear()
                .envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)))
                .current_dir("/")
                .stdin(Stdio::from(theirs))
                .stdout(Stdio::null())
                .spawn()?;
            Ok(Self { socket, process })
        };
        start().map_err(|error: io::Error| {
            ExecutorError::System(format!(
                "cannot start the helper process: {error}; is /proc mounted, and are processes or memory exhausted?"
            ))
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The helper's life: one errand after the other, each in a process of its own.
fn serve(socket: OwnedFd) -> io::Result<()> {
    // Signals of the terminal are the runtime's business.
    nix::unistd::setsid()?;
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGCHLD,
    ] {
        system::ignore(signal);
    }
    cgroup::sweep();
    while let Some((errand, descriptors)) = message::receive::<Errand>(socket.as_fd())? {
        if descriptors.is_empty() {
            continue;
        }
        if let Ok(Fork::Child) = system::fork() {
            drop(socket);
            system::exit(i32::from(run(errand, descriptors).is_err()));
        }
        // Could it not fork, the control socket closes here, and the runtime says so.
    }
    Ok(())
}

fn run(errand: Errand, mut descriptors: Vec<OwnedFd>) -> io::Result<()> {
    let control = descriptors.remove(0);
    match errand {
        Errand::Supervise { launch, cgroup } => supervise_on_host(&launch, cgroup, control),
        Errand::Work { ids, work } => work::attend(ids, &work, &control, descriptors),
        Errand::Sandbox { ids, plan } => sandbox::keep(&ids, &plan, &control, descriptors),
    }
}

fn supervise_on_host(launch: &Launch, cgroup: bool, control: OwnedFd) -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    let territory = Host {
        cgroup: cgroup.then(Cgroup::new).and_then(Result::ok),
    };
    let watch = Watch {
        control: control.as_fd(),
        children: announce_children()?,
        territory: &territory,
    };
    watch.command(0, launch).map(drop)
}

/// The host: a command's descendants all stay beneath its supervisor, which is their subreaper.
struct Host {
    cgroup: Option<Cgroup>,
}

impl Territory for Host {
    fn cgroup(&self) -> Option<BorrowedFd<'_>> {
        self.cgroup.as_ref().map(Cgroup::directory)
    }

    fn kill_all(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        kill_children();
    }

    fn out_of_memory(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Cgroup::out_of_memory)
    }
}
