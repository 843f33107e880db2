//! blhc: check a build log for missing hardening flags.

mod data;

use data::{BlhcData, BlhcDynamicData};
use task_sdk::artifacts::build;
use task_sdk::prelude::*;

/// A check of a build log.
pub struct Blhc {
    core: Core<Self>,
    /// Name of the build log among the inputs; none before it was found.
    log: Option<String>,
}

register_task!(Blhc as RunCommandTask);

impl Task for Blhc {
    const NAME: &'static str = "blhc";
    const SUMMARY: &'static str = "Check a build log for missing hardening flags";
    const NEEDS: Option<Needs> = Some(Needs {
        environments: true,
        network: true,
        uploads: &["debian:blhc"],
        ..Needs::NOTHING
    });

    type Data = BlhcData;
    type DynamicData = BlhcDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self { core, log: None }
    }

    fn core(&self) -> &Core<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<Self> {
        &mut self.core
    }

    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<BlhcDynamicData, DynamicDataError> {
        let log = database.lookup_single(&self.core.data.input.artifact, None)?;
        log.require_category("input.artifact", &[Category::PackageBuildLog.as_str()])?;
        let subject = log.source_name()?;
        let environment = self.find_any_environment(database)?;
        Ok(BlhcDynamicData {
            common: DynamicFields {
                subject,
                ..DynamicFields::default()
            },
            environment_id: environment.map(|environment| environment.id),
            input_artifact_id: log.id,
        })
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

impl TaskWithExecutor for Blhc {
    fn backend(&self) -> Backend {
        self.core.data.executor.backend
    }

    fn environment(&self) -> Option<&SingleLookup> {
        self.core.data.executor.environment.as_ref()
    }

    fn environment_id(&self) -> Option<i64> {
        self.core.dynamic_data.as_ref()?.environment_id
    }
}

impl ExternalTask for Blhc {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        Artifact::fetch(
            self.core.dynamic_data()?.input_artifact_id,
            &workspace.download,
        )?;
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        self.prepare_executor_instance()?;
        let instance = self.core.instance()?;
        instance.install(&["blhc"], None, &workspace.execute)?;
        let logs = workspace.download.find_files(&[".build"])?;
        self.log = logs.into_iter().next();
        if self.log.is_none() {
            append_to_log(
                "configure_for_execution.log",
                "there is no *.build file among the inputs: check the files of the artifact\n",
            )?;
        }
        Ok(self.log.is_some())
    }

    fn upload_artifacts(&mut self, workspace: &Workspace, _execution_success: bool) -> Result<()> {
        let draft = build::blhc(&workspace.execute, REPORT)?;
        let report = upload(draft, &workspace.execute)?;
        for input in fetched_artifacts() {
            relate(report, input, RelationType::RelatesTo)?;
        }
        Ok(())
    }
}

/// What blhc has to say.
const REPORT: &str = "blhc.txt";

impl RunCommandTask for Blhc {
    const CAPTURE_OUTPUT_FILENAME: Option<&'static str> = Some(REPORT);

    fn command_line(&mut self, workspace: &Workspace) -> Result<Vec<String>> {
        let log = required(self.log.as_deref(), "build log")?;
        let flags = self.core.data.extra_flags.iter();
        let mut arguments = vec!["blhc".to_owned(), "--debian".to_owned()];
        arguments.extend(flags.map(|flag| flag.as_str().to_owned()));
        arguments.push(workspace.download.path(log));
        Ok(arguments)
    }

    /// A log without anything to check has status 1; greater ones tell of missing flags, or of trouble.
    fn task_succeeded(&mut self, _workspace: &Workspace, exit: Exit) -> Result<bool> {
        Ok(matches!(exit, Exit::Exited(0 | 1)))
    }
}

#[cfg(test)]
mod tests;
