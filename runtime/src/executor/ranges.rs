//! Ranges of ids for sandboxes that run at the same time: each has its own, as long as it runs.
//!
//! What sandboxes have on disk belongs to one range of ids, that of [`IdMap::of_this_process`]; so nobody has to remember who ran when it is removed. A
//! sandbox with a range of its own sees those files through mounts that show them as its own. Only the real root has ids enough and may make such mounts.

use super::ids::{IDS, IdMap, ROOT_BASE, listed_ranges};
use super::system;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::utsname::uname;
use nix::unistd::geteuid;
use rustix::mount::{OpenTreeFlags, open_tree};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Ids for this: behind the first range of sandboxes, within those that systemd leaves to containers (<https://systemd.io/UIDS-GIDS/>).
const POOL: Range<u32> = ROOT_BASE + IDS..0x7000_0000;

/// Says which ranges are taken: of each, one byte is locked. Only root can lock them, and all of a machine's runtimes use this one.
const TAKEN: &str = "/run/task-runtime-ids.lock";

/// The kernel from which on overlays go with such mounts (`Documentation/filesystems/overlayfs.rst`).
const KERNEL: (u32, u32) = (5, 19);

/// A range of ids for one sandbox, and what it sees with them. It is given back when no process has this value any more, however these end.
pub(super) struct Own {
    /// The ids.
    pub(super) ids: IdMap,
    /// The directories, as mounts that are nowhere yet.
    mounts: Vec<OwnedFd>,
    /// Of the mounts. Held, for to close the last descriptor of a namespace takes a while.
    shown: Option<OwnedFd>,
    _taken: File,
}

impl Own {
    /// Takes a range and has the directories, which belong to `stored`, appear as its own; the first is not to be written to. Or why there is none, and what to do
    /// about it. Single-threaded callers only.
    pub(super) fn take(stored: &IdMap, directories: &[OwnedFd]) -> Result<Self, String> {
        if !is_real_root() {
            return Err(
                "sandboxes of ordinary users, and of root in a container, all have the same ids; run the program as root"
                    .into(),
            );
        }
        if !kernel_is_new_enough(
            &uname()
                .map(|it| it.release().to_owned())
                .unwrap_or_default(),
        ) {
            return Err(format!(
                "overlays need files with the ids that they have on disk; use Linux {}.{} or newer",
                KERNEL.0, KERNEL.1
            ));
        }
        let (first, taken) = free_range(Path::new(TAKEN), &foreign())?;
        let ids = stored.moved_to(first);
        let (mounts, map) = shown(stored, &ids, directories).map_err(|error| {
            format!(
                "the files of sandboxes cannot be shown with other ids ({error}); keep cache and scratch directory on ext4, xfs, btrfs or tmpfs"
            )
        })?;
        Ok(Self {
            ids,
            mounts,
            shown: Some(map),
            _taken: taken,
        })
    }
}

impl Own {
    /// The mounts. Afterwards this process has nothing of the host's left but the range.
    pub(super) fn take_mounts(&mut self) -> Vec<OwnedFd> {
        self.shown = None;
        std::mem::take(&mut self.mounts)
    }
}

/// Whether this process is root, not only in a container.
pub(super) fn is_real_root() -> bool {
    let own = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    geteuid().is_root() && own.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

fn kernel_is_new_enough(release: &OsStr) -> bool {
    let release = release.to_string_lossy();
    let mut numbers = release
        .split(|byte: char| !byte.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= KERNEL
}

/// Mounts of directories in which what belongs to `stored` belongs to `ids`, and the user namespace that says so.
fn shown(
    stored: &IdMap,
    ids: &IdMap,
    directories: &[OwnedFd],
) -> io::Result<(Vec<OwnedFd>, OwnedFd)> {
    let map = stored.shown_as(ids)?;
    let one = |(number, directory): (usize, &OwnedFd)| {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let mount = open_tree(directory, "", flags)?;
        system::show_with_ids(mount.as_fd(), map.as_fd(), number == 0)?;
        Ok(mount)
    };
    let mounts: io::Result<_> = directories.iter().enumerate().map(one).collect();
    Ok((mounts?, map))
}

/// The ranges that `/etc/subuid` and `/etc/subgid` give to somebody.
fn foreign() -> Vec<Range<u64>> {
    ["/etc/subuid", "/etc/subgid"]
        .map(|path| fs::read_to_string(path).unwrap_or_default())
        .iter()
        .flat_map(|text| listed_ranges(text))
        .collect()
}

/// Takes a range of the pool that nobody has. Begins anywhere: runtimes that see different lock files, as in containers that are not closed, seldom take the
/// same one.
fn free_range(taken: &Path, foreign: &[Range<u64>]) -> Result<(u32, File), String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!(
            "no range of ids can be taken, {} cannot be locked ({error}); see to it that root can write there",
            taken.display()
        )
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(taken)
        .map_err(|error| failed(&error))?;
    if file.metadata().map_err(|error| failed(&error))?.uid() != geteuid().as_raw() {
        return Err(failed(&"it belongs to somebody else"));
    }
    let count = (POOL.end - POOL.start) / IDS;
    let begin = rand::random_range(0..count);
    for number in (begin..count).chain(0..begin) {
        let first = POOL.start + number * IDS;
        let range = u64::from(first)..u64::from(first + IDS);
        let overlaps = |other: &Range<u64>| other.start < range.end && range.start < other.end;
        if foreign.iter().any(overlaps) {
            continue;
        }
        match lock_byte(file.as_fd(), number) {
            Ok(()) => return Ok((first, file)),
            Err(nix::Error::EAGAIN | nix::Error::EACCES) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Err(format!(
        "all {count} ranges of ids are taken; run fewer sandboxes at a time"
    ))
}

/// Whether nobody has the range of this id.
#[cfg(test)]
pub(super) fn is_free(id: u32) -> bool {
    let file = File::options().write(true).open(TAKEN).unwrap();
    lock_byte(file.as_fd(), (id - POOL.start) / IDS).is_ok()
}

/// Locks a byte of a file that is opened: until all have closed what was opened here.
fn lock_byte(file: BorrowedFd<'_>, number: u32) -> nix::Result<()> {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: libc::off_t::from(number),
        l_len: 1,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_a_range_that_another_has_until_it_is_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        let count = (POOL.end - POOL.start) / IDS;
        // All but two are somebody's.
        let most = u64::from(POOL.start)..u64::from(POOL.end - 2 * IDS - 1);
        let foreign = [most, 0..100_000];
        let (one, held) = free_range(&path, &foreign).unwrap();
        let (other, also_held) = free_range(&path, &foreign).unwrap();
        let both = [one.min(other), one.max(other)];
        assert_eq!(both, [POOL.end - 2 * IDS, POOL.end - IDS]);
        let refused = free_range(&path, &foreign).unwrap_err();
        assert!(
            refused.contains(&format!("all {count} ranges")),
            "{refused}"
        );
        // As a child has it.
        let inherited = held.try_clone().unwrap();
        drop(held);
        assert!(free_range(&path, &foreign).is_err());
        drop(inherited);
        assert_eq!(free_range(&path, &foreign).unwrap().0, one);
        drop(also_held);
    }

    #[test]
    fn where_nothing_can_be_locked_the_words_say_so() {
        let refused = free_range(Path::new("/proc/none/taken"), &[]).unwrap_err();
        assert!(refused.contains("/proc/none/taken"), "{refused}");
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(free_range(&link, &[]).is_err());
    }

    #[test]
    fn kernels_are_told_apart() {
        let new = |release: &str| kernel_is_new_enough(OsStr::new(release));
        assert!(new("5.19.0") && new("6.1.0-18-amd64") && new("10.0-rc1"));
        assert!(!new("5.18.99") && !new("4.19") && !new(""));
    }
}
