//! Removing a tree, however deep it is: few descriptors and no recursion, no link and no mount on the way is followed.

use rustix::fs::{
    AtFlags, Dir, DirEntry, FileType, Mode, OFlags, ResolveFlags, fchmod, fstat, openat, openat2,
    unlinkat,
};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

/// Directories that are open at once, at most; of those above them nothing but the name is kept.
const OPEN: usize = 32;

/// How often a directory is read anew if something turns up in it after it has been emptied.
const READ_ANEW: u8 = 3;

/// Names of a path that a message shows.
const SHOWN: usize = 6;

/// What could not be removed, and why. Everything else is gone.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub(crate) struct Unremovable {
    path: String,
    #[source]
    error: io::Error,
}

/// Removes everything of this name in a directory; none there is no error. What stands in the way of the owner only, the permissions of a
/// directory, is changed.
pub(crate) fn remove_all(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Unremovable> {
    let name = CString::new(name.as_bytes()).map_err(|error| Unremovable {
        path: name.display().to_string(),
        error: error.into(),
    })?;
    let mut removal = Removal {
        parent,
        levels: Vec::new(),
        first: None,
    };
    removal.entry(name, FileType::Unknown);
    while !removal.levels.is_empty() {
        removal.step()?;
    }
    removal.first.map_or(Ok(()), Err)
}

/// Removes everything in a directory.
pub(super) fn empty(directory: BorrowedFd<'_>) -> Result<(), Unremovable> {
    let failed = |error: Errno| Unremovable {
        path: ".".into(),
        error: error.into(),
    };
    let entries = Dir::read_from(directory).map_err(failed)?;
    let names: Result<Vec<CString>, Errno> = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_owned()))
        .collect();
    let names = names.map_err(failed)?;
    names
        .iter()
        .filter(|name| !is_dots(name))
        .map(|name| remove_all(directory, OsStr::from_bytes(name.to_bytes())))
        .fold(Ok(()), Result::and)
}

/// A directory on the way to where the removal is.
struct Level {
    /// In the directory above.
    name: CString,
    /// Device and inode: it is the same one when it is come back to.
    identity: (u64, u64),
    /// The rest of its entries; none if it had to be closed.
    entries: Option<Dir>,
    read_anew: u8,
}

struct Removal<'a> {
    parent: BorrowedFd<'a>,
    /// From the topmost directory down.
    levels: Vec<Level>,
    /// What could not be removed first.
    first: Option<Unremovable>,
}

