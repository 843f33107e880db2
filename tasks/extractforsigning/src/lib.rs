//! extractforsigning: take the files out of packages that need a signature.

mod data;
mod signing_inputs;

use data::{ExtractForSigningData, ExtractForSigningDynamicData};
use signing_inputs::SigningInputs;
use std::collections::BTreeMap;
use task_sdk::code_signing::{Template, Unpacker, package_name};
use task_sdk::prelude::*;

/// Takes out the files that a template names.
pub struct ExtractForSigning {
    core: Core<Self>,
    /// The template, once it has been fetched.
    template: Option<Template>,
    /// The packages with the files, by their names.
    binaries: BTreeMap<String, BinaryPackage>,
    /// What is to be uploaded, once it has been taken out.
    results: Option<SigningInputs>,
}

/// A package among the inputs.
struct BinaryPackage {
    /// Its artifact.
    id: i64,
    /// The absolute path of its file.
    deb: String,
}

register_task!(ExtractForSigning as ExternalTask);

impl Task for ExtractForSigning {
    const NAME: &'static str = "extractforsigning";
    const SUMMARY: &'static str = "Take the files out of packages that need a signature";
    const NEEDS: Option<Needs> = Some(Needs {
        environments: true,
        uploads: &["debusine:signing-input"],
        ..Needs::NOTHING
    });

    type Data = ExtractForSigningData;
    type DynamicData = ExtractForSigningDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self {
            core,
            template: None,
            binaries: BTreeMap::new(),
            results: None,
        }
    }

    fn core(&self) -> &Core<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<Self> {
        &mut self.core
    }

    fn label(&self) -> String {
        "extract signing input".to_owned()
    }

    fn can_run_on(&self, worker: WorkerMetadata<'_>) -> bool {
        worker.has_executor(self.backend().effective())
    }

    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<ExtractForSigningDynamicData, DynamicDataError> {
        let template = database.lookup_single(&self.core.data.input.template_artifact, None)?;
        template.require_category("input.template_artifact", &[BINARY_PACKAGE])?;
        let binaries = self.find_binaries(database)?;
        let environment = self.find_any_environment(database)?.ok_or_else(|| {
            DynamicDataError::Config("environment: none is given; name one".to_owned())
        })?;
        let subject = template.package_name()?;
        Ok(ExtractForSigningDynamicData {
            common: DynamicFields {
                subject,
                ..DynamicFields::default()
            },
            environment_id: environment.id,
            input_template_artifact_id: template.id,
            input_binary_artifacts_ids: binaries,
        })
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

const BINARY_PACKAGE: &str = Category::BinaryPackage.as_str();
const UPLOAD: &str = Category::Upload.as_str();

impl ExtractForSigning {
    /// Numbers of the packages that the data name: single ones first, then those of uploads.
    fn find_binaries(&self, database: &TaskDatabase) -> Result<Vec<i64>, DynamicDataError> {
        let lookup = &self.core.data.input.binary_artifacts;
        let found = match lookup.is_empty() {
            true => Vec::new(),
            false => database.lookup_multiple(&lookup.export(), None)?,
        };
        for artifact in &found {
            artifact.require_category("input.binary_artifacts", &[BINARY_PACKAGE, UPLOAD])?;
        }
        let (uploads, mut packages): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|artifact| artifact.category == UPLOAD);
        if !uploads.is_empty() {
            let uploads: Vec<i64> = uploads.iter().map(|upload| upload.id).collect();
            packages.extend(database.related(&uploads, BINARY_PACKAGE, RelationType::Extends)?);
        }
        Ok(packages.iter().map(|package| package.id).collect())
    }
}

impl TaskWithExecutor for ExtractForSigning {
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

impl ExternalTask for ExtractForSigning {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        let dynamic_data = self.core.dynamic_data()?.clone();
        let directory = workspace.download.create_directory("template")?;
        let id = dynamic_data.input_template_artifact_id;
        self.template = fetch_template(id, &directory)?;
        if self.template.is_none() {
            return Ok(false);
        }
        let directory = workspace.download.create_directory("binary")?;
        for id in dynamic_data.input_binary_artifacts_ids {
            let (name, package) = fetch_binary(id, &directory)?;
            self.binaries.insert(name, package);
        }
        Ok(true)
    }

    fn configure_for_execution(&mut self, _workspace: &Workspace) -> Result<bool> {
        self.prepare_executor_instance()?;
        Ok(true)
    }

    fn run(&mut self, workspace: &Workspace) -> Result<bool> {
        let template = required(self.template.as_ref(), "template package")?;
        let unpacker = Unpacker::new(self.core.instance()?, workspace)?;
        let results = SigningInputs::extract(&unpacker, template, &self.binaries)?;
        self.results = Some(results);
        Ok(true)
    }

    fn upload_artifacts(&mut self, _workspace: &Workspace, execution_success: bool) -> Result<()> {
        match self.results.take() {
            Some(results) if execution_success => {
                results.upload(self.core.dynamic_data()?.input_template_artifact_id)
            }
            _ => Ok(()),
        }
    }
}

/// Fetches the template; none if it is no template, which the log then says.
fn fetch_template(id: i64, directory: &Directory) -> Result<Option<Template>> {
    let artifact = Artifact::fetch(id, directory)?;
    if !artifact.is_accepted("input.template_artifact", &[Category::BinaryPackage])? {
        return Ok(None);
    }
    let file = only_file(&artifact)?;
    if !file.ends_with(".deb") {
        let line = format!("input.template_artifact: {file} is no .deb file: give a package\n");
        append_to_log("fetch_input.log", &line)?;
        return Ok(None);
    }
    Template::new(&artifact, directory.path(file)).map(Some)
}

/// Fetches a package with files to be signed; gives its name with it.
fn fetch_binary(id: i64, directory: &Directory) -> Result<(String, BinaryPackage)> {
    let artifact = Artifact::fetch(id, directory)?;
    if artifact.category != BINARY_PACKAGE {
        let words = format!(
            "input.binary_artifacts: artifact {id} is a {}, expected {BINARY_PACKAGE}",
            artifact.category
        );
        return Err(Failure::new("invalid-data", words));
    }
    let deb = directory.path(only_file(&artifact)?);
    Ok((
        package_name(&artifact)?.to_owned(),
        BinaryPackage { id, deb },
    ))
}

/// The file of an artifact that has one.
fn only_file(artifact: &Artifact) -> Result<&str> {
    match artifact.files.as_slice() {
        [file] => Ok(&file.path),
        files => {
            let words = format!(
                "artifact {}: {} files where one package is expected",
                artifact.id,
                files.len()
            );
            Err(Failure::new("invalid-data", words))
        }
    }
}

#[cfg(test)]
mod tests;
