//! task-runtime: runs Debian build and QA tasks that are packaged as WebAssembly components.
//!
//! Rooms, from the door inwards: `worker`, `scheduler` → `lifecycle` → `host` → `executor`, `artifacts`; `component` knows none of them. The
//! command line stands before them all, in the binary.

pub mod artifacts;
pub mod component;
pub mod executor;
pub mod host;
pub mod lifecycle;
pub mod scheduler;
#[cfg(test)]
mod testing;
pub mod worker;
