//! Linking: which imports exist for a component is decided here, before it is instantiated.

use super::HostState;
use super::bindings::debusine::task;
use super::capabilities::{Capability, Grants};
use super::files::DirectoryHandle;
use crate::component::{Engine, Interface};
use std::collections::BTreeSet;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker, ResourceType};

/// What an instance is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Answering a scheduler: facts and look-ups are linked, everything else is linked to a trap.
    Scheduling,
    /// Running a task: every interface of the contract is linked, or those that its grants allow.
    Execution,
}

/// The package whose interfaces this host offers.
const PACKAGE: &str = "debusine:task";

/// Its version.
const VERSION: &str = "0.1.0";

/// The interfaces of it that can be imported.
const OFFERED: [&str; 13] = [
    "abort",
    "artifacts",
    "clock",
    "commands",
    "executor",
    "files",
    "host-facts",
    "http",
    "journal",
    "logs",
    "scheduling",
    "task-database",
    "types",
];

/// The linkers of both purposes.
pub struct Linkers {
    scheduling: Linker<HostState>,
    execution: Linker<HostState>,
}

impl Linkers {
    /// Linkers for the components of an engine.
    pub fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let mut scheduling = Linker::new(engine.wasmtime());
        add_scheduling(&mut scheduling)?;
        let mut execution = Linker::new(engine.wasmtime());
        add_scheduling(&mut execution)?;
        add_execution(&mut execution)?;
        Ok(Self {
            scheduling,
            execution,
        })
    }

    /// Resolves the imports of a component once, for many instances. What is not granted is linked to a trap; what no grant could give is an
    /// error.
    pub fn resolve(
        &self,
        component: &Component,
        purpose: Purpose,
        grants: Option<&Grants>,
    ) -> wasmtime::Result<InstancePre<HostState>> {
        let wasi = grants.is_some_and(|grants| grants.has(Capability::Wasi));
        let imports = component.component_type();
        for (name, _) in imports.imports(component.engine()) {
            if let Some(objection) = objection_to_import(name, wasi) {
                wasmtime::bail!("{objection}");
            }
        }
        let mut linker = match purpose {
            Purpose::Scheduling => self.scheduling.clone(),
            Purpose::Execution => self.execution.clone(),
        };
        if purpose == Purpose::Execution {
            let granted = |capability| grants.is_none_or(|grants| grants.has(capability));
            add_granted(&mut linker, granted)?;
        }
        linker.define_unknown_imports_as_traps(component)?;
        linker.instantiate_pre(component)
    }
}

fn add_scheduling(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    type State = HasSelf<HostState>;
    task::types::add_to_linker::<_, State>(linker, |state| state)?;
    task::journal::add_to_linker::<_, State>(linker, |state| state)?;
    task::host_facts::add_to_linker::<_, State>(linker, |state| state)?;
    task::task_database::add_to_linker::<_, State>(linker, |state| state)?;
    Ok(())
}

fn add_execution(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    type State = HasSelf<HostState>;
    task::abort::add_to_linker::<_, State>(linker, |state| state)?;
    task::artifacts::add_to_linker::<_, State>(linker, |state| state)?;
    task::clock::add_to_linker::<_, State>(linker, |state| state)?;
    task::files::add_to_linker::<_, State>(linker, |state| state)?;
    task::logs::add_to_linker::<_, State>(linker, |state| state)?;
    for interface in LENDING_DIRECTORIES {
        name_directory(linker, interface)?;
    }
    Ok(())
}

/// The interfaces with directories in their arguments: those of `files`.
const LENDING_DIRECTORIES: [&str; 5] = ["artifacts", "commands", "executor", "http", "logs"];

/// Gives the directories of `files` their name in another interface. A component need not find it there, but where the functions of an interface
/// become traps, so do the names that are missing, as resources of another type.
fn name_directory(linker: &mut Linker<HostState>, interface: &str) -> wasmtime::Result<()> {
    let mut instance = linker.instance(&format!("{PACKAGE}/{interface}@{VERSION}"))?;
    let directory = ResourceType::host::<DirectoryHandle>();
    instance.resource("directory", directory, |_, _| Ok(()))
}

fn add_granted(
    linker: &mut Linker<HostState>,
    granted: impl Fn(Capability) -> bool,
) -> wasmtime::Result<()> {
    type State = HasSelf<HostState>;
    if granted(Capability::Command) {
        task::commands::add_to_linker::<_, State>(linker, |state| state)?;
    }
    if granted(Capability::Environment) {
        task::executor::add_to_linker::<_, State>(linker, |state| state)?;
    }
    if granted(Capability::Http) {
        task::http::add_to_linker::<_, State>(linker, |state| state)?;
    }
    Ok(())
}

/// The names of what a component imports.
pub(super) fn imports(component: &Component) -> Vec<String> {
    let imports = component.component_type();
    let names = imports.imports(component.engine());
    names.map(|(name, _)| name.to_owned()).collect()
}

/// Why this host cannot run a component, in words for its author: imports it does not know, exports that are missing.
/// An empty list means that it can. `wasi`: whether WASI is granted to it, which links it to nothing.
pub fn objections(interface: &Interface, wasi: bool) -> Vec<String> {
    let mut objections: Vec<String> = interface
        .imports
        .iter()
        .filter_map(|import| objection_to_import(&import.name, wasi))
        .collect();
    let exports: BTreeSet<&str> = interface.exports.iter().map(String::as_str).collect();
    let scheduling = format!("{PACKAGE}/scheduling@{VERSION}");
    if !exports.contains(scheduling.as_str()) {
        let other = exports
            .iter()
            .find(|name| name.starts_with("debusine:task/scheduling@"));
        objections.push(match other {
            Some(other) => format!("it exports {other}, and {}", misfit(version_of(other))),
            None => format!("it does not export {scheduling}, which every task must"),
        });
    }
    objections
}

fn version_of(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, version)| version)
}

/// What to do about a component of another version of the contract.
fn misfit(version: &str) -> String {
    let parts = |version: &str| -> Vec<u64> {
        let parts = version.split(['.', '-', '+']);
        parts.map_while(|part| part.parse().ok()).collect()
    };
    match parts(version) > parts(VERSION) {
        true => format!(
            "this host speaks {VERSION}: the component wants a newer one; update task-runtime, or rebuild the component with the task-sdk of {VERSION}"
        ),
        false => format!(
            "this host speaks {VERSION}: the component is older; rebuild it with the task-sdk of {VERSION}"
        ),
    }
}

fn objection_to_import(name: &str, wasi: bool) -> Option<String> {
    let (path, version) = name.split_once('@').unwrap_or((name, ""));
    let (package, interface) = path.split_once('/').unwrap_or((path, ""));
    if package == PACKAGE && version != VERSION {
        return Some(format!("it imports {name}, and {}", misfit(version)));
    }
    if package == PACKAGE && OFFERED.contains(&interface) {
        return None;
    }
    if package.starts_with("wasi:") {
        if wasi {
            return None;
        }
        return Some(format!(
            "it imports {name}: tasks get nothing from WASI; build it for wasm32-unknown-unknown with task-sdk, or let `allow TASK wasi` in the policy link it to nothing"
        ));
    }
    Some(format!("it imports {name}, which this host does not offer"))
}
