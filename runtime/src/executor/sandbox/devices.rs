//! Devices that the root of a sandbox may make, beneath its `/tmp`: those of a chroot, without which tools like piuparts make none.
//!
//! The kernel lets nobody in a user namespace make a device, and opens none on a file system that was mounted there. So only the real root can help: it
//! has the kernel ask about the few harmless devices, makes them itself, and gives its sandboxes a `/tmp` that is a directory of the host's disk.

use crate::executor::ask::{self, Answer, Question};
use crate::executor::ids::IdMap;
use crate::executor::message;
use crate::executor::orders::{SandboxPlan, Scratch};
use crate::executor::ranges::is_real_root;
use crate::executor::system::{self, Fork};
use crate::executor::work::Besides;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, fstat, mknodat, umask};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{Gid, Pid, Uid, chroot, fchdir, getpid, getppid, setfsgid, setfsuid, setgroups};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Null, zero, full, random and urandom, which every sandbox sees in its `/dev` anyway; tty, which is the terminal of whoever opens it; and ptmx, which
/// leads to the terminals of the `pts` beside it and nowhere else. Not console: that is the host's.
const ALLOWED: [u32; 7] = [
    device(1, 3),
    device(1, 5),
    device(1, 7),
    device(1, 8),
    device(1, 9),
    device(5, 0),
    device(5, 2),
];

/// A number as system calls have it, of small parts.
const fn device(major: u32, minor: u32) -> u32 {
    major << 8 | minor
}

/// Longer paths are none to the kernel.
const LONGEST_PATH: usize = libc::PATH_MAX as usize;

/// The two ends of what a keeper and its init need. Or why there will be no devices, and what to do about it.
pub(super) fn prepare(
    ids: &IdMap,
    plan: &SandboxPlan,
    arena: Option<&OwnedFd>,
) -> Result<(Desk, Bell), String> {
    let (Scratch::Disk, Some(arena)) = (plan.scratch, arena) else {
        return Err("the sandbox keeps its files in memory; let it keep them on disk".into());
    };
    if !may_make_devices() {
        return Err(
            "only root can make devices, and not in a container; run the program as root".into(),
        );
    }
    let failed = |error: Errno| format!("cannot prepare for devices: {error}; report this");
    let hindrances = FsFlags::ST_NODEV | FsFlags::ST_NOSUID | FsFlags::ST_NOEXEC;
    let there = fstatvfs(arena).map_err(failed)?.flags();
    if there.intersects(hindrances) {
        return Err(
            "the file system of the scratch directory is mounted nodev, nosuid or noexec; mount it without"
                .into(),
        );
    }
    let disk = fstat(arena).map_err(failed)?.st_dev;
    let (ours, theirs) = message::pair()
        .map_err(|error| format!("no socket can be made ({error}); raise ulimit -n"))?;
    let desk = Desk {
        ids: *ids,
        disk,
        place: Place::Waiting(ours),
        clerk: None,
    };
    Ok((desk, Bell(theirs)))
}

/// Whether this process is root, not only in a container, and may make devices.
fn may_make_devices() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_real_root() && Caller::parse(&status).is_some_and(|own| own.may_make_devices)
}

/// The init's end.
pub(super) struct Bell(OwnedFd);

impl Bell {
    /// From here on the keeper makes devices for this process's descendants.
    pub(super) fn hang(self) -> io::Result<()> {
        let listener = ask::ask_about(&ALLOWED)?;
        message::send(self.0.as_fd(), &(), &[listener.as_fd()])
    }
}

/// The keeper's end. It makes devices in a process of its own for each, one after the other: whatever a sandbox may think of to make that slow, the keeper
/// is not held up.
pub(super) struct Desk {
    ids: IdMap,
    /// The file system on which there may be devices.
    disk: libc::dev_t,
    place: Place,
    /// Who answers just now.
    clerk: Option<Pid>,
}

enum Place {
    /// Until the init has hung its bell.
    Waiting(OwnedFd),
    Open(OwnedFd),
    /// Nobody will ask any more.
    Closed,
}

