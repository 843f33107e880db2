//! The file system of a sandbox: an overlay on the image, a `/proc` and a small `/dev` of its own, and nothing of the host.

use crate::executor::orders::{SandboxPlan, Scratch};
use crate::executor::program::Program;
use crate::executor::ranges::Own;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{fchdir, pivot_root};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, move_mount};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where the new root is put together. Every system has this directory; in the new mount namespace nobody else sees what happens to it.
const STAGE: &str = "/tmp";

/// The host's devices that a sandbox sees.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// How long the copy of an image may take: a large one on a slow disk.
const COPYING_TAKES: Duration = Duration::from_secs(3600);

/// What went wrong, and at what.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {error}")]
pub(super) struct MountError {
    what: String,
    error: io::Error,
}

impl MountError {
    /// Whether the machine is able to do it, but there is no room: on a disk, in memory, in a table of the kernel.
    pub(super) fn is_want_of_room(&self) -> bool {
        is_want_of_room(self.error.raw_os_error())
    }
}

/// Whether an error number says so.
pub(super) fn is_want_of_room(error: Option<i32>) -> bool {
    use nix::libc::{EAGAIN, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC};
    error.is_some_and(|error| [EAGAIN, EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC].contains(&error))
}

/// Names the step at which something failed.
pub(super) fn at<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> MountError {
    move |error| MountError {
        what: what.into(),
        error: error.into(),
    }
}

/// What the new root is like.
pub(super) struct Entered {
    /// The image had to be copied, for this reason.
    pub(super) copied: Option<String>,
    /// `/tmp` is a directory of the disk itself.
    pub(super) tmp_on_disk: bool,
}

/// The directories that come from outside: that of the image and, on disk, the one in which there is a directory for each sandbox.
pub(super) enum Layers<'a> {
    /// As they are on disk, with the ids that all sandboxes share, and why.
    Shared(Vec<OwnedFd>, &'a str),
    /// As mounts that show them with the sandbox's own ids.
    Own(&'a mut Own),
}

impl Layers<'_> {
    /// Why there are no ids of its own, if there are none.
    pub(super) fn why_shared(&self) -> Option<&str> {
        match self {
            Self::Shared(_, why) => Some(why),
            Self::Own(_) => None,
        }
    }

    /// Opens directories once more: those that were opened outside belong to the outside's mounts, from which nothing can be mounted here.
    ///
    /// To be called while this process is still the caller, who may search the directories above.
    pub(super) fn open_again(self) -> Result<Self, MountError> {
        match self {
            Self::Shared(directories, why) => Ok(Self::Shared(open_again(directories)?, why)),
            Self::Own(own) => Ok(Self::Own(own)),
        }
    }

    /// The directories, from which something can be mounted here. Own ones find their place on the stage.
    fn directories(self) -> Result<Vec<OwnedFd>, MountError> {
        let own = match self {
            Self::Shared(directories, _) => return Ok(directories),
            Self::Own(own) => own,
        };
        let placed = own
            .take_mounts()
            .into_iter()
            .enumerate()
            .map(|(number, mount)| {
                let place = format!("{STAGE}/layer{number}");
                fs::create_dir(&place).map_err(at(&place))?;
                let whole = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(&mount, "", CWD, &*place, whole).map_err(at(&place))?;
                open_directory(&place)
            });
        placed.collect()
    }
}

