//! Lookups: how task data names artifacts and collection items that the server is to find.

mod collection;
mod environment;

pub use collection::{ChildType, CollectionLookup, Keyed, LookupFilter, Matcher, MatcherKind};
pub use environment::{EnvironmentFilters, ImageFormat, MalformedFilter};

use crate::model::{Definitions, FieldType, Report, WHOLE, read};
use crate::union;
use serde_json::{Value, json};
use std::fmt;

union! {
    /// One item: its number, or a path such as `debian@debian:archive/trixie`. Text that is a number is a number.
    pub enum SingleLookup {
        /// The number of an artifact or other item.
        Id(i64),
        /// A path through collections.
        Path(String),
    }
}

impl fmt::Display for SingleLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Path(path) => f.write_str(path),
        }
    }
}

union! {
    /// A part of a multiple lookup.
    pub enum LookupPart {
        /// One item.
        Single(SingleLookup),
        /// Items of a collection.
        Collection(CollectionLookup),
    }
}

/// Any number of items: the union of its parts, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MultipleLookup(pub Vec<LookupPart>);

impl MultipleLookup {
    /// Whether it can find nothing; task data then counts it as not given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The form in which people write it: matchers as keys, and a single collection without its array.
    pub fn export(&self) -> Value {
        if let [LookupPart::Collection(only)] = self.0.as_slice() {
            return only.export();
        }
        let part = |part: &LookupPart| match part {
            LookupPart::Single(single) => single.to_json(),
            LookupPart::Collection(collection) => collection.export(),
        };
        Value::Array(self.0.iter().map(part).collect())
    }
}

impl FieldType for MultipleLookup {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        let value = match value {
            Value::Object(map) if map.len() == 1 => map.get(WHOLE).unwrap_or(value),
            _ => value,
        };
        report.enter(WHOLE);
        let parts = read_parts(value, report);
        report.leave();
        parts.map(Self)
    }

    fn to_json(&self) -> Value {
        self.0.to_json()
    }

    fn schema(definitions: &mut Definitions) -> Value {
        definitions.refer("multiple-lookup", |definitions| {
            let part = LookupPart::schema(definitions);
            let collection = CollectionLookup::schema(definitions);
            json!({"anyOf": [{"type": "array", "items": part}, collection]})
        })
    }
}

fn read_parts(value: &Value, report: &mut Report) -> Option<Vec<LookupPart>> {
    let values = match value {
        Value::Array(values) => values.as_slice(),
        Value::Object(_) => std::slice::from_ref(value),
        _ => {
            report.refuse(
                "value_error",
                "not a multiple lookup: give an array of lookups, or one object",
            );
            return None;
        }
    };
    let mark = report.mark();
    let mut parts = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        report.enter(index);
        parts.extend(read(value, report));
        report.leave();
    }
    (report.mark() == mark).then_some(parts)
}

#[cfg(test)]
mod tests;