impl Besides for Desk {
    fn awaits(&self) -> Option<BorrowedFd<'_>> {
        match &self.place {
            Place::Waiting(it) | Place::Open(it) if self.clerk.is_none() => Some(it.as_fd()),
            _ => None,
        }
    }

    fn attend(&mut self) {
        match &self.place {
            Place::Waiting(socket) => {
                let received = message::receive::<()>(socket.as_fd()).ok().flatten();
                let listener = received.and_then(|((), listener)| listener.into_iter().next());
                self.place = listener.map_or(Place::Closed, Place::Open);
            }
            Place::Open(listener) => match look_at(listener) {
                Seen::Question => match start_clerk(listener.as_fd(), &self.ids, self.disk) {
                    Ok(clerk) => self.clerk = Some(clerk),
                    // Whoever asks is told that there is no such call.
                    Err(_) => self.place = Place::Closed,
                },
                // Whoever asked has been killed.
                Seen::Nothing => {}
                Seen::End => self.place = Place::Closed,
            },
            Place::Closed => {}
        }
    }

    fn ended(&mut self, child: Pid) {
        if self.clerk == Some(child) {
            self.clerk = None;
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(clerk) = self.clerk {
            let _ = kill(clerk, Signal::SIGKILL);
            let _ = system::wait_for(clerk);
        }
    }
}

/// What there is to be read at a moment.
enum Seen {
    Question,
    Nothing,
    /// Nobody is left who could ask.
    End,
}

fn look_at(listener: &OwnedFd) -> Seen {
    let mut entries = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    if poll(&mut entries, PollTimeout::ZERO).is_err() {
        return Seen::Nothing;
    }
    match entries[0].revents().unwrap_or(PollFlags::POLLERR) {
        seen if seen.contains(PollFlags::POLLIN) => Seen::Question,
        seen if seen.is_empty() => Seen::Nothing,
        _ => Seen::End,
    }
}

fn start_clerk(listener: BorrowedFd<'_>, ids: &IdMap, disk: libc::dev_t) -> nix::Result<Pid> {
    let keeper = getpid();
    match system::fork()? {
        Fork::Parent(clerk) => Ok(clerk),
        Fork::Child => {
            let answered = serve(listener, keeper, ids, disk);
            system::exit(i32::from(answered.is_err()));
        }
    }
}

/// The clerk's life: one question, one answer.
fn serve(listener: BorrowedFd<'_>, keeper: Pid, ids: &IdMap, disk: libc::dev_t) -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != keeper {
        return Err(Errno::ESRCH);
    }
    let question = ask::question(listener)?;
    // What this process cannot do, or must not, the kernel refuses with better words.
    let answer = make(listener, &question, ids, disk).unwrap_or(Answer::AsUsual);
    ask::answer(listener, &question, answer)
}

