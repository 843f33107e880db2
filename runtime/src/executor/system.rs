//! The system calls that have no safe wrapper: the only `unsafe` of the executor.

use super::cgroup::Birth;
use super::orders::Status;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use tokio::io::unix::AsyncFd;

/// In which of the two processes a fork returned.
pub(super) enum Fork {
    /// The new process.
    Child,
    /// The old one, with the new one's id.
    Parent(Pid),
}

/// Start the new process in the cgroup of `clone_args.cgroup` (`linux/sched.h`).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Bytes of stack for what happens between [`spawn`] and the execution of a program.
const SPAWN_STACK: usize = 1 << 18;

/// Forks. To be called by the helper and its children only, which have one thread.
pub(super) fn fork() -> nix::Result<Fork> {
    // SAFETY: the caller has a single thread, so the child inherits no lock that another thread holds.
    match unsafe { nix::unistd::fork()? } {
        ForkResult::Child => Ok(Fork::Child),
        ForkResult::Parent { child } => Ok(Fork::Parent(child)),
    }
}

/// Forks into new namespaces (`flags`: `CLONE_NEW…`) and, if given, straight into a cgroup. Single-threaded callers only.
///
/// Moving a process into a cgroup after its birth waits for every processor; being born there costs nothing.
pub(super) fn fork_into(flags: i32, cgroup: Option<BorrowedFd<'_>>) -> nix::Result<Fork> {
    // SAFETY: all-zero is the documented neutral value of every field.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM this is a fork: the child gets a copy of the memory and, the caller having one thread, no foreign lock.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match Errno::result(result)? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(Pid::from_raw(pid as i32))),
    }
}

/// The same; where the kernel refuses the cgroup, not in it, which the answer tells.
pub(super) fn fork_into_if_can_be(
    flags: i32,
    cgroup: Option<BorrowedFd<'_>>,
) -> nix::Result<(Fork, Birth)> {
    let Some(cgroup) = cgroup else {
        return Ok((fork_into(flags, None)?, Birth::Outside));
    };
    match fork_into(flags, Some(cgroup)) {
        Ok(fork) => Ok((fork, Birth::Inside)),
        // The namespaces may have been the reason as well: then they are that again.
        Err(error) if refuses_cgroup(error) => Ok((fork_into(flags, None)?, Birth::Outside)),
        Err(error) => Err(error),
    }
}

/// Whether this may be the kernel's answer to a cgroup that it lets nobody be born into: permissions of a common ancestor, a threaded or an inner
/// cgroup, one that was removed, or a kernel (or a filter around it) that knows no such births.
pub(super) fn refuses_cgroup(error: Errno) -> bool {
    matches!(
        error,
        Errno::EACCES
            | Errno::EPERM
            | Errno::EOPNOTSUPP
            | Errno::EBUSY
            | Errno::ENODEV
            | Errno::ENOENT
            | Errno::EINVAL
            | Errno::E2BIG
            | Errno::ENOSYS
    )
}

/// Runs `child`, which is to execute a program, in a new process that shares this one's memory until it executes a program or ends; this one stands still until then. It
/// is what `posix_spawn` does: no page table is copied, however large this program is. Single-threaded callers only.
pub(super) fn spawn(child: &mut dyn FnMut()) -> nix::Result<Pid> {
    extern "C" fn enter(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the pointer given to `clone` below; its target lives on the caller's stack, and the caller waits.
        let child = unsafe { &mut *argument.cast::<&mut dyn FnMut()>() };
        child();
        exit(127)
    }
    let mut stack = Vec::<u128>::with_capacity(SPAWN_STACK / size_of::<u128>());
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let mut child = child;
    // SAFETY: the stack outlives its use, for the caller continues when the child has left it; it grows down from its aligned end. The caller
    // has one thread and no signal handlers, so nothing else touches the shared memory meanwhile.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity()).cast();
        libc::clone(enter, top, flags, (&raw mut child).cast())
    };
    Errno::result(pid).map(Pid::from_raw)
}

/// Takes the status of any child that has ended. None: there are children, but none has ended. `ECHILD`: there are no children.
pub(super) fn reap() -> nix::Result<Option<(Pid, Status)>> {
    match wait(-1, libc::WNOHANG)? {
        (0, _) => Ok(None),
        (pid, status) => Ok(Some((Pid::from_raw(pid), status))),
    }
}

/// Waits for the end of one child.
pub(super) fn wait_for(child: Pid) -> nix::Result<Status> {
    wait(child.as_raw(), 0).map(|(_, status)| status)
}

fn wait(which: i32, flags: i32) -> nix::Result<(i32, Status)> {
    loop {
        let mut status = 0;
        // SAFETY: writes one integer. (The wrapper of this call knows no real-time signals and would lose such an end.)
        let result = Errno::result(unsafe { libc::waitpid(which, &raw mut status, flags) });
        match result {
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error),
            Ok(pid) if libc::WIFSIGNALED(status) => {
                return Ok((pid, Status::Signalled(libc::WTERMSIG(status))));
            }
            Ok(pid) => return Ok((pid, Status::Exited(libc::WEXITSTATUS(status)))),
        }
    }
}

