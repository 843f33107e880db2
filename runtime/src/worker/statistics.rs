//! What a run has cost, as the reference reports it: `runtime_statistics` in the output data of a work request.
//!
//! The reference counts the whole machine, so that other load counts too. Here processor time and memory are those of the worker's own
//! process tree; disk space is that of the file system, as there.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How the kernel counts time for `/proc/PID/stat`: parts of a second.
const TICKS: u64 = 100;

/// Measures from the moment when it is made.
pub struct Statistics {
    begun: Instant,
    /// Ticks of the process tree up to then.
    processor_time: u64,
    environment: Mutex<Option<Environment>>,
}

/// What is known of a run in an environment.
#[derive(Debug, Clone, Default)]
struct Environment {
    /// The most memory that the process tree had, in bytes.
    memory: u64,
    /// Where the instance's files are, once one was started.
    files: Option<PathBuf>,
    /// The most that was used of that file system, in bytes.
    disk: u64,
}

impl Statistics {
    /// Begins to measure.
    pub fn begin() -> Self {
        Self {
            begun: Instant::now(),
            processor_time: Processes::now().processor_time(std::process::id()),
            environment: Mutex::default(),
        }
    }

    /// Since the beginning.
    pub fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The task has an environment. Only of such a task does the reference tell memory and disk space.
    pub fn has_environment(&self) {
        let mut environment = self
            .environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        environment.get_or_insert_default();
        drop(environment);
        self.sample();
    }

    /// An instance of it was started, whose files are beneath `files`.
    pub fn has_instance(&self, files: &Path) {
        let mut environment = self
            .environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        environment.get_or_insert_default().files = Some(files.to_owned());
        drop(environment);
        self.sample();
    }

    /// Looks how much is used at the moment.
    pub fn sample(&self) {
        let mut environment = self
            .environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(environment) = &mut *environment else {
            return;
        };
        let memory = Processes::now().memory_beneath(std::process::id());
        environment.memory = environment.memory.max(memory);
        if let Some((used, _)) = environment.files.as_deref().and_then(disk) {
            environment.disk = environment.disk.max(used);
        }
    }

    /// Whole seconds, bytes. What the reference would leave out is left out.
    pub fn document(&self) -> Value {
        let now = Processes::now().processor_time(std::process::id());
        let mut document = json!({
            "duration": self.took().as_secs(),
            "cpu_time": now.saturating_sub(self.processor_time) / TICKS,
        });
        let environment = self
            .environment
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(environment) = &*environment else {
            return document;
        };
        let space = environment.files.as_deref().and_then(disk);
        if space.is_some() {
            document["disk_space"] = environment.disk.into();
        }
        document["memory"] = environment.memory.into();
        document["available_disk_space"] = space.map(|(_, size)| size).into();
        document["available_memory"] = super::metadata::memory().into();
        document["cpu_count"] = super::metadata::cpu_count().unwrap_or(1).into();
        document
    }
}

/// How much of a file system is used, and how large it is, in bytes.
fn disk(place: &Path) -> Option<(u64, u64)> {
    let place = place.ancestors().find(|place| place.exists())?;
    let found = nix::sys::statvfs::statvfs(place).ok()?;
    let size = found.blocks() * found.fragment_size();
    let free = found.blocks_free() * found.fragment_size();
    Some((size - free, size))
}

/// A process, see proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    /// Of itself and of its children that have ended and were waited for, in ticks.
    time: u64,
    /// Resident memory, in pages.
    pages: u64,
}

/// All processes of the machine.
struct Processes(HashMap<u32, Process>);

impl Processes {
    fn now() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let processes = entries.filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((id, parse(&stat)?))
        });
        Self(processes.collect())
    }

    fn is_beneath(&self, id: u32, root: u32) -> bool {
        let mut at = id;
        // Ids are used again: a table read while that happens might have a circle.
        for _ in 0..self.0.len() {
            match self.0.get(&at) {
                Some(process) if process.parent == root => return true,
                Some(process) => at = process.parent,
                None => return false,
            }
        }
        false
    }

    /// Who has ended was waited for within the tree, so that nothing is lost with it.
    fn processor_time(&self, root: u32) -> u64 {
        let tree = self.0.iter();
        let tree = tree.filter(|(id, _)| **id == root || self.is_beneath(**id, root));
        tree.map(|(_, process)| process.time).sum()
    }

    /// In bytes, without the root's own.
    fn memory_beneath(&self, root: u32) -> u64 {
        let page = rustix::param::page_size() as u64;
        let tree = self.0.iter().filter(|(id, _)| self.is_beneath(**id, root));
        tree.map(|(_, process)| process.pages * page).sum()
    }
}

fn parse(stat: &str) -> Option<Process> {
    // The name before it may hold anything, also `)`.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Process {
        parent: number(1)?.try_into().ok()?,
        time: number(11)? + number(12)? + number(13)? + number(14)?,
        pages: number(21)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5 1000 77 18446744073709551615";
        let process = Process {
            parent: 3,
            time: 100,
            pages: 77,
        };
        assert_eq!(parse(stat), Some(process));
        assert_eq!(parse("7 (short) S 3"), None);
    }

    #[test]
    fn a_tree_is_what_is_beneath_its_root() {
        let process = |parent, time| Process {
            parent,
            time,
            pages: 1,
        };
        let processes = Processes(HashMap::from([
            (1, process(0, 1)),
            (2, process(1, 10)),
            (3, process(2, 100)),
            (9, process(1, 1000)),
        ]));
        assert_eq!(processes.processor_time(2), 110);
        assert_eq!(processes.processor_time(1), 1111);
        assert_eq!(
            processes.memory_beneath(2),
            rustix::param::page_size() as u64
        );
    }

    #[test]
    fn memory_and_disk_are_told_of_tasks_with_an_environment_only() {
        let keys = |statistics: &Statistics| -> Vec<String> {
            let document = statistics.document();
            document
                .as_object()
                .expect("an object")
                .keys()
                .cloned()
                .collect()
        };
        let statistics = Statistics::begin();
        statistics.sample();
        assert_eq!(keys(&statistics), ["duration", "cpu_time"]);
        statistics.has_environment();
        let without_disk = [
            "duration",
            "cpu_time",
            "memory",
            "available_disk_space",
            "available_memory",
            "cpu_count",
        ];
        assert_eq!(keys(&statistics), without_disk);
        assert!(statistics.document()["available_disk_space"].is_null());
        statistics.has_instance(Path::new("/tmp/not-there-yet"));
        assert!(statistics.document()["disk_space"].as_u64() > Some(0));
    }
}