impl Removal<'_> {
    /// Removes the next entry of the lowest directory or, when it has none, the directory.
    fn step(&mut self) -> Result<(), Unremovable> {
        let entries = self.levels.last_mut().and_then(|it| it.entries.as_mut());
        match entries.and_then(Dir::read) {
            Some(Ok(entry)) => self.entry_of(&entry),
            Some(Err(error)) => {
                self.note(None, error);
                return self.ascend();
            }
            None => return self.ascend(),
        }
        Ok(())
    }

    fn entry_of(&mut self, entry: &DirEntry) {
        if !is_dots(entry.file_name()) {
            self.entry(entry.file_name().to_owned(), entry.file_type());
        }
    }

    /// Removes an entry of the lowest directory, or goes down into it.
    fn entry(&mut self, name: CString, kind: FileType) {
        if kind != FileType::Directory {
            match self.unlink(&name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return,
                Err(Errno::ISDIR) => {}
                Err(error) => return self.note(Some(&name), error),
            }
        }
        match self.descend(name.clone(), 0) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => self.note(Some(&name), error),
        }
    }

    /// The lowest directory, which is open.
    fn lowest(&self) -> Result<BorrowedFd<'_>, Errno> {
        match self.levels.last() {
            None => Ok(self.parent),
            Some(level) => level.entries.as_ref().ok_or(Errno::BADF)?.fd(),
        }
    }

    fn unlink(&self, name: &CStr, flags: AtFlags) -> Result<(), Errno> {
        let directory = self.lowest()?;
        match unlinkat(directory, name, flags) {
            // Its owner may take himself the permission. The parent's are somebody else's.
            Err(Errno::ACCESS) if !self.levels.is_empty() => {
                fchmod(directory, Mode::RWXU)?;
                unlinkat(directory, name, flags)
            }
            result => result,
        }
    }

    fn descend(&mut self, name: CString, read_anew: u8) -> Result<(), Errno> {
        let directory = self.lowest()?;
        let opened = match open(directory, &name, OFlags::RDONLY) {
            Err(Errno::ACCESS) => {
                let closed = open(directory, &name, OFlags::PATH)?;
                let path = format!("/proc/self/fd/{}", closed.as_raw_fd());
                fs::set_permissions(path, Permissions::from_mode(0o700))
                    .map_err(|_| Errno::ACCESS)?;
                open(directory, &name, OFlags::RDONLY)?
            }
            opened => opened?,
        };
        let identity = identity(opened.as_fd())?;
        self.levels.push(Level {
            name,
            identity,
            entries: Some(Dir::new(opened)?),
            read_anew,
        });
        if let Some(above) = self.levels.len().checked_sub(OPEN + 1) {
            self.levels[above].entries = None;
        }
        Ok(())
    }

    /// Leaves the lowest directory, which is empty, and removes it.
    fn ascend(&mut self) -> Result<(), Unremovable> {
        let Some(level) = self.levels.pop() else {
            return Ok(());
        };
        if let Some(above) = self.levels.last()
            && above.entries.is_none()
        {
            let below = level.entries.as_ref().ok_or(Errno::BADF);
            let opened = below.and_then(|below| reopen(below, above.identity));
            let opened = opened.map_err(|error| self.given_up(error))?;
            if let Some(above) = self.levels.last_mut() {
                above.entries = Some(opened);
            }
        }
        let Level {
            name, read_anew, ..
        } = level;
        match self.unlink(&name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            // Already told.
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.first.is_some() => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) if read_anew < READ_ANEW => {
                if let Err(error) = self.descend(name.clone(), read_anew + 1) {
                    self.note(Some(&name), error);
                }
            }
            Err(error) => self.note(Some(&name), error),
        }
        Ok(())
    }

    fn note(&mut self, name: Option<&CStr>, error: Errno) {
        if self.first.is_none() {
            self.first = Some(self.unremovable(name, error));
        }
    }

    /// Nothing further can be done; what was wrong first is what matters.
    fn given_up(&mut self, error: Errno) -> Unremovable {
        let first = self.first.take();
        first.unwrap_or_else(|| self.unremovable(None, error))
    }

    /// Something in the lowest directory, or that itself. Of a long path, its beginning and its end are named.
    fn unremovable(&self, name: Option<&CStr>, error: Errno) -> Unremovable {
        let levels = self.levels.iter().map(|level| &*level.name).chain(name);
        let mut names: Vec<_> = levels.map(CStr::to_string_lossy).collect();
        if names.len() > 2 * SHOWN {
            let left_out = format!("… {} more …", names.len() - 2 * SHOWN);
            names.splice(SHOWN..names.len() - SHOWN, [left_out.into()]);
        }
        let error = match error {
            Errno::XDEV => io::Error::other("something is mounted there"),
            error => error.into(),
        };
        Unremovable {
            path: names.join("/"),
            error,
        }
    }
}

/// Opens a directory in another one, not one to which a link leads, nor one on which something is mounted.
fn open(directory: BorrowedFd<'_>, name: &CStr, how: OFlags) -> Result<OwnedFd, Errno> {
    let flags = how | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match openat2(directory, name, flags, Mode::empty(), resolve) {
        // Filters of containers that are older than this call. A name alone leads through no link, and a mount is told by its device.
        Err(Errno::NOSYS | Errno::PERM) => {
            let opened = openat(directory, name, flags, Mode::empty())?;
            let is_same = identity(opened.as_fd())?.0 == identity(directory)?.0;
            is_same.then_some(opened).ok_or(Errno::XDEV)
        }
        result => result,
    }
}

