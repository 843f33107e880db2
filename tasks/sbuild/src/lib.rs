//! sbuild: build binary packages from a Debian source package.

mod build_log;
mod command_line;
mod consistency;
mod data;
mod uploads;

use command_line::{Build, PROFILES_THAT_ARE_OPTIONS, build_options};
use data::{SbuildData, SbuildDynamicData};
use task_sdk::prelude::*;
use uploads::{Results, read_dsc};

/// A build.
pub struct Sbuild {
    core: Core<Self>,
    /// Name of the `.dsc` file among the inputs; none before they were fetched.
    dsc: Option<String>,
    /// Names of the extra packages among the inputs.
    extra_packages: Vec<String>,
    /// Extra repositories in the form of the environment's release.
    extra_sources: ExtraSources,
}

register_task!(Sbuild as RunCommandTask);

impl Task for Sbuild {
    const NAME: &'static str = "sbuild";
    const SUMMARY: &'static str = "Build binary packages from a Debian source package";
    const NEEDS: Option<Needs> = Some(Needs {
        commands: &["sbuild"],
        environments: true,
        uploads: &[
            "debian:binary-package",
            "debian:binary-packages",
            "debian:package-build-log",
            "debian:upload",
            "debusine:signing-input",
        ],
        ..Needs::NOTHING
    });

    type Data = SbuildData;
    type DynamicData = SbuildDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self {
            core,
            dsc: None,
            extra_packages: Vec::new(),
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
            None | Some("") => "build a package".to_owned(),
            Some(subject) => format!("build {subject}"),
        }
    }

    fn host_architecture(&self) -> Option<&str> {
        Some(&self.core.data.host_architecture)
    }

    fn analyze_worker(metadata: &mut Map<String, Value>) {
        metadata.insert(
            "sbuild:available".into(),
            command_available("sbuild").into(),
        );
    }

    fn can_run_on(&self, worker: WorkerMetadata<'_>) -> bool {
        let backend = self.backend().effective();
        // Other backends are reached through the virtualisation servers of autopkgtest.
        worker.has_tool("sbuild")
            && worker.has_executor(backend)
            && (backend == Backend::Unshare || worker.has_tool("autopkgtest"))
    }

    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<SbuildDynamicData, DynamicDataError> {
        let input = &self.core.data.input;
        let source = database.lookup_single(&input.source_artifact, None)?;
        source.require_category("input.source_artifact", &[Category::SourcePackage.as_str()])?;
        let environment = self.find_environment(database, &ENVIRONMENTS.map(Category::as_str))?;
        let fqdn = database.setting("DEBUSINE_FQDN")?;
        let extra = match input.extra_binary_artifacts.is_empty() {
            true => Vec::new(),
            false => database.lookup_multiple(&input.extra_binary_artifacts.export(), None)?,
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(SbuildDynamicData {
            common: DynamicFields {
                subject: text(&source.data["name"]),
                runtime_context: runtime_context(&self.core.data),
                configuration_context: environment
                    .as_ref()
                    .and_then(|environment| text(&environment.data["codename"])),
                ..DynamicFields::default()
            },
            environment_id: environment.map(|environment| environment.id),
            input_source_artifact_id: source.id,
            input_extra_binary_artifacts_ids: extra.iter().map(|artifact| artifact.id).collect(),
            binnmu_maintainer: fqdn.map(|fqdn| format!("Debusine <noreply@{fqdn}>")),
        })
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        let Some(dynamic_data) = &self.core.dynamic_data else {
            return Some(Vec::new());
        };
        let mut ids: Vec<i64> = self.environment_id().into_iter().collect();
        ids.push(dynamic_data.input_source_artifact_id);
        ids.extend(&dynamic_data.input_extra_binary_artifacts_ids);
        Some(ids)
    }
}

/// The categories that an environment can have.
const ENVIRONMENTS: [Category; 2] = [Category::SystemTarball, Category::SystemImage];
/// The categories from which extra packages are taken.
const PACKAGES: [Category; 3] = [
    Category::BinaryPackage,
    Category::BinaryPackages,
    Category::Upload,
];

/// Builds that need about the same time and space; none for one that is shortened by its profiles, which says little about others.
fn runtime_context(data: &SbuildData) -> Option<String> {
    let mut profiles = data.build_profiles.iter().flatten();
    if profiles.any(|profile| PROFILES_THAT_ARE_OPTIONS.contains(&profile.as_str())) {
        return None;
    }
    let mut components: Vec<&str> = data
        .build_components
        .iter()
        .map(|component| component.as_str())
        .collect();
    components.sort_unstable();
    let architecture = &data.host_architecture;
    Some(format!(
        "{}:{architecture}:{architecture}",
        components.join("+")
    ))
}

