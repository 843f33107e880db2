//! assemblesignedsource: make a source package from a template and signatures.

mod data;
mod results;
mod signatures;
mod source;

use data::{AssembleSignedSourceData, AssembleSignedSourceDynamicData};
use results::Results;
use signatures::Signatures;
use task_sdk::code_signing::{Template, Unpacker};
use task_sdk::prelude::*;

/// Puts signatures into the source package that a template holds.
pub struct AssembleSignedSource {
    core: Core<Self>,
    /// The template, once it has been fetched.
    template: Option<Template>,
    /// The signatures, once they have been fetched.
    signatures: Signatures,
    /// The source package and its upload, once they have been made.
    results: Option<Results>,
}

register_task!(AssembleSignedSource as ExternalTask);

impl Task for AssembleSignedSource {
    const NAME: &'static str = "assemblesignedsource";
    const SUMMARY: &'static str = "Make a source package from a template and signatures";
    const NEEDS: Option<Needs> = Some(Needs {
        environments: true,
        network: true,
        uploads: &["debian:source-package", "debian:upload"],
        ..Needs::NOTHING
    });

    type Data = AssembleSignedSourceData;
    type DynamicData = AssembleSignedSourceDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self {
            core,
            template: None,
            signatures: Signatures::default(),
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
        "assemble signed source".to_owned()
    }

    fn can_run_on(&self, worker: WorkerMetadata<'_>) -> bool {
        worker.has_executor(self.backend().effective())
    }

    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<AssembleSignedSourceDynamicData, DynamicDataError> {
        let data = &self.core.data;
        let template = database.lookup_single(&data.template, None)?;
        template.require_category("template", &[Category::BinaryPackage.as_str()])?;
        let environment = self.find_any_environment(database)?.ok_or_else(|| {
            DynamicDataError::Config("environment: none is given; name one".to_owned())
        })?;
        let signed = match data.signed.is_empty() {
            true => Vec::new(),
            false => database.lookup_multiple(&data.signed.export(), None)?,
        };
        let subject = template.package_name()?;
        Ok(AssembleSignedSourceDynamicData {
            common: DynamicFields {
                subject,
                ..DynamicFields::default()
            },
            environment_id: environment.id,
            template_id: template.id,
            signed_ids: signed.iter().map(|artifact| artifact.id).collect(),
        })
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

impl TaskWithExecutor for AssembleSignedSource {
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

impl ExternalTask for AssembleSignedSource {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        let dynamic_data = self.core.dynamic_data()?.clone();
        let directory = workspace.download.create_directory("template-artifact")?;
        self.template = fetch_template(dynamic_data.template_id, &directory)?;
        if self.template.is_none() {
            return Ok(false);
        }
        workspace.download.create_directory(signatures::DIRECTORY)?;
        for id in dynamic_data.signed_ids {
            if !self.signatures.fetch(id, &workspace.download)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        self.prepare_executor_instance()?;
        let instance = self.core.instance()?;
        instance.install(&["dpkg-dev"], None, &workspace.execute)?;
        Ok(true)
    }

    fn run(&mut self, workspace: &Workspace) -> Result<bool> {
        let template = required(self.template.as_ref(), "template package")?;
        let unpacker = Unpacker::new(self.core.instance()?, workspace)?;
        let source = source::take_out(&unpacker, template)?;
        let signed = source::manifest(&unpacker, template)?;
        self.signatures.add(&signed, &workspace.download, &source)?;
        unpacker.push_directory(source::DIRECTORY)?;
        self.results = Some(Results::build(&unpacker, &source)?);
        Ok(true)
    }

    fn upload_artifacts(&mut self, _workspace: &Workspace, execution_success: bool) -> Result<()> {
        match &self.results {
            Some(results) if execution_success => {
                let built_using = self.signatures.built_using.as_deref();
                results.upload(required(built_using, "artifact with signatures: `signed`")?)
            }
            _ => Ok(()),
        }
    }
}

/// Fetches the template; none if it is no template, which the log then says.
fn fetch_template(id: i64, directory: &Directory) -> Result<Option<Template>> {
    let artifact = Artifact::fetch(id, directory)?;
    if !artifact.is_accepted("template", &[Category::BinaryPackage])? {
        return Ok(None);
    }
    let debs = artifact.paths().filter(|path| path.ends_with(".deb"));
    let [deb] = debs.collect::<Vec<_>>()[..] else {
        let line = "template: not exactly one .deb file in it: give a package\n";
        append_to_log("fetch_input.log", line)?;
        return Ok(None);
    };
    Template::new(&artifact, directory.path(deb)).map(Some)
}

#[cfg(test)]
mod tests;
