//! What a task writes `use task_sdk::prelude::*` for.

pub use crate::lookups::{
    CollectionLookup, EnvironmentFilters, ImageFormat, LookupPart, MultipleLookup, SingleLookup,
};
pub use crate::model::{
    Dictionary, FieldType, FileUrl, Maintainer, Model, PathPart, Refusal, Report, Timestamp, Url,
    Violation, at_least, at_most, distinct, empty_is_null, items, min_items,
};
pub use crate::repositories::ExtraRepository;
pub use crate::task_data::{
    Backend, DynamicFields, ExecutorFields, OptionalExecutorFields, RepositoryFields, TaskFields,
};
pub use crate::worker_metadata::WorkerMetadata;
pub use crate::{choices, model, union};
pub use serde_json::{Map, Value, json};
