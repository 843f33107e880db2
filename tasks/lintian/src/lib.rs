//! lintian: check packages against Debian's policy.

mod analysis;
mod data;
mod lines;
pub mod output;
mod packages;
pub mod tag;

use analysis::{Analysis, FoundTags};
use data::{LintianData, LintianDynamicData};
use output::Tags;
use packages::{PackageKind, Packages};
use std::io::{BufWriter, Write};
use task_sdk::prelude::*;

/// The file that gets what lintian says.
const OUTPUT: &str = "lintian.txt";
/// How much of its version lintian may tell, in bytes.
const LONGEST_VERSION: u32 = 4096;
/// How much of an analysis is written at once, in bytes.
const PIECE: usize = 256 * 1024;

/// A check of packages.
pub struct Lintian {
    core: Core<Self>,
    /// The packages among the inputs, once they were looked into.
    packages: Packages,
    /// The names of the files to check.
    targets: Vec<String>,
}

register_task!(Lintian as RunCommandTask);

impl Task for Lintian {
    const NAME: &'static str = "lintian";
    const SUMMARY: &'static str = "Check packages against Debian's policy";
    const NEEDS: Option<Needs> = Some(Needs {
        environments: true,
        network: true,
        uploads: &["debian:lintian"],
        ..Needs::NOTHING
    });

    type Data = LintianData;
    type DynamicData = LintianDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self {
            core,
            packages: Packages::default(),
            targets: Vec::new(),
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
            None | Some("") => "lintian".to_owned(),
            Some(subject) => format!("lintian {subject}"),
        }
    }

    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<LintianDynamicData, DynamicDataError> {
        let input = &self.core.data.input;
        let source = input.source_artifact.as_ref();
        let source = source
            .map(|source| database.lookup_single(source, None))
            .transpose()?;
        let binaries = match input.binary_artifacts.is_empty() {
            true => Vec::new(),
            false => database.lookup_multiple(&input.binary_artifacts.export(), None)?,
        };
        let mut subject = None;
        if let Some(source) = &source {
            source.require_category("input.source_artifact", &SOURCES.map(Category::as_str))?;
            subject = source.source_name()?;
        }
        for binary in &binaries {
            binary.require_category("input.binary_artifacts", &BINARIES.map(Category::as_str))?;
            if subject.is_none() {
                subject = binary.source_name()?;
            }
        }
        let environment = self.find_environment(database, &[Category::SystemTarball.as_str()])?;
        let codename = environment
            .as_ref()
            .and_then(|environment| environment.data["codename"].as_str());
        Ok(LintianDynamicData {
            common: DynamicFields {
                subject,
                runtime_context: codename.map(|codename| self.runtime_context(codename)),
                configuration_context: codename.map(str::to_owned),
                ..DynamicFields::default()
            },
            environment_id: environment.as_ref().map(|environment| environment.id),
            input_source_artifact_id: source.map(|source| source.id),
            input_binary_artifacts_ids: binaries.iter().map(|binary| binary.id).collect(),
        })
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

/// The categories that the source package can have.
const SOURCES: [Category; 2] = [Category::SourcePackage, Category::Upload];
/// The categories that binary packages can have.
const BINARIES: [Category; 3] = [
    Category::BinaryPackage,
    Category::BinaryPackages,
    Category::Upload,
];

impl TaskWithExecutor for Lintian {
    fn backend(&self) -> Backend {
        self.core.data.executor.backend
    }

    fn environment(&self) -> Option<&SingleLookup> {
        self.core.data.executor.environment.as_ref()
    }

    fn environment_id(&self) -> Option<i64> {
        let dynamic_data = self.core.dynamic_data.as_ref()?;
        dynamic_data.environment_id.filter(|id| *id != 0)
    }
}

impl Lintian {
    /// The kinds of packages that are to be analysed.
    fn kinds(&self) -> impl Iterator<Item = PackageKind> {
        let output = &self.core.data.output;
        PackageKind::ALL.into_iter().filter(|kind| match kind {
            PackageKind::Source => output.source_analysis,
            PackageKind::BinaryAll => output.binary_all_analysis,
            PackageKind::BinaryAny => output.binary_any_analysis,
        })
    }

    /// Checks that need about the same time and space.
    fn runtime_context(&self, codename: &str) -> String {
        let mut kinds: Vec<&str> = self.kinds().map(PackageKind::as_str).collect();
        kinds.sort_unstable();
        format!("{}:{codename}", kinds.join("+"))
    }

    fn lintian_version(&self, workspace: &Workspace) -> Result<String> {
        let command =
            Command::new(["lintian", "--print-version"]).output(Output::Return(LONGEST_VERSION));
        let outcome = self.core.instance()?.run(&command, &workspace.execute)?;
        if !outcome.succeeded() {
            let words = format!("lintian --print-version: ended with {:?}", outcome.exit);
            return Err(Failure::new("command-failed", words));
        }
        Ok(String::from_utf8_lossy(&outcome.output).trim().to_owned())
    }

    /// Uploads an analysis, and the output that it was made of.
    fn upload_analysis(&self, analysis: &Analysis<'_>, workspace: &Workspace) -> Result<()> {
        let execute = &workspace.execute;
        let name = execute.temporary_name("analysis-", ".json");
        let mut file = BufWriter::with_capacity(PIECE, execute.create(&name, 0o644)?);
        serde_json::to_writer(&mut file, analysis)?;
        file.flush()?;
        let summary = analysis.summary().clone();
        let draft = artifacts::build::lintian(execute, summary, &name, OUTPUT)?;
        let id = upload(draft, execute)?;
        for input in fetched_artifacts() {
            relate(id, input, RelationType::RelatesTo)?;
        }
        Ok(())
    }
}

impl ExternalTask for Lintian {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        let dynamic_data = self.core.dynamic_data()?;
        let source = dynamic_data.input_source_artifact_id;
        let binaries = &dynamic_data.input_binary_artifacts_ids;
        for id in source.iter().chain(binaries) {
            Artifact::fetch(*id, &workspace.download)?;
        }
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        self.prepare_executor_instance()?;
        let instance = self.core.instance()?;
        instance.install(&["lintian"], Some("install.log"), &workspace.execute)?;
        let download = &workspace.download;
        self.packages = Packages::find(download)?;
        self.targets = download.find_files(&[".dsc"])?;
        self.targets
            .extend(download.find_files(&[".deb", ".udeb"])?);
        if !self.targets.is_empty() {
            return Ok(true);
        }
        append_to_log(
            "configure_for_execution.log",
            "there is no .dsc, .deb or .udeb file among the inputs: check the files of the artifacts\n",
        )?;
        Ok(false)
    }

    fn upload_artifacts(&mut self, workspace: &Workspace, _execution_success: bool) -> Result<()> {
        let output = workspace.execute.open(OUTPUT)?.reader();
        let found = FoundTags::read(output, &self.packages)?;
        let distribution = &self.core.data.target_distribution;
        let mut analyses = Vec::new();
        for kind in self.kinds() {
            let version = self.lintian_version(workspace)?;
            let analysis = Analysis::new(&found, &self.packages, kind, version, distribution);
            analyses.push(analysis);
        }
        for analysis in &analyses {
            self.upload_analysis(analysis, workspace)?;
        }
        Ok(())
    }
}

