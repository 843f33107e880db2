//! Where cgroups of this process can be made, and how their limits are written.

use super::Limits;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A part of the kernel that limits one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Processes,
    Processors,
}

/// The period over which processor time is counted, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;

/// The controllers that limits need, with the limits.
pub(super) fn wanted(limits: &Limits) -> impl Iterator<Item = (Controller, u64)> {
    [
        (Controller::Memory, limits.memory),
        (Controller::Processes, limits.processes),
        (Controller::Processors, limits.processors),
    ]
    .into_iter()
    .filter_map(|(controller, limit)| Some((controller, limit?)))
}

impl Controller {
    /// Its name in the kernel.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
            Self::Processors => "cpu",
        }
    }

    /// Limits a cgroup of version 2, for which its parent may have to hand down the controller first.
    pub(super) fn set_unified(self, cgroup: &Path, limit: u64) -> io::Result<()> {
        let set = || match self {
            Self::Memory => {
                write(cgroup, "memory.max", limit)?;
                // The limit is for both: without swap, or without accounting of it, there is nothing to write.
                let _ = write(cgroup, "memory.swap.max", 0);
                Ok(())
            }
            Self::Processes => write(cgroup, "pids.max", limit),
            Self::Processors => {
                let quota = limit * PERIOD / 1000;
                fs::write(cgroup.join("cpu.max"), format!("{quota} {PERIOD}"))
            }
        };
        if set().is_ok() {
            return Ok(());
        }
        let parent = cgroup.parent().unwrap_or(cgroup);
        let hand_down = format!("+{}", self.name());
        fs::write(parent.join("cgroup.subtree_control"), hand_down)?;
        set()
    }

    /// Limits a cgroup of version 1.
    pub(super) fn set_legacy(self, cgroup: &Path, limit: u64) -> io::Result<()> {
        match self {
            Self::Memory => {
                write(cgroup, "memory.limit_in_bytes", limit)?;
                let _ = write(cgroup, "memory.memsw.limit_in_bytes", limit);
                Ok(())
            }
            Self::Processes => write(cgroup, "pids.max", limit),
            Self::Processors => {
                write(cgroup, "cpu.cfs_period_us", PERIOD)?;
                write(cgroup, "cpu.cfs_quota_us", limit * PERIOD / 1000)
            }
        }
    }
}

/// Writes to a file of a cgroup that has to be there.
fn write(cgroup: &Path, file: &str, value: u64) -> io::Result<()> {
    use std::io::Write;
    let mut file = fs::File::options().write(true).open(cgroup.join(file))?;
    file.write_all(value.to_string().as_bytes())
}

/// The cgroups in which this process is: beneath them it may make others.
pub(super) struct Place;

impl Place {
    /// Version 2. A process that has been put into a leaf of what was delegated to it makes its cgroups beside that leaf: only from there are
    /// controllers handed down.
    pub(super) fn unified() -> io::Result<PathBuf> {
        let own = own(|line| line.strip_prefix("0::/"))?;
        let mount = mounted(|kind, _| kind == "cgroup2")?;
        let place = mount.join(&own);
        let parent = place.parent().filter(|_| own.as_os_str() != "");
        let hands_down = |place: &Path| {
            let text = fs::read_to_string(place.join("cgroup.subtree_control"));
            text.is_ok_and(|text| text.split_whitespace().any(|name| name == "memory"))
        };
        Ok(match parent {
            Some(parent) if hands_down(parent) && !hands_down(&place) && writable(parent) => {
                parent.to_owned()
            }
            _ => place,
        })
    }

    /// Version 1, for one controller.
    pub(super) fn legacy(controller: Controller) -> io::Result<PathBuf> {
        let name = controller.name();
        let own = own(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let ours = controllers.split(',').any(|one| one == name);
            ours.then(|| path.trim_start_matches('/'))
        })?;
        let mount =
            mounted(|kind, options| kind == "cgroup" && options.split(',').any(|one| one == name))?;
        Ok(mount.join(own))
    }

    /// All of them that are there.
    pub(super) fn all() -> Vec<PathBuf> {
        let legacy = [
            Controller::Memory,
            Controller::Processes,
            Controller::Processors,
        ];
        let legacy = legacy.into_iter().filter_map(|it| Self::legacy(it).ok());
        Self::unified().into_iter().chain(legacy).collect()
    }
}

fn writable(directory: &Path) -> bool {
    nix::unistd::access(directory, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// The cgroup of this process whose line this is, as a relative path.
fn own(find: impl Fn(&str) -> Option<&str>) -> io::Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup")?;
    let path = text.lines().find_map(find);
    path.map(PathBuf::from)
        .ok_or_else(|| io::Error::other("this process is in no cgroup of the kind"))
}

/// Where the cgroups of some kind are mounted.
fn mounted(wanted: impl Fn(&str, &str) -> bool) -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        wanted(kind, options).then(|| PathBuf::from(path))
    });
    mount.ok_or_else(|| io::Error::other("no cgroup of the kind is mounted"))
}
