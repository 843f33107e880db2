//! Commands: composed like a `std::process::Command`, run on the host or in an instance.

use crate::bindings::debusine::task::commands as wit;
use crate::failure::{Result, from_host};
use crate::files::Directory;
use crate::host::commands as host;

pub use wit::{Exit, Output};

/// A command that is being composed.
#[derive(Debug, Clone)]
pub struct Command(pub(crate) wit::Command);

/// How a command ended, and what it said if that was asked for ([`Output::Return`]).
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// What it said.
    pub output: Vec<u8>,
}

impl Command {
    /// A command with this program and these arguments, whose output goes nowhere.
    pub fn new(arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(wit::Command {
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: None,
            as_root: false,
            input: None,
            output: Output::Discard,
            timeout_seconds: None,
        })
    }

    /// Variables to add to the environment.
    pub fn environment(mut self, variables: Option<Vec<(String, String)>>) -> Self {
        self.0.environment = variables;
        self
    }

    /// In an instance: as root.
    pub fn as_root(mut self, as_root: bool) -> Self {
        self.0.as_root = as_root;
        self
    }

    /// A file that becomes its standard input.
    pub fn input(mut self, name: &str) -> Self {
        self.0.input = Some(name.to_owned());
        self
    }

    /// Where its output goes.
    pub fn output(mut self, output: Output) -> Self {
        self.0.output = output;
        self
    }

    /// Runs it on the host with `files` as its working directory.
    pub fn run_on_host(&self, files: &Directory) -> Result<Outcome> {
        host::run_on_host(&self.0, &files.0)
            .map(Outcome::from)
            .map_err(from_host)
    }
}

impl From<wit::Outcome> for Outcome {
    fn from(outcome: wit::Outcome) -> Self {
        Self {
            exit: outcome.exit,
            output: outcome.output,
        }
    }
}

impl Outcome {
    /// Whether the command ended by itself with status 0.
    pub fn succeeded(&self) -> bool {
        succeeded(self.exit)
    }
}

/// Whether a command ended by itself with status 0.
pub fn succeeded(exit: Exit) -> bool {
    matches!(exit, Exit::Exited(0))
}
