//! Objects with named fields: what the [`model!`](crate::model!) macro writes, and what it shares between models.

use super::coercion;
use super::field::FieldType;
use super::schema::{self, Definitions, Description};
use super::violation::{Refusal, Report, Violation, WHOLE};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// An object with named fields that are checked; made by [`model!`](crate::model!).
pub trait Model: FieldType {
    /// The fields that were valid, for rules about the object as a whole: a faulty field is `None`.
    type Partial;

    /// The documentation of the model.
    const DOC: &'static str;

    /// Looks at the keys before they are read, and gives the keys to read; a fault ends the reading. Not asked of a part.
    fn before<'a>(
        keys: &'a Map<String, Value>,
        _report: &mut Report,
    ) -> Option<Cow<'a, Map<String, Value>>> {
        Some(Cow::Borrowed(keys))
    }

    /// Reads the fields and applies the rules; unknown keys are the caller's business.
    fn read_fields(map: &Map<String, Value>, report: &mut Report) -> Option<Self>;

    /// Whether the model has this key.
    fn has_key(key: &str) -> bool;

    /// Writes the fields in normal form.
    fn write_fields(&self, map: &mut Map<String, Value>);

    /// Describes the fields.
    fn describe(description: &mut Description<'_>);

    /// Reads a whole document; gives every violation, not only the first.
    fn parse(value: &Value) -> Result<Self, Vec<Violation>> {
        let mut report = Report::default();
        read_object(value, &mut report).ok_or_else(|| report.into_violations())
    }

    /// JSON Schema (draft 2020-12) of the normal form.
    fn json_schema() -> Value {
        schema::document::<Self>()
    }
}

/// How deep within a document objects may be. Nobody nests lookups so deep, and a component has a small stack.
const DEEPEST: usize = 64;

/// Reads an object that must have no other keys than the model's.
pub fn read_object<M: Model>(value: &Value, report: &mut Report) -> Option<M> {
    if report.depth() > DEEPEST {
        report.refuse("value_error", "nested too deep: make it flatter");
        return None;
    }
    let mark = report.mark();
    let map = match coercion::object(value) {
        Ok(entries) if entries.keys_are_text => entries.map,
        Ok(_) => {
            report.refuse("type_error", "a key is not text: give keys as strings");
            return None;
        }
        Err(refusal) => {
            report.add(refusal);
            return None;
        }
    };
    report.enter(WHOLE);
    let map = M::before(&map, report);
    report.leave();
    let map = map?;
    let model = M::read_fields(&map, report);
    refuse_unknown_keys(&map, M::has_key, report);
    model.filter(|_| report.mark() == mark)
}

fn refuse_unknown_keys(map: &Map<String, Value>, is_known: fn(&str) -> bool, report: &mut Report) {
    for key in map.keys().filter(|key| !is_known(key)) {
        report.enter_key(key);
        report.refuse(
            "value_error.extra",
            "unknown key: remove it, or correct its spelling",
        );
        report.leave();
    }
}

/// Reads the fields of a model that lends them to another.
pub fn read_part<M: Model>(map: &Map<String, Value>, report: &mut Report) -> Option<M> {
    M::read_fields(map, report)
}

/// Applies a rule about a whole model.
pub fn apply_rule<P>(
    rule: impl FnOnce(&P) -> Result<(), Refusal>,
    partial: &P,
    report: &mut Report,
) {
    if let Err(refusal) = rule(partial) {
        report.add_whole(refusal);
    }
}

/// The schema of a model as the type of a field.
pub fn field_schema<M: Model>(definitions: &mut Definitions) -> Value {
    Value::Object(schema::object::<M>(definitions))
}

/// The normal form of a model: every default present, keys as they are on the wire.
pub fn write_object<M: Model>(model: &M) -> Value {
    let mut map = Map::new();
    model.write_fields(&mut map);
    Value::Object(map)
}

/// Writes a field in normal form.
pub fn write_key<T: FieldType>(map: &mut Map<String, Value>, key: &str, value: &T) {
    map.insert(key.to_owned(), value.to_json());
}
