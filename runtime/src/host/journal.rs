//! `journal`: what a component says to the operator of the worker.

use super::HostState;
use super::bindings::debusine::task::journal::{Host, Level};

/// Longest message that is kept, in bytes.
const LONGEST: usize = 16 * 1024;

impl Host for HostState {
    async fn say(&mut self, level: Level, mut message: String) -> wasmtime::Result<()> {
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
        }
        match level {
            Level::Debug => tracing::debug!(target: "task", "{message}"),
            Level::Info => tracing::info!(target: "task", "{message}"),
            Level::Warning => tracing::warn!(target: "task", "{message}"),
            Level::Error => {
                tracing::debug!(target: "task", "{message}");
                // Told with the trap that follows a panic.
                self.last_words = Some(message);
            }
        }
        Ok(())
    }
}
