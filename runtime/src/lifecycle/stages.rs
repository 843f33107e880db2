//! The stages of a run, and who watches them.

use crate::host::Workspace;
use std::fmt;

/// A stage, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Downloading the inputs.
    FetchInput,
    /// Picking files, writing configuration, starting an instance.
    ConfigureForExecution,
    /// Taking the inputs into the instance.
    PrepareToRun,
    /// Running the command.
    Run,
    /// Checking that the results fit each other.
    CheckOutput,
    /// Uploading the results.
    UploadArtifacts,
    /// Stopping what was started.
    CleanUp,
}

impl Stage {
    /// The stage as `stages.log` names it.
    pub fn message(self) -> &'static str {
        match self {
            Self::FetchInput => "Fetching input",
            Self::ConfigureForExecution => "Configuring for execution",
            Self::PrepareToRun => "Preparing to run",
            Self::Run => "Running",
            Self::CheckOutput => "Checking output",
            Self::UploadArtifacts => "Uploading artifacts",
            Self::CleanUp => "Cleaning up",
        }
    }

    /// The log that tells what went wrong in the stage.
    pub(super) fn exception_log(self) -> &'static str {
        match self {
            Self::FetchInput => "fetch_input.log",
            Self::ConfigureForExecution => "configure_for_execution.log",
            Self::PrepareToRun | Self::Run => "execution.log",
            Self::CheckOutput | Self::UploadArtifacts | Self::CleanUp => "post_execution.log",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// Watches a run.
pub trait Observer: Send + Sync {
    /// The directories of the run exist; they are gone when it has ended.
    fn workspace(&self, _workspace: &Workspace) {}

    /// A stage begins.
    fn stage(&self, _stage: Stage) {}

    /// A command has said something.
    fn output(&self, _bytes: &[u8]) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