/// Makes the sandbox's file system the root of this process, which is the only one in its namespaces. `tmp_on_disk` is a wish that an image whose `/tmp` is
/// not empty does not grant.
pub(super) fn enter_root(
    plan: &SandboxPlan,
    layers: Layers<'_>,
    scratch: &str,
    tmp_on_disk: bool,
) -> Result<Entered, MountError> {
    let devices = open_devices()?;
    let nothing = None::<&str>;
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )
    .map_err(at("keeping mounts private"))?;
    let size = match plan.scratch {
        Scratch::Memory(bytes) => bytes,
        Scratch::Disk => 1 << 20,
    };
    let options = format!("mode=755,size={size}");
    mount(
        Some("sandbox"),
        STAGE,
        Some("tmpfs"),
        MsFlags::MS_NODEV,
        Some(&*options),
    )
    .map_err(at("a file system in memory"))?;
    let stage = open_directory(STAGE)?;
    let mut descriptors = layers.directories()?.into_iter();
    let image = descriptors
        .next()
        .ok_or(io::ErrorKind::NotFound)
        .map_err(at("the image"))?;
    let base = match (plan.scratch, descriptors.next()) {
        (Scratch::Disk, Some(arena)) => {
            mkdirat(&arena, scratch, Mode::S_IRWXU).map_err(at("the scratch directory"))?;
            open_beneath(&arena, scratch)?
        }
        _ => stage.try_clone().map_err(at("the scratch directory"))?,
    };
    drop(descriptors);
    let root = format!("{STAGE}/root");
    fs::create_dir(&root).map_err(at("the root directory"))?;
    let copied = mount_image(plan, &image, &base, &root)?;
    let tmp = match tmp_on_disk {
        true => Some(make_tmp(&base)?),
        false => None,
    };
    drop((image, base, stage));

    let old_root = open_directory("/")?;
    let new_root = open_directory(&root)?;
    fchdir(&new_root).map_err(at("the root directory"))?;
    pivot_root(".", ".").map_err(at("changing the root directory"))?;
    // From here on every path is the sandbox's. The old root is still mounted, over the new one: the kernel allows a new /proc only where one can be seen.
    make_proc()?;
    make_devices(&devices, plan)?;
    drop(devices);
    let tmp_on_disk = tmp.map_or(Ok(false), mount_tmp)?;
    fchdir(&old_root).map_err(at("the old root directory"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(at("leaving the old root directory"))?;
    std::env::set_current_dir("/").map_err(at("the root directory"))?;
    Ok(Entered {
        copied,
        tmp_on_disk,
    })
}

fn open_again(directories: Vec<OwnedFd>) -> Result<Vec<OwnedFd>, MountError> {
    let open_one = |outside: OwnedFd| {
        let path = fs::read_link(path_of(&outside)).map_err(at("a directory"))?;
        let name = path.display().to_string();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let inside = open(&path, flags, Mode::empty()).map_err(at(&name))?;
        let (one, other) = (
            fstat(&outside).map_err(at(&name))?,
            fstat(&inside).map_err(at(&name))?,
        );
        if (one.st_dev, one.st_ino) != (other.st_dev, other.st_ino) {
            return Err(at(name)(io::Error::other("it was exchanged meanwhile")));
        }
        Ok(inside)
    };
    directories.into_iter().map(open_one).collect()
}

fn open_directory(path: &str) -> Result<OwnedFd, MountError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).map_err(at(path))
}

fn open_beneath(directory: &OwnedFd, name: &str) -> Result<OwnedFd, MountError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    openat(directory, name, flags, Mode::empty()).map_err(at(name))
}

/// A path to an open directory, wherever that is: it needs no permission on the way there, and no escapes.
fn path_of(directory: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd())
}

/// Puts the image at `root`: under an overlay or, where there can be none, copied.
fn mount_image(
    plan: &SandboxPlan,
    image: &OwnedFd,
    base: &OwnedFd,
    root: &str,
) -> Result<Option<String>, MountError> {
    mkdirat(base, "upper", Mode::from_bits_truncate(0o755)).map_err(at("the upper directory"))?;
    mkdirat(base, "work", Mode::S_IRWXU).map_err(at("the work directory"))?;
    let upper = open_beneath(base, "upper")?;
    let work = open_beneath(base, "work")?;
    let why = if plan.overlay {
        let options = format!(
            "lowerdir={},upperdir={},workdir={},userxattr,volatile",
            path_of(image),
            path_of(&upper),
            path_of(&work)
        );
        match mount(
            Some("sandbox"),
            root,
            Some("overlay"),
            MsFlags::empty(),
            Some(&*options),
        ) {
            Ok(()) => return Ok(None),
            Err(error) => format!("no overlay can be mounted: {}", error.desc()),
        }
    } else {
        "no overlay was wanted".to_owned()
    };
    let nothing = None::<&str>;
    mount(
        Some(&*path_of(&upper)),
        root,
        nothing,
        MsFlags::MS_BIND,
        nothing,
    )
    .map_err(at("the copied image"))?;
    // The host's cp, still: it knows everything about sparse files, links and attributes.
    fchdir(image).map_err(at("the image"))?;
    let mut copy = Command::new("cp");
    copy.args(["--archive", "--reflink=auto", "--", ".", root]);
    let copied = Program::start(copy).and_then(|copy| copy.end(COPYING_TAKES, None));
    let (status, complaint) = copied.map_err(at("copying the image"))?;
    let error = match status.success() {
        true => return Ok(Some(why)),
        false if complaint.contains(Errno::ENOSPC.desc()) => Errno::ENOSPC.into(),
        false if complaint.contains(Errno::EDQUOT.desc()) => Errno::EDQUOT.into(),
        false => {
            let first = complaint.lines().next().unwrap_or_default();
            io::Error::other(format!("cp failed ({status}): {first}"))
        }
    };
    Err(at("copying the image")(error))
}

