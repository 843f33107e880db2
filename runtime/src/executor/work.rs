//! Work on files in a process of its own: unpacking and removing what belongs to the ids of sandboxes.

use super::ids::{self, IdMap, Known};
use super::message::{self, Channel};
use super::orders::{Errand, Failure, Report, Work};
use super::remove::remove_all;
use super::supervise::announce_children;
use super::system::{self, Fork};
use super::unpack::{Rules, decompress, pour, unpack};
use super::{Abort, ExecutorError, helper};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::{Pid, fchdir, syncfs};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::Path;
use std::sync::Arc;

/// Has work done and waits for it. After an abort it is killed: what it was making is left half-made.
pub(super) async fn request(
    ids: Option<IdMap>,
    work: Work,
    descriptors: &[BorrowedFd<'_>],
    abort: &Abort,
) -> Result<(), ExecutorError> {
    let failed = |error: io::Error| {
        ExecutorError::System(format!(
            "cannot speak with the helper process: {error}; raise the limit of open files (ulimit -n)"
        ))
    };
    let (ours, theirs) = message::pair().map_err(failed)?;
    let channel = Channel::new(ours).map_err(failed)?;
    let mut all = vec![theirs.as_fd()];
    all.extend_from_slice(descriptors);
    helper::send(&Errand::Work { ids, work }, &all)?;
    drop(theirs);
    let answer = tokio::select! {
        answer = channel.receive::<Report>() => answer.map_err(failed)?,
        () = abort.cancelled() => return Err(ExecutorError::Aborted),
    };
    match answer {
        Some((Report::Done { result, .. }, _)) => Ok(result?),
        _ => Err(ExecutorError::System(
            "the process that worked on the files was killed; was memory exhausted?".into(),
        )),
    }
}

/// Whose ids a user namespace is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceFor {
    /// Sandboxes: root needs no entry in `/etc/subuid` for them.
    Sandboxes,
    /// Programs of the host, such as sbuild, that make one themselves: they go by `/etc/subuid` and `/etc/subgid` whoever runs them.
    Programs,
}

/// Makes a user namespace, to see whether that is possible. If not, the words say why and what to do; nothing is left either way.
pub async fn try_user_namespace(purpose: NamespaceFor) -> Result<(), ExecutorError> {
    let ids = match purpose {
        NamespaceFor::Sandboxes => IdMap::of_this_process()?,
        NamespaceFor::Programs => IdMap::listed()?,
    };
    request(Some(ids), Work::Nothing, &[], &Abort::new()).await
}

/// Removes a directory with everything in it, however deep it is, also what users of sub-ids own. One that is not there is no error.
pub async fn remove_directory(path: &Path) -> Result<(), ExecutorError> {
    let failed = |error: &dyn std::fmt::Display| {
        ExecutorError::System(format!(
            "{} cannot be removed: {error}; remove it by hand, as root",
            path.display()
        ))
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(&"it is no name in a directory"));
    };
    let parent = Arc::new(File::open(parent).map_err(|error| failed(&error))?);
    let as_caller = || {
        let (parent, name) = (Arc::clone(&parent), name.to_owned());
        tokio::task::spawn_blocking(move || remove_all(parent.as_fd(), &name))
    };
    match as_caller().await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => {
            tracing::debug!("{}: not all of it is the caller's: {error}", path.display());
        }
        Err(error) => return Err(failed(&error)),
    }
    if let Ok(ids) = IdMap::of_this_process() {
        let remove = Work::Remove { name: name.into() };
        // It cannot do all that the caller can, who is in more groups: what it left is told below.
        let _ = request(Some(ids), remove, &[parent.as_fd()], &Abort::new()).await;
    }
    match as_caller().await {
        Ok(removed) => removed.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}

/// Puts a directory aside that belongs to others than the sandboxes of today, and removes it if that can be. Its new name ends in `.tmp`.
pub(super) async fn put_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_extension(format!("{:08x}.tmp", rand::random::<u32>()));
    fs::rename(path, &aside)?;
    if let Err(error) = remove_directory(&aside).await {
        tracing::warn!(
            "{} was made with other subordinate ids than those of today (was /etc/subuid edited?), and stays: {error}",
            path.display()
        );
    }
    Ok(())
}

/// The helper's side: does the work in a child, which is killed when the runtime loses interest.
pub(super) fn attend(
    ids: Option<IdMap>,
    work: &Work,
    control: &OwnedFd,
    descriptors: Vec<OwnedFd>,
) -> io::Result<()> {
    let children = announce_children()?;
    let forked = match ids {
        Some(ids) => {
            let caller = Some(control.as_fd());
            ids::enter(&ids, Known::InsideAndCaller, 0, None, caller).map(|(fork, _)| fork)
        }
        None => system::fork().map_err(io::Error::from),
    };
    let child = match forked {
        Ok(Fork::Parent(child)) => child,
        Ok(Fork::Child) => {
            let entered = match ids {
                Some(_) => ids::become_root(),
                None => nix::sys::prctl::set_pdeathsig(Signal::SIGKILL),
            };
            let result = entered
                .map_err(|error| {
                    Failure::Unsupported(format!(
                        "cannot become root in a user namespace: {error}; compare /etc/subuid and /etc/subgid with what this kernel, or the container, allows"
                    ))
                })
                .and_then(|()| perform(work, descriptors));
            message::send(control.as_fd(), &Report::Done { id: 0, result }, &[])?;
            system::exit(0);
        }
        Err(error) => {
            let result = Err(Failure::of_namespaces("a user namespace", &error));
            return message::send(control.as_fd(), &Report::Done { id: 0, result }, &[]);
        }
    };
    drop(descriptors);
    keep(child, &children, control.as_fd(), &mut ())
}

