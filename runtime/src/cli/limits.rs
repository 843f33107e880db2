//! What components may use: as the arguments or the environment say, else the usual.

use bytesize::ByteSize;
use std::ops::RangeInclusive;
use std::time::Duration;
use task_runtime::component::{EngineOptions, Limits};
use task_runtime::lifecycle::RunOptions;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Limits of a task's component; each of its calls is held to them. One that is reached ends the component, and is named.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Limits of components")]
pub struct LimitArguments {
    /// Memory of one, all its linear memories together [env: TASK_RUNTIME_GUEST_MEMORY; default: 64MiB to answer a scheduler, 256MiB to run,
    /// and for `match`]
    #[arg(long, value_name = "SIZE", env = "TASK_RUNTIME_GUEST_MEMORY", hide_env = true, value_parser = memory, global = true, hide_short_help = true)]
    guest_memory: Option<usize>,
    /// Stack that its nested calls may use [env: TASK_RUNTIME_GUEST_STACK; default: 512KiB]
    #[arg(long, value_name = "SIZE", env = "TASK_RUNTIME_GUEST_STACK", hide_env = true, value_parser = stack, global = true, hide_short_help = true)]
    guest_stack: Option<usize>,
    /// Elements of all its tables together [env: TASK_RUNTIME_GUEST_TABLE_ELEMENTS; default: 20000]
    #[arg(long, value_name = "NUMBER", env = "TASK_RUNTIME_GUEST_TABLE_ELEMENTS", hide_env = true, value_parser = count, global = true, hide_short_help = true)]
    guest_table_elements: Option<usize>,
    /// Handles that it may hold at one time [env: TASK_RUNTIME_GUEST_HANDLES; default: 10000]
    #[arg(long, value_name = "NUMBER", env = "TASK_RUNTIME_GUEST_HANDLES", hide_env = true, value_parser = count, global = true, hide_short_help = true)]
    guest_handles: Option<usize>,
    /// What one call may pass to the host, arguments and answer [env: TASK_RUNTIME_GUEST_OUTPUT; default: 16MiB to answer a scheduler,
    /// 64MiB to run]
    #[arg(long, value_name = "SIZE", env = "TASK_RUNTIME_GUEST_OUTPUT", hide_env = true, value_parser = output, global = true, hide_short_help = true)]
    guest_output: Option<usize>,
    /// Processor time that it may take in one call; what the host does for it does not count [env:
    /// TASK_RUNTIME_GUEST_CPU; default: 5s to answer a scheduler, 5min to run]
    #[arg(long, value_name = "DURATION", env = "TASK_RUNTIME_GUEST_CPU", hide_env = true, value_parser = duration, global = true, hide_short_help = true)]
    guest_cpu: Option<Duration>,
    /// Time that one call may take in all [env: TASK_RUNTIME_GUEST_WALL; default: 1min to answer a scheduler, without end to run]
    #[arg(long, value_name = "DURATION", env = "TASK_RUNTIME_GUEST_WALL", hide_env = true, value_parser = duration, global = true, hide_short_help = true)]
    guest_wall: Option<Duration>,
    /// Log files of one run together [env: TASK_RUNTIME_LOG_SIZE; default: 4GiB]
    #[arg(long, value_name = "SIZE", env = "TASK_RUNTIME_LOG_SIZE", hide_env = true, value_parser = log_size, global = true, hide_short_help = true)]
    log_size: Option<u64>,
}

impl LimitArguments {
    /// Options of an engine whose instances are held to these limits.
    pub fn engine(&self, usual: EngineOptions) -> EngineOptions {
        EngineOptions {
            stack: self.guest_stack.unwrap_or(usual.stack),
            scheduling: self.limits(usual.scheduling),
            execution: self.limits(usual.execution),
            ..usual
        }
    }

    fn limits(&self, usual: Limits) -> Limits {
        Limits {
            memory: self.guest_memory.unwrap_or(usual.memory),
            table_elements: self.guest_table_elements.unwrap_or(usual.table_elements),
            handles: self.guest_handles.unwrap_or(usual.handles),
            transfer: self.guest_output.unwrap_or(usual.transfer),
            cpu: self.guest_cpu.unwrap_or(usual.cpu),
            wall: self.guest_wall.or(usual.wall),
        }
    }