/// A directory beside those of the overlay.
fn make_tmp(base: &OwnedFd) -> Result<OwnedFd, MountError> {
    let name = "the directory for /tmp";
    mkdirat(base, "tmp", Mode::S_IRWXU).map_err(at(name))?;
    let tmp = open_beneath(base, "tmp")?;
    fs::set_permissions(path_of(&tmp), Permissions::from_mode(0o1777)).map_err(at(name))?;
    Ok(tmp)
}

/// Puts a directory in the place of the image's `/tmp`, unless there is something in that.
fn mount_tmp(tmp: OwnedFd) -> Result<bool, MountError> {
    own_directory("/tmp", 0o1777)?;
    if fs::read_dir("/tmp").map_err(at("/tmp"))?.next().is_some() {
        return Ok(false);
    }
    let nothing = None::<&str>;
    mount(
        Some(&*path_of(&tmp)),
        "/tmp",
        nothing,
        MsFlags::MS_BIND,
        nothing,
    )
    .map_err(at("mounting /tmp"))?;
    Ok(true)
}

fn open_devices() -> Result<Vec<(&'static str, OwnedFd)>, MountError> {
    let open_one = |name: &'static str| {
        let path = format!("/dev/{name}");
        let device =
            open(&*path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(at(&path))?;
        Ok((name, device))
    };
    DEVICES.into_iter().map(open_one).collect()
}

fn make_proc() -> Result<(), MountError> {
    own_directory("/proc", 0o555)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).map_err(at(
        "mounting /proc (refused where parts of the host's /proc are hidden, as in some containers)",
    ))
}

fn make_devices(devices: &[(&str, OwnedFd)], plan: &SandboxPlan) -> Result<(), MountError> {
    let nothing = None::<&str>;
    own_directory("/dev", 0o755)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(
        Some("dev"),
        "/dev",
        Some("tmpfs"),
        flags,
        Some("mode=755,size=1m"),
    )
    .map_err(at("mounting /dev"))?;
    for (name, device) in devices {
        let path = format!("/dev/{name}");
        fs::write(&path, "").map_err(at(&path))?;
        mount(
            Some(&*path_of(device)),
            &*path,
            nothing,
            MsFlags::MS_BIND,
            nothing,
        )
        .map_err(at(&path))?;
    }
    own_directory("/dev/pts", 0o755)?;
    let options = "newinstance,ptmxmode=0666,mode=0620,gid=5";
    mount(
        Some("devpts"),
        "/dev/pts",
        Some("devpts"),
        flags,
        Some(options),
    )
    .map_err(at("mounting /dev/pts"))?;
    own_directory("/dev/shm", 0o1777)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(
        Some("shm"),
        "/dev/shm",
        Some("tmpfs"),
        flags,
        Some(&*format!("mode=1777,size={}", shared_memory(plan))),
    )
    .map_err(at("mounting /dev/shm"))?;
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, Path::new("/dev").join(name)).map_err(at(name))?;
    }
    Ok(())
}

/// The size of `/dev/shm`, as tmpfs(5) has it: no more than the sandbox may have otherwise, else half of the machine's memory, as programs find it on
/// any Debian system.
fn shared_memory(plan: &SandboxPlan) -> String {
    let scratch = match plan.scratch {
        Scratch::Memory(bytes) => Some(bytes),
        Scratch::Disk => None,
    };
    let limits = plan.limits.memory.into_iter().chain(scratch);
    limits
        .min()
        .map_or_else(|| "50%".to_owned(), |bytes| bytes.to_string())
}

/// Makes sure that this is a directory and not a link, whatever the image has there.
pub(super) fn own_directory(path: &str, mode: u32) -> Result<(), MountError> {
    let make = || -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Ok(()),
            Ok(_) => fs::remove_file(path)?,
            Err(_) => {}
        }
        DirBuilder::new().mode(mode).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))
    };
    make().map_err(at(path))
}
