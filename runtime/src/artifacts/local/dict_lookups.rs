//! Objects in multiple look-ups: the items of one collection that pass filters.
//!
//! Both spellings are read: the one that users write (`data__codename__startswith`) and the one that a configured task holds
//! (`data_matchers`); see the reference's section on look-ups.

use super::collections::{Collection, Item};
use super::failure::{Failure, Outcome};
use super::integers;
use super::lookups;
use crate::artifacts::ArtifactId;
use rusqlite::{Connection, OptionalExtension};
use serde_json::{Map, Value};

/// An object of a multiple look-up.
pub(super) struct DictLookup {
    collection: Value,
    /// `artifact`, unless something else is asked for.
    child_type: String,
    /// Of the artifact.
    category: Option<String>,
    name: Option<Matcher>,
    /// Keys of the item's data.
    data: Vec<(String, Matcher)>,
    same_work_request: Vec<Value>,
}

/// What a value must be.
struct Matcher {
    kind: Kind,
    value: Value,
}

#[derive(Clone, Copy)]
enum Kind {
    Exact,
    Contains,
    EndsWith,
    StartsWith,
}

impl DictLookup {
    pub(super) fn parse(object: &Map<String, Value>) -> Outcome<Self> {
        let Some(collection) = object.get("collection") else {
            return Err(Failure::invalid(
                "the key `collection` is missing; name one, e.g. debian",
            ));
        };
        let mut lookup = Self {
            collection: collection.clone(),
            child_type: "artifact".to_owned(),
            category: None,
            name: None,
            data: Vec::new(),
            same_work_request: Vec::new(),
        };
        for (key, value) in object {
            lookup.read(key, value)?;
        }
        Ok(lookup)
    }

    fn read(&mut self, key: &str, value: &Value) -> Outcome<()> {
        // Left out and null are the same, but `name` and `data__KEY` may be compared with null.
        let is_unset = value.is_null() && key != "name" && !key.contains("__");
        if key == "collection" || is_unset {
            return Ok(());
        }
        let parts: Vec<&str> = key.split("__").collect();
        match (parts.as_slice(), value) {
            (["child_type"], Value::String(kind)) => self.child_type.clone_from(kind),
            (["category"], Value::String(category)) => self.category = Some(category.clone()),
            (["name"], _) => self.set_name(Matcher::exact(value))?,
            (["name", kind], _) => self.set_name(Matcher::new(kind, value)?)?,
            (["name_matcher"], _) => self.set_name(Matcher::internal(value)?)?,
            (["data_matchers"], Value::Array(pairs)) => {
                for pair in pairs {
                    let (name, matcher) = pair_of(pair)?;
                    self.add_data(name, Matcher::internal(matcher)?)?;
                }
            }
            (["lookup_filters"], Value::Array(pairs)) => {
                for pair in pairs {
                    let (name, lookup) = pair_of(pair)?;
                    self.add_lookup(name, lookup)?;
                }
            }
            (["lookup", name], _) => self.add_lookup(name, value)?,
            (["data", ..], _) if key.len() > "data".len() => {
                self.read_data(&key["data__".len()..], value)?
            }
            _ => return Err(unknown_key(key)),
        }
        Ok(())
    }

    /// `KEY` or `KEY__kind`.
    fn read_data(&mut self, key: &str, value: &Value) -> Outcome<()> {
        match key.split_once("__") {
            Some((name, kind)) => self.add_data(name, Matcher::new(kind, value)?),
            None => self.add_data(key, Matcher::exact(value)),
        }
    }

    fn set_name(&mut self, matcher: Matcher) -> Outcome<()> {
        match self.name.replace(matcher) {
            None => Ok(()),
            Some(_) => Err(twice("name")),
        }
    }

    fn add_data(&mut self, name: &str, matcher: Matcher) -> Outcome<()> {
        if self.data.iter().any(|(known, _)| known == name) {
            return Err(twice(name));
        }
        self.data.push((name.to_owned(), matcher));
        Ok(())
    }

    fn add_lookup(&mut self, name: &str, lookup: &Value) -> Outcome<()> {
        match name {
            "same_work_request" => {
                self.same_work_request.push(lookup.clone());
                Ok(())
            }
            _ => Err(Failure::invalid(format!(
                "lookup__{name} needs a server; a local store knows lookup__same_work_request only"
            ))),
        }
    }

