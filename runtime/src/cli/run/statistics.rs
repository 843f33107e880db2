//! What a run has cost, as the reference reports it: `runtime_statistics` in the output data of a work request.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How the kernel counts time in `/proc/stat`: parts of a second.
const TICKS: u64 = 100;

/// Measures from the moment when it is made.
pub struct Statistics {
    begun: Instant,
    cpu_time: Option<u64>,
}

impl Statistics {
    /// Begins to measure.
    pub fn begin() -> Self {
        Self {
            begun: Instant::now(),
            cpu_time: cpu_time(),
        }
    }

    /// Since the beginning.
    pub fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whole seconds on the clock, and of all processors of the machine: other load counts, as it does in the reference.
    pub fn document(&self) -> Value {
        let mut statistics = json!({"duration": self.took().as_secs()});
        if let (Some(before), Some(now)) = (self.cpu_time, cpu_time()) {
            statistics["cpu_time"] = (now.saturating_sub(before) / TICKS).into();
        }
        statistics
    }
}

/// User and system time of all processors, in ticks.
fn cpu_time() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The first line: `cpu  USER NICE SYSTEM IDLE …`, see proc_stat(5).
fn parse(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let mut times = line.split_whitespace().map(str::parse::<u64>);
    let user = times.next()?.ok()?;
    let system = times.nth(1)?.ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_user_and_system_time() {
        assert_eq!(parse("cpu  10 20 30 40 50\ncpu0 1 2 3 4\n"), Some(40));
        assert_eq!(parse("intr 1\n"), None);
        assert!(cpu_time().is_some());
    }
}
