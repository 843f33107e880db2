//! `journal`: what a component says to the operator of the worker.

use super::HostState;
use super::bindings::debusine::task::journal::{Host, Level};
use std::time::{Duration, Instant};

/// Longest message that is kept, in bytes.
const LONGEST: usize = 16 * 1024;

/// How much of a component's messages the journal takes at once.
const AT_ONCE: u32 = 64 * 1024;

/// After so long it takes as much again.
const REFILL: Duration = Duration::from_secs(60);

/// What a message takes besides its bytes: time, level, task.
const LINE: u32 = 64;

/// What the operator hears of one instance: all of it from those who say little, a share from those who do not stop.
pub struct Journal {
    task: String,
    left: u32,
    full_at: Instant,
    unheard: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            task: String::new(),
            left: AT_ONCE,
            full_at: Instant::now(),
            unheard: 0,
        }
    }
}

impl Journal {
    /// Names the task with each message.
    pub fn speaks_for(&mut self, task: &str) {
        task.clone_into(&mut self.task);
    }

    /// Whether there is still room for a message.
    fn has_room(&mut self, message: &str, now: Instant) -> bool {
        if now.duration_since(self.full_at) >= REFILL {
            self.tell_unheard();
            self.left = AT_ONCE;
            self.full_at = now;
        }
        let size = LINE.saturating_add(u32::try_from(message.len()).unwrap_or(u32::MAX));
        let left = self.left.checked_sub(size);
        match left {
            Some(left) => self.left = left,
            None => {
                // Short ones that come later would tell a story with holes in it.
                self.left = 0;
                if self.unheard == 0 {
                    tracing::warn!(
                        "task {}: it says too much; what follows is not heard for up to {REFILL:?}",
                        self.task
                    );
                }
                self.unheard += 1;
            }
        }
        left.is_some()
    }

    fn tell_unheard(&mut self) {
        let unheard = std::mem::take(&mut self.unheard);
        if unheard > 0 {
            tracing::warn!("task {}: {unheard} messages were not heard", self.task);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.tell_unheard();
    }
}

impl Host for HostState {
    async fn say(&mut self, level: Level, mut message: String) -> wasmtime::Result<()> {
        if message.len() > LONGEST {
            message.truncate(message.floor_char_boundary(LONGEST));
        }
        let is_wanted = match level {
            Level::Debug => tracing::enabled!(target: "task", tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(target: "task", tracing::Level::INFO),
            Level::Warning => tracing::enabled!(target: "task", tracing::Level::WARN),
            Level::Error => tracing::enabled!(target: "task", tracing::Level::ERROR),
        };
        // Only what would be written takes room.
        if is_wanted && self.journal.has_room(&message, Instant::now()) {
            let task = self.journal.task.as_str();
            match level {
                Level::Debug => tracing::debug!(target: "task", "{task}: {message}"),
                Level::Info => tracing::info!(target: "task", "{task}: {message}"),
                Level::Warning => tracing::warn!(target: "task", "{task}: {message}"),
                Level::Error => tracing::error!(target: "task", "{task}: {message}"),
            }
        }
        if level == Level::Error {
            // Told with the trap that follows a panic, whether or not it was heard.
            self.last_words = Some(message);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_heard_in_part_and_the_next_minute_again() {
        let mut journal = Journal::default();
        let begun = journal.full_at;
        let message = "x".repeat(1000);
        let heard = (0..100_000)
            .filter(|_| journal.has_room(&message, begun))
            .count();
        assert!((50..70).contains(&heard), "{heard}");
        assert_eq!(journal.unheard, 100_000 - heard as u64);
        assert!(!journal.has_room("short", begun));
        assert!(journal.has_room("short", begun + REFILL));
        assert_eq!(journal.unheard, 0, "told");
    }
}
