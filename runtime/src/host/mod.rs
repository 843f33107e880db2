//! What a component can reach: one file per WIT interface, each a thin layer over a trait that tests implement too.
//!
//! Nothing here decides what is granted: a power is there because its handle was constructed or its import linked ([`linker`]).

pub mod bindings;
pub mod capabilities;
pub mod executor;
pub mod files;
pub mod http;
pub mod logs;
pub mod task_database;
pub(crate) mod tool;

mod abort;
mod archive;
mod artifacts;
mod clock;
mod command_log;
mod commands;
mod contract;
mod facts;
mod fault;
mod instance;
mod journal;
mod linker;
mod listing;
mod long_work;
mod sinks;
mod state;
mod wasi;

pub use contract::objections;
pub use executor::{Executors, PreparedImage};
pub use facts::{Facts, Machine};
pub use fault::{Failure, Fault, LookupFault};
pub use http::{Downloads, FetchError, WebDownloads};
pub use instance::{
    CallError, CallErrorReason, Description, DynamicDataError, PathPart, PlannedCommand,
    TaskComponent, TaskConfigError, TaskInstance, Violation, Workspace,
};
pub use linker::{Linkers, Purpose};
pub use logs::TaskLogs;
pub use state::{HostState, Powers, RunRecord};
pub use wasmtime::component::Resource;
