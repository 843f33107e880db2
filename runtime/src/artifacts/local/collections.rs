//! Collections: named sets of artifacts, each item with a name and data of its own.

use super::failure::{Failure, Outcome};
use super::moment::Moment;
use super::records::{json, listed, row_id};
use crate::artifacts::ArtifactId;
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

/// A collection of this store.
#[derive(Debug, Clone)]
pub(super) struct Collection {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) category: String,
}

/// An artifact's place in a collection.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Grows with time: the newest item has the highest.
    pub(super) id: i64,
    pub(super) artifact: ArtifactId,
    /// The artifact's category.
    pub(super) category: String,
    pub(super) work_request: Option<i64>,
    pub(super) name: String,
    pub(super) data: Value,
}

impl Collection {
    /// The collection that a look-up calls `NAME` or `NAME@CATEGORY`. Without a category it is the one of the default category, if there
    /// is one of that name, else the only or oldest one.
    pub(super) fn find(
        connection: &Connection,
        reference: &str,
        default_category: Option<&str>,
    ) -> Outcome<Self> {
        let (name, category) = match reference.split_once('@') {
            Some((name, category)) => (name, Some(category)),
            None => (reference, None),
        };
        let all = Self::all(connection)?;
        let mut named = all
            .iter()
            .filter(|it| it.name == name && category.is_none_or(|wanted| it.category == wanted));
        let default = named
            .clone()
            .find(|it| Some(it.category.as_str()) == default_category);
        match default.or_else(|| named.next()) {
            Some(collection) => Ok(collection.clone()),
            None => Err(unknown(&format!("{reference:?}"), &all)),
        }
    }

    pub(super) fn with_id(connection: &Connection, id: i64) -> Outcome<Self> {
        let all = Self::all(connection)?;
        match all.iter().find(|it| it.id == id) {
            Some(collection) => Ok(collection.clone()),
            None => Err(unknown(&id.to_string(), &all)),
        }
    }

    /// The collection of this name and category, created if it is missing.
    pub(super) fn ensure(connection: &Connection, name: &str, category: &str) -> Outcome<Self> {
        connection.execute(
            "INSERT OR IGNORE INTO collections (name, category) VALUES (?, ?)",
            (name, category),
        )?;
        Self::find(connection, &format!("{name}@{category}"), None)
    }

    fn all(connection: &Connection) -> Outcome<Vec<Self>> {
        let mut rows =
            connection.prepare_cached("SELECT id, name, category FROM collections ORDER BY id")?;
        let all = rows.query_map([], |row| {
            Ok(Self {
                id: row.get(0)?,
                name: row.get(1)?,
                category: row.get(2)?,
            })
        })?;
        Ok(all.collect::<rusqlite::Result<_>>()?)
    }

    /// Adds an artifact; an item of the same name is retired.
    pub(super) fn add(
        &self,
        connection: &Connection,
        artifact: ArtifactId,
        name: &str,
        data: &Value,
    ) -> Outcome<()> {
        let now = Moment::now();
        connection.execute(
            "UPDATE collection_items SET retired_at = ? WHERE collection = ? AND name = ? AND retired_at IS NULL",
            (now, self.id, name),
        )?;
        connection.execute(
            "INSERT INTO collection_items (collection, artifact, name, data, created_at) VALUES (?, ?, ?, ?, ?)",
            (self.id, row_id(artifact.0), name, data.to_string(), now),
        )?;
        Ok(())
    }

    /// The items that are not retired, oldest first.
    pub(super) fn items(&self, connection: &Connection) -> Outcome<Vec<Item>> {
        let mut rows = connection.prepare_cached(
            "SELECT item.id, item.artifact, artifact.category, artifact.work_request, item.name, item.data
             FROM collection_items AS item JOIN artifacts AS artifact ON artifact.id = item.artifact
             WHERE item.collection = ? AND item.retired_at IS NULL ORDER BY item.id",
        )?;
        let mut items = Vec::new();
        let mut found = rows.query([self.id])?;
        while let Some(row) = found.next()? {
            items.push(Item {
                id: row.get(0)?,
                artifact: ArtifactId(row.get::<_, i64>(1)? as u64),
                category: row.get(2)?,
                work_request: row.get(3)?,
                name: row.get(4)?,
                data: json(row.get_ref(5)?.as_str().map_err(rusqlite::Error::from)?)?,
            });
        }
        Ok(items)
    }

    /// The item of this name.
    pub(super) fn item(&self, connection: &Connection, name: &str) -> Outcome<Option<ArtifactId>> {
        let found = connection
            .prepare_cached(
                "SELECT artifact FROM collection_items WHERE collection = ? AND name = ? AND retired_at IS NULL",
            )?
            .query_row((self.id, name), |row| row.get::<_, i64>(0))
            .optional()?;
        Ok(found.map(|id| ArtifactId(id as u64)))
    }
}

fn unknown(reference: &str, all: &[Collection]) -> Failure {
    let there: Vec<_> = all
        .iter()
        .map(|it| format!("{}@{}", it.name, it.category))
        .collect();
    Failure::not_found(format!(
        "collection {reference}: a local store has none of that name; it has {}",
        listed(&there)
    ))
}
