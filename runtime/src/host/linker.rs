//! Linking: which imports exist for a component is decided here, before it is instantiated.

use super::HostState;
use super::bindings::debusine::task;
use crate::component::{Engine, Interface};
use std::collections::BTreeSet;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

/// What an instance is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Answering a scheduler: facts and look-ups are linked, everything else is linked to a trap.
    Scheduling,
    /// Running a task: every interface of the contract is linked.
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

    /// Resolves the imports of a component once, for many instances.
    pub fn resolve(
        &self,
        component: &Component,
        purpose: Purpose,
    ) -> wasmtime::Result<InstancePre<HostState>> {
        match purpose {
            Purpose::Execution => self.execution.instantiate_pre(component),
            Purpose::Scheduling => {
                let mut linker = self.scheduling.clone();
                linker.define_unknown_imports_as_traps(component)?;
                linker.instantiate_pre(component)
            }
        }
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
    task::commands::add_to_linker::<_, State>(linker, |state| state)?;
    task::executor::add_to_linker::<_, State>(linker, |state| state)?;
    task::files::add_to_linker::<_, State>(linker, |state| state)?;
    task::http::add_to_linker::<_, State>(linker, |state| state)?;
    task::logs::add_to_linker::<_, State>(linker, |state| state)?;
    Ok(())
}

/// Why this host cannot run a component, in words for its author: imports it does not know, exports that are missing.
/// An empty list means that it can.
pub fn objections(interface: &Interface) -> Vec<String> {
    let mut objections: Vec<String> = interface
        .imports
        .iter()
        .filter_map(|import| objection_to_import(&import.name))
        .collect();
    let exports: BTreeSet<&str> = interface.exports.iter().map(String::as_str).collect();
    let scheduling = format!("{PACKAGE}/scheduling@{VERSION}");
    if !exports.contains(scheduling.as_str()) {
        let other = exports
            .iter()
            .find(|name| name.starts_with("debusine:task/scheduling@"));
        objections.push(match other {
            Some(other) => format!(
                "it exports {other}, and this host speaks {VERSION}: rebuild it with the task-sdk of this version"
            ),
            None => format!("it does not export {scheduling}, which every task must"),
        });
    }
    objections
}

fn objection_to_import(name: &str) -> Option<String> {
    let (path, version) = name.split_once('@').unwrap_or((name, ""));
    let (package, interface) = path.split_once('/').unwrap_or((path, ""));
    if package == PACKAGE && version != VERSION {
        return Some(format!(
            "it imports {name}, and this host speaks {VERSION}: rebuild the component or update the host"
        ));
    }
    if package == PACKAGE && OFFERED.contains(&interface) {
        return None;
    }
    if package.starts_with("wasi:") {
        return Some(format!(
            "it imports {name}: tasks get nothing from WASI; build it for wasm32-unknown-unknown with task-sdk"
        ));
    }
    Some(format!("it imports {name}, which this host does not offer"))
}
