//! piuparts: test that Debian packages install, upgrade and go away without a trace.

mod archive;
mod base_tarball;
mod command_line;
mod data;
mod scripts;

use base_tarball::BaseTarball;
use data::{PiupartsData, PiupartsDynamicData};
use task_sdk::prelude::*;

/// The log of installing what the test needs.
const INSTALL_LOG: &str = "install.log";

/// A test of packages.
pub struct Piuparts {
    core: Core<Self>,
    /// Names of the packages among the inputs.
    packages: Vec<String>,
    /// The system in which they are installed, once it has been prepared.
    base: Option<BaseTarball>,
    /// Absolute path of the directory with the scripts that piuparts runs, once that has been made.
    scripts: Option<String>,
}

register_task!(Piuparts as RunCommandTask);

impl Task for Piuparts {
    const NAME: &'static str = "piuparts";
    const SUMMARY: &'static str = "Test that packages install, upgrade and go away without a trace";
    const NEEDS: Option<Needs> = Some(Needs {
        environments: true,
        network: true,
        ..Needs::NOTHING
    });

    type Data = PiupartsData;
    type DynamicData = PiupartsDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self {
            core,
            packages: Vec::new(),
            base: None,
            scripts: None,
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

    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<PiupartsDynamicData, DynamicDataError> {
        let packages = &self.core.data.input.binary_artifacts;
        let packages = match packages.is_empty() {
            true => Vec::new(),
            false => database.lookup_multiple(&packages.export(), None)?,
        };
        let base = self.find_base(database)?;
        base.require_category("base_tgz", &[Category::SystemTarball.as_str()])?;
        let subject = sources(&packages)?.join(" ");
        let codename = text(&base, "codename")?;
        let environment = self.find_any_environment(database)?.ok_or_else(|| {
            DynamicDataError::Config("environment: none given; name a system image".to_owned())
        })?;
        Ok(PiupartsDynamicData {
            common: DynamicFields {
                subject: Some(subject),
                runtime_context: Some(format!("{codename}:{}", self.core.data.host_architecture)),
                configuration_context: Some(codename),
                ..DynamicFields::default()
            },
            environment_id: environment.id,
            input_binary_artifacts_ids: packages.iter().map(|artifact| artifact.id).collect(),
            base_tgz_id: base.id,
        })
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

/// The categories whose packages are tested.
const PACKAGES: [Category; 2] = [Category::BinaryPackages, Category::Upload];

/// Names of the source packages, in order; one that is there twice is named twice.
fn sources(packages: &[FoundArtifact]) -> Result<Vec<String>, DynamicDataError> {
    let mut names = Vec::new();
    for artifact in packages {
        artifact.require_category("input.binary_artifacts", &PACKAGES.map(Category::as_str))?;
        let what = format!("name of the source package of artifact {}", artifact.id);
        let name = required(artifact.source_name()?, &what);
        names.push(name.map_err(DynamicDataError::Internal)?);
    }
    names.sort_unstable();
    Ok(names)
}

/// A text in the data of an artifact.
fn text(artifact: &FoundArtifact, key: &str) -> Result<String, DynamicDataError> {
    let what = format!("{key} in the data of artifact {}", artifact.id);
    let found = artifact.data[key].as_str().map(str::to_owned);
    required(found, &what).map_err(DynamicDataError::Internal)
}

impl Piuparts {
    /// The base system is a tarball whatever the backend: piuparts unpacks it itself.
    fn find_base(&self, database: &TaskDatabase) -> Result<FoundArtifact, DynamicDataError> {
        let filters = EnvironmentFilters {
            architecture: self.host_architecture(),
            format: ImageFormat::Tarball,
            backend: None,
        };
        find_environment(database, &self.core.data.base_tgz, &filters)
    }
}

impl TaskWithExecutor for Piuparts {
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

impl ExternalTask for Piuparts {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        for id in &self.core.dynamic_data()?.input_binary_artifacts_ids {
            Artifact::fetch(*id, &workspace.download)?;
        }
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        let download = &workspace.download;
        self.packages = download.find_files(&[".deb"])?;
        if self.packages.is_empty() {
            append_to_log(
                "configure_for_execution.log",
                "there is no .deb file among the inputs: check the files of the binary artifacts\n",
            )?;
            return Ok(false);
        }
        self.prepare_executor_instance()?;
        let instance = self.core.instance()?;
        instance.install(&["piuparts", "mmdebstrap"], Some(INSTALL_LOG), download)?;
        let mut base = BaseTarball::fetch(self.core.dynamic_data()?.base_tgz_id, download)?;
        base.prepare(self.core.instance()?)?;
        let repositories = self.core.data.repositories.extra_repositories.as_deref();
        let scripts = scripts::write(download, &base, repositories.unwrap_or_default())?;
        self.scripts = Some(scripts.location());
        self.base = Some(base);
        Ok(true)
    }
}

impl RunCommandTask for Piuparts {
    fn command_line(&mut self, workspace: &Workspace) -> Result<Vec<String>> {
        let base = required(self.base.as_ref(), "base tarball")?;
        let scripts = required(self.scripts.as_deref(), "directory of scripts")?;
        let packages = self.packages.iter();
        Ok(command_line::compose(
            environment_variable("PATH").as_deref(),
            &base.path(),
            scripts,
            packages.map(|name| workspace.download.path(name)),
        ))
    }

    /// piuparts makes and enters chroots.
    fn run_as_root(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
