//! The directories of a run: inputs, working directory, logs. They go when the run has ended, whoever owns what is in them.

use crate::host::Workspace;
use crate::host::files::DirectoryHandle;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Prefix of the names of all directories of runs; the reference has the same.
pub const PREFIX: &str = "debusine-fetch-exec-upload-";

/// The directories of one run.
pub struct WorkDirectories {
    download: TempDir,
    execute: TempDir,
    logs: TempDir,
}

impl WorkDirectories {
    /// Makes them beneath `parent`, which every user of a sandbox must be able to reach (`o+x` all the way).
    pub fn new(parent: &Path) -> io::Result<Self> {
        let make = || -> io::Result<TempDir> {
            let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            // Sub-ids of the sandbox read inputs here; the random name and the owner's rights protect the rest.
            std::fs::set_permissions(made.path(), std::fs::Permissions::from_mode(0o755))?;
            Ok(made)
        };
        Ok(Self {
            download: make()?,
            execute: make()?,
            logs: make()?,
        })
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

    /// Removes them. What cannot be removed (files of a sub-id, for an ordinary user) is told by path.
    pub fn remove(self) -> Result<(), (PathBuf, io::Error)> {
        let mut result = Ok(());
        for directory in [self.download, self.execute, self.logs] {
            let path = directory.path().to_owned();
            if let Err(error) = directory.close() {
                result = Err((path, error));
            }
        }
        result
    }
}
