//! Tasks whose work is one command.

use crate::command::{Command, Exit, Output, succeeded};
use crate::external_task::ExternalTask;
use crate::failure::Result;
use crate::files::Workspace;

/// A task whose work is one command: in the instance if there is one, else on the host. Its output is in `cmd-output.log`.
pub trait RunCommandTask: ExternalTask {
    /// Name of the file in `execute` that gets the command's standard output; none leaves it to the log.
    const CAPTURE_OUTPUT_FILENAME: Option<&'static str> = None;

    /// Program and arguments.
    fn command_line(&mut self, workspace: &Workspace) -> Result<Vec<String>>;

    /// Variables to add to the environment; none leaves it alone.
    fn command_environment(&self) -> Option<Vec<(String, String)>> {
        None
    }

    /// Whether it runs as root in the instance.
    fn run_as_root(&self) -> bool {
        false
    }

    /// Judges the result: by how the command ended, and by what it left in `execute`.
    fn task_succeeded(&mut self, _workspace: &Workspace, exit: Exit) -> Result<bool> {
        Ok(succeeded(exit))
    }

    /// Runs the command and judges it; an aborted one has failed.
    fn run_command(&mut self, workspace: &Workspace) -> Result<bool> {
        let line = self.composed(workspace)?;
        let output = match Self::CAPTURE_OUTPUT_FILENAME {
            Some(name) => Output::Capture(name.to_owned()),
            None => Output::CommandLog,
        };
        let command = Command::new(line.arguments)
            .environment(line.environment)
            .as_root(line.as_root)
            .output(output);
        let outcome = match &self.core().instance {
            Some(instance) => instance.run(&command, &workspace.execute)?,
            None => command.run_on_host(&workspace.execute)?,
        };
        if matches!(outcome.exit, Exit::Aborted) {
            return Ok(false);
        }
        self.task_succeeded(workspace, outcome.exit)
    }

    /// The command as it will run.
    fn composed(&mut self, workspace: &Workspace) -> Result<CommandLine> {
        Ok(CommandLine {
            arguments: self.command_line(workspace)?,
            environment: self.command_environment(),
            as_root: self.run_as_root(),
            captures_output_in: Self::CAPTURE_OUTPUT_FILENAME,
        })
    }
}

/// A command as a task would run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// Variables to add to the environment; none leaves it alone.
    pub environment: Option<Vec<(String, String)>>,
    /// Whether it runs as root in the instance.
    pub as_root: bool,
    /// The file that gets its standard output.
    pub captures_output_in: Option<&'static str>,
}
