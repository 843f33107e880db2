//! The worker's description of itself for the server: the metadata, found out in parallel, and quickly at the start.

use super::architectures::printed_by_arch_test;
use super::metadata::{self, MetadataError, SystemFacts, metadata_of, task_metadata};
use crate::component::Registry;
use crate::host::{Facts, Linkers};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;

/// What it takes to describe this worker.
#[derive(Clone)]
pub struct Description {
    /// The tasks.
    pub registry: Arc<Registry>,
    /// Links them.
    pub linkers: Arc<Linkers>,
    /// What is known of the machine.
    pub facts: Arc<dyn Facts>,
    /// A file that keeps what takes long to find out.
    pub kept: PathBuf,
}

impl Description {
    /// Everything: the machine and all tasks. A task that cannot be asked is left out, and told: the others still find work.
    pub async fn metadata(&self) -> Result<Map<String, Value>, MetadataError> {
        let (facts, kept) = (Arc::clone(&self.facts), self.kept.clone());
        let machine = tokio::task::spawn_blocking(move || {
            let printed = printed_by_arch_test(&kept, metadata::printed_by_arch_test);
            metadata_of(&SystemFacts::with_arch_test(printed), &*facts)
        });
        let tasks = self.tasks().await;
        let machine = machine.await;
        let mut metadata =
            machine.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        metadata.extend(tasks);
        Ok(metadata)
    }

    async fn tasks(&self) -> Map<String, Value> {
        let mut metadata = Map::new();
        let names: Vec<String> = self
            .registry
            .tasks()
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in names {
            match self.task(&name).await {
                Ok(added) => metadata.extend(added),
                Err(error) => tracing::error!("task {name} is not offered: {error}"),
            }
        }
        metadata
    }

    async fn task(&self, name: &str) -> Result<Map<String, Value>, MetadataError> {
        let (registry, wanted) = (Arc::clone(&self.registry), name.to_owned());
        // Compiling a task for the first time takes seconds of processor time.
        let loaded = tokio::task::spawn_blocking(move || registry.load(&wanted)).await;
        let loaded =
            loaded.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        let facts = Arc::clone(&self.facts);
        Ok(task_metadata(self.registry.engine(), &self.linkers, &loaded, facts).await?)
    }
}