    /// Options of runs on an engine that was made for these limits.
    pub fn run(&self, engine: &EngineOptions) -> RunOptions {
        let usual = RunOptions::default();
        RunOptions {
            limits: engine.execution,
            log_size: self.log_size.unwrap_or(usual.log_size),
            ..usual
        }
    }
}

fn memory(text: &str) -> Result<usize, String> {
    // A task of the SDK starts with half of the least; 32 bits address the most.
    size(text, MIB..=4 * GIB)
}

fn stack(text: &str) -> Result<usize, String> {
    size(text, 64 * KIB..=64 * MIB)
}

fn output(text: &str) -> Result<usize, String> {
    size(text, 64 * KIB..=4 * GIB)
}

fn log_size(text: &str) -> Result<u64, String> {
    size(text, 64 * KIB..=u64::MAX)
}

fn size<T: TryFrom<u64>>(text: &str, allowed: RangeInclusive<u64>) -> Result<T, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| "not a size; write e.g. 64MiB".to_owned())?;
    if !allowed.contains(&size.as_u64()) {
        let (least, most) = (ByteSize(*allowed.start()), ByteSize(*allowed.end()));
        return Err(format!("not between {least} and {most}; write e.g. 64MiB"));
    }
    T::try_from(size.as_u64()).map_err(|_| "more than this machine can address".to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    // Fewer than these no component gets by with.
    const ALLOWED: RangeInclusive<usize> = 16..=10_000_000;
    let count = text.parse().map_err(|_| "not a number".to_owned())?;
    match ALLOWED.contains(&count) {
        true => Ok(count),
        false => Err(format!(
            "not between {} and {}",
            ALLOWED.start(),
            ALLOWED.end()
        )),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write e.g. 30s or 5min"))?;
    match duration.is_zero() {
        true => Err("no time at all; write e.g. 30s or 5min".to_owned()),
        false => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_stays_as_usual() {
        let usual = EngineOptions::default();
        assert_eq!(LimitArguments::default().engine(usual), usual);
        let arguments = LimitArguments {
            guest_memory: Some(1 << 30),
            guest_wall: Some(Duration::from_secs(1)),
            ..LimitArguments::default()
        };
        let options = arguments.engine(usual);
        for limits in [options.scheduling, options.execution] {
            assert_eq!(limits.memory, 1 << 30);
            assert_eq!(limits.wall, Some(Duration::from_secs(1)));
        }
        assert_eq!(options.execution.cpu, Limits::EXECUTION.cpu);
    }

    #[test]
    fn each_limit_has_its_option() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            limits: LimitArguments,
        }
        let line = "x --guest-memory 2MiB --guest-stack 65KiB --guest-table-elements 17 --guest-handles 18 --guest-output 66KiB --guest-cpu 3s --guest-wall 4s --log-size 67KiB";
        let arguments = <Line as clap::Parser>::parse_from(line.split(' ')).limits;
        let options = arguments.engine(EngineOptions::default());
        let expected = Limits {
            memory: 2 << 20,
            table_elements: 17,
            handles: 18,
            transfer: 66 << 10,
            cpu: Duration::from_secs(3),
            wall: Some(Duration::from_secs(4)),
        };
        assert_eq!(options.scheduling, expected);
        assert_eq!(options.execution, expected);
        assert_eq!(options.stack, 65 << 10);
        let run = arguments.run(&options);
        assert_eq!((run.limits, run.log_size), (expected, 67 << 10));
    }

    #[test]
    fn sizes_counts_and_durations_are_checked() {
        assert_eq!(memory("512MiB"), Ok(512 << 20));
        assert_eq!(stack("131072"), Ok(131_072));
        assert_eq!(count("500"), Ok(500));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for refused in ["", "much", "1KiB", "8GiB", "-1"] {
            assert!(memory(refused).is_err(), "{refused:?}");
        }
        assert!(count("1").is_err() && count("x").is_err());
        assert!(duration("0s").is_err() && duration("soon").is_err());
    }
}
