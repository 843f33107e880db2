//! The stages of a run, in the order in which the host calls them.

use crate::command::Exit;
use crate::failure::Result;
use crate::files::Workspace;
use crate::task::Task;

/// A task that runs on a worker. `Ok(false)` is its own "no", a failure is its exception.
pub trait ExternalTask: Task {
    /// Downloads the inputs to `download`.
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool>;

    /// Picks files, writes configuration, starts an instance.
    fn configure_for_execution(&mut self, _workspace: &Workspace) -> Result<bool> {
        Ok(true)
    }

    /// Takes the directories into the instance, if there is one: inputs owned by the unprivileged user, an empty working directory.
    fn prepare_to_run(&mut self, workspace: &Workspace) -> Result<()> {
        let Some(instance) = &self.core().instance else {
            return Ok(());
        };
        instance.create_user()?;
        instance.push_directory(&workspace.download)?;
        instance.create_directory(&workspace.execute, 0o755)
    }

    /// Does the work. Tasks that run one command leave this to [`RunCommandTask`](crate::run_command_task::RunCommandTask).
    fn run(&mut self, _workspace: &Workspace) -> Result<bool> {
        Ok(true)
    }

    /// Checks that the results in `execute` fit each other: a line for each flaw. With a flaw nothing is uploaded.
    fn check_directory_for_consistency_errors(
        &mut self,
        _workspace: &Workspace,
    ) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Uploads the results; `execution_success` is what `run` answered.
    fn upload_artifacts(&mut self, _workspace: &Workspace, _execution_success: bool) -> Result<()> {
        Ok(())
    }

    /// Stops what the task started.
    fn cleanup(&mut self) -> Result<()> {
        match self.core_mut().instance.take() {
            Some(instance) => instance.stop(),
            None => Ok(()),
        }
    }
}

/// A stage that [`register_task!`](crate::register_task!) takes from the one trait or the other.
#[doc(hidden)]
pub trait Running: ExternalTask {
    fn command_line(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Option<crate::run_command_task::CommandLine>>;
    fn run_stage(&mut self, workspace: &Workspace) -> Result<bool>;
    fn judge(&mut self, workspace: &Workspace, exit: Exit) -> Result<bool>;
}
