//! task-runtime: runs Debian build and QA tasks that are packaged as WebAssembly components.
//!
//! Rooms, from the door inwards: `cli` → `scheduler` → `lifecycle` → `host` → `executor`, `artifacts`; `component` knows none of them.

pub mod artifacts;
pub mod component;
pub mod executor;
pub mod host;
pub mod lifecycle;
