//! Tasks that work in an environment: a system image, and a backend that runs it.

use crate::database::{DynamicDataError, FoundArtifact, TaskDatabase};
use crate::executor::{self, Executor};
use crate::external_task::ExternalTask;
use crate::failure::{Failure, Result};
use crate::lookups::{EnvironmentFilters, ImageFormat, SingleLookup};
use crate::task_data::Backend;

/// A task that works in an environment.
pub trait TaskWithExecutor: ExternalTask {
    /// The backend that the data ask for.
    fn backend(&self) -> Backend;

    /// The environment that the data name, if they do.
    fn environment(&self) -> Option<&SingleLookup>;

    /// The environment's artifact, once it is known.
    fn environment_id(&self) -> Option<i64>;

    /// Resolves the environment: the look-up is completed with architecture, format and backend (tasks.md 1.4).
    fn find_environment(
        &self,
        database: &TaskDatabase,
        accepted: &[&str],
    ) -> Result<Option<FoundArtifact>, DynamicDataError> {
        let found = self.find_any_environment(database)?;
        if let Some(found) = &found {
            found.require_category("environment", accepted)?;
        }
        Ok(found)
    }

    /// The same for a task that leaves it to its backend whether it can use what is found.
    fn find_any_environment(
        &self,
        database: &TaskDatabase,
    ) -> Result<Option<FoundArtifact>, DynamicDataError> {
        let Some(lookup) = self.environment() else {
            return Ok(None);
        };
        let backend = self.backend().effective();
        let filters = EnvironmentFilters {
            architecture: self.host_architecture(),
            format: ImageFormat::of(backend),
            backend: Some(backend),
        };
        find_environment(database, lookup, &filters).map(Some)
    }

    /// Fetches the environment's image, without starting it.
    fn prepare_executor(&mut self) -> Result<()> {
        let environment = self.environment_id().ok_or_else(|| {
            Failure::new("missing", "the task has no environment: set `environment`")
        })?;
        let backend = match self.backend().effective() {
            Backend::IncusLxc => executor::Backend::IncusLxc,
            Backend::IncusVm => executor::Backend::IncusVm,
            Backend::Qemu => executor::Backend::Qemu,
            Backend::Auto | Backend::Unshare => executor::Backend::Unshare,
        };
        self.core_mut().executor = Some(Executor::prepare(backend, environment)?);
        Ok(())
    }

    /// Fetches the environment's image and starts an instance of it.
    fn prepare_executor_instance(&mut self) -> Result<()> {
        self.prepare_executor()?;
        let core = self.core_mut();
        core.instance = core.executor.as_ref().map(Executor::start).transpose()?;
        Ok(())
    }
}

/// Looks an environment up, with these filters added to a `match` look-up.
pub fn find_environment(
    database: &TaskDatabase,
    lookup: &SingleLookup,
    filters: &EnvironmentFilters<'_>,
) -> Result<FoundArtifact, DynamicDataError> {
    let lookup = filters
        .augment(lookup)
        .map_err(|error| DynamicDataError::Internal(Failure::from(error)))?;
    database.lookup_single(&lookup, Some("debian:environments"))
}

impl FoundArtifact {
    /// Refuses an artifact of another category; `field` is where the data name it.
    pub fn require_category(&self, field: &str, accepted: &[&str]) -> Result<(), DynamicDataError> {
        if accepted.contains(&self.category.as_str()) {
            return Ok(());
        }
        Err(DynamicDataError::Config(format!(
            "{field}: artifact {} is a {}, expected {}",
            self.id,
            self.category,
            accepted.join(" or ")
        )))
    }
}