    /// The artifacts of the items that pass, oldest item first.
    pub(super) fn resolve(
        &self,
        connection: &Connection,
        default_category: Option<&str>,
    ) -> Outcome<Vec<ArtifactId>> {
        let collection = self.collection(connection, default_category)?;
        match self.child_type.as_str() {
            "artifact" | "artifact-or-promise" | "any" => {}
            // Local collections hold artifacts only.
            "bare" | "collection" => return Ok(Vec::new()),
            other => {
                return Err(Failure::invalid(format!(
                    "child_type {other:?} does not exist; use bare, artifact, artifact-or-promise, collection or any"
                )));
            }
        }
        let work_requests = self.work_requests(connection, default_category)?;
        let items = collection.items(connection)?;
        let passing = items.into_iter().filter(|item| {
            self.accepts(item)
                && work_requests
                    .iter()
                    .all(|ids| ids.contains(&item.work_request))
        });
        Ok(passing.map(|item| item.artifact).collect())
    }

    fn collection(
        &self,
        connection: &Connection,
        default_category: Option<&str>,
    ) -> Outcome<Collection> {
        if let Some(id) = integers::from_value(&self.collection) {
            return Collection::with_id(connection, id);
        }
        match &self.collection {
            Value::String(name) => Collection::find(connection, name, default_category),
            other => Err(Failure::invalid(format!(
                "collection {other} is neither a number nor text; name one, e.g. debian"
            ))),
        }
    }

    fn accepts(&self, item: &Item) -> bool {
        self.category
            .as_ref()
            .is_none_or(|category| *category == item.category)
            && self
                .name
                .as_ref()
                .is_none_or(|matcher| matcher.accepts(&Value::from(item.name.as_str())))
            && self
                .data
                .iter()
                .all(|(name, matcher)| matcher.accepts(&item.data[name]))
    }

    /// For each filter the work requests that made the artifacts it names.
    fn work_requests(
        &self,
        connection: &Connection,
        default_category: Option<&str>,
    ) -> Outcome<Vec<Vec<Option<i64>>>> {
        let mut made_by = connection.prepare_cached(
            "SELECT work_request FROM artifacts WHERE id = ? AND work_request IS NOT NULL",
        )?;
        let mut filters = Vec::new();
        for lookup in &self.same_work_request {
            let ids = match lookup {
                Value::Array(_) | Value::Object(_) => {
                    lookups::multiple(connection, lookup, default_category)?
                }
                _ => vec![lookups::single(connection, lookup, default_category)?],
            };
            let mut made: Vec<Option<i64>> = Vec::new();
            for id in ids {
                let maker = made_by.query_row([id.0 as i64], |row| row.get(0));
                made.extend(maker.optional()?.map(Some));
            }
            filters.push(made);
        }
        Ok(filters)
    }
}

impl Matcher {
    fn exact(value: &Value) -> Self {
        let (kind, value) = (Kind::Exact, value.clone());
        Self { kind, value }
    }

    /// A matcher with a suffix; `exact` is none, a plain key says it.
    fn new(kind: &str, value: &Value) -> Outcome<Self> {
        let kind = match kind {
            "contains" => Kind::Contains,
            "endswith" => Kind::EndsWith,
            "startswith" => Kind::StartsWith,
            _ => {
                return Err(Failure::invalid(format!(
                    "the suffix __{kind} does not exist; use contains, endswith or startswith"
                )));
            }
        };
        let value = value.clone();
        Ok(Self { kind, value })
    }

    /// `{"kind": …, "value": …}`.
    fn internal(matcher: &Value) -> Outcome<Self> {
        match matcher["kind"].as_str() {
            Some("exact") => Ok(Self::exact(&matcher["value"])),
            Some(kind) => Self::new(kind, &matcher["value"]),
            None => Err(Failure::invalid(format!(
                "{matcher} is no matcher; give an object with kind and value"
            ))),
        }
    }

    /// Parts of a value are those of a text; a value that is not there equals null.
    fn accepts(&self, value: &Value) -> bool {
        let part = |test: fn(&str, &str) -> bool| match (value, &self.value) {
            (Value::String(value), Value::String(part)) => test(value, part),
            _ => false,
        };
        match self.kind {
            Kind::Exact => *value == self.value,
            Kind::Contains => part(|value, part| value.contains(part)),
            Kind::EndsWith => part(|value, part| value.ends_with(part)),
            Kind::StartsWith => part(|value, part| value.starts_with(part)),
        }
    }
}

fn pair_of(pair: &Value) -> Outcome<(&str, &Value)> {
    match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(name), value]) => Ok((name, value)),
        _ => Err(Failure::invalid(format!(
            "{pair} is no pair of a key and its matcher; give an array of the two"
        ))),
    }
}

fn twice(name: &str) -> Failure {
    Failure::invalid(format!("two matchers for {name}; give one"))
}

fn unknown_key(key: &str) -> Failure {
    Failure::invalid(format!(
        "the key {key:?} does not exist, or its value has the wrong type; use collection, child_type, category, name, data__KEY or lookup__same_work_request"
    ))
}