/// Ends this process at once, without the exit handlers of a program whose memory it merely inherited.
pub(super) fn exit(status: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// Takes possession of a descriptor that the kernel has just made for this process.
pub(super) fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: it came with a message or from a call, and nobody else in the process knows its number.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Registers a descriptor with the tokio runtime around the caller.
pub(super) fn watch(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` answers with the same open descriptor for as long as it lives, and the result owns it.
    unsafe { AsyncFd::register(descriptor) }.map_err(std::io::Error::from)
}

/// Takes possession of the helper's standard input, which is its socket.
pub(super) fn own_stdin() -> OwnedFd {
    // SAFETY: called once, at the start of a helper, before anything could use the standard input.
    unsafe { OwnedFd::from_raw_fd(0) }
}

/// Gives every signal its default action and blocks none, as a program expects to be started.
pub(super) fn reset_signals() {
    Signal::iterator().for_each(act_by_default);
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}

/// Gives a signal its default action.
pub(super) fn act_by_default(number: Signal) {
    // SAFETY: installs no handler. Refused for SIGKILL and SIGSTOP, which have no other action anyway.
    let _ = unsafe { signal(number, SigHandler::SigDfl) };
}

/// Ignores a signal. Ignored SIGCHLD also means: ended children leave no zombie.
pub(super) fn ignore(number: Signal) {
    // SAFETY: installs no handler.
    let _ = unsafe { signal(number, SigHandler::SigIgn) };
}

/// Makes `descriptor` the process's descriptor number `target` (0, 1 or 2), kept over exec.
pub(super) fn become_stream(descriptor: BorrowedFd<'_>, target: RawFd) -> nix::Result<()> {
    // SAFETY: what `target` was before is not used any more: the caller is about to exec.
    Errno::result(unsafe { libc::dup2(descriptor.as_raw_fd(), target) }).map(drop)
}

/// Marks every descriptor from 3 upwards to be closed on exec.
pub(super) fn close_others_on_exec() -> nix::Result<()> {
    // SAFETY: changes a flag of descriptors, closes none.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(result).map(drop)
}

/// Switches the loop-back interface of this process's network namespace on.
pub(super) fn loopback_up(socket: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: all-zero is a valid value of this plain structure; the name is shorter than its field.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the structure lives for the call, which reads it only.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(result).map(drop)
}

/// Has a mount that is nowhere yet show its files with the ids that a user namespace names for those on disk; if wanted, not to be written to.
pub(super) fn show_with_ids(
    mount: BorrowedFd<'_>,
    user_namespace: BorrowedFd<'_>,
    read_only: bool,
) -> nix::Result<()> {
    // struct mount_attr: attributes to set, to clear, propagation, user namespace.
    const RDONLY: u64 = 0x1;
    const IDMAP: u64 = 0x0010_0000;
    let set = IDMAP | if read_only { RDONLY } else { 0 };
    let attributes: [u64; 4] = [set, 0, 0, user_namespace.as_raw_fd() as u64];
    // SAFETY: path and structure live for the call, which reads them only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    Errno::result(result).map(drop)
}

/// The version of the kernel's Landlock from which on abstract sockets can be kept apart.
const LANDLOCK_WITH_SCOPES: libc::c_long = 6;

/// Whether the kernel can keep abstract sockets apart, see [`forget_abstract_sockets`].
pub(super) fn can_forget_abstract_sockets() -> bool {
    const VERSION: libc::c_uint = 1;
    // SAFETY: a null pointer and no size ask for the version.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            VERSION,
        )
    };
    version >= LANDLOCK_WITH_SCOPES
}

/// Cuts this process and those that it will start off from the abstract sockets of all others: these belong to a network namespace, which
/// a sandbox may share with the host. Nothing else changes. The caller is root in its user namespace.
pub(super) fn forget_abstract_sockets() -> nix::Result<()> {
    // struct landlock_ruleset_attr: accesses to files and to the network that are handled (none), scopes.
    const ABSTRACT_UNIX_SOCKET: u64 = 1;
    let attributes: [u64; 3] = [0, 0, ABSTRACT_UNIX_SOCKET];
    // SAFETY: the structure lives for the call, which reads it only.
    let ruleset = Errno::result(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            attributes.as_ptr(),
            size_of_val(&attributes),
            0,
        )
    })?;
    let ruleset = own(ruleset as RawFd);
    // SAFETY: takes numbers only.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    Errno::result(result).map(drop)
}

/// Gives this process a keyring of its own: whoever inherits one can read the keys in it.
pub(super) fn forget_keys() {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for a new anonymous keyring. Kernels without keyrings refuse, and have nothing to forget.
    unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
}
