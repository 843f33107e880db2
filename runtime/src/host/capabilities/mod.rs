//! What a component may do: its manifest asks, the operator's policy grants, and the result is exactly what is linked and lent.

mod lent;
mod policy;
pub(super) mod variables;

pub use policy::{Policy, PolicyError};

use crate::artifacts::ArtifactStore;
use crate::component::Manifest;
use crate::executor::Commands;
use crate::host::Executors;
use std::sync::Arc;

/// A power that must be granted. Everything else (files of the run, logs, facts, the clock, artifacts that are read) every task has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Start a program on the host; the value is its name.
    Command,
    /// Start environments, and programs in them as root.
    Environment,
    /// Reach the host's network in these environments.
    Network,
    /// Fetch http and https URLs.
    Http,
    /// Upload artifacts; the value is their category.
    Upload,
    /// Import WASI, behind which there is nothing: no file, no variable, no address, clocks that stand still.
    Wasi,
}

impl Capability {
    const ALL: [Self; 6] = [
        Self::Command,
        Self::Environment,
        Self::Network,
        Self::Http,
        Self::Upload,
        Self::Wasi,
    ];

    /// Its name in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Environment => "environment",
            Self::Network => "network",
            Self::Http => "http",
            Self::Upload => "upload",
            Self::Wasi => "wasi",
        }
    }

    /// The interface of the contract that is linked only if it is granted.
    pub fn interface(self) -> Option<&'static str> {
        match self {
            Self::Command => Some("commands"),
            Self::Environment => Some("executor"),
            Self::Http => Some("http"),
            Self::Network | Self::Upload | Self::Wasi => None,
        }
    }

    /// What a component imports that uses it, less the version.
    fn imported(self) -> &'static str {
        match self {
            Self::Command => "debusine:task/commands",
            Self::Environment | Self::Network => "debusine:task/executor",
            Self::Http => "debusine:task/http",
            Self::Upload => "debusine:task/artifacts",
            Self::Wasi => "wasi:",
        }
    }

    /// The capability without which an interface of the contract is not linked; none if every run has it.
    pub fn of_interface(interface: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.interface() == Some(interface))
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    fn has_values(self) -> bool {
        matches!(self, Self::Command | Self::Upload)
    }
}

/// One use of a capability that a component asks for.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Use {
    /// The capability.
    pub capability: Capability,
    /// Which program or category; none for any, or where there is nothing to choose.
    pub value: Option<String>,
    /// Who asks: the manifest, or the imports of a component that has none.
    pub asked_by: &'static str,
    /// Whether it is granted.
    pub granted: bool,
    /// The line of the policy that decided, or the one that would grant it.
    pub decided_by: String,
}

/// What one task may do.
#[derive(Debug, Clone)]
pub struct Grants {
    task: String,
    uses: Vec<Use>,
    policy: Arc<Policy>,
}

impl Grants {
    /// Resolves what a component asks for, with its manifest or by the names of its imports, against the operator's policy.
    pub fn resolve(
        task: &str,
        manifest: &Manifest,
        imports: &[String],
        policy: &Arc<Policy>,
    ) -> Self {
        let imports = |capability: Capability| {
            let wanted = capability.imported();
            imports.iter().any(|name| name.starts_with(wanted))
        };
        let mut asked = match &manifest.needs {
            Some(needs) => asked_by_manifest(needs),
            None => asked_by_imports(&imports),
        };
        if imports(Capability::Wasi) {
            asked.push((Capability::Wasi, None, "its imports"));
        }
        let uses = asked.into_iter().map(|(capability, value, asked_by)| {
            let rule = match &value {
                Some(value) => policy.decisive(task, capability, value),
                None => policy.decisive_for_any(task, capability),
            };
            let wanted = imports(capability);
            let allowed = rule.is_some_and(policy::Rule::allows);
            let way = || line(task, capability, value.as_deref());
            let decided_by = match rule {
                _ if !wanted => format!("it does not import {}", capability.imported()),
                Some(rule) if allowed => rule.to_string(),
                Some(rule) => format!("{rule}; `{}` behind it would grant it", way()),
                None => format!("no line; `{}` would grant it", way()),
            };
            Use {
                capability,
                value,
                asked_by,
                granted: wanted && allowed,
                decided_by,
            }
        });
        Self {
            task: task.to_owned(),
            uses: uses.collect(),
            policy: Arc::clone(policy),
        }
    }

