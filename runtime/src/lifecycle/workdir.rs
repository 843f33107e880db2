//! The directories of a run: inputs, working directory, logs. They go when the run has ended, whoever owns what is in them.

use crate::executor::{ExecutorError, owner, remove_directory};
use crate::host::Workspace;
use crate::host::files::DirectoryHandle;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use tempfile::TempDir;

/// Prefix of the names of all directories of runs; the reference has the same. The name of the process that made it follows.
pub const PREFIX: &str = "debusine-fetch-exec-upload-";

/// The directories of one run. Each is locked for as long as the run lives, whoever ends it.
pub struct WorkDirectories {
    download: TempDir,
    execute: TempDir,
    logs: TempDir,
    _locks: [Flock<File>; 3],
}

impl WorkDirectories {
    /// Makes them beneath `parent`, which every user of a sandbox must be able to reach (`o+x` all the way).
    pub fn new(parent: &Path) -> io::Result<Self> {
        let make = || -> io::Result<(TempDir, Flock<File>)> {
            let prefix = format!("{PREFIX}{}-", owner::name_of_this_process());
            let made = tempfile::Builder::new()
                .prefix(&prefix)
                .tempdir_in(parent)?;
            // Sub-ids of the sandbox read inputs here; the random name and the owner's rights protect the rest.
            std::fs::set_permissions(made.path(), std::fs::Permissions::from_mode(0o755))?;
            let lock = lock(made.path())?.ok_or(io::ErrorKind::ResourceBusy)?;
            Ok((made, lock))
        };
        let ((download, one), (execute, two), (logs, three)) = (make()?, make()?, make()?);
        Ok(Self {
            download,
            execute,
            logs,
            _locks: [one, two, three],
        })
    }

    /// Removes the directories of runs of this user that were killed before they could do so themselves, also what users of sub-ids own. What
    /// cannot be removed keeps nobody from working: a warning names it and says why.
    pub async fn sweep(parent: &Path) -> io::Result<()> {
        let me = nix::unistd::geteuid().as_raw();
        for entry in std::fs::read_dir(parent)? {
            let entry = entry?;
            let Ok(found) = entry.metadata() else {
                continue;
            };
            let name = entry.file_name();
            if !is_abandoned(&name.to_string_lossy()) || !found.is_dir() || found.uid() != me {
                continue;
            }
            // Processes of another container that shares this directory cannot be seen, but their locks can.
            if let Ok(Some(_lock)) = lock(&entry.path()) {
                tracing::info!(
                    "{}: left by a run that was killed; removing it",
                    entry.path().display()
                );
                if let Err(error) = remove_directory(&entry.path()).await {
                    tracing::warn!("{error}");
                }
            }
        }
        Ok(())
    }

    /// Handles on inputs and working directory, for the component.
    pub fn workspace(&self) -> io::Result<Workspace> {
        Ok(Workspace {
            download: DirectoryHandle::open(self.download.path())?,
            execute: DirectoryHandle::open(self.execute.path())?,
        })
    }

    /// Where the log files are.
    pub fn logs(&self) -> &Path {
        self.logs.path()
    }

    /// Removes them, also what users of sub-ids own.
    pub async fn remove(self) -> Result<(), ExecutorError> {
        let mut result = Ok(());
        for directory in [self.download, self.execute, self.logs] {
            let removed = remove_directory(&directory.keep()).await;
            result = result.and(removed);
        }
        result
    }
}

/// Whether a name is that of a directory whose run was killed.
fn is_abandoned(name: &str) -> bool {
    let owned = name.strip_prefix(PREFIX).and_then(|it| it.split_once('-'));
    owned.is_some_and(|(owner, _)| owner::is_abandoned(owner))
}