impl RunCommandTask for Lintian {
    const CAPTURE_OUTPUT_FILENAME: Option<&'static str> = Some(OUTPUT);

    fn command_line(&mut self, workspace: &Workspace) -> Result<Vec<String>> {
        let data = &self.core.data;
        // The lintian of jessie knows no classification.
        let level = match data.target_distribution.as_str() {
            "jessie" => ">=pedantic",
            _ => ">=classification",
        };
        let mut line: Vec<String> = [
            "lintian",
            "--no-cfg",
            "--display-level",
            level,
            "--display-experimental",
            "--info",
            "--show-overrides",
        ]
        .map(str::to_owned)
        .to_vec();
        for (option, tags) in [
            ("--tags", &data.include_tags),
            ("--suppress-tags", &data.exclude_tags),
        ] {
            if !tags.is_empty() {
                line.push(format!("{option}={}", tags.join(",")));
            }
        }
        let targets = self.targets.iter();
        line.extend(targets.map(|target| workspace.download.path(target)));
        Ok(line)
    }

    /// lintian's exit status says how bad its worst tag is in its own opinion; only the tags count.
    fn task_succeeded(&mut self, workspace: &Workspace, _exit: Exit) -> Result<bool> {
        let Some(threshold) = self.core.data.fail_on_severity.threshold() else {
            return Ok(true);
        };
        let mut failed = false;
        for tag in Tags::new(workspace.execute.open(OUTPUT)?.reader()) {
            failed |= tag?.severity >= threshold;
        }
        Ok(!failed)
    }
}

#[cfg(test)]
mod tests;