    /// Everything that was asked for, and what became of it.
    pub fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// Whether some use of a capability is granted.
    pub fn has(&self, capability: Capability) -> bool {
        let mut uses = self.uses.iter();
        uses.any(|it| it.capability == capability && it.granted)
    }

    /// Why a program or category is not granted; none if it is.
    fn objection(&self, capability: Capability, value: &str) -> Option<String> {
        let uses = self.uses.iter().filter(|it| it.capability == capability);
        let asked = uses
            .clone()
            .any(|it| it.value.as_deref().is_none_or(|named| named == value));
        let name = capability.name();
        let task = &self.task;
        if !asked {
            return Some(format!(
                "task {task} has no capability {name} {value}: its manifest does not ask for it; add it there"
            ));
        }
        let rule = self.policy.decisive(task, capability, value);
        (!rule.is_some_and(policy::Rule::allows)).then(|| {
            format!(
                "task {task} has no capability {name} {value}: the policy does not grant it; `{}` would",
                line(task, capability, Some(value))
            )
        })
    }

    /// Why a function of an interface that was not linked cannot be called, if that is for want of a capability.
    pub(crate) fn missing(&self, interface: &str) -> Option<String> {
        let capability = Capability::of_interface(interface).filter(|it| !self.has(*it))?;
        let task = &self.task;
        let asked = self.uses.iter().any(|it| it.capability == capability);
        Some(match asked {
            true => format!(
                "task {task} has no capability {}: the policy does not grant it; `{}` would",
                capability.name(),
                line(task, capability, None)
            ),
            false => format!(
                "task {task} has no capability {}: its manifest does not ask for it; add it there",
                capability.name()
            ),
        })
    }

    /// Commands on the host, of the programs that are granted.
    pub fn commands(self: &Arc<Self>, commands: Arc<dyn Commands>) -> Arc<dyn Commands> {
        Arc::new(lent::LentCommands {
            grants: Arc::clone(self),
            commands,
        })
    }

    /// Environments, on the host's network if that is granted.
    pub fn executors(self: &Arc<Self>, executors: Arc<dyn Executors>) -> Arc<dyn Executors> {
        Arc::new(lent::LentExecutors {
            grants: Arc::clone(self),
            executors,
        })
    }

    /// The artifacts, for uploads of the categories that are granted.
    pub fn artifacts(
        self: &Arc<Self>,
        artifacts: Arc<dyn ArtifactStore>,
    ) -> Arc<dyn ArtifactStore> {
        Arc::new(lent::LentArtifacts {
            grants: Arc::clone(self),
            artifacts,
        })
    }
}

type Asked = (Capability, Option<String>, &'static str);

fn asked_by_manifest(needs: &crate::component::Needs) -> Vec<Asked> {
    const BY: &str = "its manifest";
    let some = |capability, values: &[String]| -> Vec<Asked> {
        let values = values
            .iter()
            .map(|value| (capability, Some(value.clone()), BY));
        values.collect()
    };
    let mut asked = some(Capability::Command, &needs.commands);
    if needs.environments {
        asked.push((Capability::Environment, None, BY));
    }
    if needs.network {
        asked.push((Capability::Network, None, BY));
    }
    if needs.http {
        asked.push((Capability::Http, None, BY));
    }
    asked.extend(some(Capability::Upload, &needs.uploads));
    asked
}

fn asked_by_imports(imports: &dyn Fn(Capability) -> bool) -> Vec<Asked> {
    let by_contract = [
        Capability::Command,
        Capability::Environment,
        Capability::Network,
        Capability::Http,
        Capability::Upload,
    ];
    let asked = by_contract.into_iter().filter(|it| imports(*it));
    asked
        .map(|capability| (capability, None, "its imports (it has no manifest)"))
        .collect()
}

/// The line of a policy that grants this.
fn line(task: &str, capability: Capability, value: Option<&str>) -> String {
    let value = value.map_or_else(String::new, |value| format!(" {value}"));
    format!("allow {task} {}{value}", capability.name())
}

#[cfg(test)]
mod tests;
