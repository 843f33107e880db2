//! Running commands: on the host in a process group of their own, or in a sandbox made from an image.
//!
//! Linux only; knows nothing of WebAssembly or Debusine. The traits here are what the rest of the runtime sees; tests implement them too.
//! A program that uses [`HostCommands`] or sandboxes calls [`supervisor_main_if_called`] first thing in its `main`.

mod ask;
mod availability;
mod cgroup;
mod command;
mod descendants;
mod error;
mod follow;
mod helper;
mod host;
mod ids;
mod images;
mod incus;
mod instance;
mod launch;
mod limits;
mod message;
mod orders;
pub(crate) mod owner;
mod probe;
mod program;
mod ranges;
pub(crate) mod remove;
mod sandbox;
mod supervise;
mod system;
mod temporary;
#[cfg(test)]
mod tests;
mod transfer;
mod unpack;
mod user;
mod work;

pub use availability::{IncusInfoError, availability};
pub use command::{Abort, Command, Commands, Exit, Sink, Stderr};
pub use error::ExecutorError;
pub use helper::supervisor_main_if_called;
pub use host::{DEFAULT_GRACE, HostCommands};
pub use images::{
    CachedImage, DEFAULT_KEPT, DEFAULT_UNPACKED_SIZE, Image, ImageCache, ImageDigest, ImageFile,
    Recoding,
};
pub use incus::{INCUS_PROFILE, Incus, IncusImage, IncusImageKind, IncusInstance, IncusKind};
pub use instance::Instance;
pub use limits::{Allowance, Limits};
pub use probe::{Capabilities, Guarantee, Tool, probe, unenforced};
pub use sandbox::{DEFAULT_PROCESSES, Sandbox, SandboxOptions, SandboxScratch, sweep};
pub use work::{NamespaceFor, remove_directory, try_user_namespace};
