//! A cgroup for one command or one sandbox: whatever it becomes, it can be killed as one and stays within its limits.
//!
//! Version 2 where it can kill and has the controllers, version 1 for what is missing there. Processes are born into version 2; into version 1
//! they move themselves, which takes some milliseconds, and therefore happens for limits only.

mod place;

use super::Limits;
use nix::unistd::{Pid, getpid};
use place::{Controller, Place};
use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Begins the name of every cgroup made here; the number of the process that made it follows.
const PREFIX: &str = "task-runtime-";

/// More processes than there can be.
const UNLIMITED: u64 = 1 << 22;

/// A cgroup of its own, beneath that of this process. Removed when dropped.
pub(super) struct Cgroup {
    unified: Option<Unified>,
    legacy: Vec<Legacy>,
    /// The file that keeps processes from multiplying, where nothing kills them as one.
    fertility: Option<PathBuf>,
    oom_kills: Option<OomKills>,
}

struct Unified {
    path: PathBuf,
    directory: OwnedFd,
    /// Writing to it moves a process here.
    processes: File,
}

struct Legacy {
    path: PathBuf,
    /// Writing to it moves a process here.
    processes: File,
}

impl Cgroup {
    /// Makes the cgroup of what this process is about to start. Limits for which there is no controller are left to others.
    pub(super) fn new(limits: &Limits) -> io::Result<Self> {
        let name = format!("{PREFIX}{}", getpid());
        let unified = Unified::new(&name);
        let none = unified.as_ref().err().map(ToString::to_string);
        let mut cgroup = Self {
            unified: unified.ok(),
            legacy: Vec::new(),
            fertility: None,
            oom_kills: None,
        };
        let mut limits = *limits;
        if cgroup.unified.is_none() {
            limits.processes.get_or_insert(UNLIMITED);
        }
        for (controller, limit) in place::wanted(&limits) {
            // Where there is no controller, the rest is still worth having.
            let _ = cgroup.limit(&name, controller, limit);
        }
        match none {
            Some(why) if cgroup.legacy.is_empty() => Err(io::Error::other(why)),
            _ => Ok(cgroup),
        }
    }

    fn limit(&mut self, name: &str, controller: Controller, limit: u64) -> io::Result<()> {
        if let Some(unified) = &self.unified
            && controller.set_unified(&unified.path, limit).is_ok()
        {
            self.count_oom_kills(controller, &unified.path.join("memory.events"));
            return Ok(());
        }
        let path = Place::legacy(controller)?.join(name);
        fs::create_dir(&path)?;
        let made = (|| {
            controller.set_legacy(&path, limit)?;
            File::options().write(true).open(path.join("cgroup.procs"))
        })();
        let processes = made.inspect_err(|_| drop(fs::remove_dir(&path)))?;
        self.count_oom_kills(controller, &path.join("memory.oom_control"));
        if controller == Controller::Processes {
            self.fertility = Some(path.join("pids.max"));
        }
        self.legacy.push(Legacy { path, processes });
        Ok(())
    }

    fn count_oom_kills(&mut self, controller: Controller, file: &Path) {
        if controller == Controller::Memory {
            self.oom_kills = OomKills::in_file(file).ok();
        }
    }

    /// To start a process in it; what is started must also [`join`](Self::join).
    pub(super) fn directory(&self) -> Option<BorrowedFd<'_>> {
        Some(self.unified.as_ref()?.directory.as_fd())
    }

    /// Moves this process into those parts of the cgroup that nobody can be born into, or into which it was not born. False if the kernel refuses the
    /// latter: their limits do not hold then, and processes are killed one by one.
    pub(super) fn join(&self, birth: Birth) -> io::Result<bool> {
        for legacy in &self.legacy {
            legacy.processes.write_all_at(b"0", 0)?;
        }
        Ok(match &self.unified {
            Some(unified) if birth == Birth::Outside => {
                unified.processes.write_all_at(b"0", 0).is_ok()
            }
            _ => true,
        })
    }

    /// Kills every process in it at once or, where that cannot be done, keeps them from multiplying while they are killed one by one.
    pub(super) fn kill(&self) {
        let _ = match (&self.unified, &self.fertility) {
            (Some(unified), _) => fs::write(unified.path.join("cgroup.kill"), "1"),
            (None, Some(fertility)) => fs::write(fertility, "0"),
            (None, None) => Ok(()),
        };
    }

    /// Whether it limits memory.
    pub(super) fn limits_memory(&self) -> bool {
        self.oom_kills.is_some()
    }

    /// Hands over the count of processes killed for want of memory.
    pub(super) fn oom_kills(&self) -> Option<&OomKills> {
        self.oom_kills.as_ref()
    }
}