/// Makes the device, as the sandbox's root would if it could: with that user's permissions, seen from the asking process's root and current directory, never
/// through the magic links of a `/proc`, on the right disk only.
fn make(
    listener: BorrowedFd<'_>,
    question: &Question,
    ids: &IdMap,
    disk: libc::dev_t,
) -> Option<Answer> {
    if !ALLOWED.contains(&question.device) {
        return None;
    }
    let process = format!("/proc/{}", question.thread);
    let process = open_at(AT_FDCWD, &process, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    // That directory stays this thread's, whoever gets its number later.
    if !ask::still_waits(listener, question) {
        return None;
    }
    let mut status = String::new();
    let file = open_at(process.as_fd(), "status", OFlag::O_RDONLY)?;
    File::from(file).read_to_string(&mut status).ok()?;
    let caller = Caller::parse(&status)?;
    let (user, group) = ids.root();
    if !caller.may_make_devices || caller.user != user {
        return None;
    }
    let path = read_path(process.as_fd(), question.path)?;
    let (parent, name) = split(&path)?;
    let directory = match question.directory {
        libc::AT_FDCWD => "cwd".to_owned(),
        number => format!("fd/{number}"),
    };
    let place = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let root = open_at(process.as_fd(), "root", place)?;
    // Matters only to paths that begin there.
    let start = match path.first() {
        Some(b'/') => None,
        _ => Some(open_at(process.as_fd(), &directory, place)?),
    };
    drop(process);

    fchdir(&root).ok()?;
    chroot(".").ok()?;
    if let Some(start) = start {
        fchdir(start).ok()?;
    }
    setgroups(&[]).ok()?;
    setfsgid(Gid::from_raw(group));
    setfsuid(Uid::from_raw(user));
    ask::keep_capability(ask::CAP_MKNOD).ok()?;
    // A change of user clears this, hence again.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).ok()?;
    umask(Mode::from_bits_truncate(caller.umask));
    let how = OpenHow::new()
        .flags(place | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let parent = openat2(AT_FDCWD, parent, how).ok()?;
    if fstat(&parent).ok()?.st_dev != disk {
        return None;
    }
    let mode = Mode::from_bits_truncate(question.mode & 0o777);
    let made = mknodat(
        &parent,
        name,
        SFlag::S_IFCHR,
        mode,
        libc::dev_t::from(question.device),
    );
    match made {
        Ok(()) => Some(Answer::Made),
        Err(Errno::EPERM | Errno::EACCES) => None,
        Err(error) => Some(Answer::Failed(error)),
    }
}

fn open_at(directory: impl AsFd, path: &str, flags: OFlag) -> Option<OwnedFd> {
    openat(directory, path, flags | OFlag::O_CLOEXEC, Mode::empty()).ok()
}

/// A path from the memory of a process.
fn read_path(process: BorrowedFd<'_>, address: u64) -> Option<Vec<u8>> {
    let memory = File::from(open_at(process, "mem", OFlag::O_RDONLY)?);
    let mut bytes = vec![0; LONGEST_PATH];
    // Less if the memory ends before.
    let length = memory.read_at(&mut bytes, address).ok()?;
    bytes.truncate(length);
    let end = bytes.iter().position(|&byte| byte == 0)?;
    bytes.truncate(end);
    Some(bytes)
}

/// The directory and the name in it.
fn split(path: &[u8]) -> Option<(&Path, &Path)> {
    let begin = path
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |at| at + 1);
    let (parent, name) = path.split_at(begin);
    if matches!(name, b"" | b"." | b"..") {
        return None;
    }
    let parent = if parent.is_empty() { b"." } else { parent };
    Some((
        Path::new(OsStr::from_bytes(parent)),
        Path::new(OsStr::from_bytes(name)),
    ))
}

/// Who asks, by `/proc/PID/status`.
#[derive(Debug, PartialEq, Eq)]
struct Caller {
    /// The user as which it uses files, as the host numbers users.
    user: u32,
    umask: u32,
    /// In its own user namespace, that is.
    may_make_devices: bool,
}

impl Caller {
    fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line?.split_ascii_whitespace().next_back()
        };
        let capabilities = u64::from_str_radix(field("CapEff:")?, 16).ok()?;
        Some(Self {
            // The last of four.
            user: field("Uid:")?.parse().ok()?,
            umask: u32::from_str_radix(field("Umask:")?, 8).ok()?,
            may_make_devices: capabilities >> ask::CAP_MKNOD & 1 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_known_by_the_user_of_its_files() {
        let status = |capabilities: &str| {
            format!("Name:\tUid: 1\nUmask:\t0027\nUid:\t1\t2\t3\t4\nCapEff:\t{capabilities}\n")
        };
        let caller = |may_make_devices| Caller {
            user: 4,
            umask: 0o27,
            may_make_devices,
        };
        let all = Caller::parse(&status("000001ffffffffff"));
        assert_eq!(all, Some(caller(true)));
        let all_but_one = Caller::parse(&status("000001fff7ffffff"));
        assert_eq!(all_but_one, Some(caller(false)));
        assert_eq!(Caller::parse("Name:\tcat\n"), None);
    }

    #[test]
    fn a_path_is_a_directory_and_a_name() {
        let path = |text: &'static str| {
            let (parent, name) = split(text.as_bytes())?;
            Some((parent.to_str()?, name.to_str()?))
        };
        assert_eq!(path("/tmp/a/null"), Some(("/tmp/a/", "null")));
        assert_eq!(path("/null"), Some(("/", "null")));
        assert_eq!(path("null"), Some((".", "null")));
        for none in ["", "/", "a/", "a/.", ".."] {
            assert_eq!(path(none), None, "{none}");
        }
    }
}
