//! debdiff: compare two source packages, or two groups of binary packages.

mod data;

use data::{DebDiffData, DebDiffDynamicData};
use std::collections::BTreeSet;
use task_sdk::artifacts::build;
use task_sdk::prelude::*;

/// A comparison.
pub struct DebDiff {
    core: Core<Self>,
    /// What is compared; none before it was found.
    compared: Option<Compared>,
}

/// Names of the files to compare: `.dsc` files of source packages, `.changes` files of binary ones.
struct Compared {
    /// In the directory [`ORIGINAL`].
    original: String,
    /// In the directory [`NEW`].
    new: String,
}

/// Where the original packages are among the inputs.
const ORIGINAL: &str = "original";
/// Where the new packages are among the inputs.
const NEW: &str = "new";
/// What debdiff has to say.
const REPORT: &str = "debdiff.txt";

register_task!(DebDiff as RunCommandTask);

impl Task for DebDiff {
    const NAME: &'static str = "debdiff";
    const SUMMARY: &'static str = "Compare two source packages, or two groups of binary packages";
    const NEEDS: Option<Needs> = Some(Needs {
        environments: true,
        network: true,
        uploads: &["debian:debdiff"],
        ..Needs::NOTHING
    });

    type Data = DebDiffData;
    type DynamicData = DebDiffDynamicData;

    fn new(core: Core<Self>) -> Self {
        Self {
            core,
            compared: None,
        }
    }

    fn core(&self) -> &Core<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<Self> {
        &mut self.core
    }

    fn host_architecture(&self) -> Option<&str> {
        Some(&self.core.data.host_architecture)
    }

    fn compute_dynamic_data(
        &self,
        database: &TaskDatabase,
    ) -> Result<DebDiffDynamicData, DynamicDataError> {
        let sources = self.find_sources(database)?;
        let binaries = self.find_binaries(database)?;
        let subject = match (&sources, &binaries) {
            (Some(sources), _) => subject_of_sources(sources)?,
            (None, Some(binaries)) => subject_of_binaries(binaries)?,
            (None, None) => None,
        };
        let environment = self.find_any_environment(database)?.ok_or_else(|| {
            DynamicDataError::Config("environment: none is given; name one".to_owned())
        })?;
        let ids = |found: Vec<FoundArtifact>| found.iter().map(|found| found.id).collect();
        Ok(DebDiffDynamicData {
            common: DynamicFields {
                subject,
                ..DynamicFields::default()
            },
            environment_id: environment.id,
            input_source_artifacts_ids: sources.map(ids),
            input_binary_artifacts_ids: binaries
                .map(|groups| groups.into_iter().map(ids).collect()),
        })
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        let Some(dynamic_data) = &self.core.dynamic_data else {
            return Some(Vec::new());
        };
        let sources = dynamic_data.input_source_artifacts_ids.iter().flatten();
        Some(sources.copied().chain(self.binaries_ids()).collect())
    }
}

impl DebDiff {
    /// The original and the new source package, if those are compared.
    fn find_sources(
        &self,
        database: &TaskDatabase,
    ) -> Result<Option<Vec<FoundArtifact>>, DynamicDataError> {
        let Some(lookups) = &self.core.data.input.source_artifacts else {
            return Ok(None);
        };
        let find = |lookup| database.lookup_single(lookup, None);
        let sources = lookups.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        for (place, source) in sources.iter().enumerate() {
            let field = format!("input.source_artifacts[{place}]");
            source.require_category(&field, &[Category::SourcePackage.as_str()])?;
        }
        Ok(Some(sources))
    }

    /// The original and the new uploads, if those are compared.
    fn find_binaries(
        &self,
        database: &TaskDatabase,
    ) -> Result<Option<Vec<Vec<FoundArtifact>>>, DynamicDataError> {
        let Some(lookups) = &self.core.data.input.binary_artifacts else {
            return Ok(None);
        };
        let mut groups = Vec::new();
        for lookup in lookups {
            groups.push(match lookup.is_empty() {
                true => Vec::new(),
                false => database.lookup_multiple(&lookup.export(), None)?,
            });
        }
        for (place, group) in groups.iter().enumerate() {
            let field = format!("input.binary_artifacts[{place}]");
            for upload in group {
                upload.require_category(&field, &[Category::Upload.as_str()])?;
            }
        }
        Ok(Some(groups))
    }

