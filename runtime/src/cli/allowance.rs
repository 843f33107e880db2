//! What the operator allows everything that tasks run, as options of `run` and `worker`.

use bytesize::ByteSize;
use std::num::NonZeroU64;
use std::time::Duration;
use task_runtime::executor::{Allowance, Limits, unenforced};

/// The longest grace that makes sense: a day.
const LONGEST_GRACE: f64 = 86_400.0;

/// More processors than a machine has.
const MOST_PROCESSORS: f64 = 65_536.0;

/// Less memory starts no program.
const LEAST_MEMORY: u64 = 1 << 20;

/// The options.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct AllowanceArguments {
    /// Seconds between SIGTERM and SIGKILL when a command has to end, such as 2.5; 0 kills at once [env: TASK_RUNTIME_GRACE; default: 5]
    #[arg(
        long,
        value_name = "SECONDS",
        env = "TASK_RUNTIME_GRACE",
        hide_env = true,
        default_value = "5",
        hide_default_value = true,
        allow_negative_numbers = true,
        value_parser = seconds
    )]
    grace: Duration,
    /// Memory, swap included, of each command on the host and of each sandbox with all that runs in it, in bytes or such as 512MiB or 8GB
    /// [env: TASK_RUNTIME_MEMORY_LIMIT; default: no limit]
    #[arg(long, value_name = "SIZE", env = "TASK_RUNTIME_MEMORY_LIMIT", hide_env = true, value_parser = size)]
    memory_limit: Option<u64>,
    /// Processes and threads of each command on the host and of each sandbox [env: TASK_RUNTIME_PROCESS_LIMIT; default: no limit on the host, 16384
    /// for each user of a sandbox]
    #[arg(long, value_name = "NUMBER", env = "TASK_RUNTIME_PROCESS_LIMIT", hide_env = true, value_parser = processes)]
    process_limit: Option<NonZeroU64>,
    /// Processors that each command on the host and each sandbox may keep busy, such as 1.5 [env: TASK_RUNTIME_CPU_LIMIT;
    /// default: no limit]
    #[arg(long, value_name = "CORES", env = "TASK_RUNTIME_CPU_LIMIT", hide_env = true, allow_negative_numbers = true, value_parser = processors)]
    cpu_limit: Option<u64>,
    /// Keep what a sandbox changes in memory, up to so many bytes (or such as 4GiB), which count towards --memory-limit [env:
    /// TASK_RUNTIME_SCRATCH_MEMORY; default: on disk, in the cache; for piuparts as root it has to be there]
    #[arg(long, value_name = "SIZE", env = "TASK_RUNTIME_SCRATCH_MEMORY", hide_env = true, value_parser = size)]
    scratch_memory: Option<u64>,
}

impl AllowanceArguments {
    /// The allowance. What of it cannot be had on this machine is said, once.
    pub fn allowance(&self) -> Allowance {
        let limits = Limits {
            memory: self.memory_limit,
            processes: self.process_limit.map(NonZeroU64::get),
            processors: self.cpu_limit,
            ..Limits::default()
        };
        if let Some(words) = unenforced(&limits) {
            tracing::warn!("{words}");
        }
        Allowance {
            grace: self.grace,
            limits,
            scratch_memory: self.scratch_memory,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|number| (0.0..=LONGEST_GRACE).contains(number))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("not a number of seconds from 0 to {LONGEST_GRACE}"))
}

fn size(text: &str) -> Result<u64, String> {
    let size: ByteSize = text.trim().parse().map_err(|_| {
        "not a size; give bytes, or a number with a unit such as MiB, GiB, MB or GB".to_owned()
    })?;
    match size.as_u64() {
        bytes if bytes >= LEAST_MEMORY => Ok(bytes),
        bytes => Err(format!(
            "{bytes} bytes are less than the 1 MiB that a program needs to start; is the unit missing?"
        )),
    }
}

fn processes(text: &str) -> Result<NonZeroU64, String> {
    text.parse()
        .map_err(|_| "not a number of processes; give at least 1".to_owned())
}

/// In thousandths.
fn processors(text: &str) -> Result<u64, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|number| (0.01..=MOST_PROCESSORS).contains(number))
        .map(|number| (number * 1000.0).round() as u64)
        .ok_or_else(|| "not a number of processors; give at least 0.01, such as 1.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        allowance: AllowanceArguments,
    }

    fn parse(arguments: &[&str]) -> Result<Allowance, String> {
        let all = ["program"].iter().chain(arguments);
        Program::try_parse_from(all)
            .map(|program| program.allowance.allowance())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_options_there_are_no_limits_and_the_usual_grace() {
        let allowance = parse(&[]).unwrap();
        assert_eq!(allowance, Allowance::default());
        assert_eq!(allowance.grace, Duration::from_secs(5));
    }

    #[test]
    fn options_become_limits_in_their_units() {
        let allowance = parse(&[
            "--grace=2.5",
            "--memory-limit=8GiB",
            "--process-limit=300",
            "--cpu-limit=1.5",
            "--scratch-memory=1048576",
        ]);
        let allowance = allowance.unwrap();
        assert_eq!(allowance.grace, Duration::from_millis(2500));
        assert_eq!(allowance.limits.memory, Some(8 << 30));
        assert_eq!(allowance.limits.processes, Some(300));
        assert_eq!(allowance.limits.processors, Some(1500));
        assert_eq!(allowance.scratch_memory, Some(1 << 20));
        assert_eq!(
            parse(&["--memory-limit=2GB"]).unwrap().limits.memory,
            Some(2_000_000_000)
        );
        assert_eq!(parse(&["--grace=0"]).unwrap().grace, Duration::ZERO);
    }

    #[test]
    fn what_is_no_limit_is_refused_with_an_example() {
        for (argument, words) in [
            ("--grace=-1", "seconds"),
            ("--grace=soon", "seconds"),
            ("--grace=inf", "seconds"),
            ("--memory-limit=much", "MiB"),
            ("--memory-limit=512", "unit"),
            ("--scratch-memory=0", "unit"),
            ("--process-limit=0", "at least 1"),
            ("--process-limit=many", "at least 1"),
            ("--cpu-limit=0", "1.5"),
            ("--cpu-limit=NaN", "1.5"),
        ] {
            let refused = parse(&[argument]).unwrap_err();
            assert!(refused.contains(words), "{argument}: {refused}");
        }
    }
}
