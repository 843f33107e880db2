//! A cgroup (version 2) for one command: whatever it becomes, one write kills all of it, fork bombs too.

use nix::unistd::{Pid, getpid};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Begins the name of every cgroup made here; the number of the process that made it follows.
const PREFIX: &str = "task-runtime-";

/// A cgroup of its own, beneath that of this process. Removed when dropped.
pub(super) struct Cgroup {
    path: PathBuf,
    directory: OwnedFd,
}

impl Cgroup {
    /// Makes the cgroup of this process's command.
    pub(super) fn new() -> io::Result<Self> {
        let path = parent()?.join(format!("{PREFIX}{}", getpid()));
        fs::create_dir(&path)?;
        let directory = File::open(&path)
            .inspect_err(|_| drop(fs::remove_dir(&path)))?
            .into();
        let cgroup = Self { path, directory };
        // Kernels before 5.14 have cgroups but not this file, for which they are wanted.
        fs::metadata(cgroup.path.join("cgroup.kill"))?;
        Ok(cgroup)
    }

    /// To start a process in it.
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Kills every process in it at once.
    pub(super) fn kill(&self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }

    /// Whether the kernel has killed a process in it for want of memory. Knowable only with the memory controller.
    pub(super) fn out_of_memory(&self) -> bool {
        let Ok(events) = fs::read_to_string(self.path.join("memory.events")) else {
            return false;
        };
        events
            .lines()
            .filter_map(|line| line.strip_prefix("oom_kill "))
            .any(|count| count != "0")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes the cgroups of supervisors that were killed, with whatever still runs in them.
pub(super) fn sweep() {
    let Ok(entries) = parent().and_then(fs::read_dir) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        if owner.is_some_and(|owner| !alive(Pid::from_raw(owner))) {
            let _ = fs::write(entry.path().join("cgroup.kill"), "1");
            remove(&entry.path());
        }
    }
}

fn alive(process: Pid) -> bool {
    nix::sys::signal::kill(process, None) != Err(nix::Error::ESRCH)
}

/// Killed processes leave their cgroup a moment after they have been reaped.
fn remove(path: &Path) {
    for _ in 0..100 {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(1));
            }
            _ => return,
        }
    }
}

/// The cgroup in which this process is.
fn parent() -> io::Result<PathBuf> {
    let none = || io::Error::other("no cgroup version 2 is mounted");
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(path)
    });
    Ok(Path::new(mount.ok_or_else(none)?).join(own.ok_or_else(none)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_cgroup_is_gone_when_dropped() {
        let cgroup = match Cgroup::new() {
            Ok(cgroup) => cgroup,
            Err(error) => return eprintln!("skipped: no cgroup can be made here: {error}"),
        };
        let path = cgroup.path.clone();
        assert!(path.is_dir());
        drop(cgroup);
        assert!(!path.exists());
    }
}
