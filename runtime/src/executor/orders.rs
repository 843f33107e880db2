//! What the runtime and its helper processes say to each other.

use super::ids::IdMap;
use super::{ExecutorError, Limits};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io;

/// What the runtime asks of its helper. The first descriptor that comes with it is the socket for everything further.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Errand {
    /// Start one command on the host and watch over it until it and its descendants are gone.
    Supervise {
        /// The command.
        launch: Launch,
        /// Put it into a cgroup of its own if the machine has them.
        cgroup: bool,
        /// Where it gets a directory for its temporary files, which becomes its `TMPDIR`.
        temporary: Option<OsString>,
        /// The ids of those who may own what is in there besides the caller.
        ids: Option<IdMap>,
    },
    /// Do something with files for which the ids of sandboxes are needed. The answer is [`Report::Done`].
    Work {
        /// In a user namespace with these ids; none: as the caller.
        ids: Option<IdMap>,
        /// What is to be done; its descriptors come along.
        work: Work,
    },
    /// Start a sandbox. Further descriptors: the root directory of its image and, for [`Scratch::Disk`], the directory for what it changes.
    /// The answer is [`Report::Ready`]; orders follow.
    Sandbox { ids: IdMap, plan: SandboxPlan },
}

/// How a sandbox is to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SandboxPlan {
    /// The host's network, else a loop-back of its own.
    pub(super) network: bool,
    /// What goes into `/etc/resolv.conf`; none leaves the image's.
    pub(super) resolv_conf: Option<Vec<u8>>,
    pub(super) scratch: Scratch,
    /// Try an overlay first, else copy the image at once.
    pub(super) overlay: bool,
    /// Try to get a range of ids that no other sandbox has.
    pub(super) own_ids: bool,
    /// What it may use, all of it together.
    pub(super) limits: Limits,
}

/// Where a sandbox keeps what it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Scratch {
    /// In memory, up to so many bytes.
    Memory(u64),
    /// In a directory that belongs to the root of sandboxes.
    Disk,
}

/// Work on files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Work {
    /// Nothing: that the user namespace can be made is all that is asked.
    Nothing,
    /// Unpack an archive (second descriptor) into a new directory of this name beneath a directory (first).
    Unpack {
        name: OsString,
        /// Bytes that the archive may have when it is decompressed.
        size: u64,
    },
    /// Remove everything of this name beneath a directory (descriptor). None there is no error.
    Remove { name: OsString },
    /// Make a directory of this name, owned by the root of sandboxes, beneath a directory (descriptor). One there is no error.
    MakeDirectory { name: OsString },
    /// Decompress a file (first descriptor) and write it to another (second), compressed quickly or not at all.
    Recode {
        compressed: bool,
        /// Bytes that the archive may have when it is decompressed.
        size: u64,
    },
}

/// Why work failed: the error that the runtime will report, in a form that can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Failure {
    Image(String),
    File(String),
    System(String),
    Unsupported(String),
}

impl Failure {
    /// Why there are no new namespaces: this machine makes none, or has no room for them just now.
    pub(super) fn of_namespaces(what: &str, error: &io::Error) -> Self {
        let words = format!("cannot make {what}: {error}");
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => Self::System(words),
            _ => Self::Unsupported(words),
        }
    }
}

impl From<Failure> for ExecutorError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Image(words) => Self::Image(words),
            Failure::File(words) => Self::File(words),
            Failure::System(words) => Self::System(words),
            Failure::Unsupported(words) => Self::Unsupported(words),
        }
    }
}

/// A command as the process that starts it needs to know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Launch {
    /// Program and arguments, not empty.
    pub(super) arguments: Vec<OsString>,
    /// Working directory; none is the starter's own.
    pub(super) directory: Option<OsString>,
    /// The whole environment. Its `PATH` is where the program is looked for.
    pub(super) environment: Vec<(OsString, OsString)>,
    /// As whom to run; none is as the starter.
    pub(super) credentials: Option<Credentials>,
    /// What it may use.
    pub(super) limits: Limits,
    /// Whether the command's standard input comes from a pipe, else it is empty.
    pub(super) stdin: bool,
    /// Whether its standard output goes into a pipe, else nowhere.
    pub(super) stdout: bool,
    /// Where its standard error goes.
    pub(super) stderr: ErrorOutput,
}

/// Where a command's standard error goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ErrorOutput {
    WithStdout,
    Pipe,
    Nowhere,
}

/// User and groups of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Credentials {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
}

/// What the runtime says to the process that watches a command, or to the init of a sandbox.
///
/// Numbers (`id`) tie reports to orders: a report that nobody waits for any more is recognised.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Ask the command's process group to end (SIGTERM) and kill it after the grace period.
    Terminate {
        /// Which command is meant; one that has ended meanwhile is no error.
        id: u64,
        /// Milliseconds between SIGTERM and SIGKILL; 0 kills at once.
        grace: u64,
    },
    /// To an init: start a command and watch over it.
    Run { id: u64, launch: Launch },
    /// To an init: something with files. Answered by [`Report::Done`].
    File { id: u64, operation: FileOperation },
    /// To an init: end, and everything with you.
    Stop,
}

/// What an init does with the files of its sandbox. Paths are absolute, without `..`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FileOperation {
    /// Open a regular file; its descriptor comes with the answer.
    Read { path: OsString },
    /// Make a file, in the place of one that may be there, and open it for writing; its descriptor comes with the answer.
    Create { path: OsString, mode: u32 },
    /// Make a directory and its parents.
    MakeDirectory {
        path: OsString,
        mode: u32,
        owner: (u32, u32),
    },
    /// Unpack the archive that comes through the descriptor into a directory.
    Unpack { into: OsString, owner: (u32, u32) },
}

/// What the process that watches a command says to the runtime.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The command runs. The runtime's ends of its pipes come along: standard input, output, error, as far as they were asked for.
    Started { id: u64 },
    /// The command could not be started.
    Refused { id: u64, refusal: Refusal },
    /// The command and all its descendants are gone.
    Ended { id: u64, end: End },
    /// The work is done, or could not be. An opened file comes along.
    Done {
        id: u64,
        result: Result<(), Failure>,
    },
    /// The sandbox is made.
    Ready {
        /// The image had to be copied, for this reason.
        copied: Option<String>,
        /// Its root can make no devices, for this reason.
        without_devices: Option<String>,
        /// It has the ids that all sandboxes share, for this reason.
        shared_ids: Option<String>,
    },
    /// The sandbox has ended: none of its processes is left. What it left on disk is being removed.
    Emptied,
    /// Nothing of the sandbox is left.
    Gone,
}

/// How a command ended, as its watcher saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) status: Status,
    /// It was told to end before it ended.
    pub(super) terminated: bool,
    /// The kernel killed something in it for its memory limit.
    pub(super) out_of_memory: bool,
    /// Some of its processes could not be killed within the time that a kill may take.
    pub(super) survivors: bool,
}

/// What `wait` said about the command's main process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Status {
    Exited(i32),
    Signalled(i32),
    /// It could not be killed: it hangs inside the kernel.
    Unkillable,
}

/// At which step a start failed, and with which error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) step: Step,
    pub(super) errno: i32,
}

/// The steps of starting a command, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    Temporary,
    Pipes,
    Process,
    Limits,
    Streams,
    Credentials,
    Directory,
    Program,
}
