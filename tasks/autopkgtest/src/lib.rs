//! autopkgtest: run the tests that a Debian source package declares.

mod command_line;
mod data;
mod results;
mod summary;

use command_line::TestRun;
use data::{AutopkgtestData, AutopkgtestDynamicData};
use results::TestedSource;
use summary::Summary;
use task_sdk::debian::deb822::LONGEST_STANZA;
use task_sdk::debian::dsc::Dsc;
use task_sdk::prelude::*;

/// Where autopkgtest leaves what it found out, in the working directory.
const OUTPUT: &str = "artifact-dir";

/// The results of all tests in short, in the working directory.
const SUMMARY: &str = "artifact-dir/summary";

/// Tests of one source package.
pub struct Autopkgtest {
    core: Core<Self>,
    /// The `.dsc` file among the inputs; none before they were fetched, or if they have none.
    dsc: Option<FetchedDsc>,
    /// What the tests belong to, once the `.dsc` was read.
    source: Option<TestedSource>,
    /// Names of the packages to test, and of the `.dsc`.
    targets: Vec<String>,
    /// Extra repositories in the form of the environment's release.
    extra_sources: ExtraSources,
}

/// A `.dsc` file among the inputs.
struct FetchedDsc {
    name: String,
    url: String,
}

register_task!(Autopkgtest as RunCommandTask);

impl Task for Autopkgtest {
    const NAME: &'static str = "autopkgtest";
    const SUMMARY: &'static str = "Run the tests that a Debian source package declares";
    const NEEDS: Option<Needs> = Some(Needs {
        commands: &["autopkgtest"],
        environments: true,
        uploads: &["debian:autopkgtest"],
        ..Needs::NOTHING
    });

