//! What an init does with the files of its sandbox: everything is opened inside, so that no link leads to the host.

use crate::executor::orders::{Failure, FileOperation};
use crate::executor::unpack::{Rules, unpack};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, mkdirat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchdir, fchown, unlinkat};
use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// Permission bits that a pushed file may have: none that change the user who runs it.
const PLAIN: u32 = 0o1777;

/// Carries out a file operation; the opened file, if it opens one.
pub(super) fn perform(
    operation: FileOperation,
    descriptors: Vec<OwnedFd>,
) -> Result<Option<OwnedFd>, Failure> {
    match operation {
        FileOperation::Read { path } => read(Path::new(&path)).map(Some),
        FileOperation::Create { path, mode } => create(Path::new(&path), mode).map(Some),
        FileOperation::MakeDirectory { path, mode, owner } => {
            make_directory(Path::new(&path), mode, owner).map(|()| None)
        }
        FileOperation::Unpack { into, owner } => {
            let Some(archive) = descriptors.into_iter().next() else {
                return Err(Failure::System(
                    "no archive came with the order; this is a bug".into(),
                ));
            };
            let unpacked = unpack_into(Path::new(&into), archive.into(), owner);
            let _ = std::env::set_current_dir("/");
            unpacked.map(|()| None)
        }
    }
}

/// Opens something beneath the root. Magic links of `/proc` are refused: they lead to files without a path.
fn open(path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let root = nix::fcntl::open(
        "/",
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(&root, path, how)
}

/// A path as it is allowed: absolute, plain, not the root itself.
fn checked(path: &Path) -> Result<&Path, Failure> {
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute()
        && plain
        && path.file_name().is_some()
        && !path.as_os_str().as_bytes().contains(&0)
    {
        return Ok(path);
    }
    Err(refused(path, "it has to be an absolute path without .."))
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::File(format!(
        "{} in the instance is refused: {why}",
        path.display()
    ))
}

fn failed(path: &Path, error: Errno) -> Failure {
    let words = format!("{} in the instance: {}", path.display(), error.desc());
    match error {
        Errno::ENOSPC | Errno::EDQUOT | Errno::EIO | Errno::EMFILE | Errno::ENOMEM => {
            Failure::System(format!("{words}; free or allow more space"))
        }
        _ => Failure::File(format!("{words}; check the path")),
    }
}

fn read(path: &Path) -> Result<OwnedFd, Failure> {
    let path = checked(path)?;
    let failed = |error| failed(path, error);
    // Looked at before it is opened: opening some things has effects.
    let seen = open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW).map_err(failed)?;
    let status = fstat(&seen).map_err(failed)?;
    match SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => {}
        SFlag::S_IFLNK => {
            return Err(refused(
                path,
                "it is a symbolic link, only regular files are taken out",
            ));
        }
        SFlag::S_IFDIR => {
            return Err(refused(
                path,
                "it is a directory, only regular files are taken out",
            ));
        }
        _ => {
            return Err(refused(
                path,
                "it is a device, pipe or socket, only regular files are taken out",
            ));
        }
    }
    let kind = fstatfs(&seen).map_err(failed)?.filesystem_type();
    if kind == PROC_SUPER_MAGIC || kind == SYSFS_MAGIC {
        return Err(refused(path, "it is the kernel's, not a file on a disk"));
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = open(path, flags).map_err(failed)?;
    let opened = fstat(&file).map_err(failed)?;
    if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino) {
        return Err(refused(path, "it was exchanged while it was opened"));
    }
    Ok(file)
}

fn create(path: &Path, mode: u32) -> Result<OwnedFd, Failure> {
    let path = checked(path)?;
    let failed = |error| failed(path, error);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(refused(path, "it is no file name"));
    };
    let directory = open(parent, OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(failed)?;
    match unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(error) => return Err(failed(error)),
    }
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = nix::fcntl::openat(&directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
        .map_err(failed)?;
    fchmod(&file, Mode::from_bits_truncate(mode & PLAIN)).map_err(failed)?;
    Ok(file)
}

fn make_directory(path: &Path, mode: u32, owner: (u32, u32)) -> Result<(), Failure> {
    let path = checked(path)?;
    let failed = |error| failed(path, error);
    let mut directory =
        open(Path::new("/"), OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)?;
    let missing = path.ancestors().take_while(|path| path.parent().is_some());
    let mut steps: Vec<&Path> = missing.collect();
    steps.reverse();
    for step in steps {
        let name: &OsStr = step.file_name().unwrap_or_default();
        match mkdirat(&directory, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        directory = open(step, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)?;
    }
    fchown(
        &directory,
        Some(Uid::from_raw(owner.0)),
        Some(Gid::from_raw(owner.1)),
    )
    .map_err(failed)?;
    fchmod(&directory, Mode::from_bits_truncate(mode & PLAIN)).map_err(failed)
}

fn unpack_into(into: &Path, archive: File, owner: (u32, u32)) -> Result<(), Failure> {
    let failed = |error| failed(into, error);
    let directory = open(into, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)?;
    fchdir(&directory).map_err(failed)?;
    let rules = Rules {
        owner: Some(owner),
        mode: PLAIN,
        without_devices: false,
        size: u64::MAX,
    };
    unpack(BufReader::with_capacity(1 << 18, archive), rules)
}
