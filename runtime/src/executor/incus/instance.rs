//! One instance of incus: launched, used and deleted through the client.

use super::{ANSWERS_WITHIN, Answer, COPIES_WITHIN, INCUS_PROFILE, INSTANCE_PREFIX, Incus, OWNER};
use crate::executor::orders::Credentials;
use crate::executor::program::Program;
use crate::executor::user::{self, USER};
use crate::executor::{
    Abort, Command, Commands, ExecutorError, Exit, Instance, Limits, owner, transfer,
};
use async_trait::async_trait;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an instance may take until its system runs.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at one that starts: incus tells nobody when a system is up.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncusKind {
    /// A container.
    Container,
    /// A virtual machine.
    Machine,
}

impl IncusKind {
    /// The limits as options of incus, by its manual ("Instance options"). Of a virtual machine nothing counts the processes, and it has whole processors.
    fn options(self, limits: &Limits) -> Vec<String> {
        let memory = limits.memory.map(|bytes| format!("limits.memory={bytes}"));
        let processes = limits
            .processes
            .filter(|_| self == Self::Container)
            .map(|count| format!("limits.processes={count}"));
        let processors = limits.processors.map(|thousandths| match self {
            Self::Container => format!("limits.cpu.allowance={}ms/100ms", thousandths.div_ceil(10)),
            Self::Machine => format!("limits.cpu={}", thousandths.div_ceil(1000)),
        });
        [memory, processes, processors]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// A running, ephemeral instance.
#[derive(Debug)]
pub struct IncusInstance {
    incus: Incus,
    name: String,
    user: Mutex<Option<Credentials>>,
    ended: AtomicBool,
}

impl IncusInstance {
    /// Launches an instance of the image with this alias, which is one of this kind, and waits until its system runs.
    pub async fn launch(
        incus: &Incus,
        alias: &str,
        kind: IncusKind,
        limits: &Limits,
        abort: &Abort,
    ) -> Result<Self, ExecutorError> {
        let name = unused_name(incus, abort).await?;
        let instance = Self {
            incus: incus.clone(),
            name,
            user: Mutex::new(None),
            ended: AtomicBool::new(false),
        };
        let owner = format!("{OWNER}={}", owner::name_of_this_process());
        let limits = kind.options(limits);
        let mut launch = vec!["launch", "--ephemeral", "--profile", INCUS_PROFILE];
        for option in std::iter::once(&owner).chain(&limits) {
            launch.extend(["--config", option]);
        }
        launch.extend([alias, &instance.name]);
        let launched = incus
            .demand("launch an instance", &launch, COPIES_WITHIN, abort)
            .await;
        let started = match launched {
            Ok(_) => instance.wait_until_it_runs(abort).await,
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            // Half of it may be there.
            let _ = instance.stop().await;
            return Err(error);
        }
        Ok(instance)
    }

    async fn wait_until_it_runs(&self, abort: &Abort) -> Result<(), ExecutorError> {
        let give_up = Instant::now() + STARTS_WITHIN;
        let look = ["exec", &self.name, "--", "systemctl", "is-system-running"];
        while Instant::now() < give_up {
            let answer = self.incus.ask(&look, STARTS_WITHIN, abort).await?;
            match answer.printed.trim() {
                "running" | "degraded" | "maintenance" => return Ok(()),
                "initializing" | "starting" => {}
                _ => tracing::debug!(
                    "{} does not run yet: {}",
                    self.name,
                    answer.complaint.trim()
                ),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = abort.cancelled() => return Err(ExecutorError::Aborted),
            }
        }
        Err(ExecutorError::System(format!(
            "the instance {} has not started within {} s; does its image boot, and has it the incus agent if it is a virtual machine?",
            self.name,
            STARTS_WITHIN.as_secs()
        )))
    }

    async fn credentials(&self) -> Result<Credentials, ExecutorError> {
        self.user.lock().await.clone().ok_or_else(|| {
            ExecutorError::System(format!(
                "the instance has no user {USER} yet; create it first"
            ))
        })
    }

    /// Has something done inside, as root.
    async fn inside(
        &self,
        what: &str,
        arguments: &[&str],
        abort: &Abort,
    ) -> Result<String, ExecutorError> {
        let all = [&["exec", &self.name, "--"], arguments].concat();
        let answer: Answer = self.incus.ask(&all, COPIES_WITHIN, abort).await?;
        match answer.succeeded() {
            true => Ok(answer.printed),
            false => Err(ExecutorError::File(answer.error(what, &all).to_string())),
        }
    }

    /// The path as the client's `file` subcommands take it.
    fn place(&self, path: &Path) -> Result<String, ExecutorError> {
        Ok(format!("{}{}", self.name, text(path)?))
    }
}

/// A name that no instance has.
async fn unused_name(incus: &Incus, abort: &Abort) -> Result<String, ExecutorError> {
    loop {
        let letters = (0..6).map(|_| char::from(rand::random_range(b'a'..=b'z')));
        let name: String = INSTANCE_PREFIX.chars().chain(letters).collect();
        let answer = incus.ask(&["info", &name], ANSWERS_WITHIN, abort).await?;
        match answer.exit {
            Exit::Exited(0) => {}
            Exit::TimedOut => return Err(answer.error("launch an instance", &["info", &name])),
            _ => return Ok(name),
        }
    }
}

/// A path as an argument of the client, which knows text only.
fn text(path: &Path) -> Result<&str, ExecutorError> {
    path.to_str()
        .filter(|text| text.starts_with('/') && !text.contains("/../"))
        .ok_or_else(|| {
            ExecutorError::File(format!(
                "{} in the instance is refused: it has to be an absolute path in UTF-8 without ..",
                path.display()
            ))
        })
}

#[async_trait]
impl Commands for IncusInstance {
    async fn run(&self, command: Command, abort: &Abort) -> Result<Exit, ExecutorError> {
        let mut arguments: Vec<OsString> = vec!["exec".into(), self.name.as_str().into()];
        if !command.as_root {
            let user = self.credentials().await?;
            arguments.extend(["--user".into(), user.uid.to_string().into()]);
            arguments.extend(["--group".into(), user.gid.to_string().into()]);
            arguments.extend(["--env".into(), format!("HOME=/home/{USER}").into()]);
        }
        if let Some(directory) = command.directory {
            arguments.extend(["--cwd".into(), directory.into()]);
        }
        for (name, value) in command.environment.into_iter().flatten() {
            let mut variable = name;
            variable.push("=");
            variable.push(value);
            arguments.extend(["--env".into(), variable]);
        }
        arguments.push("--".into());
        arguments.extend(command.arguments);
        let command = Command {
            stdin: command.stdin,
            stdout: command.stdout,
            stderr: command.stderr,
            timeout: command.timeout,
            ..self.incus.client(arguments)
        };
        self.incus.host.run(command, abort).await
    }
}

#[async_trait]
impl Instance for IncusInstance {
    async fn create_user(&self, abort: &Abort) -> Result<(), ExecutorError> {
        let user = user::ensure(self, abort).await?;
        *self.user.lock().await = Some(user);
        Ok(())
    }

    async fn push_directory(
        &self,
        source: &Path,
        target: &Path,
        abort: &Abort,
    ) -> Result<(), ExecutorError> {
        let user = self.credentials().await?;
        let name = Path::new(source.file_name().unwrap_or_default());
        let pushed = target.join(name);
        let owner = format!("{}:{}", user.uid, user.gid);
        let (archive, writer) = transfer::archive_of(source, abort)?;
        // The client's own recursion knows no links, and asks the server once for each file.
        let unpack = [
            "exec",
            &self.name,
            "--",
            "tar",
            "--extract",
            "--no-same-owner",
        ];
        let mut arguments: Vec<OsString> = unpack.iter().map(OsString::from).collect();
        arguments.push(format!("--directory={}", text(target)?).into());
        let unpack = Command {
            stdin: Some(archive.into()),
            timeout: Some(COPIES_WITHIN),
            ..self.incus.client(arguments)
        };
        let unpacked = self.incus.host.run(unpack, abort).await;
        let written = writer
            .await
            .unwrap_or_else(|error| Err(ExecutorError::System(error.to_string())));
        match (written, unpacked?) {
            (_, Exit::Aborted) => return Err(ExecutorError::Aborted),
            (Err(error), _) => return Err(error),
            (Ok(()), Exit::Exited(0)) => {}
            (Ok(()), _) => {
                return Err(ExecutorError::File(format!(
                    "cannot push {} into the instance: its tar fails; does {} exist there?",
                    source.display(),
                    target.display()
                )));
            }
        }
        let own = [
            "chown",
            "--recursive",
            "--no-dereference",
            &owner,
            text(&pushed)?,
        ];
        self.inside("give away what was pushed", &own, abort)
            .await
            .map(drop)
    }

    async fn push_file(
        &self,
        source: File,
        target: &Path,
        mode: u32,
        abort: &Abort,
    ) -> Result<(), ExecutorError> {
        let (mode, place) = (format!("{:o}", mode & 0o777), self.place(target)?);
        let push = [
            "file", "push", "--uid", "0", "--gid", "0", "--mode", &mode, "-", &place,
        ];
        let command = Command {
            stdin: Some(source),
            timeout: Some(COPIES_WITHIN),
            ..self.incus.client(push.iter().map(OsString::from))
        };
        match self.incus.host.run(command, abort).await? {
            Exit::Exited(0) => Ok(()),
            Exit::Aborted => Err(ExecutorError::Aborted),
            _ => Err(ExecutorError::File(format!(
                "cannot push a file to {} in the instance; does its directory exist?",
                target.display()
            ))),
        }
    }

    async fn pull_file(
        &self,
        source: &Path,
        target: File,
        abort: &Abort,
    ) -> Result<(), ExecutorError> {
        let place = self.place(source)?;
        let look = ["stat", "--format=%F", text(source)?];
        let kind = self.inside("look at a file", &look, abort).await?;
        if !kind.starts_with("regular") {
            return Err(ExecutorError::File(format!(
                "{} in the instance is refused: it is a {}, only regular files are taken out",
                source.display(),
                kind.trim()
            )));
        }
        let mut target = target;
        let failed = |error: std::io::Error| {
            ExecutorError::System(format!(
                "cannot write what is pulled: {error}; is the disk full?"
            ))
        };
        target.seek(SeekFrom::Start(0)).map_err(failed)?;
        let pull = ["file", "pull", &place, "-"].map(OsString::from);
        let command = Command {
            stdout: Some(Box::new(tokio::fs::File::from_std(target))),
            timeout: Some(COPIES_WITHIN),
            ..self.incus.client(pull)
        };
        match self.incus.host.run(command, abort).await? {
            Exit::Exited(0) => Ok(()),
            Exit::Aborted => Err(ExecutorError::Aborted),
            _ => Err(ExecutorError::File(format!(
                "cannot pull {} from the instance; check the path",
                source.display()
            ))),
        }
    }

    async fn create_directory(
        &self,
        path: &Path,
        mode: u32,
        abort: &Abort,
    ) -> Result<(), ExecutorError> {
        let user = self.credentials().await?;
        let (mode, owner, group) = (
            format!("--mode={:o}", mode & 0o777),
            format!("--owner={}", user.uid),
            format!("--group={}", user.gid),
        );
        let make = ["install", "--directory", &mode, &owner, &group, text(path)?];
        self.inside("make a directory", &make, abort)
            .await
            .map(drop)
    }

    async fn stop(&self) -> Result<(), ExecutorError> {
        if self.ended.load(Ordering::Relaxed) {
            return Ok(());
        }
        // It is ephemeral, and nothing in it is worth a tidy end: deleting stops it at once. If that fails, it may be asked for again, by the drop at last.
        self.incus.delete(&self.name, &Abort::new()).await?;
        self.ended.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for IncusInstance {
    fn drop(&mut self) {
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        let (program, name) = (self.incus.program.clone(), self.name.clone());
        // Nobody waits for it here; should this process end first, the sweep at the next start deletes it.
        std::thread::spawn(move || {
            let mut delete = std::process::Command::new(program);
            delete.args(["delete", "--force", &name]);
            let deleted = Program::start(delete).and_then(|it| it.end(ANSWERS_WITHIN, None));
            if let Err(error) = deleted {
                tracing::debug!("{name} is left to the sweep at the next start: {error}");
            }
        });
    }
}
