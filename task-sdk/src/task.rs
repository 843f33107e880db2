//! The pure side of a task: what a scheduler asks.

use crate::core::Core;
use crate::database::{DynamicDataError, TaskDatabase};
use crate::model::Model;
use crate::needs::Needs;
use crate::worker_metadata::WorkerMetadata;
use serde_json::{Map, Value};

/// A task: data, and answers about them. Same data, same answers.
pub trait Task: Sized + 'static {
    /// Its name: lower-case letters and digits; the component's file has the same.
    const NAME: &'static str;

    /// What it does, in one line.
    const SUMMARY: &'static str;

    /// Version of its behaviour; workers report theirs, and must have the same.
    const VERSION: u32 = 1;

    /// What it needs of the worker's power; none asks for all that its component imports.
    const NEEDS: Option<Needs> = None;

    /// The task data.
    type Data: Model;

    /// What a scheduler found out about them.
    type DynamicData: Model;

    /// A task with these data.
    fn new(core: Core<Self>) -> Self;

    /// The common part.
    fn core(&self) -> &Core<Self>;

    /// The common part, to change.
    fn core_mut(&mut self) -> &mut Core<Self>;

    /// What the task is about, in a few words.
    fn label(&self) -> String {
        Self::NAME.to_owned()
    }

    /// The architecture that it builds or tests for: the worker's own unless the data say so.
    fn host_architecture(&self) -> Option<&str> {
        self.core().worker_architecture.as_deref()
    }

    /// What it adds to the metadata of a worker besides its version, e.g. `sbuild:available`.
    fn analyze_worker(_metadata: &mut Map<String, Value>) {}

    /// What it needs of a worker besides the right type, version and architecture.
    fn can_run_on(&self, _worker: WorkerMetadata<'_>) -> bool {
        true
    }

    /// Resolves what the data name.
    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<Self::DynamicData, DynamicDataError>;

    /// Numbers of the artifacts that it will read; none if it does not tell.
    fn source_artifacts_ids(&self) -> Option<Vec<i64>>;
}
