//! Look-ups: what a task's data call an artifact, and which artifact that is.
//!
//! A single look-up is an id, a name given at import, or `COLLECTION/ITEM` with the items `match:…` and `name:NAME`. A multiple look-up is an
//! array of single ones and of objects that filter a collection, or one such object. What needs a server (workflows, collections within
//! collections) is refused by name.

use super::LocalStore;
use super::collections::Collection;
use super::dict_lookups::DictLookup;
use super::environments;
use super::failure::{Failure, Outcome};
use super::integers;
use super::records::{self, listed};
use super::settings;
use crate::artifacts::{Artifact, ArtifactId, RelationType, StoreError, TaskDatabase};
use async_trait::async_trait;
use rusqlite::Connection;
use serde_json::Value;

#[async_trait]
impl TaskDatabase for LocalStore {
    async fn lookup_single(
        &self,
        lookup: &Value,
        default_category: Option<&str>,
    ) -> Result<Artifact, StoreError> {
        let (lookup, default) = (lookup.clone(), default_category.map(str::to_owned));
        self.blocking(move |store| {
            store.read(|rows| records::artifact(rows, single(rows, &lookup, default.as_deref())?))
        })
        .await
    }

    async fn lookup_multiple(
        &self,
        lookup: &Value,
        default_category: Option<&str>,
    ) -> Result<Vec<Artifact>, StoreError> {
        let (lookup, default) = (lookup.clone(), default_category.map(str::to_owned));
        self.blocking(move |store| {
            store.read(|rows| {
                let ids = multiple(rows, &lookup, default.as_deref())?;
                ids.into_iter()
                    .map(|id| records::artifact(rows, id))
                    .collect()
            })
        })
        .await
    }

    async fn related(
        &self,
        targets: &[ArtifactId],
        category: &str,
        relation: RelationType,
    ) -> Result<Vec<Artifact>, StoreError> {
        let (targets, category) = (targets.to_vec(), category.to_owned());
        self.blocking(move |store| store.read(|rows| related(rows, &targets, &category, relation)))
            .await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let name = name.to_owned();
        self.blocking(move |store| store.read(|rows| settings::setting(rows, &name)))
            .await
    }
}

/// The artifact that a single look-up names.
pub(super) fn single(
    connection: &Connection,
    lookup: &Value,
    default_category: Option<&str>,
) -> Outcome<ArtifactId> {
    if let Some(id) = integers::from_value(lookup) {
        let id = u64::try_from(id).map(ArtifactId).map_err(|_| {
            Failure::not_found(format!("artifact {id}: ids begin at 1; name another"))
        })?;
        records::require(connection, id)?;
        return Ok(id);
    }
    let Value::String(text) = lookup else {
        return Err(Failure::invalid(format!(
            "look-up {lookup}: neither a number nor text; give an artifact's id, its name or COLLECTION/match:…"
        )));
    };
    let found = match text.split('/').collect::<Vec<_>>()[..] {
        [name] => named(connection, name),
        [collection, item] => in_collection(connection, collection, item, default_category),
        _ => Err(Failure::invalid(
            "collections within collections are on servers only; use an id, a name or COLLECTION/ITEM",
        )),
    };
    found.map_err(|failure| in_lookup(text, failure))
}

/// The artifacts that a multiple look-up names, in its order; those of a collection oldest first.
pub(super) fn multiple(
    connection: &Connection,
    lookup: &Value,
    default_category: Option<&str>,
) -> Outcome<Vec<ArtifactId>> {
    let elements = match lookup {
        Value::Array(elements) => elements.as_slice(),
        Value::Object(_) => std::slice::from_ref(lookup),
        _ => {
            return Err(Failure::invalid(format!(
                "look-up {lookup}: neither an array nor an object; put a single look-up into an array"
            )));
        }
    };
    let mut found = Vec::new();
    for element in elements {
        match element {
            Value::Object(object) => {
                let dict = DictLookup::parse(object);
                let ids = dict.and_then(|dict| dict.resolve(connection, default_category));
                found.extend(ids.map_err(|failure| in_lookup(&element.to_string(), failure))?);
            }
            _ => found.push(single(connection, element, default_category)?),
        }
    }
    Ok(found)
}

fn named(connection: &Connection, name: &str) -> Outcome<ArtifactId> {
    if let Some(id) = records::named(connection, name)? {
        return Ok(id);
    }
    let names = records::all_names(connection)?;
    Err(Failure::not_found(format!(
        "no artifact has that name; names are given at import, and there are: {}",
        listed(&names)
    )))
}

fn in_collection(
    connection: &Connection,
    collection: &str,
    item: &str,
    default_category: Option<&str>,
) -> Outcome<ArtifactId> {
    let collection = match integers::from_text(collection) {
        Some(id) => Collection::with_id(connection, id)?,
        None => Collection::find(connection, collection, default_category)?,
    };
    if let Some(name) = item.strip_prefix("name:") {
        let found = collection.item(connection, name)?;
        return found.ok_or_else(|| no_item(connection, &collection));
    }
    match item.strip_prefix("match") {
        Some(filters) if filters.is_empty() || filters.starts_with(':') => {
            environments::find(connection, &collection, filters)
        }
        _ => Err(Failure::invalid(
            "items of a local collection are looked up as match:KEY=VALUE:… or name:NAME; use one of these",
        )),
    }
}

fn no_item(connection: &Connection, collection: &Collection) -> Failure {
    let names: Vec<_> = match collection.items(connection) {
        Ok(items) => items.into_iter().map(|item| item.name).collect(),
        Err(failure) => return failure,
    };
    Failure::not_found(format!(
        "no item has that name; {} has {}",
        collection.name,
        listed(&names)
    ))
}

fn related(
    connection: &Connection,
    targets: &[ArtifactId],
    category: &str,
    relation: RelationType,
) -> Outcome<Vec<Artifact>> {
    let mut rows = connection.prepare_cached(
        "SELECT relations.from_artifact FROM relations JOIN artifacts ON artifacts.id = relations.from_artifact
         WHERE relations.to_artifact = ? AND relations.type = ? AND artifacts.category = ?",
    )?;
    let mut found = Vec::new();
    for target in targets {
        let values = (records::row_id(target.0), relation.name(), category);
        let ids = rows.query_map(values, |row| row.get::<_, i64>(0))?;
        found.extend(ids.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    found.sort_unstable();
    found.dedup();
    found
        .into_iter()
        .map(|id| records::artifact(connection, ArtifactId(id as u64)))
        .collect()
}

/// Says which look-up failed.
fn in_lookup(lookup: &str, failure: Failure) -> Failure {
    let words = |words| format!("look-up {lookup}: {words}");
    match failure {
        Failure::Store(StoreError::NotFound(why)) => Failure::not_found(words(why)),
        Failure::Store(StoreError::Invalid(why)) => Failure::invalid(words(why)),
        other => other,
    }
}
