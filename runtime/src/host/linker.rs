//! Linking: which imports exist for a component is decided here, before it is instantiated.

use super::HostState;
use super::bindings::debusine::task;
use super::capabilities::{Capability, Grants, Policy};
use super::contract::{self, objection_to_import};
use super::files::DirectoryHandle;
use super::wasi;
use crate::component::{Engine, Import, Interface, LoadedComponent};
use std::sync::Arc;
use wasmtime::component::types::{ComponentExtern, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker, ResourceType};

/// What an instance is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Answering a scheduler: facts and look-ups are linked, everything else is linked to a trap.
    Scheduling,
    /// Running a task: every interface of the contract is linked, or those that its grants allow.
    Execution,
}

/// The linkers of both purposes.
pub struct Linkers {
    scheduling: Linker<HostState>,
    execution: Linker<HostState>,
    policy: Arc<Policy>,
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
            policy: Arc::default(),
        })
    }

    /// The same for components that this policy allows an empty WASI, also where no other power is granted.
    pub fn with_policy(mut self, policy: Arc<Policy>) -> Self {
        self.policy = policy;
        self
    }

    /// Whether a component gets an empty WASI.
    pub(super) fn grants_wasi(&self, loaded: &LoadedComponent, grants: Option<&Grants>) -> bool {
        match grants {
            Some(grants) => grants.has(Capability::Wasi),
            None => self.policy.allows_wasi(&loaded.name),
        }
    }

    /// Resolves the imports of a component once, for many instances. What is not granted is linked to a trap; what no grant could give is an
    /// error.
    pub fn resolve(
        &self,
        loaded: &LoadedComponent,
        purpose: Purpose,
        grants: Option<&Grants>,
    ) -> wasmtime::Result<InstancePre<HostState>> {
        let component = &loaded.component;
        let wasi = self.grants_wasi(loaded, grants);
        for import in imports(component) {
            if let Some(objection) = objection_to_import(&import, wasi) {
                wasmtime::bail!("{objection}");
            }
        }
        let granted = |capability| grants.is_none_or(|grants| grants.has(capability));
        let mut linker = match purpose {
            Purpose::Scheduling => self.scheduling.clone(),
            Purpose::Execution => self.execution.clone(),
        };
        if purpose == Purpose::Execution {
            add_granted(&mut linker, granted)?;
        }
        if wasi
            && imports(component)
                .iter()
                .any(|it| wasi::is_offered(&it.name))
        {
            wasi::add_to_linker(&mut linker)?;
        }
        let is_linked = |interface: &str| match Capability::of_interface(interface) {
            _ if SCHEDULING.contains(&interface) => true,
            _ if purpose == Purpose::Scheduling => false,
            None => EXECUTION.contains(&interface),
            Some(capability) => granted(capability),
        };
        let (engine, imported) = (component.engine(), component.component_type());
        for (name, item) in imported.imports(engine) {
            if let ComponentItem::ComponentInstance(instance) = item.ty
                && !contract::interface(name).is_some_and(is_linked)
                && !wasi::is_offered(name)
            {
                link_to_nothing(&mut linker, name, &instance)?;
            }
        }
        linker.instantiate_pre(component)
    }
}

/// The interfaces that are linked for every purpose.
const SCHEDULING: [&str; 4] = ["types", "journal", "host-facts", "task-database"];

/// The interfaces that every run has besides.
const EXECUTION: [&str; 5] = ["abort", "artifacts", "clock", "files", "logs"];

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
    Ok(())
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

/// What a component imports.
pub(super) fn imports(component: &Component) -> Vec<Import> {
    let (engine, imported) = (component.engine(), component.component_type());
    let described = |(name, item): (&str, ComponentExtern<'_>)| Import {
        name: name.to_owned(),
        functions: match item.ty {
            ComponentItem::ComponentInstance(instance) => functions(&instance, engine),
            _ => Vec::new(),
        },
    };
    imported.imports(engine).map(described).collect()
}

/// What a component imports and exports.
pub(super) fn interface(component: &Component) -> Interface {
    let (engine, described) = (component.engine(), component.component_type());
    let exports = described.exports(engine);
    Interface {
        imports: imports(component),
        exports: exports.map(|(name, _)| name.to_owned()).collect(),
    }
}

fn functions(instance: &ComponentInstance, engine: &wasmtime::Engine) -> Vec<String> {
    let exports = instance.exports(engine);
    let functions = exports.filter(|(_, it)| matches!(it.ty, ComponentItem::ComponentFunc(_)));
    functions.map(|(name, _)| name.to_owned()).collect()
}

/// A function was called that is not linked.
#[derive(Debug, thiserror::Error)]
#[error("it calls {function} of {interface}, which it was not given")]
pub(super) struct NotLinked {
    /// The interface, e.g. `debusine:task/http@0.1.0`.
    pub interface: String,
    /// The function.
    pub function: String,
}

/// Links an interface to nothing: its functions trap.
fn link_to_nothing(
    linker: &mut Linker<HostState>,
    interface: &str,
    imported: &ComponentInstance,
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let mut instance = linker.instance(interface)?;
    for (name, export) in imported.exports(&engine) {
        match export.ty {
            ComponentItem::ComponentFunc(_) => {
                let (interface, function) = (interface.to_owned(), name.to_owned());
                instance.func_new(name, move |_, _, _, _| {
                    let (interface, function) = (interface.clone(), function.clone());
                    Err(NotLinked {
                        interface,
                        function,
                    }
                    .into())
                })?;
            }
            // The directories that it is lent are those of `files` in every interface.
            ComponentItem::Resource(_) if name == "directory" => {
                instance.resource(name, ResourceType::host::<DirectoryHandle>(), |_, _| Ok(()))?;
            }
            ComponentItem::Resource(_) => {
                instance.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}
