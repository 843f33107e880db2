//! makesourcepackageupload: prepare the upload of a source package.

mod data;

use data::{MakeSourcePackageUploadData, MakeSourcePackageUploadDynamicData};
use task_sdk::artifacts::build;
use task_sdk::prelude::*;

/// A task that prepares an upload.
pub struct MakeSourcePackageUpload {
    core: Core<Self>,
    /// Name of the `.dsc` file among the inputs; none before it was found.
    dsc: Option<String>,
}

/// The script that writes the `.changes` file, among the inputs, so that it gets into the instance with them.
const SCRIPT: &str = "makesourcepackageupload.sh";

register_task!(MakeSourcePackageUpload as RunCommandTask);

impl Task for MakeSourcePackageUpload {
    const NAME: &'static str = "makesourcepackageupload";
    const SUMMARY: &'static str = "Prepare the upload of a source package";
    const NEEDS: Option<Needs> = Some(Needs {
        environments: true,
        uploads: &["debian:upload"],
        ..Needs::NOTHING
    });

    type Data = MakeSourcePackageUploadData;
    type DynamicData = MakeSourcePackageUploadDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self { core, dsc: None }
    }

    fn core(&self) -> &Core<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<Self> {
        &mut self.core
    }

    fn label(&self) -> String {
        "prepare source package upload".to_owned()
    }

    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<MakeSourcePackageUploadDynamicData, DynamicDataError> {
        let source = database.lookup_single(&self.core.data.input.source_artifact, None)?;
        source.require_category("input.source_artifact", &[Category::SourcePackage.as_str()])?;
        let environment = self.find_any_environment(database)?.ok_or_else(|| {
            DynamicDataError::Config("environment: none is given; name one".to_owned())
        })?;
        let subject = source.source_name()?;
        Ok(MakeSourcePackageUploadDynamicData {
            common: DynamicFields {
                subject,
                ..DynamicFields::default()
            },
            environment_id: environment.id,
            input_source_artifact_id: source.id,
        })
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

impl TaskWithExecutor for MakeSourcePackageUpload {
    fn backend(&self) -> Backend {
        self.core.data.executor.backend
    }

    fn environment(&self) -> Option<&SingleLookup> {
        Some(&self.core.data.executor.environment)
    }

    fn environment_id(&self) -> Option<i64> {
        Some(self.core.dynamic_data.as_ref()?.environment_id)
    }
}

impl MakeSourcePackageUpload {
    fn dsc(&self) -> Result<&str> {
        required(self.dsc.as_deref(), ".dsc file of the source package")
    }

    /// Name of the `.changes` file, beside the `.dsc` file.
    fn changes(&self) -> Result<String> {
        let dsc = self.dsc()?;
        let stem = dsc.strip_suffix(".dsc").unwrap_or(dsc);
        Ok(format!("{stem}_source.changes"))
    }
}

impl ExternalTask for MakeSourcePackageUpload {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        let id = self.core.dynamic_data()?.input_source_artifact_id;
        let artifact = Artifact::get(id)?;
        if !artifact.is_accepted("input.source_artifact", &[Category::SourcePackage])? {
            return Ok(false);
        }
        Artifact::fetch(id, &workspace.download)?;
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        let download = &workspace.download;
        self.dsc = download.find_file(&[".dsc"])?;
        self.dsc()?;
        download.write(SCRIPT, 0o644, include_str!("makesourcepackageupload.sh"))?;
        self.prepare_executor_instance()?;
        Ok(true)
    }

    /// Uploads what there is, also after a failure: a `.changes` file that was written is whole.
    fn upload_artifacts(&mut self, workspace: &Workspace, _execution_success: bool) -> Result<()> {
        let download = &workspace.download;
        let changes = self.changes()?;
        let instance = self.core.instance()?;
        instance.pull_file(&download.path(&changes), download, &changes)?;
        let source = self.core.dynamic_data()?.input_source_artifact_id;
        let id = upload(build::upload(download, &changes)?, download)?;
        relate(id, source, RelationType::Extends)?;
        relate(id, source, RelationType::RelatesTo)
    }
}

impl RunCommandTask for MakeSourcePackageUpload {
    fn command_line(&mut self, workspace: &Workspace) -> Result<Vec<String>> {
        let download = &workspace.download;
        let data = &self.core.data;
        Ok(vec![
            "bash".to_owned(),
            "-x".to_owned(),
            "-e".to_owned(),
            download.path(SCRIPT),
            download.path(self.dsc()?),
            download.path(&self.changes()?),
            data.since_version.clone().unwrap_or_default(),
            data.target_distribution.clone().unwrap_or_default(),
        ])
    }
}

#[cfg(test)]
mod tests;
