//! Categories whose artifacts are nothing but their files.

use crate::model::{__private, Definitions, Description, FieldType, Model, Report};
use serde_json::{Map, Value};

/// An object without keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoData;

impl Model for NoData {
    type Partial = ();

    const DOC: &'static str = "No data.";

    fn read_fields(_: &Map<String, Value>, _: &mut Report) -> Option<Self> {
        Some(Self)
    }

    fn has_key(_: &str) -> bool {
        false
    }

    fn write_fields(&self, _: &mut Map<String, Value>) {}

    fn describe(_: &mut Description<'_>) {}
}

impl FieldType for NoData {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        __private::read_object(value, report)
    }

    fn to_json(&self) -> Value {
        Value::Object(Map::new())
    }

    fn schema(definitions: &mut Definitions) -> Value {
        __private::field_schema::<Self>(definitions)
    }
}