/// The lock of a directory; none if somebody else has it. The kernel gives it back when its owner dies.
fn lock(directory: &Path) -> io::Result<Option<Flock<File>>> {
    match Flock::lock(File::open(directory)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::executor::remove::tests::make_deep;
    use crate::executor::{Abort, Command, Commands, Exit, HostCommands, Stderr};

    /// What a run leaves that was killed.
    fn abandoned(parent: &Path, name: &str) -> std::path::PathBuf {
        let path = parent.join(format!("{PREFIX}4194999.77-{name}"));
        std::fs::create_dir(&path).unwrap();
        path
    }

    #[tokio::test]
    async fn directories_of_a_killed_run_are_swept_and_those_of_a_living_one_are_not()
    -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let living = WorkDirectories::new(parent.path())?;
        let place = |name: String| parent.path().join(name);
        let killed = place(format!("{PREFIX}4194999.77-killed"));
        let locked = place(format!("{PREFIX}4194999.77-of-another-container"));
        let foreign = place("somebody-elses".to_owned());
        let reference = place(format!("{PREFIX}abcd1234"));
        for path in [&killed, &locked, &foreign, &reference] {
            std::fs::create_dir_all(path.join("content"))?;
        }
        let _lock = lock(&locked)?;
        WorkDirectories::sweep(parent.path()).await?;
        assert!(!killed.exists());
        assert!(locked.exists() && foreign.exists() && reference.exists());
        assert!(living.logs().exists());
        Ok(())
    }

    #[tokio::test]
    async fn directories_of_a_killed_run_are_swept_however_deep_they_are() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let killed = abandoned(parent.path(), "deep");
        make_deep(&killed, "down-and-down", 3000);
        WorkDirectories::sweep(parent.path()).await?;
        assert!(!killed.exists());
        let run = WorkDirectories::new(parent.path())?;
        make_deep(run.logs(), "down-and-down", 3000);
        run.remove().await.unwrap();
        assert_eq!(std::fs::read_dir(parent.path())?.count(), 0);
        Ok(())
    }

    #[tokio::test]
    async fn directories_of_a_killed_run_are_swept_whoever_owns_what_is_in_them() -> io::Result<()>
    {
        let parent = tempfile::tempdir()?;
        let killed = abandoned(parent.path(), "of-others");
        // As sbuild and mmdebstrap leave it.
        let line =
            "mkdir -p root/deep && touch root/deep/file && chown -R 7:7 root && chmod 700 root";
        let words = ["unshare", "--map-root-user", "--map-auto", "sh", "-c", line];
        let command = Command {
            arguments: words.map(Into::into).into(),
            directory: Some(killed.clone()),
            environment: None,
            as_root: false,
            stdin: None,
            stdout: None,
            stderr: Stderr::Discard,
            timeout: None,
        };
        let exit = HostCommands::new().run(command, &Abort::new()).await;
        if exit.ok() != Some(Exit::Exited(0)) {
            eprintln!("skipped: unshare cannot map ids here");
            return Ok(());
        }
        WorkDirectories::sweep(parent.path()).await?;
        assert!(!killed.exists());
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_swept_keeps_no_run_from_its_directories() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let killed = abandoned(parent.path(), "mounted");
        std::fs::create_dir(killed.join("mounted"))?;
        let (nothing, flags) = (None::<&str>, nix::mount::MsFlags::empty());
        let mounted = killed.join("mounted");
        if let Err(error) = nix::mount::mount(nothing, &mounted, Some("tmpfs"), flags, nothing) {
            eprintln!("skipped: only root can mount: {error}");
            return Ok(());
        }
        let other = abandoned(parent.path(), "other");
        let swept = WorkDirectories::sweep(parent.path()).await;
        let refused = remove_directory(&killed).await;
        nix::mount::umount2(&mounted, nix::mount::MntFlags::MNT_DETACH)?;
        swept?;
        let words = refused.unwrap_err().to_string();
        assert!(
            words.contains(killed.to_str().unwrap()) && words.contains("mounted"),
            "{words}"
        );
        assert!(mounted.exists() && !other.exists());
        WorkDirectories::new(parent.path())?.remove().await.unwrap();
        WorkDirectories::sweep(parent.path()).await?;
        assert_eq!(std::fs::read_dir(parent.path())?.count(), 0);
        Ok(())
    }
}
