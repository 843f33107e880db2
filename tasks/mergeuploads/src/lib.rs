//! mergeuploads: merge several uploads of one source package into one.

mod data;

use data::{MergeUploadsData, MergeUploadsDynamicData};
use std::collections::BTreeSet;
use task_sdk::artifacts::{ArtifactError, FilesError, build};
use task_sdk::debian::changes::Changes;
use task_sdk::debian::deb822::LONGEST_STANZA;
use task_sdk::debian::merge::{file_name, merge};
use task_sdk::paths;
use task_sdk::prelude::*;

/// A task that merges uploads.
pub struct MergeUploads {
    core: Core<Self>,
    /// Names of the `.changes` files among the inputs, in order.
    changes: Vec<String>,
    /// The merged upload, or why its files are not those that it lists; none before it was made.
    merged: Option<Result<Draft, FilesError>>,
}

register_task!(MergeUploads as ExternalTask);

impl Task for MergeUploads {
    const NAME: &'static str = "mergeuploads";
    const SUMMARY: &'static str = "Merge several uploads of one source package into one";
    const NEEDS: Option<Needs> = Some(Needs {
        uploads: &["debian:upload"],
        ..Needs::NOTHING
    });

    type Data = MergeUploadsData;
    type DynamicData = MergeUploadsDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self {
            core,
            changes: Vec::new(),
            merged: None,
        }
    }

    fn core(&self) -> &Core<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<Self> {
        &mut self.core
    }

    fn label(&self) -> String {
        "merge package uploads".to_owned()
    }

    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<MergeUploadsDynamicData, DynamicDataError> {
        let lookup = &self.core.data.input.uploads;
        let uploads = match lookup.is_empty() {
            true => Vec::new(),
            false => database.lookup_multiple(&lookup.export(), None)?,
        };
        let mut sources = BTreeSet::new();
        for upload in &uploads {
            upload.require_category("input.uploads", &[Category::Upload.as_str()])?;
            sources.insert(upload.source_name()?);
        }
        Ok(MergeUploadsDynamicData {
            common: DynamicFields {
                // None if they do not agree on one.
                subject: sources.pop_first().flatten().filter(|_| sources.is_empty()),
                ..DynamicFields::default()
            },
            // Nothing is run: an environment that the data name is not even looked up.
            environment_id: None,
            input_uploads_ids: uploads.iter().map(|upload| upload.id).collect(),
        })
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

impl ExternalTask for MergeUploads {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        for id in &self.core.dynamic_data()?.input_uploads_ids {
            let upload = Artifact::get(*id)?;
            if !upload.is_accepted("input.uploads", &[Category::Upload])? {
                return Ok(false);
            }
            Artifact::fetch(*id, &workspace.download)?;
        }
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        self.changes = workspace.download.find_files(&[".changes"])?;
        required(self.changes.first(), ".changes file of the uploads")?;
        Ok(true)
    }

    fn run(&mut self, workspace: &Workspace) -> Result<bool> {
        let merged = merge(&read_all(&workspace.download, &self.changes)?)?;
        let name = file_name(&merged)?;
        // It comes from fields of the uploads, where anything can stand.
        paths::check_name(&name)?;
        workspace.download.write(&name, 0o644, merged.to_text())?;
        self.merged = Some(match build::upload(&workspace.download, &name) {
            // That is for the upload to say, as for all artifacts.
            Err(ArtifactError::Files(
                error @ (FilesError::NotOne { .. } | FilesError::Listed { .. }),
            )) => Err(error),
            made => Ok(made?),
        });
        Ok(true)
    }

    fn upload_artifacts(&mut self, workspace: &Workspace, _execution_success: bool) -> Result<()> {
        let merged = required(self.merged.take(), "merged upload")??;
        let id = upload(merged, &workspace.download)?;
        for input in &self.core.dynamic_data()?.input_uploads_ids {
            relate(id, *input, RelationType::Extends)?;
        }
        Ok(())
    }
}

/// Reads the uploads to be merged. Together they may be as long as the one that becomes of them.
fn read_all(directory: &Directory, names: &[String]) -> Result<Vec<Changes>> {
    let mut left = LONGEST_STANZA as u64;
    let read = |name: &String| {
        let content = directory.read(name, left).map_err(|failure| {
            failure.while_doing("reading the .changes files, which may have 16 MiB together")
        })?;
        left -= content.len() as u64;
        Changes::parse(&content).map_err(|error| Failure::from(error).while_doing(name))
    };
    names.iter().map(read).collect()
}

#[cfg(test)]
mod tests;
