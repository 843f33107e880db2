//! Containers and virtual machines of incus, through its command-line client (the backends `incus-lxc` and `incus-vm`).

mod image;
mod instance;

pub use image::{IncusImage, IncusImageKind};
pub use instance::{IncusInstance, IncusKind};

use super::user::Collected;
use super::{Abort, Command, Commands, ExecutorError, Exit, HostCommands, Stderr, owner};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// The profile with which instances are launched; whoever administers the worker makes it.
pub const INCUS_PROFILE: &str = "debusine";

/// Begins the names of instances, the reference's too.
const INSTANCE_PREFIX: &str = "debusine-";

/// The instance's setting that names its runtime: when that is gone, the instance is cleared away.
const OWNER: &str = "user.task-runtime.owner";

/// The image's property that tells what it was made from.
const MADE_FROM: &str = "sha256";

/// How long the client may take to answer a question, and to delete something.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);

/// How long it may take over what copies a whole system: importing an image, launching an instance of it.
const COPIES_WITHIN: Duration = Duration::from_secs(3600);

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
        let known = self.ask(&made_from, ANSWERS_WITHIN, abort).await?;
        if known.succeeded() && known.printed.trim() == image.sha256 {
            return Ok(());
        }
        let info = ["image", "info", alias];
        let there = self.ask(&info, ANSWERS_WITHIN, abort).await?;
        if there.succeeded() {
            // Another worker's, or another store's, of the same number.
            let remove = ["image", "rm", alias];
            self.demand("remove an image", &remove, ANSWERS_WITHIN, abort)
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
            COPIES_WITHIN,
            abort,
        )
        .await
        .map(drop)
    }

    /// Deletes the instances of runtimes that are gone; how many. Of those that cannot be deleted a warning tells.
    pub async fn sweep(&self, abort: &Abort) -> Result<usize, ExecutorError> {
        let columns = format!("--columns=n,{OWNER}");
        let list = ["list", "--format=csv", &columns];
        let instances = self
            .demand("list the instances", &list, ANSWERS_WITHIN, abort)
            .await?;
        let mut deleted = 0;
        for line in instances.lines() {
            let Some((name, owner)) = line.split_once(',') else {
                continue;
            };
            if name.starts_with(INSTANCE_PREFIX) && owner::is_abandoned(owner) {
                match self.delete(name, abort).await {
                    Ok(()) => deleted += 1,
                    Err(ExecutorError::Aborted) => return Err(ExecutorError::Aborted),
                    Err(error) => tracing::warn!("{name}: left by a killed runtime: {error}"),
                }
            }
        }
        Ok(deleted)
    }

    async fn delete(&self, name: &str, abort: &Abort) -> Result<(), ExecutorError> {
        let delete = ["delete", "--force", name];
        let deleted = self
            .demand("delete an instance", &delete, ANSWERS_WITHIN, abort)
            .await;
        match deleted {
            Err(ExecutorError::System(_)) if self.lacks(name, abort).await => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    /// Whether there certainly is no such instance: an ephemeral one goes by itself when its system ends.
    async fn lacks(&self, name: &str, abort: &Abort) -> bool {
        let list = ["list", "--format=csv", "--columns=n", name];
        let listed = self.ask(&list, ANSWERS_WITHIN, abort).await;
        listed.is_ok_and(|it| it.succeeded() && !it.printed.lines().any(|line| line == name))
    }

    /// What the client prints, if it succeeds within the time.
    async fn demand(
        &self,
        what: &str,
        arguments: &[&str],
        within: Duration,
        abort: &Abort,
    ) -> Result<String, ExecutorError> {
        let answer = self.ask(arguments, within, abort).await?;
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

    async fn ask(
        &self,
        arguments: &[&str],
        within: Duration,
        abort: &Abort,
    ) -> Result<Answer, ExecutorError> {
        let (printed, complaint) = (Collected::default(), Collected::default());
        let arguments = arguments.iter().map(OsString::from);
        let command = Command {
            stdout: Some(Box::new(printed.clone())),
            stderr: Stderr::To(Box::new(complaint.clone())),
            timeout: Some(within),
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
        let said = match (self.exit, complaint) {
            (Exit::TimedOut, _) => "it does not answer; is its daemon alive?",
            (_, "") => "it does not say why",
            (_, words) => words,
        };
        ExecutorError::System(format!(
            "cannot {what}: {said}; try `incus {}` by hand",
            arguments.join(" ")
        ))
    }
}
