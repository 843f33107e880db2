//! How much of the machine a command, or a sandbox with all that runs in it, may use.

use nix::sys::resource::{Resource, setrlimit};
use serde::{Deserialize, Serialize};

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
        self.memory.is_some() || self.processors.is_some()
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
