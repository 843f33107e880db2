//! What a task writes `use task_sdk::prelude::*` for.

pub use crate::artifacts::{self, Category, Draft, DraftFile};
pub use crate::command::{Command, Exit, Outcome, Output, succeeded};
pub use crate::core::Core;
pub use crate::database::{DynamicDataError, FoundArtifact, TaskDatabase};
pub use crate::exchange::{
    Artifact, ArtifactFile, RelationType, append_to_log, command_available, copy_to_log,
    environment_variable, fetch_url, fetched_artifacts, host_has_resolv_conf, is_aborted, relate,
    related, required, upload,
};
pub use crate::executor::{Executor, Image, Instance};
pub use crate::external_task::ExternalTask;
pub use crate::failure::{Failure, Result};
pub use crate::files::{DigestAlgorithm, Directory, Entry, EntryType, File, Reader, Workspace};
pub use crate::lookups::{
    CollectionLookup, EnvironmentFilters, ImageFormat, LookupPart, MultipleLookup, SingleLookup,
};
pub use crate::model::{
    Dictionary, FieldType, FileUrl, Maintainer, Model, PathPart, Refusal, Report, Timestamp, Url,
    Violation, at_least, at_most, distinct, empty_is_null, items, min_items,
};
pub use crate::needs::Needs;
pub use crate::repositories::{ExtraRepository, ExtraSources};
pub use crate::run_command_task::{CommandLine, RunCommandTask};
pub use crate::task::Task;
pub use crate::task_data::{
    Backend, DynamicFields, ExecutorFields, FixedExecutorFields, OptionalExecutorFields,
    RepositoryFields, TaskFields,
};
pub use crate::task_with_executor::{TaskWithExecutor, find_environment};
pub use crate::worker_metadata::WorkerMetadata;
pub use crate::{choices, model, register_task, union};
pub use serde_json::{Map, Value, json};
