//! Worker metadata: what a scheduler knows of a worker, as `{"system:cpu_count": 8, "sbuild:available": true, …}`.
//!
//! [`system_metadata`] and [`availability`](crate::executor::availability) are pure: the facts come in, so that recorded ones can be judged.

use crate::component::{Engine, LoadedComponent, Registry, RegistryError};
use crate::executor::{IncusInfoError, availability};
use crate::host::tool::{BRIEFLY, ToolError, ask};
use crate::host::{CallError, Facts, HostState, Linkers, Purpose, TaskComponent};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use task_sdk::debian::text;

/// How long `arch-test` may take: it starts a program of each architecture, some of them in emulators.
const ARCH_TEST: Duration = Duration::from_secs(30);

/// The type of workers that run tasks for a server, as `system:worker_type` has it.
pub const WORKER_TYPE: &str = "external";

/// What was found out about a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFacts {
    /// What `dpkg --print-architecture` printed; none if it failed.
    pub dpkg_print_architecture: Option<String>,
    /// What `arch-test -n` printed: the architectures whose programs run here, one a line; none if it failed.
    pub arch_test: Option<String>,
    /// How many processors are in use; none if nobody knows.
    pub cpu_count: Option<u64>,
    /// Memory in bytes.
    pub memory: u64,
    /// The type of worker, as a rule [`WORKER_TYPE`].
    pub worker_type: String,
}

/// Why there are no metadata.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// A task cannot be loaded.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A task did not answer.
    #[error(transparent)]
    Task(#[from] CallError),
    /// incus did not make sense.
    #[error(transparent)]
    Incus(#[from] IncusInfoError),
}

/// The keys `system:…`, by the rules of the reference (Debusine 0.11.3).
pub fn system_metadata(facts: &SystemFacts) -> Map<String, Value> {
    let host = facts.dpkg_print_architecture.as_deref().map(text::trim);
    // No name is no architecture.
    let host = host.filter(|host| !host.is_empty());
    let architectures = match (&facts.arch_test, host) {
        (Some(printed), _) => Some(sorted_lines(printed)),
        (None, Some(host)) => Some(vec![host.to_owned()]),
        (None, None) => None,
    };
    let mut metadata = Map::new();
    let mut set = |key: &str, value: Value| metadata.insert(format!("system:{key}"), value);
    set("cpu_count", facts.cpu_count.unwrap_or(1).into());
    set("total_physical_memory", facts.memory.into());
    set("worker_type", facts.worker_type.clone().into());
    if let Some(host) = host {
        set("host_architecture", host.into());
    }
    if let Some(architectures) = architectures {
        set("architectures", architectures.into());
    }
    metadata
}

/// The reference splits what was printed, less the blanks around it, at each newline: of nothing, one empty line is left.
fn sorted_lines(printed: &str) -> Vec<String> {
    let mut lines: Vec<String> = text::trim(printed).split('\n').map(str::to_owned).collect();
    lines.sort();
    lines
}

impl SystemFacts {
    /// Asks this machine. Runs `arch-test`, which takes some hundredths of a second.
    pub fn of_this_machine() -> Self {
        Self::with_arch_test(printed_by_arch_test())
    }

    /// Asks this machine, but for what `arch-test` prints.
    pub fn with_arch_test(arch_test: Option<String>) -> Self {
        Self {
            dpkg_print_architecture: printed_by("dpkg", &["--print-architecture"], BRIEFLY),
            arch_test,
            cpu_count: cpu_count(),
            memory: memory(),
            worker_type: WORKER_TYPE.to_owned(),
        }
    }
}

/// What `arch-test -n` prints; none if it fails, or is not there.
pub(super) fn printed_by_arch_test() -> Option<String> {
    printed_by("arch-test", &["-n"], ARCH_TEST)
}

/// What this machine says of itself, less the tasks: system and executors.
pub fn machine_metadata(facts: &dyn Facts) -> Result<Map<String, Value>, MetadataError> {
    metadata_of(&SystemFacts::of_this_machine(), facts)
}

/// The same of a system that was asked before.
pub fn metadata_of(
    system: &SystemFacts,
    facts: &dyn Facts,
) -> Result<Map<String, Value>, MetadataError> {
    let has_command = |name: &str| facts.command_available(name);
    let incus_info = match has_command("incus") {
        true => printed_by("incus", &["info"], BRIEFLY),
        false => None,
    };
    let machine = nix::sys::utsname::uname()
        .map(|name| name.machine().to_string_lossy().into_owned())
        .unwrap_or_default();
    let kvm = nix::unistd::access("/dev/kvm", nix::unistd::AccessFlags::W_OK).is_ok();
    let mut metadata = system_metadata(system);
    let backends = availability(&has_command, incus_info.as_deref(), &machine, kvm)?;
    metadata.extend(backends.into_iter().map(|(key, value)| (key, value.into())));
    Ok(metadata)
}

/// What one task adds: the keys `TASK:…`.
pub async fn task_metadata(
    engine: &Engine,
    linkers: &Linkers,
    loaded: &LoadedComponent,
    facts: Arc<dyn Facts>,
) -> Result<Map<String, Value>, CallError> {
    let component = TaskComponent::new(engine, linkers, loaded, Purpose::Scheduling)?;
    let state = HostState::new(engine, &engine.options().scheduling, facts);
    component.instantiate(state).await?.analyze_worker().await
}

/// Everything: the machine and all tasks of a registry.
pub async fn worker_metadata(
    registry: &Registry,
    linkers: &Linkers,
    facts: Arc<dyn Facts>,
) -> Result<Map<String, Value>, MetadataError> {
    let mut metadata = machine_metadata(&*facts)?;
    for loaded in registry.load_all()? {
        let added = task_metadata(registry.engine(), linkers, &loaded, Arc::clone(&facts)).await?;
        metadata.extend(added);
    }
    Ok(metadata)
}

/// Standard output of a program that succeeded; none if it did not, which is told unless it is not there.
fn printed_by(program: &str, arguments: &[&str], longest: Duration) -> Option<String> {
    match ask(program, arguments, longest) {
        Ok(printed) => Some(printed),
        Err(ToolError::NotStarted { .. }) => None,
        Err(error) => {
            tracing::warn!("{error}; the metadata go without its answer");
            None
        }
    }
}

/// Processors that are in use, whether or not this process may use them: ranges as in `0-3,6`.
pub(super) fn cpu_count() -> Option<u64> {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    count_ranges(online.trim())
}

fn count_ranges(ranges: &str) -> Option<u64> {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some(last.checked_sub(first)? + 1)
    };
    ranges.split(',').map(count).sum()
}

