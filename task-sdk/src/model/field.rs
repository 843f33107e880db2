//! What can be the type of a field: reading, writing and describing it.

use super::coercion;
use super::schema::{Definitions, Description, literal, with};
use super::violation::{Refusal, Report};
use serde_json::{Map, Value};

/// A type that a field of a [`model!`](crate::model!) can have.
pub trait FieldType: Sized {
    /// Whether null is a value of this type.
    const NULLABLE: bool = false;

    /// Reads a value, never null unless the type is `NULLABLE`. Every fault goes to the report; none means a value.
    fn read(value: &Value, report: &mut Report) -> Option<Self>;

    /// The value in its normal form.
    fn to_json(&self) -> Value;

    /// JSON Schema (draft 2020-12) of the normal form.
    fn schema(definitions: &mut Definitions) -> Value;
}

/// Reads a value that may be null, which most types refuse.
pub fn read<T: FieldType>(value: &Value, report: &mut Report) -> Option<T> {
    if value.is_null() && !T::NULLABLE {
        report.refuse(
            "type_error.none.not_allowed",
            "null is not allowed here: give a value, or leave the key out if it has a default",
        );
        return None;
    }
    T::read(value, report)
}

/// Reads a key of an object; an absent key has the default, or is a fault if there is none.
pub fn read_key<T: FieldType>(
    map: &Map<String, Value>,
    key: &'static str,
    rules: &[&dyn FieldRule<T>],
    default: Option<fn() -> T>,
    report: &mut Report,
) -> Option<T> {
    let Some(value) = map.get(key) else {
        if default.is_none() {
            report.enter(key);
            report.refuse("value_error.missing", "required, but absent: add this key");
            report.leave();
        }
        return default.map(|default| default());
    };
    report.enter(key);
    let read = read_by_rules(value, rules, report);
    report.leave();
    read
}

fn read_by_rules<T: FieldType>(
    value: &Value,
    rules: &[&dyn FieldRule<T>],
    report: &mut Report,
) -> Option<T> {
    if !value.is_null() {
        let broken = rules.iter().find_map(|rule| rule.before(value).err());
        if let Some(refusal) = broken {
            report.add(refusal);
            return None;
        }
    }
    let read = read(value, report)?;
    match rules.iter().find_map(|rule| rule.after(&read).err()) {
        None => Some(rules.iter().fold(read, |value, rule| rule.normalise(value))),
        Some(refusal) => {
            report.add(refusal);
            None
        }
    }
}

/// Describes a key of an object.
pub fn describe_key<T: FieldType>(
    description: &mut Description<'_>,
    key: &'static str,
    doc: &str,
    rules: &[&dyn FieldRule<T>],
    default: Option<fn() -> T>,
) {
    let schema = T::schema(description.definitions);
    let constrain = |schema: &mut Map<String, Value>| {
        for rule in rules {
            rule.describe(schema);
        }
    };
    let default = default.map(|default| default().to_json());
    description.key(key, schema, doc, &constrain, default);
}

/// A constraint on a field beyond its type: [`at_least`](super::at_least), [`items`](super::items), or any
/// function from a reference to the value to `Result<(), Refusal>`.
pub trait FieldRule<T> {
    /// Looks at the JSON value before its type does.
    fn before(&self, _value: &Value) -> Result<(), Refusal> {
        Ok(())
    }

    /// Looks at the value that its type accepted.
    fn after(&self, _value: &T) -> Result<(), Refusal> {
        Ok(())
    }

    /// Gives the accepted value another form.
    fn normalise(&self, value: T) -> T {
        value
    }

    /// Adds the constraint to the field's schema.
    fn describe(&self, _schema: &mut Map<String, Value>) {}
}

impl<T, F: Fn(&T) -> Result<(), Refusal>> FieldRule<T> for F {
    fn after(&self, value: &T) -> Result<(), Refusal> {
        self(value)
    }
}

