//! What the author of a task imports: task traits, data models, Debian file formats, a test kit.
//!
//! A task is a struct that implements [`Task`](prelude::Task) and [`ExternalTask`](prelude::ExternalTask), and one line, [`register_task!`]. On
//! `wasm32-unknown-unknown` that makes a component; natively it is a plain Rust library whose logic `cargo test` runs against
//! the scripted world of [`testing`].

pub mod artifacts;
#[doc(hidden)]
pub mod bindings;
pub mod bootstrap;
pub mod code_signing;
mod command;
#[cfg(target_arch = "wasm32")]
mod component;
mod core;
mod database;
pub mod debian;
mod exchange;
mod executor;
mod external_task;
mod failure;
mod files;
#[cfg(target_arch = "wasm32")]
mod heap;
mod host;
#[cfg(any(target_arch = "wasm32", test))]
mod listed_metadata;
pub mod lookups;
pub mod model;
mod needs;
pub mod paths;
pub mod prelude;
mod register;
pub mod repositories;
mod run_command_task;
pub mod shell;
mod task;
pub mod task_data;
mod task_with_executor;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod worker_metadata;
#[cfg(any(target_arch = "wasm32", test))]
mod workers;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use component::Component;

/// What the macros write; nobody else's.
#[doc(hidden)]
pub mod __private {
    pub use crate::external_task::Running;
    pub use crate::needs::{manifest, manifest_length};
}
