//! Task data of noop.

use task_sdk::prelude::*;

model! {
    /// A task that does nothing.
    pub struct NoopData {
        pub task: ..TaskFields,
        /// Whether it succeeds.
        pub result: bool = true,
    }
}

/// What the scheduler finds out: nothing of its own.
pub type NoopDynamicData = DynamicFields;
