//! The descendants of this process on the host, where no cgroup holds them together: found through their parents, and killed.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

/// How long descendants are stopped before those that were are killed, though there may be more.
const STOPPING_TAKES: Duration = Duration::from_secs(1);

/// Kills the direct children of this process that are not spared; how many there were. Their own children become direct ones by that, if this process
/// is their subreaper.
///
/// Only children are named, for nobody but this process can free their numbers: no stranger is hit.
pub(super) fn kill_children(is_spared: impl Fn(Pid) -> bool) -> usize {
    let mut children = children();
    children.retain(|&child| !is_spared(child));
    for &child in &children {
        let _ = kill(child, Signal::SIGKILL);
    }
    children.len()
}

/// Kills all descendants of this process but those that are spared and theirs. They are stopped first, until there is none left that could have more:
/// of those that multiply as fast as they are killed, this leaves nobody. It takes a look at every process of the machine.
pub(super) fn kill_descendants(is_spared: impl Fn(Pid) -> bool) {
    let give_up = Instant::now() + STOPPING_TAKES;
    let mut stopped = HashSet::new();
    loop {
        let found = descendants(&Process::all(), getpid().as_raw(), &is_spared);
        let fresh: Vec<Process> = found.difference(&stopped).copied().collect();
        if fresh.is_empty() {
            break;
        }
        for process in fresh {
            process.signal(rustix::process::Signal::STOP);
            stopped.insert(process);
        }
        if Instant::now() > give_up {
            break;
        }
    }
    for process in stopped {
        process.signal(rustix::process::Signal::KILL);
    }
}

/// The direct children of this process.
pub(super) fn children() -> Vec<Pid> {
    match fs::read_to_string("/proc/thread-self/children") {
        Ok(text) => text
            .split_ascii_whitespace()
            .filter_map(|number| number.parse().ok().map(Pid::from_raw))
            .collect(),
        // Kernels without a list of children.
        Err(_) => {
            let own = getpid().as_raw();
            let processes = Process::all().into_iter();
            let children = processes.filter(|process| process.parent == own);
            children
                .map(|process| Pid::from_raw(process.number))
                .collect()
        }
    }
}

/// A process as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Process {
    number: i32,
    parent: i32,
    /// Ticks since the start of the machine: with the number, nobody else's.
    started: u64,
}

impl Process {
    /// Every process that can be seen.
    fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| Self::look(entry.file_name().to_str()?.parse().ok()?))
            .collect()
    }

    fn look(number: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{number}/stat")).ok()?;
        Self::parse(number, &stat)
    }

    /// Reads `pid (name) state parent …`: the name may contain anything, also parentheses.
    fn parse(number: i32, stat: &[u8]) -> Option<Self> {
        let end_of_name = stat.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(&stat[end_of_name + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace().skip(1);
        Some(Self {
            number,
            parent: fields.next()?.parse().ok()?,
            started: fields.nth(17)?.parse().ok()?,
        })
    }

    /// Sends a signal, to this process or to none.
    fn signal(self, signal: rustix::process::Signal) {
        let Some(number) = rustix::process::Pid::from_raw(self.number) else {
            return;
        };
        let Ok(held) = pidfd_open(number, PidfdFlags::empty()) else {
            return;
        };
        // Held and still the one that was seen: its number can no longer become another's for this descriptor.
        if Self::look(self.number).is_some_and(|now| now.started == self.started) {
            let _ = pidfd_send_signal(held, signal);
        }
    }
}

fn descendants(all: &[Process], of: i32, is_spared: &impl Fn(Pid) -> bool) -> HashSet<Process> {
    let mut by_parent: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in all {
        by_parent.entry(process.parent).or_default().push(*process);
    }
    let mut found = HashSet::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        for process in by_parent.remove(&parent).unwrap_or_default() {
            if !is_spared(Pid::from_raw(process.number)) {
                open.push(process.number);
                found.insert(process);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let fields = "S 7 1 1 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 9";
        let read = Process::parse(12, format!("12 (a) b) 5 (c) {fields}").as_bytes());
        let expected = Process {
            number: 12,
            parent: 7,
            started: 4711,
        };
        assert_eq!(read, Some(expected));
        assert_eq!(Process::parse(12, b"12 (a"), None);
        let own = Process::look(std::process::id() as i32).unwrap();
        assert_eq!(own.parent, std::os::unix::process::parent_id() as i32);
    }

    #[test]
    fn descendants_of_the_spared_are_spared() {
        let process = |number, parent| Process {
            number,
            parent,
            started: 1,
        };
        let all = [
            process(2, 1),
            process(3, 2),
            process(4, 1),
            process(5, 4),
            process(6, 99),
        ];
        let found = descendants(&all, 1, &|process| process.as_raw() == 4);
        assert_eq!(found, [process(2, 1), process(3, 2)].into());
    }
}
