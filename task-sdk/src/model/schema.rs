//! JSON Schema (draft 2020-12) of models, for editors and for people: the normal form, not every coercion.

use super::object::Model;
use serde_json::{Map, Value};

/// Schemas that are referred to by name, because they contain themselves.
#[derive(Debug, Default)]
pub struct Definitions(Map<String, Value>);

impl Definitions {
    /// A reference to a named schema, which is made at its first mention.
    pub fn refer(&mut self, name: &str, make: fn(&mut Self) -> Value) -> Value {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), Value::Null);
            let schema = make(self);
            self.0.insert(name.to_owned(), schema);
        }
        with("{}", "$ref", ["#/$defs/", name].concat().into())
    }
}

/// A schema written out; reading it takes less code in a component than building it.
pub fn literal(text: &str) -> Value {
    text.parse().unwrap_or_default()
}

/// A schema written out, and one more key.
pub fn with(text: &str, key: &str, value: Value) -> Value {
    let mut schema = literal(text);
    if let Value::Object(map) = &mut schema {
        map.insert(key.to_owned(), value);
    }
    schema
}

/// The complete schema of a model.
pub fn document<M: Model>() -> Value {
    let mut definitions = Definitions::default();
    let mut schema = Map::new();
    schema.insert(
        "$schema".into(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    schema.extend(object::<M>(&mut definitions));
    if !definitions.0.is_empty() {
        schema.insert("$defs".into(), Value::Object(definitions.0));
    }
    Value::Object(schema)
}

/// The schema of a model within another.
pub fn object<M: Model>(definitions: &mut Definitions) -> Map<String, Value> {
    let mut description = Description {
        properties: Map::new(),
        required: Vec::new(),
        definitions,
    };
    M::describe(&mut description);
    description.into_object(M::DOC)
}

/// The keys of a model, as they are gathered.
#[derive(Debug)]
pub struct Description<'a> {
    properties: Map<String, Value>,
    required: Vec<Value>,
    /// Schemas by name.
    pub definitions: &'a mut Definitions,
}

impl Description<'_> {
    fn into_object(self, doc: &str) -> Map<String, Value> {
        let mut schema = Map::new();
        let mut put = |key: &str, value: Value| {
            schema.insert(key.to_owned(), value);
        };
        put("type", "object".into());
        if !doc.is_empty() {
            put("description", doc.trim().into());
        }
        put("properties", Value::Object(self.properties));
        if !self.required.is_empty() {
            put("required", Value::Array(self.required));
        }
        put("additionalProperties", Value::Bool(false));
        schema
    }

    /// Adds a key: its type's schema, its documentation, its constraints, and its default (none: it is required).
    #[inline(never)]
    pub fn key(
        &mut self,
        key: &str,
        schema: Value,
        doc: &str,
        constrain: &dyn Fn(&mut Map<String, Value>),
        default: Option<Value>,
    ) {
        let mut schema = match schema {
            Value::Object(schema) => schema,
            _ => Map::new(),
        };
        if !doc.is_empty() {
            schema.insert("description".into(), doc.trim().into());
        }
        constrain(&mut schema);
        match default {
            Some(default) => {
                schema.insert("default".into(), default);
            }
            None => self.required.push(key.into()),
        }
        self.properties
            .insert(key.to_owned(), Value::Object(schema));
    }
}

/// The same, or null.
pub fn or_null(schema: Value) -> Value {
    match schema {
        Value::Object(mut schema) if schema.get("type").is_some_and(Value::is_string) => {
            let kind = schema["type"].take();
            schema.insert("type".into(), Value::Array(vec![kind, "null".into()]));
            if let Some(Value::Array(choices)) = schema.get_mut("enum") {
                choices.push(Value::Null);
            }
            Value::Object(schema)
        }
        other => any_of(vec![other, literal(r#"{"type": "null"}"#)]),
    }
}

/// The schema of alternatives.
pub fn any_of(alternatives: Vec<Value>) -> Value {
    with("{}", "anyOf", Value::Array(alternatives))
}
