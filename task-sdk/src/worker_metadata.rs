//! What a worker says about itself, as a scheduler reads it: `{"system:worker_type": "external", "sbuild:version": 1, ...}`.

use crate::model::coercion;
use crate::task_data::Backend;
use serde_json::{Map, Value};
#[cfg(any(target_arch = "wasm32", test))]
use std::cell::RefCell;
use std::fmt::Debug;

/// `CATEGORY:KEY`, the form of every key.
pub fn metadata_key(category: &str, key: &str) -> String {
    [category, ":", key].concat()
}

/// The key that says whether a backend can be used.
pub fn executor_key(backend: Backend) -> &'static str {
    match backend {
        Backend::Auto | Backend::Unshare => "executor:unshare:available",
        Backend::IncusLxc => "executor:incus-lxc:available",
        Backend::IncusVm => "executor:incus-vm:available",
        Backend::Qemu => "executor:qemu:available",
    }
}

/// Where the metadata of a worker come from.
pub trait Metadata: Debug {
    /// The value of a key.
    fn get(&self, key: &str) -> Option<&Value>;
}

impl Metadata for Map<String, Value> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.get(key)
    }
}

/// Metadata that note which keys were asked for, in order, each once.
#[cfg(any(target_arch = "wasm32", test))]
#[derive(Debug)]
pub(crate) struct NotedMetadata<'a> {
    pub metadata: &'a dyn Metadata,
    pub keys: RefCell<Vec<String>>,
}

#[cfg(any(target_arch = "wasm32", test))]
impl Metadata for NotedMetadata<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        let mut keys = self.keys.borrow_mut();
        if !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
        self.metadata.get(key)
    }
}

/// The metadata of one worker.
#[derive(Debug, Clone, Copy)]
pub struct WorkerMetadata<'a>(pub &'a dyn Metadata);

impl WorkerMetadata<'_> {
    /// What every task asks for: a worker of its type, with the same version of the task, for its architecture if that is known.
    pub fn can_run(&self, task: &str, version: i64, architecture: Option<&str>) -> bool {
        self.is_external()
            && self.has_version(task, version)
            && architecture.is_none_or(|architecture| self.has_architecture(architecture))
    }

    /// Whether it runs tasks for others, outside the server.
    pub fn is_external(&self) -> bool {
        self.0
            .get("system:worker_type")
            .is_some_and(|kind| kind == "external")
    }

    /// Whether its version of a task is this one.
    pub fn has_version(&self, task: &str, version: i64) -> bool {
        self.0
            .get(&metadata_key(task, "version"))
            .is_some_and(|found| coercion::equal(found, &version.into()))
    }

    /// Whether it can run programs of an architecture.
    pub fn has_architecture(&self, architecture: &str) -> bool {
        match self.0.get("system:architectures") {
            Some(Value::Array(architectures)) => {
                architectures.iter().any(|known| known == architecture)
            }
            // Python's `in`, which the reference applies, searches a text.
            Some(Value::String(architectures)) => architectures.contains(architecture),
            _ => false,
        }
    }

    /// Whether a tool is there, e.g. `sbuild`.
    pub fn has_tool(&self, tool: &str) -> bool {
        self.is_true(&metadata_key(tool, "available"))
    }

    /// Whether a backend can be used.
    pub fn has_executor(&self, backend: Backend) -> bool {
        self.is_true(executor_key(backend))
    }

    /// Whether a key is there and true, by Python's idea of truth.
    pub fn is_true(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(coercion::is_truthy)
    }
}