/// Where a process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Birth {
    /// In the cgroup, as far as that can be.
    Inside,
    /// In that of its parent, since there is no other or the kernel refused.
    Outside,
}

/// How many processes the kernel has killed for want of memory.
pub(super) struct OomKills {
    file: File,
    seen: Cell<u64>,
}

impl OomKills {
    fn in_file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self {
            file,
            seen: Cell::new(0),
        })
    }

    /// Whether there were any since the last time this was asked.
    pub(super) fn any_new(&self) -> bool {
        let mut text = [0; 512];
        let length = self.file.read_at(&mut text, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..length]);
        let count = text
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            .unwrap_or(0);
        self.seen.replace(count) < count
    }
}

impl Unified {
    fn new(name: &str) -> io::Result<Self> {
        let path = Place::unified()?.join(name);
        fs::create_dir(&path)?;
        // Kernels before 5.14 have cgroups but not this file, for which they are wanted.
        let open = || -> io::Result<(File, File)> {
            fs::metadata(path.join("cgroup.kill"))?;
            let processes = File::options()
                .write(true)
                .open(path.join("cgroup.procs"))?;
            Ok((File::open(&path)?, processes))
        };
        let (directory, processes) = open().inspect_err(|_| drop(fs::remove_dir(&path)))?;
        Ok(Self {
            path,
            directory: directory.into(),
            processes,
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let legacy = self.legacy.iter().map(|legacy| &legacy.path);
        let unified = self.unified.iter().map(|unified| &unified.path);
        unified.chain(legacy).for_each(|path| remove(path));
    }
}

/// Removes the cgroups of those that were killed, with whatever still runs in them.
pub(super) fn sweep() {
    for place in Place::all() {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        for entry in entries {
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

/// The names of the controllers that limits need.
pub(super) fn wanted(limits: &Limits) -> impl Iterator<Item = &'static str> {
    place::wanted(limits).map(|(controller, _)| controller.name())
}

/// What a cgroup of this process can limit: the names of the controllers. An error says why there is no cgroup at all.
pub(super) fn controllers() -> io::Result<Vec<&'static str>> {
    let all = Limits {
        memory: Some(1 << 40),
        processes: Some(1 << 20),
        processors: Some(1_000_000),
        ..Limits::default()
    };
    let mut cgroup = Cgroup::new(&Limits::default());
    let name = format!("{PREFIX}{}", getpid());
    let mut found = Vec::new();
    let mut probe = Cgroup {
        unified: None,
        legacy: Vec::new(),
        fertility: None,
        oom_kills: None,
    };
    let tried = cgroup.as_mut().unwrap_or(&mut probe);
    for (controller, limit) in place::wanted(&all) {
        if tried.limit(&name, controller, limit).is_ok() {
            found.push(controller.name());
        }
    }
    match cgroup {
        Err(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_cgroup_is_gone_when_dropped() {
        let cgroup = match Cgroup::new(&Limits::default()) {
            Ok(cgroup) => cgroup,
            Err(error) => return eprintln!("skipped: no cgroup can be made here: {error}"),
        };
        let Some(path) = cgroup.unified.as_ref().map(|it| it.path.clone()) else {
            return eprintln!("skipped: no cgroup version 2 can be made here");
        };
        assert!(path.is_dir());
        drop(cgroup);
        assert!(!path.exists());
    }

    #[test]
    fn who_cannot_be_born_into_a_cgroup_is_born_outside() {
        use crate::executor::orders::Status;
        use crate::executor::system::{self, Fork};
        let cgroup = Cgroup::new(&Limits::default()).ok();
        let unified = cgroup.as_ref().and_then(|cgroup| cgroup.unified.as_ref());
        let Some(removed) = unified.map(|it| File::open(&it.path).unwrap()) else {
            return eprintln!("skipped: no cgroup version 2 can be made here");
        };
        drop(cgroup);
        let refused = system::fork_into(0, Some(removed.as_fd()));
        let error = refused.map(drop).unwrap_err();
        assert!(system::refuses_cgroup(error), "{error}");
        match system::fork_into_if_can_be(0, Some(removed.as_fd())).unwrap() {
            (Fork::Child, _) => system::exit(7),
            (Fork::Parent(child), birth) => {
                assert_eq!(birth, Birth::Outside);
                assert_eq!(system::wait_for(child), Ok(Status::Exited(7)));
            }
        }
    }

    #[test]
    fn what_was_tried_out_is_gone_too() {
        let _ = controllers();
        let own = format!("{PREFIX}{}", getpid());
        assert!(Place::all().iter().all(|place| !place.join(&own).exists()));
    }
}
