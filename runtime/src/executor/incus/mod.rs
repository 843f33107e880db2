//! Containers and virtual machines of incus, through its command-line client (the backends `incus-lxc` and `incus-vm`).

mod image;
mod instance;

pub use image::{IncusImage, IncusImageKind};
pub use instance::IncusInstance;

use super::user::Collected;
use super::{Abort, Command, Commands, ExecutorError, Exit, HostCommands, Stderr, owner};
use std::ffi::OsString;
use std::path::Path;

/// The profile with which instances are launched; whoever administers the worker makes it.
pub const INCUS_PROFILE: &str = "debusine";

/// Begins the names of instances, the reference's too.
const INSTANCE_PREFIX: &str = "debusine-";

/// The instance's setting that names its runtime: when that is gone, the instance is cleared away.
const OWNER: &str = "user.task-runtime.owner";

/// The image's property that tells what it was made from.
const MADE_FROM: &str = "sha256";

/// The client program.
#[derive(Debug, Clone)]
pub struct Incus {
    host: HostCommands,
    program: OsString,
}

/// What the client answered.
struct Answer {
    exit: Exit,
    printed: String,
    complaint: String,
}

impl Incus {
    /// The client, run by these means; it is looked for on `PATH`.
    pub fn new(host: HostCommands) -> Self {
        Self {
            host,
            program: "incus".into(),
        }
    }

    /// Uses this program as the client.
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.program = program.into();
        self
    }

    /// Imports an image under its alias, unless it is there already. `file` is what it is made from; `scratch` gets what is written on the way.
    pub async fn import(
        &self,
        image: &IncusImage,
        file: &Path,
        scratch: &Path,
        abort: &Abort,
    ) -> Result<(), ExecutorError> {
        let alias = image.alias.as_str();
        let made_from = ["image", "get-property", alias, MADE_FROM];
        let known = self.ask(&made_from, abort).await?;
        if known.succeeded() && known.printed.trim() == image.sha256 {
            return Ok(());
        }
        let there = self.ask(&["image", "info", alias], abort).await?;
        if there.succeeded() {
            // Another worker's, or another store's, of the same number.
            self.demand("remove an image", &["image", "rm", alias], abort)
                .await?;
        }
        let system = |error: std::io::Error| {
            ExecutorError::System(format!(
                "cannot convert the image in {}: {error}; check the disk and the permissions",
                scratch.display()
            ))
        };
        std::fs::create_dir_all(scratch).map_err(system)?;
        let directory = tempfile::Builder::new()
            .prefix("incus-")
            .tempdir_in(scratch)
            .map_err(system)?;
        let archive = image
            .build(file, directory.path(), &self.host, abort)
            .await?;
        let archive = archive.display().to_string();
        self.demand(
            "import an image",
            &["image", "import", &archive, "--alias", alias],
            abort,
        )
        .await
        .map(drop)
    }

    /// Deletes the instances of runtimes that are gone; how many there were.
    pub async fn sweep(&self, abort: &Abort) -> Result<usize, ExecutorError> {
        let columns = format!("--columns=n,{OWNER}");
        let list = ["list", "--format=csv", &columns];
        let instances = self.demand("list the instances", &list, abort).await?;
        let mut deleted = 0;
        for line in instances.lines() {
            let Some((name, owner)) = line.split_once(',') else {
                continue;
            };
            if name.starts_with(INSTANCE_PREFIX) && owner::is_abandoned(owner) {
                self.delete(name, abort).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    async fn delete(&self, name: &str, abort: &Abort) -> Result<(), ExecutorError> {
        let delete = ["delete", "--force", name];
        self.demand("delete an instance", &delete, abort)
            .await
            .map(drop)
    }

    /// What the client prints, if it succeeds.
    async fn demand(
        &self,
        what: &str,
        arguments: &[&str],
        abort: &Abort,
    ) -> Result<String, ExecutorError> {
        let answer = self.ask(arguments, abort).await?;
        match answer.succeeded() {
            true => Ok(answer.printed),
            false => Err(answer.error(what, arguments)),
        }
    }

    /// The client with these arguments.
    fn client(&self, arguments: impl IntoIterator<Item = OsString>) -> Command {
        let program = std::iter::once(self.program.clone());
        Command {
            arguments: program.chain(arguments).collect(),
            directory: None,
            environment: None,
            as_root: false,
            stdin: None,
            stdout: None,
            stderr: Stderr::Discard,
            timeout: None,
        }
    }

    async fn ask(&self, arguments: &[&str], abort: &Abort) -> Result<Answer, ExecutorError> {
        let (printed, complaint) = (Collected::default(), Collected::default());
        let arguments = arguments.iter().map(OsString::from);
        let command = Command {
            stdout: Some(Box::new(printed.clone())),
            stderr: Stderr::To(Box::new(complaint.clone())),
            ..self.client(arguments)
        };
        let exit = self.host.run(command, abort).await?;
        match exit {
            Exit::Aborted => Err(ExecutorError::Aborted),
            exit => Ok(Answer {
                exit,
                printed: printed.text(),
                complaint: complaint.text(),
            }),
        }
    }
}

impl Answer {
    fn succeeded(&self) -> bool {
        self.exit == Exit::Exited(0)
    }

    fn error(&self, what: &str, arguments: &[&str]) -> ExecutorError {
        let complaint = self.complaint.trim().trim_start_matches("Error: ");
        let said = match complaint {
            "" => "it does not say why",
            words => words,
        };
        ExecutorError::System(format!(
            "cannot {what}: {said}; try `incus {}` by hand",
            arguments.join(" ")
        ))
    }
}