/// Reads by one of the coercions.
fn coerced<T>(result: Result<T, Refusal>, report: &mut Report) -> Option<T> {
    result.map_err(|refusal| report.add(refusal)).ok()
}

impl FieldType for String {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        coerced(coercion::text(value), report).map(|text| text.into_owned())
    }

    fn to_json(&self) -> Value {
        Value::String(self.clone())
    }

    fn schema(_: &mut Definitions) -> Value {
        literal(r#"{"type": "string"}"#)
    }
}

impl FieldType for i64 {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        coerced(coercion::integer(value), report)
    }

    fn to_json(&self) -> Value {
        Value::from(*self)
    }

    fn schema(_: &mut Definitions) -> Value {
        literal(r#"{"type": "integer"}"#)
    }
}

impl FieldType for f64 {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        coerced(coercion::float(value), report)
    }

    fn to_json(&self) -> Value {
        Value::from(*self)
    }

    fn schema(_: &mut Definitions) -> Value {
        literal(r#"{"type": "number"}"#)
    }
}

impl FieldType for bool {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        coerced(coercion::truth(value), report)
    }

    fn to_json(&self) -> Value {
        Value::Bool(*self)
    }

    fn schema(_: &mut Definitions) -> Value {
        literal(r#"{"type": "boolean"}"#)
    }
}

/// Anything, also null, kept as it is.
impl FieldType for Value {
    const NULLABLE: bool = true;

    fn read(value: &Value, _: &mut Report) -> Option<Self> {
        Some(value.clone())
    }

    fn to_json(&self) -> Value {
        self.clone()
    }

    fn schema(_: &mut Definitions) -> Value {
        Value::Bool(true)
    }
}

/// An object of anything, kept as it is.
impl FieldType for Map<String, Value> {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        coerced(coercion::object(value), report).map(|entries| entries.map.into_owned())
    }

    fn to_json(&self) -> Value {
        Value::Object(self.clone())
    }

    fn schema(_: &mut Definitions) -> Value {
        literal(r#"{"type": "object"}"#)
    }
}

impl<T: FieldType> FieldType for Option<T> {
    const NULLABLE: bool = true;

    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        if value.is_null() {
            return Some(None);
        }
        T::read(value, report).map(Some)
    }

    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_json)
    }

    fn schema(definitions: &mut Definitions) -> Value {
        super::schema::or_null(T::schema(definitions))
    }
}

impl<T: FieldType> FieldType for Vec<T> {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        let Value::Array(items) = value else {
            report.refuse("type_error.list", "not a list: give an array");
            return None;
        };
        let mark = report.mark();
        let mut read_items = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            report.enter(index);
            read_items.extend(read(item, report));
            report.leave();
        }
        (report.mark() == mark).then_some(read_items)
    }

    fn to_json(&self) -> Value {
        Value::Array(self.iter().map(T::to_json).collect())
    }

    fn schema(definitions: &mut Definitions) -> Value {
        with(r#"{"type": "array"}"#, "items", T::schema(definitions))
    }
}

/// An object whose keys are free and whose values have one type; keeps the order of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dictionary<T>(pub Vec<(String, T)>);

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Dictionary<T> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}

impl<T: FieldType> FieldType for Dictionary<T> {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        let entries = coerced(coercion::object(value), report)?;
        let mark = report.mark();
        let mut values = Vec::with_capacity(entries.map.len());
        for (key, value) in entries.map.iter() {
            report.enter_key(key);
            values.extend(read(value, report).map(|value| (key.clone(), value)));
            report.leave();
        }
        (report.mark() == mark).then_some(Self(values))
    }

    fn to_json(&self) -> Value {
        let entries = self.0.iter();
        Value::Object(
            entries
                .map(|(key, value)| (key.clone(), value.to_json()))
                .collect(),
        )
    }

    fn schema(definitions: &mut Definitions) -> Value {
        with(
            r#"{"type": "object"}"#,
            "additionalProperties",
            T::schema(definitions),
        )
    }
}
