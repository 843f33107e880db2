//! The directory for temporary files that a command on the host has for itself. It goes with the command, whoever owns what is in it.

use super::ids::{self, IdMap, Known};
use super::remove::empty;
use super::system::{self, Fork};
use super::{owner, work};
use nix::unistd::geteuid;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Begins the names of these directories; the name of the owner follows, and something that nobody can guess.
const PREFIX: &str = "task-runtime-";

/// The variable that names a directory for temporary files.
pub(super) const TMPDIR: &str = "TMPDIR";

/// A directory of its own. It has to be removed with [`remove`](Self::remove).
pub(super) struct Temporary {
    path: PathBuf,
    ids: Option<IdMap>,
}

impl Temporary {
    /// Makes one. `ids` are those that programs like mmdebstrap use, who own what they leave.
    pub(super) fn new(parent: &Path, ids: Option<IdMap>) -> io::Result<Self> {
        let owner = owner::name_of_this_process();
        let random: u32 = rand::random();
        let path = parent.join(format!("{PREFIX}{owner}-{random:08x}"));
        // Users of sub-ids have to pass through.
        DirBuilder::new().mode(0o711).create(&path)?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        Ok(Self { path, ids })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with everything in it. Single-threaded callers only.
    pub(super) fn remove(&self) -> io::Result<()> {
        let directory = File::open(&self.path)?;
        let emptied = empty(directory.as_fd());
        if let Some(ids) = self.ids.filter(|_| emptied.is_err()) {
            match ids::enter(&ids, Known::InsideAndCaller, 0, None, None)?.0 {
                Fork::Parent(child) => drop(system::wait_for(child)?),
                Fork::Child => {
                    let emptied = ids::become_root().is_ok() && empty(directory.as_fd()).is_ok();
                    system::exit(i32::from(!emptied));
                }
            }
        }
        fs::remove_dir(&self.path)
    }
}

/// Removes the directories whose owners were killed together with those who would have cleared up; how many there were.
pub(super) async fn sweep(parent: &Path) -> usize {
    let me = geteuid().as_raw();
    let is_ours = |entry: &fs::DirEntry| {
        let found = entry.metadata();
        found.is_ok_and(|found| found.is_dir() && found.uid() == me)
    };
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let abandoned: Vec<OsString> = entries
        .filter(|entry| {
            let name = entry.file_name();
            owner_in(&name).is_some_and(owner::is_abandoned) && is_ours(entry)
        })
        .map(|entry| entry.file_name())
        .collect();
    let mut removed = 0;
    for name in abandoned {
        match work::remove_directory(&parent.join(&name)).await {
            Ok(()) => removed += 1,
            Err(error) => tracing::warn!("{error}"),
        }
    }
    removed
}

/// The owner's name in that of a directory.
fn owner_in(name: &OsString) -> Option<&str> {
    let (owner, random) = name.to_str()?.strip_prefix(PREFIX)?.split_once('-')?;
    (random.len() == 8).then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_owners_are_taken_for_such() {
        let name = |text: &str| owner_in(&text.into()).map(str::to_owned);
        assert_eq!(name("task-runtime-12.34-0123abcd"), Some("12.34".into()));
        assert_eq!(name("task-runtime-bench-x"), None);
        assert_eq!(name("tmp-12.34-0123abcd"), None);
    }
}