/// Memory in bytes; 0 if the kernel does not tell.
pub(super) fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(dpkg: Option<&str>, arch_test: Option<&str>) -> SystemFacts {
        SystemFacts {
            dpkg_print_architecture: dpkg.map(str::to_owned),
            arch_test: arch_test.map(str::to_owned),
            cpu_count: None,
            memory: 1024,
            worker_type: WORKER_TYPE.to_owned(),
        }
    }

    #[test]
    fn architectures_are_those_of_arch_test_else_the_host_s_own() {
        let architectures = |dpkg, arch_test| {
            let metadata = system_metadata(&facts(dpkg, arch_test));
            let of = |key: &str| metadata.get(key).cloned().unwrap_or_default();
            (of("system:host_architecture"), of("system:architectures"))
        };
        assert_eq!(
            architectures(Some("arm64\n"), Some("i386\namd64\n")),
            (json!("arm64"), json!(["amd64", "i386"]))
        );
        assert_eq!(
            architectures(Some("amd64\n"), None),
            (json!("amd64"), json!(["amd64"]))
        );
        assert_eq!(architectures(None, Some("")), (json!(null), json!([""])));
        assert_eq!(
            architectures(Some(" \x1c\n"), Some("\x1famd64\u{85}\n")),
            (json!(null), json!(["amd64"]))
        );
        assert_eq!(architectures(Some("\n"), None), (json!(null), json!(null)));
        assert_eq!(architectures(None, None), (json!(null), json!(null)));
    }

    #[test]
    fn an_unknown_number_of_processors_counts_as_one() {
        assert_eq!(system_metadata(&facts(None, None))["system:cpu_count"], 1);
    }

    #[test]
    fn processors_are_counted_from_ranges() {
        assert_eq!(count_ranges("0-3,6"), Some(5));
        assert_eq!(count_ranges("0"), Some(1));
        assert_eq!(count_ranges("x"), None);
    }

    #[test]
    fn this_machine_has_processors_and_memory() {
        assert!(cpu_count().is_some_and(|count| count > 0));
        assert!(memory() > 1 << 20);
    }
}