/// What a keeper does while it waits. It must never take long.
pub(super) trait Besides {
    /// What to wait for, if there is anything.
    fn awaits(&self) -> Option<BorrowedFd<'_>>;

    /// It is readable, or hung up.
    fn attend(&mut self);

    /// A child has ended.
    fn ended(&mut self, child: Pid);
}

impl Besides for () {
    fn awaits(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn attend(&mut self) {}

    fn ended(&mut self, _: Pid) {}
}

/// Waits for the end of a child; kills it when the runtime closes its end of `control`.
pub(super) fn keep(
    child: Pid,
    children: &SignalFd,
    control: BorrowedFd<'_>,
    besides: &mut impl Besides,
) -> io::Result<()> {
    loop {
        let mut entries = vec![
            PollFd::new(children.as_fd(), PollFlags::POLLIN),
            // Nothing is expected but the hang-up, which poll always tells.
            PollFd::new(control, PollFlags::empty()),
        ];
        entries.extend(
            besides
                .awaits()
                .map(|it| PollFd::new(it, PollFlags::POLLIN)),
        );
        while poll(&mut entries, PollTimeout::NONE) == Err(nix::Error::EINTR) {}
        let is_due = |entry: &PollFd<'_>| entry.any().unwrap_or(true);
        let (alone, due) = (is_due(&entries[1]), entries.get(2).is_some_and(is_due));
        drop(entries);
        if alone {
            let _ = kill(child, Signal::SIGKILL);
            return Ok(system::wait_for(child).map(drop)?);
        }
        if due {
            besides.attend();
        }
        // Also other children may have ended: newuidmap, say.
        let _ = children.read_signal();
        while let Some((ended, _)) = system::reap()? {
            if ended == child {
                return Ok(());
            }
            besides.ended(ended);
        }
    }
}

fn perform(work: &Work, descriptors: Vec<OwnedFd>) -> Result<(), Failure> {
    let mut descriptors = descriptors.into_iter();
    let mut next = || {
        descriptors
            .next()
            .ok_or_else(|| Failure::System("a descriptor is missing; this is a bug".into()))
    };
    match work {
        Work::Nothing => Ok(()),
        Work::Unpack { name, size } => unpack_image(&next()?, name, next()?, *size),
        Work::Remove { name } => remove_all(next()?.as_fd(), name)
            .map_err(|error| Failure::System(format!("cannot remove {error}; remove it by hand"))),
        Work::MakeDirectory { name } => {
            within(&next()?)?;
            make_directory(name)?;
            spread(name);
            Ok(())
        }
        Work::Recode { compressed, size } => {
            recode(next()?.into(), next()?.into(), *compressed, *size)
        }
    }
}

/// Makes a directory the current one.
fn within(directory: &OwnedFd) -> Result<(), Failure> {
    fchdir(directory).map_err(|error| {
        Failure::System(format!(
            "cannot enter a directory: {error}; check its permissions"
        ))
    })
}

fn unpack_image(
    directory: &OwnedFd,
    name: &OsStr,
    archive: OwnedFd,
    size: u64,
) -> Result<(), Failure> {
    let system = |what: &'static str| {
        move |error: io::Error| {
            Failure::System(format!(
                "cannot {what} the directory for an image: {error}; check its permissions"
            ))
        }
    };
    within(directory)?;
    make_directory(name)?;
    // From here on no name leads anywhere else.
    nix::unistd::chroot(name).map_err(|e| system("enter")(e.into()))?;
    nix::unistd::chdir("/").map_err(|e| system("enter")(e.into()))?;
    let archive = decompress(archive.into()).map_err(|error| {
        Failure::Image(format!("the image cannot be read: {error}; fetch it again"))
    })?;
    let rules = Rules {
        owner: None,
        mode: 0o7777,
        without_devices: true,
        size,
    };
    unpack(archive, rules)?;
    let root = File::open("/").map_err(system("open"))?;
    syncfs(&root).map_err(|e| system("write")(e.into()))
}

/// Made closed to others, then given away: nobody but the root of sandboxes gets in between.
fn make_directory(name: &OsStr) -> Result<(), Failure> {
    let make = || -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        chown(name, Some(0), Some(0))?;
        fs::set_permissions(name, std::os::unix::fs::PermissionsExt::from_mode(0o755))
    };
    make().map_err(|error| {
        Failure::System(format!(
            "cannot make the directory {}: {error}; is the disk full?",
            name.display()
        ))
    })
}

/// Asks ext4 to place what is made in a directory far apart, as it does with the homes of users (chattr(1), `T`). A sandbox's files would else come to lie
/// where those of the sandbox before lay, and ext4 without a journal passes over inodes that were freed in the last minutes, one by one. Other file systems
/// refuse, and need no such wish.
fn spread(directory: &OsStr) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let Ok(directory) = File::open(directory) else {
        return;
    };
    if let Ok(flags) = ioctl_getflags(&directory) {
        let _ = ioctl_setflags(&directory, flags | IFlags::TOPDIR);
    }
}

fn recode(from: File, to: File, compressed: bool, size: u64) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::System(format!(
            "cannot write the image anew: {error}; is the disk full?"
        ))
    };
    let from = decompress(from).map_err(|error| {
        Failure::Image(format!("the image cannot be read: {error}; fetch it again"))
    })?;
    if compressed {
        let mut encoder = zstd::Encoder::new(&to, RECODING_LEVEL).map_err(failed)?;
        pour(from, size, |bytes| encoder.write_all(bytes).map_err(failed))?;
        encoder.finish().map_err(failed)?;
    } else {
        pour(from, size, |bytes| (&to).write_all(bytes).map_err(failed))?;
    }
    to.sync_all().map_err(failed)
}

/// Of zstd: higher levels take long and save little.
const RECODING_LEVEL: i32 = 3;