    type Data = AutopkgtestData;
    type DynamicData = AutopkgtestDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self {
            core,
            dsc: None,
            source: None,
            targets: Vec::new(),
            extra_sources: ExtraSources::default(),
        }
    }

    fn core(&self) -> &Core<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<Self> {
        &mut self.core
    }

    fn label(&self) -> String {
        let dynamic_data = self.core.dynamic_data.as_ref();
        match dynamic_data.and_then(|data| data.common.subject.as_deref()) {
            None | Some("") => Self::NAME.to_owned(),
            Some(subject) => format!("{} {subject}", Self::NAME),
        }
    }

    fn host_architecture(&self) -> Option<&str> {
        Some(&self.core.data.host_architecture)
    }

    fn analyze_worker(metadata: &mut Map<String, Value>) {
        let available = command_available("autopkgtest");
        metadata.insert("autopkgtest:available".to_owned(), available.into());
    }

    fn can_run_on(&self, worker: WorkerMetadata<'_>) -> bool {
        worker.has_executor(self.backend().effective()) && worker.has_tool("autopkgtest")
    }

    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<AutopkgtestDynamicData, DynamicDataError> {
        let data = &self.core.data;
        let input = &data.input;
        let source = database.lookup_single(&input.source_artifact, None)?;
        source.require_category("input.source_artifact", &SOURCES.map(Category::as_str))?;
        let subject = source.source_name()?;
        let environment = self.find_environment(database, &ENVIRONMENTS.map(Category::as_str))?;
        let environment = environment.ok_or_else(|| {
            DynamicDataError::Config("environment: none given; name a system image".to_owned())
        })?;
        let backend = self.backend().effective();
        Ok(AutopkgtestDynamicData {
            common: DynamicFields {
                subject,
                runtime_context: Some(format!("{}:{}", data.host_architecture, backend.as_str())),
                configuration_context: environment.data["codename"].as_str().map(str::to_owned),
                ..DynamicFields::default()
            },
            environment_id: environment.id,
            input_source_artifact_id: source.id,
            input_binary_artifacts_ids: ids(database, &input.binary_artifacts)?,
            input_context_artifacts_ids: ids(database, &input.context_artifacts)?,
        })
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

/// The categories that hold a source package.
const SOURCES: [Category; 2] = [Category::SourcePackage, Category::Upload];
/// The categories that an environment can have.
const ENVIRONMENTS: [Category; 2] = [Category::SystemTarball, Category::SystemImage];

/// Name of the source package that an artifact holds.
/// Numbers of the artifacts that a look-up names; an empty one names none, and asks nobody.
fn ids(database: &TaskDatabase, lookup: &MultipleLookup) -> Result<Vec<i64>, DynamicDataError> {
    if lookup.is_empty() {
        return Ok(Vec::new());
    }
    let found = database.lookup_multiple(&lookup.export(), None)?;
    Ok(found.iter().map(|artifact| artifact.id).collect())
}

impl TaskWithExecutor for Autopkgtest {
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

impl ExternalTask for Autopkgtest {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        let dynamic_data = self.core.dynamic_data()?.clone();
        let download = &workspace.download;
        let source = Artifact::fetch(dynamic_data.input_source_artifact_id, download)?;
        self.dsc = FetchedDsc::first_of(&source);
        let packages = dynamic_data.input_binary_artifacts_ids.into_iter();
        for id in packages.chain(dynamic_data.input_context_artifacts_ids) {
            Artifact::fetch(id, download)?;
        }
        // autopkgtest starts instances itself: it gets the image only.
        self.prepare_executor()?;
        if let Some(repositories) = &self.core.data.repositories.extra_repositories {
            let codename = self.core.image()?.text("codename")?;
            self.extra_sources = ExtraSources::for_release(codename, repositories)?;
            self.extra_sources.write(download)?;
        }
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        let dsc = required(self.dsc.as_ref(), ".dsc file of the source artifact")?;
        let content = workspace.download.read(&dsc.name, LONGEST_STANZA as u64)?;
        let Ok(Some(read)) = Dsc::parse(&content) else {
            let line = format!(
                "{}: not a .dsc file with Source and Version; check the source artifact\n",
                dsc.name
            );
            append_to_log("configure_for_execution.log", &line)?;
            return Ok(false);
        };
        self.source = Some(TestedSource {
            name: read.source().to_owned(),
            version: read.version().to_owned(),
            url: dsc.url.clone(),
        });
        self.targets = workspace.download.find_files(&[".deb"])?;
        self.targets.push(dsc.name.clone());
        Ok(true)
    }

    fn check_directory_for_consistency_errors(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Vec<String>> {
        let found = workspace.execute.stat(SUMMARY)?;
        if found.is_some_and(|entry| entry.target_type.is_some()) {
            return Ok(Vec::new());
        }
        let flaw = format!("{SUMMARY}: autopkgtest left none; see cmd-output.log");
        Ok(vec![flaw])
    }

    fn upload_artifacts(&mut self, workspace: &Workspace, _execution_success: bool) -> Result<()> {
        let command_line = self.command_line(workspace)?;
        let source = required(self.source.as_ref(), "source package")?;
        let data = source.describe(
            Summary::read(&workspace.execute)?,
            &command_line,
            &self.core.data.host_architecture,
            self.core.image()?,
        )?;
        results::upload_all(&data, &workspace.execute)
    }
}

impl FetchedDsc {
    /// The first one among the files of an artifact.
    fn first_of(artifact: &Artifact) -> Option<Self> {
        let dsc = artifact
            .files
            .iter()
            .find(|file| file.path.ends_with(".dsc"))?;
        let on_no_server = || format!("artifact://local/{}/{}", artifact.id, dsc.path);
        Some(Self {
            name: dsc.path.clone(),
            url: dsc.url.clone().unwrap_or_else(on_no_server),
        })
    }
}

impl RunCommandTask for Autopkgtest {
    fn command_line(&mut self, workspace: &Workspace) -> Result<Vec<String>> {
        let run = TestRun {
            data: &self.core.data,
            image: self.core.image()?,
            sources: &self.extra_sources,
            download: &workspace.download.location(),
            targets: &self.targets,
            host_has_resolv_conf: host_has_resolv_conf(),
        };
        run.command_line()
    }

    fn task_succeeded(&mut self, workspace: &Workspace, exit: Exit) -> Result<bool> {
        let summary = Summary::read(&workspace.execute)?;
        Ok(summary.allows_success(&self.core.data.fail_on, exit))
    }
}

#[cfg(test)]
mod tests;