/// The directory above, which has to be the one that it was.
fn reopen(below: &Dir, identity_before: (u64, u64)) -> Result<Dir, Errno> {
    let opened = open(below.fd()?, c"..", OFlags::RDONLY)?;
    if identity(opened.as_fd())? != identity_before {
        // Somebody moves directories about while they are removed.
        return Err(Errno::STALE);
    }
    Dir::new(opened)
}

fn identity(directory: BorrowedFd<'_>) -> Result<(u64, u64), Errno> {
    let found = fstat(directory)?;
    Ok((found.st_dev, found.st_ino))
}

fn is_dots(name: &CStr) -> bool {
    name == c"." || name == c".."
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rustix::fs::mkdirat;
    use std::fs::File;
    use std::path::Path;

    /// Directories beneath each other, each named `name`, with a file and a link in the lowest.
    pub(crate) fn make_deep(parent: &Path, name: &str, depth: usize) {
        let mut directory = OwnedFd::from(File::open(parent).unwrap());
        for _ in 0..depth {
            mkdirat(&directory, name, Mode::RWXU).unwrap();
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            directory = openat(&directory, name, flags, Mode::empty()).unwrap();
        }
        let flags = OFlags::CREATE | OFlags::WRONLY;
        drop(openat(&directory, "file", flags, Mode::RUSR).unwrap());
        rustix::fs::symlinkat("/etc", &directory, "link").unwrap();
    }

    fn remove(directory: &Path, name: &str) -> Result<(), Unremovable> {
        remove_all(File::open(directory).unwrap().as_fd(), OsStr::new(name))
    }

    #[test]
    fn a_tree_deeper_than_the_limit_of_open_files_and_of_paths_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        make_deep(directory.path(), "down-and-down", 3000);
        remove(directory.path(), "down-and-down").unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_wide_tree_is_removed_and_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, tree) = (directory.path().join("kept"), directory.path().join("tree"));
        fs::create_dir_all(kept.join("content")).unwrap();
        for number in 0..300 {
            let place = tree.join(format!("{}/{number}", number % 7));
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("file"), "x").unwrap();
            std::os::unix::fs::symlink(&kept, place.join("link")).unwrap();
        }
        remove(directory.path(), "tree").unwrap();
        assert!(!tree.exists());
        assert!(kept.join("content").exists());
        std::os::unix::fs::symlink(&kept, &tree).unwrap();
        remove(directory.path(), "tree").unwrap();
        assert!(tree.symlink_metadata().is_err());
        assert!(kept.join("content").exists());
        remove(directory.path(), "tree").unwrap();
    }

    #[test]
    fn closed_directories_are_opened_by_their_owner() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0, 0o500, 0o300, 0o600] {
            let closed = directory.path().join("tree/closed");
            fs::create_dir_all(closed.join("below")).unwrap();
            fs::write(closed.join("file"), "x").unwrap();
            fs::set_permissions(&closed, Permissions::from_mode(mode)).unwrap();
            remove(directory.path(), "tree").unwrap();
            assert!(!directory.path().join("tree").exists(), "{mode:o}");
        }
    }

    #[test]
    fn what_cannot_be_removed_is_named_and_the_rest_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("1/2/3/4/5/6/7/8/9/10/11/12/13/14");
        fs::create_dir_all(&deep).unwrap();
        fs::write(directory.path().join("1/2/file"), "x").unwrap();
        let flags = nix::mount::MsFlags::MS_BIND;
        let nothing = None::<&str>;
        if let Err(error) = nix::mount::mount(Some("/etc"), &deep, nothing, flags, nothing) {
            return eprintln!("skipped: only root can mount: {error}");
        }
        let refused = remove(directory.path(), "1").unwrap_err().to_string();
        nix::mount::umount2(&deep, nix::mount::MntFlags::MNT_DETACH).unwrap();
        assert_eq!(
            refused,
            "1/2/3/4/5/6/… 2 more …/9/10/11/12/13/14: something is mounted there"
        );
        assert!(!directory.path().join("1/2/file").exists());
        remove(directory.path(), "1").unwrap();
        assert!(Path::new("/etc/passwd").exists());
    }
}
