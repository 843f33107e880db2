//! What a task writes `use task_sdk::prelude::*` for.

pub use crate::model::{
    Dictionary, FieldType, FileUrl, Maintainer, Model, PathPart, Refusal, Report, Timestamp, Url,
    Violation, at_least, at_most, distinct, items, min_items,
};
pub use crate::{choices, model, union};
pub use serde_json::{Map, Value, json};