    /// Numbers of all uploads that are compared, the original ones first.
    fn binaries_ids(&self) -> impl Iterator<Item = i64> {
        let dynamic_data = self.core.dynamic_data.as_ref();
        let groups = dynamic_data.and_then(|data| data.input_binary_artifacts_ids.as_ref());
        groups.into_iter().flatten().flatten().copied()
    }
}

fn subject_of_sources(sources: &[FoundArtifact]) -> Result<Option<String>, DynamicDataError> {
    let Some(first) = sources.first() else {
        return Ok(None);
    };
    Ok(first.source_name()?.map(|name| format!("source:{name}")))
}

/// None if the uploads are of several source packages: then there is nothing to call them by.
fn subject_of_binaries(groups: &[Vec<FoundArtifact>]) -> Result<Option<String>, DynamicDataError> {
    let uploads = groups.iter().flatten();
    let names = uploads.map(FoundArtifact::source_name);
    let mut names = names.collect::<Result<BTreeSet<_>, _>>()?;
    let name = names.pop_first().flatten().filter(|_| names.is_empty());
    Ok(name.map(|name| format!("binary:{name}")))
}

impl TaskWithExecutor for DebDiff {
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

impl ExternalTask for DebDiff {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        let dynamic_data = self.core.dynamic_data()?;
        let sides = [ORIGINAL, NEW].map(|side| workspace.download.create_directory(side));
        let sides = sides.into_iter().collect::<Result<Vec<_>>>()?;
        let sources = dynamic_data.input_source_artifacts_ids.iter().flatten();
        for (source, side) in sources.zip(&sides) {
            Artifact::fetch(*source, side)?;
        }
        let groups = dynamic_data.input_binary_artifacts_ids.iter().flatten();
        for (group, side) in groups.zip(&sides) {
            for upload in group {
                Artifact::fetch(*upload, side)?;
            }
        }
        Ok(true)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        self.prepare_executor_instance()?;
        let instance = self.core.instance()?;
        instance.install(&["devscripts", "diffstat"], None, &workspace.execute)?;
        let suffix = match self.core.data.input.binary_artifacts {
            Some(_) => ".changes",
            None => ".dsc",
        };
        let Some(original) = first_file(&workspace.download, ORIGINAL, suffix)? else {
            return Ok(false);
        };
        let Some(new) = first_file(&workspace.download, NEW, suffix)? else {
            return Ok(false);
        };
        self.compared = Some(Compared { original, new });
        Ok(true)
    }

    fn upload_artifacts(&mut self, workspace: &Workspace, _execution_success: bool) -> Result<()> {
        let compared = required(self.compared.as_ref(), "what was compared")?;
        let draft = build::debdiff(
            &workspace.execute,
            &compared.original,
            &compared.new,
            REPORT,
        )?;
        let report = upload(draft, &workspace.execute)?;
        // The server is told of the binary packages twice, as it is used to.
        for input in fetched_artifacts().into_iter().chain(self.binaries_ids()) {
            relate(report, input, RelationType::RelatesTo)?;
        }
        Ok(())
    }
}

/// The first file of one side that has this suffix; if there is none, the log says so.
fn first_file(download: &Directory, side: &str, suffix: &str) -> Result<Option<String>> {
    let files = download.open_directory(side)?.find_files(&[suffix])?;
    if files.is_empty() {
        let line = format!(
            "there is no *{suffix} file among the {side} packages: check the files of their artifacts\n"
        );
        append_to_log("configure_for_execution.log", &line)?;
    }
    Ok(files.into_iter().next())
}

impl RunCommandTask for DebDiff {
    const CAPTURE_OUTPUT_FILENAME: Option<&'static str> = Some(REPORT);

    fn command_line(&mut self, workspace: &Workspace) -> Result<Vec<String>> {
        let compared = required(self.compared.as_ref(), "what is to be compared")?;
        let path = |side, name| workspace.download.path(&format!("{side}/{name}"));
        let flags = self.core.data.extra_flags.iter();
        let mut arguments = vec!["debdiff".to_owned()];
        arguments.extend(flags.map(|flag| flag.as_str().to_owned()));
        arguments.push(path(ORIGINAL, &compared.original));
        arguments.push(path(NEW, &compared.new));
        Ok(arguments)
    }

    /// debdiff answers like diff(1): 1 says that there are differences.
    fn task_succeeded(&mut self, _workspace: &Workspace, exit: Exit) -> Result<bool> {
        Ok(matches!(exit, Exit::Exited(0 | 1)))
    }
}

#[cfg(test)]
mod tests;
