//! Data models in the dialect that Debusine's task data is written in: declared once, checked with every violation reported,
//! normalised, and described as JSON Schema.
//!
//! The dialect is that of pydantic 1: coercions are lax ([`coercion`]), unknown keys are faults, and each fault has a place and a
//! kind. Declare objects with [`model!`](crate::model!), words with [`choices!`](crate::choices!), alternatives with
//! [`union!`](crate::union!); a field can have any [`FieldType`].

mod choice;
pub mod coercion;
mod digits;
mod field;
mod letter_case;
mod macros;
mod maintainer;
mod object;
mod rules;
mod schema;
mod timestamp;
mod url;
mod violation;

pub use field::{Dictionary, FieldRule, FieldType, read};
pub use maintainer::Maintainer;
pub use object::Model;
pub use rules::{at_least, at_most, distinct, empty_is_null, items, min_items};
pub use schema::{Definitions, Description};
pub use timestamp::Timestamp;
pub use url::{FileUrl, Url};
pub use violation::{PathPart, Refusal, Report, Violation, WHOLE};

/// What the macros write; nobody else's.
#[doc(hidden)]
pub mod __private {
    pub use super::choice::{choice_schema, read_choice};
    pub use super::field::{describe_key, read_key};
    pub use super::object::{
        apply_rule, field_schema, read_object, read_part, write_key, write_object,
    };
    pub use super::schema::any_of;
    pub use serde_json::{Map, Value};
}

#[cfg(test)]
mod tests;
