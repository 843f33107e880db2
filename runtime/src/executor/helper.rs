//! The helper: this program once more, small and single-threaded, from which commands and sandboxes are started.
//!
//! The runtime has many threads and much memory; forking it is slow and unsafe. The helper is started on first use and forks one supervisor
//! for each command. Every supervisor holds a socket to the runtime: when the runtime ends, even by `kill -9`, the sockets close and
//! everything that was started for it is killed.

use super::cgroup::{self, Cgroup, OomKills};
use super::descendants::{kill_children, kill_descendants};
use super::orders::{Errand, Launch, Refusal, Report, Status, Step};
use super::supervise::{Territory, Watch, announce_children};
use super::system::{self, Fork};
use super::temporary::{TMPDIR, Temporary};
use super::{ExecutorError, message, sandbox, work};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The only argument of a helper.
const HELPER: &str = "--task-runtime-helper";

/// Whether this program's `main` lets itself be used as a helper.
static ENTRY_IS_THERE: AtomicBool = AtomicBool::new(false);

/// How often processes are killed one by one before all of them are stopped first: those that multiply as fast as they are killed.
const STOP_AFTER: u32 = 16;

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
    // Whatever a supervisor leaves behind that was killed itself falls to the helper.
    nix::sys::prctl::set_child_subreaper(true)?;
    let children = announce_children()?;
    let mut supervisors = Supervisors::default();
    cgroup::sweep();
    while wait_for_errand(socket.as_fd(), &children, &mut supervisors)? {
        let Some((errand, descriptors)) = message::receive::<Errand>(socket.as_fd())? else {
            break;
        };
        if descriptors.is_empty() {
            continue;
        }
        match system::fork() {
            Ok(Fork::Child) => {
                drop((socket, children));
                system::exit(i32::from(run(errand, descriptors).is_err()));
            }
            Ok(Fork::Parent(supervisor)) => drop(supervisors.running.insert(supervisor)),
            // The control socket closes here, and the runtime says so.
            Err(_) => {}
        }
    }
    drop(socket);
    // The runtime is gone, which every supervisor sees for itself.
    while !supervisors.running.is_empty() {
        wait_for_children(&children)?;
        supervisors.look_after();
    }
    Ok(())
}

/// Waits for the runtime, looking after ended supervisors meanwhile. False when there is nothing to wait for any more.
fn wait_for_errand(
    socket: BorrowedFd<'_>,
    children: &SignalFd,
    supervisors: &mut Supervisors,
) -> io::Result<bool> {
    loop {
        let mut entries = [
            PollFd::new(socket, PollFlags::POLLIN),
            PollFd::new(children.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut entries, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            result => result?,
        };
        if entries[1].any().unwrap_or(false) {
            let _ = children.read_signal();
            supervisors.look_after();
        }
        if entries[0].any().unwrap_or(true) {
            return Ok(true);
        }
    }
}

fn wait_for_children(children: &SignalFd) -> io::Result<()> {
    let mut entries = [PollFd::new(children.as_fd(), PollFlags::POLLIN)];
    match poll(&mut entries, PollTimeout::NONE) {
        Ok(_) | Err(nix::Error::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let _ = children.read_signal();
    Ok(())
}

/// The children of the helper that it has forked itself.
#[derive(Default)]
struct Supervisors {
    running: HashSet<Pid>,
    /// How often there were orphans one time after the other.
    attempts: u32,
}

impl Supervisors {
    /// Takes the ended children's statuses, and kills whatever a supervisor left that was killed or gave up: the end of each process brings up the next.
    fn look_after(&mut self) {
        while let Ok(Some((child, status))) = system::reap() {
            let supervisor = self.running.remove(&child);
            if supervisor && matches!(status, Status::Signalled(_)) {
                cgroup::sweep();
            }
        }
        let is_supervisor = |child: Pid| self.running.contains(&child);
        let orphans = kill_children(is_supervisor);
        self.attempts = match orphans {
            0 => 0,
            _ => self.attempts.wrapping_add(1),
        };
        if self.attempts % STOP_AFTER == STOP_AFTER - 1 {
            kill_descendants(is_supervisor);
        }
    }
}

fn run(errand: Errand, mut descriptors: Vec<OwnedFd>) -> io::Result<()> {
    let control = descriptors.remove(0);
    match errand {
        Errand::Supervise {
            launch,
            cgroup,
            temporary,
            ids,
        } => {
            let temporary = temporary.map(|parent| Temporary::new(Path::new(&parent), ids));
            supervise_on_host(launch, cgroup, temporary, control)
        }
        Errand::Work { ids, work } => work::attend(ids, &work, &control, descriptors),
        Errand::Sandbox { ids, plan } => sandbox::keep(&ids, &plan, &control, descriptors),
    }
}

fn supervise_on_host(
    mut launch: Launch,
    cgroup: bool,
    temporary: Option<io::Result<Temporary>>,
    control: OwnedFd,
) -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    let temporary = match temporary.transpose() {
        Ok(made) => made,
        Err(error) => {
            let refusal = Refusal {
                step: Step::Temporary,
                errno: error.raw_os_error().unwrap_or_default(),
            };
            return message::send(control.as_fd(), &Report::Refused { id: 0, refusal }, &[]);
        }
    };
    if let Some(temporary) = &temporary {
        launch.environment.retain(|(name, _)| name != TMPDIR);
        let path = temporary.path().as_os_str().to_owned();
        launch.environment.push((TMPDIR.into(), path));
    }
    let cgroup = cgroup.then(|| Cgroup::new(&launch.limits));
    let territory = Host {
        cgroup: cgroup.and_then(Result::ok),
        temporary,
    };
    let watch = Watch {
        control: control.as_fd(),
        children: announce_children()?,
        territory: &territory,
    };
    watch.command(0, &launch).map(drop)
}

/// The host: a command's descendants all stay beneath its supervisor, which is their subreaper.
struct Host {
    cgroup: Option<Cgroup>,
    temporary: Option<Temporary>,
}

impl Territory for Host {
    fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    fn limits_memory(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Cgroup::limits_memory)
    }

    fn kill_all(&self, attempt: u32) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        let nobody = |_| false;
        if attempt % STOP_AFTER == STOP_AFTER - 1 {
            kill_descendants(nobody);
        }
        kill_children(nobody);
    }

    fn out_of_memory(&self) -> bool {
        let kills = self.cgroup.as_ref().and_then(Cgroup::oom_kills);
        kills.is_some_and(OomKills::any_new)
    }

    fn clear_away(&self) {
        let removed = self.temporary.as_ref().map(Temporary::remove);
        // What is left is left to the sweep at the next start.
        let _ = removed.unwrap_or(Ok(()));
    }
}
