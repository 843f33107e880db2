//! Environments whose directories the users of sandboxes can reach: the path to them is looked at before anything is fetched.

use super::super::places::check_passable;
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use task_runtime::artifacts::{ArtifactId, ArtifactStore};
use task_runtime::executor::{Abort, Allowance, ExecutorError, Instance};
use task_runtime::host::bindings::debusine::task::executor::Backend;
use task_runtime::host::{Executors, PreparedImage};
use task_runtime::lifecycle::LocalEnvironments;

/// The environments of the artifact store, in the cache.
pub struct PassableEnvironments {
    environments: LocalEnvironments,
    /// What has to be reached: the cache, and the directories of runs.
    directories: [PathBuf; 2],
}

impl PassableEnvironments {
    /// Environments cached beneath `cache`, for runs whose directories are beneath `runs`.
    pub fn new(
        store: Arc<dyn ArtifactStore>,
        cache: &Path,
        runs: &Path,
        allowance: &Allowance,
    ) -> Self {
        Self {
            environments: LocalEnvironments::new(store, cache).allowance(*allowance),
            directories: [cache.to_owned(), runs.to_owned()],
        }
    }
}

#[async_trait]
impl Executors for PassableEnvironments {
    async fn prepare(
        &self,
        backend: Backend,
        environment: ArtifactId,
        abort: &Abort,
    ) -> Result<PreparedImage, ExecutorError> {
        for directory in &self.directories {
            check_passable(directory).map_err(ExecutorError::Unsupported)?;
        }
        self.environments.prepare(backend, environment, abort).await
    }

    async fn start(
        &self,
        image: &PreparedImage,
        abort: &Abort,
    ) -> Result<Arc<dyn Instance>, ExecutorError> {
        self.environments.start(image, abort).await
    }
}