impl TaskWithExecutor for Sbuild {
    fn backend(&self) -> Backend {
        self.core.data.executor.backend
    }

    fn environment(&self) -> Option<&SingleLookup> {
        Some(&self.core.data.executor.environment)
    }

    fn environment_id(&self) -> Option<i64> {
        let dynamic_data = self.core.dynamic_data.as_ref()?;
        dynamic_data.environment_id.filter(|id| *id != 0)
    }
}

impl Sbuild {
    /// Fetches the source package.
    fn fetch_source(&mut self, id: i64, download: &Directory) -> Result<bool> {
        let artifact = Artifact::get(id)?;
        if !artifact.is_accepted("input.source_artifact", &[Category::SourcePackage])? {
            return Ok(false);
        }
        let dsc = artifact.paths().find(|path| path.ends_with(".dsc"));
        self.dsc = Some(required(dsc, ".dsc file of the source package")?.to_owned());
        Artifact::fetch(id, download)?;
        Ok(true)
    }

    /// Fetches packages that the build can install besides those of the repositories.
    fn fetch_extra_packages(&mut self, id: i64, download: &Directory) -> Result<bool> {
        let artifact = Artifact::get(id)?;
        if !artifact.is_accepted("input.extra_binary_artifacts", &PACKAGES)? {
            return Ok(false);
        }
        let packages = artifact.paths().filter(|path| path.ends_with(".deb"));
        self.extra_packages.extend(packages.map(str::to_owned));
        Artifact::fetch(id, download)?;
        Ok(true)
    }
}

impl ExternalTask for Sbuild {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        let dynamic_data = self.core.dynamic_data()?.clone();
        let download = &workspace.download;
        if !self.fetch_source(dynamic_data.input_source_artifact_id, download)? {
            return Ok(false);
        }
        for id in dynamic_data.input_extra_binary_artifacts_ids {
            if !self.fetch_extra_packages(id, download)? {
                return Ok(false);
            }
        }
        self.prepare_executor()?;
        if let Some(repositories) = &self.core.data.repositories.extra_repositories {
            let codename = self.core.image()?.text("codename")?;
            self.extra_sources = ExtraSources::for_release(codename, repositories)?;
            self.extra_sources.write(download)?;
        }
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        if let Some(dsc) = &self.dsc
            && workspace.download.stat(dsc)?.is_some()
        {
            return Ok(true);
        }
        append_to_log(
            "configure_for_execution.log",
            "there is no .dsc file among the inputs: check the files of the source artifact\n",
        )?;
        Ok(false)
    }

    fn check_directory_for_consistency_errors(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Vec<String>> {
        consistency::flaws(&workspace.execute)
    }

    fn upload_artifacts(&mut self, workspace: &Workspace, execution_success: bool) -> Result<()> {
        let dsc = required(self.dsc.as_deref(), ".dsc file of the source package")?;
        let Some(dsc) = read_dsc(&workspace.download, dsc)? else {
            return Ok(());
        };
        let results = Results {
            data: &self.core.data,
            dsc: &dsc,
            directory: &workspace.execute,
            sources: &fetched_artifacts(),
        };
        results.upload(execution_success)
    }
}

impl RunCommandTask for Sbuild {
    fn command_line(&mut self, workspace: &Workspace) -> Result<Vec<String>> {
        let dynamic_data = self.core.dynamic_data()?;
        let build = Build {
            data: &self.core.data,
            binnmu_maintainer: dynamic_data.binnmu_maintainer.as_deref(),
            image: self.core.image()?,
            sources: &self.extra_sources,
            download: &workspace.download.location(),
            extra_packages: &self.extra_packages,
            dsc: required(self.dsc.as_deref(), ".dsc file of the source package")?,
        };
        build.command_line()
    }

    fn command_environment(&self) -> Option<Vec<(String, String)>> {
        let profiles = self.core.data.build_profiles.as_deref().unwrap_or_default();
        let of_worker = environment_variable("DEB_BUILD_OPTIONS");
        let options = build_options(profiles, of_worker.as_deref())?;
        Some(vec![("DEB_BUILD_OPTIONS".to_owned(), options)])
    }

    fn task_succeeded(&mut self, workspace: &Workspace, exit: Exit) -> Result<bool> {
        if !succeeded(exit) {
            return Ok(false);
        }
        let Some(log) = workspace.execute.find_file(&[".build"])? else {
            return Ok(false);
        };
        Ok(build_log::is_successful(
            workspace.execute.open(&log)?.reader(),
        )?)
    }
}

#[cfg(test)]
mod tests;
