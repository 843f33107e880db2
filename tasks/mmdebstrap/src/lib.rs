//! mmdebstrap: make a system tarball from package repositories.

mod command_line;
mod data;
mod tarball;

use data::{BootstrapOptions, MmDebstrapData, MmDebstrapDynamicData, Variant};
use task_sdk::bootstrap::{self, BootstrapFields, Preparation};
use task_sdk::prelude::*;

/// A task that makes a system tarball.
pub struct MmDebstrap {
    core: Core<Self>,
    /// What mmdebstrap reads, once it has been written.
    preparation: Option<Preparation>,
}

register_task!(MmDebstrap as RunCommandTask);

impl MmDebstrap {
    fn options(&self) -> &BootstrapOptions {
        &self.core.data.bootstrap_options
    }

    fn bootstrap(&self) -> &BootstrapFields {
        &self.core.data.bootstrap
    }

    fn variant(&self) -> Option<&'static str> {
        self.options().variant.map(Variant::as_str)
    }
}

impl Task for MmDebstrap {
    const NAME: &'static str = "mmdebstrap";
    const SUMMARY: &'static str = "Make a system tarball from package repositories";
    const NEEDS: Option<Needs> = Some(Needs {
        commands: &["mmdebstrap", "dpkg-query"],
        http: true,
        uploads: &["debian:system-tarball"],
        ..Needs::NOTHING
    });

    type Data = MmDebstrapData;
    type DynamicData = MmDebstrapDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self {
            core,
            preparation: None,
        }
    }

    fn core(&self) -> &Core<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<Self> {
        &mut self.core
    }

    fn label(&self) -> String {
        "bootstrap a system tarball".to_owned()
    }

    fn host_architecture(&self) -> Option<&str> {
        Some(&self.options().system.architecture)
    }

    fn analyze_worker(metadata: &mut Map<String, Value>) {
        let available = command_available("mmdebstrap");
        metadata.insert("mmdebstrap:available".to_owned(), available.into());
    }

    fn can_run_on(&self, worker: WorkerMetadata<'_>) -> bool {
        worker.has_tool("mmdebstrap")
    }

    fn compute_dynamic_data(
        &self,
        _database: &TaskDatabase,
    ) -> Result<MmDebstrapDynamicData, DynamicDataError> {
        let system = &self.options().system;
        Ok(bootstrap::dynamic_data(
            system,
            self.variant(),
            self.bootstrap(),
        ))
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

impl ExternalTask for MmDebstrap {
    /// Everything comes from repositories, no artifact is an input.
    fn fetch_input(&mut self, _workspace: &Workspace) -> Result<bool> {
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        let system = &self.options().system;
        let preparation = Preparation::make(system, self.bootstrap(), &workspace.download)?;
        self.preparation = Some(preparation);
        Ok(true)
    }

    fn upload_artifacts(&mut self, workspace: &Workspace, execution_success: bool) -> Result<()> {
        if !execution_success {
            return Ok(());
        }
        let data = tarball::describe(self.options(), self.bootstrap(), &workspace.execute)?;
        let draft = artifacts::build::system_tarball(&workspace.execute, &data, tarball::FILE)?;
        upload(draft, &workspace.execute)?;
        Ok(())
    }
}

impl RunCommandTask for MmDebstrap {
    fn command_line(&mut self, _workspace: &Workspace) -> Result<Vec<String>> {
        let preparation = required(self.preparation.as_ref(), "preparation of the task")?;
        Ok(command_line::compose(self.options(), preparation))
    }
}

#[cfg(test)]
mod tests;
