//! simplesystemimagebuild: make a bootable system image from package repositories.

mod command_line;
mod data;
mod image;

use data::{SimpleSystemImageBuildData, SimpleSystemImageBuildDynamicData, Variant};
use task_sdk::artifacts::build;
use task_sdk::bootstrap::{self, Preparation};
use task_sdk::paths;
use task_sdk::prelude::*;

/// A task that makes a system image.
pub struct SimpleSystemImageBuild {
    core: Core<Self>,
    /// What the tool reads, once it has been written.
    preparation: Option<Preparation>,
}

register_task!(SimpleSystemImageBuild as RunCommandTask);

impl Task for SimpleSystemImageBuild {
    const NAME: &'static str = "simplesystemimagebuild";
    const SUMMARY: &'static str = "Make a bootable system image from package repositories";
    const NEEDS: Option<Needs> = Some(Needs {
        commands: &[
            "/usr/share/debusine-worker/debefivm-create",
            "dpkg-query",
            "qemu-img",
            "tar",
        ],
        http: true,
        uploads: &["debian:system-image"],
        ..Needs::NOTHING
    });

    type Data = SimpleSystemImageBuildData;
    type DynamicData = SimpleSystemImageBuildDynamicData;

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
        "bootstrap a system image".to_owned()
    }

    fn host_architecture(&self) -> Option<&str> {
        Some(&self.core.data.bootstrap_options.system.architecture)
    }

    fn analyze_worker(metadata: &mut Map<String, Value>) {
        // The tool is a wrapper around mmdebstrap.
        let available = command_available("mmdebstrap");
        metadata.insert(
            "simplesystemimagebuild:available".to_owned(),
            available.into(),
        );
    }

    fn can_run_on(&self, worker: WorkerMetadata<'_>) -> bool {
        worker.has_tool("simplesystemimagebuild")
    }

    fn compute_dynamic_data(
        &self,
        _database: &TaskDatabase,
    ) -> Result<SimpleSystemImageBuildDynamicData, DynamicDataError> {
        let data = &self.core.data;
        let options = &data.bootstrap_options;
        let variant = options.variant.map(Variant::as_str);
        Ok(bootstrap::dynamic_data(
            &options.system,
            variant,
            &data.bootstrap,
        ))
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

impl ExternalTask for SimpleSystemImageBuild {
    /// Everything comes from repositories, no artifact is an input.
    fn fetch_input(&mut self, _workspace: &Workspace) -> Result<bool> {
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        let data = &self.core.data;
        // A program of the host will write this file: it must not lead out of the working directory.
        paths::check_name(&data.disk_image.file())
            .map_err(|error| Failure::from(error).while_doing("disk_image.filename"))?;
        let options = &data.bootstrap_options.system;
        let preparation = Preparation::make(options, &data.bootstrap, &workspace.download)?;
        self.preparation = Some(preparation);
        Ok(true)
    }

    fn upload_artifacts(&mut self, workspace: &Workspace, execution_success: bool) -> Result<()> {
        if !execution_success {
            return Ok(());
        }
        let data = &self.core.data;
        let execute = &workspace.execute;
        image::convert(&data.disk_image, execute)?;
        let described = image::describe(data, execute)?;
        let draft = build::system_image(execute, &described, &data.disk_image.file())?;
        upload(draft, execute)?;
        Ok(())
    }
}

impl RunCommandTask for SimpleSystemImageBuild {
    fn command_line(&mut self, _workspace: &Workspace) -> Result<Vec<String>> {
        let preparation = required(self.preparation.as_ref(), "preparation of the task")?;
        Ok(command_line::compose(&self.core.data, preparation))
    }
}

#[cfg(test)]
mod tests;
