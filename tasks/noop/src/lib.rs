//! noop: does nothing, and answers what it was told to. For trying out workers and schedulers.

mod data;

use data::{NoopData, NoopDynamicData};
use task_sdk::prelude::*;

/// A task that does nothing.
pub struct Noop {
    core: Core<Self>,
}

register_task!(Noop as ExternalTask);

impl Task for Noop {
    const NAME: &'static str = "noop";
    const SUMMARY: &'static str = "Do nothing, and succeed or fail as told";
    const NEEDS: Option<Needs> = Some(Needs::NOTHING);

    type Data = NoopData;
    type DynamicData = NoopDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self { core }
    }

    fn core(&self) -> &Core<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<Self> {
        &mut self.core
    }

    fn compute_dynamic_data(
        &self,
        _database: &TaskDatabase,
    ) -> Result<NoopDynamicData, DynamicDataError> {
        Ok(NoopDynamicData::default())
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

impl ExternalTask for Noop {
    fn fetch_input(&mut self, _workspace: &Workspace) -> Result<bool> {
        Ok(true)
    }

    fn run(&mut self, _workspace: &Workspace) -> Result<bool> {
        Ok(self.core.data.result)
    }
}
