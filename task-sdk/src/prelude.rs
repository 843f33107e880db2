//! What a task writes `use task_sdk::prelude::*` for.

pub use crate::model::{
    Dictionary, FieldType, Model, PathPart, Refusal, Report, Violation, at_least, at_most,
    distinct, items, min_items,
};
pub use crate::{choices, model, union};
pub use serde_json::{Map, Value, json};
