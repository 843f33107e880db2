//! Unpacking binary packages in an instance, and taking what is in them out of it.

use crate::command::{Command, Output};
use crate::executor::Instance;
use crate::failure::{Failure, Result};
use crate::files::{Directory, Workspace};

/// The name of an archive in the local directory. No package can have it.
const ARCHIVE: &str = "_archive.tar";

/// Unpacks packages in the instance, where `dpkg-deb` reads what nobody vouches for; whole directories come out as tar files.
pub struct Unpacker<'a> {
    instance: &'a Instance,
    execute: &'a Directory,
    /// A new directory on the host, for what comes out and goes in.
    pub local: Directory,
}

impl<'a> Unpacker<'a> {
    /// An unpacker that works in the instance's working directory.
    pub fn new(instance: &'a Instance, workspace: &'a Workspace) -> Result<Self> {
        // Not in the working directory: the command log lists that after each command.
        let download = &workspace.download;
        let name = download.temporary_name("local-", "");
        Ok(Self {
            instance,
            execute: &workspace.execute,
            local: download.create_directory(&name)?,
        })
    }

    /// Runs a command as the unprivileged user; it must succeed. The command log has what it says.
    pub fn run(&self, arguments: &[&str]) -> Result<()> {
        let command = Command::new(arguments.iter().copied()).output(Output::CommandLog);
        let outcome = self.instance.run(&command, self.execute)?;
        if outcome.succeeded() {
            return Ok(());
        }
        let words = format!(
            "{}: ended with {:?}; see cmd-output.log",
            arguments.join(" "),
            outcome.exit
        );
        Err(Failure::new("command-failed", words))
    }

    /// The absolute path of a name in the instance's working directory.
    pub fn path(&self, name: &str) -> String {
        self.execute.path(name)
    }

    /// Unpacks the package `deb`, an absolute path, into the directory `name`.
    pub fn unpack(&self, deb: &str, name: &str) -> Result<()> {
        self.run(&["dpkg-deb", "-x", deb, &self.path(name)])
    }

    /// Copies a file out of the instance, to `target` in the local directory.
    pub fn pull(&self, name: &str, target: &str) -> Result<()> {
        self.instance
            .pull_file(&self.path(name), &self.local, target)
    }

    /// Copies the directory `name` out of the instance: into a directory of its own, out of which no link leads.
    pub fn pull_directory(&self, name: &str) -> Result<Directory> {
        let archive = self.path(&format!("{name}.tar"));
        let location = self.execute.location();
        self.run(&["tar", "-C", &location, "-cf", &archive, name])?;
        self.instance.pull_file(&archive, &self.local, ARCHIVE)?;
        self.local.unpack(ARCHIVE, name)?;
        self.local.remove(ARCHIVE)?;
        self.local.open_directory(name)
    }

    /// Copies the directory `name` of the local directory into the instance.
    pub fn push_directory(&self, name: &str) -> Result<()> {
        self.local.pack(name, ARCHIVE)?;
        let target = self.path(&format!("{name}.tar"));
        self.instance
            .push_file(&self.local, ARCHIVE, &target, 0o644)?;
        self.local.remove(ARCHIVE)?;
        let location = self.execute.location();
        self.run(&["tar", "-C", &location, "--one-top-level", "-xf", &target])
    }
}
