//! How much of the machine a command, or a sandbox with all that runs in it, may use.

use super::host::DEFAULT_GRACE;
use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an operator allows everything that tasks run: each command on the host, and each instance with all that runs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// What each may use.
    pub limits: Limits,
    /// Keep what a sandbox changes in memory, up to so many bytes, instead of on disk.
    pub scratch_memory: Option<u64>,
}

impl Default for Allowance {
    /// [`DEFAULT_GRACE`], no limits, on disk.
    fn default() -> Self {
        Self {
            grace: DEFAULT_GRACE,
            limits: Limits::default(),
            scratch_memory: None,
        }
    }
}

/// Limits; none is no limit of this kind.
///
/// Memory, processes and processors are limited by a cgroup where one with the controller can be made: [`probe`](super::probe) tells. Without
/// one, memory is limited for each process by itself, processes in sandboxes only, processors not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory, swap included, for everything together.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Processors, in thousandths: 1500 is one and a half.
    pub processors: Option<u64>,
    /// Descriptors that a process may have open.
    pub open_files: Option<u64>,
    /// Bytes of the largest file that a process may write; one that writes more is ended by SIGXFSZ.
    pub file_size: Option<u64>,
}

impl Limits {
    /// Whether a cgroup is wanted for them.
    pub(super) fn want_cgroup(&self) -> bool {
        self.memory.is_some() || self.processors.is_some() || self.processes.is_some()
    }

    /// Limits this process and those that it will start, as far as the kernel can without a cgroup. Nothing dumps its core, which would end
    /// up on the host's disk.
    pub(super) fn apply(&self, memory_is_limited: bool) -> nix::Result<()> {
        let set = |resource, limit: Option<u64>| match limit {
            Some(limit) => setrlimit(resource, limit, limit),
            None => Ok(()),
        };
        set(Resource::RLIMIT_CORE, Some(0))?;
        set(Resource::RLIMIT_NOFILE, self.open_files)?;
        set(Resource::RLIMIT_FSIZE, self.file_size)?;
        let memory = self.memory.filter(|_| !memory_is_limited);
        set(Resource::RLIMIT_DATA, memory)
    }
}
