//! Images of environments, and the instances that are started from them.

use crate::bindings::debusine::task::executor as wit;
use crate::command::{Command, Outcome, Output};
use crate::failure::{Failure, Result, from_host};
use crate::files::Directory;
use crate::host::executor as host;
use serde_json::Value;

pub use wit::Backend;

/// A backend with the image of an environment.
pub struct Executor {
    handle: host::Executor,
    image: Image,
}

/// The image of an environment on this worker.
#[derive(Debug, Clone)]
pub struct Image {
    /// The environment's artifact.
    pub id: i64,
    /// Its category.
    pub category: String,
    /// Its data, e.g. `codename`, `architecture`, `vendor`.
    pub data: Value,
    /// What the backend calls it: a path, or an alias.
    pub name: String,
    /// autopkgtest's virtualisation server for it.
    pub virt_server: String,
    /// That server's arguments.
    pub virt_server_arguments: Vec<String>,
}

impl Executor {
    /// Fetches the image of an environment.
    pub fn prepare(backend: Backend, environment: i64) -> Result<Self> {
        let handle = host::prepare(backend, environment as u64).map_err(from_host)?;
        let image = handle.image();
        let image = Image {
            id: image.id as i64,
            category: image.category,
            data: serde_json::from_str(&image.data)?,
            name: image.name,
            virt_server: image.virt_server,
            virt_server_arguments: image.virt_server_arguments,
        };
        Ok(Self { handle, image })
    }

    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Starts an instance.
    pub fn start(&self) -> Result<Instance> {
        let handle = self.handle.start().map_err(from_host)?;
        Ok(Instance { handle })
    }
}

impl Image {
    /// A text of its data, e.g. `codename`.
    pub fn text(&self, key: &str) -> Result<&str> {
        self.data[key].as_str().ok_or_else(|| {
            let words = format!("environment {}: its data have no {key}", self.id);
            Failure::new("invalid-data", words)
        })
    }
}

/// A running instance.
pub struct Instance {
    handle: host::Instance,
}

impl Instance {
    /// Runs a command; `files` holds what the host reads or writes for it.
    pub fn run(&self, command: &Command, files: &Directory) -> Result<Outcome> {
        self.handle
            .run(&command.0, &files.0)
            .map(Outcome::from)
            .map_err(from_host)
    }

    /// Runs a command as root that must succeed; `log` is the log file that gets its output, if any.
    pub fn run_as_root(
        &self,
        arguments: &[&str],
        log: Option<&str>,
        files: &Directory,
    ) -> Result<()> {
        let output = log.map_or(Output::Discard, |name| Output::Log(name.to_owned()));
        let command = Command::new(arguments.iter().copied())
            .as_root(true)
            .output(output);
        let outcome = self.run(&command, files)?;
        if outcome.succeeded() {
            return Ok(());
        }
        let words = format!("{}: ended with {:?}", arguments.join(" "), outcome.exit);
        Err(Failure::new("command-failed", words))
    }

    /// Installs Debian packages in their newest versions; `log` is the log file that gets what apt says, if any.
    pub fn install(&self, packages: &[&str], log: Option<&str>, files: &Directory) -> Result<()> {
        self.run_as_root(&["apt-get", "update"], log, files)?;
        let arguments = [&["apt-get", "--yes", "install"], packages].concat();
        self.run_as_root(&arguments, log, files)
    }

    /// Makes sure that the unprivileged user exists.
    pub fn create_user(&self) -> Result<()> {
        self.handle.create_user().map_err(from_host)
    }

    /// Copies a directory of the run to the same location inside.
    pub fn push_directory(&self, source: &Directory) -> Result<()> {
        self.handle.push_directory(&source.0).map_err(from_host)
    }

    /// Copies a file to an absolute path inside.
    pub fn push_file(&self, from: &Directory, source: &str, target: &str, mode: u32) -> Result<()> {
        self.handle
            .push_file(&from.0, source, target, mode)
            .map_err(from_host)
    }

    /// Copies a regular file from an absolute path inside.
    pub fn pull_file(&self, source: &str, into: &Directory, target: &str) -> Result<()> {
        self.handle
            .pull_file(source, &into.0, target)
            .map_err(from_host)
    }

    /// Makes a directory of the run inside as well, empty, owned by the unprivileged user.
    pub fn create_directory(&self, directory: &Directory, mode: u32) -> Result<()> {
        self.handle
            .create_directory(&directory.0, mode)
            .map_err(from_host)
    }

    /// Ends it and everything in it.
    pub fn stop(&self) -> Result<()> {
        self.handle.stop().map_err(from_host)
    }
}
