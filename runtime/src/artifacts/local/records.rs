//! Artifacts as rows: recording one, reading one, listing many; their names.

use super::digest::{Copied, Digest};
use super::failure::{Failure, Outcome};
use super::integers;
use super::moment::Moment;
use crate::artifacts::{Artifact, ArtifactFile, ArtifactId, NewArtifact};
use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Value;
use std::time::SystemTime;

/// An artifact, and what only a local store knows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredArtifact {
    /// Category, data and files.
    pub artifact: Artifact,
    /// The names that look-ups may use for it, sorted.
    pub names: Vec<String>,
    /// When it was stored.
    pub created_at: SystemTime,
    /// The work request that made it, if one did.
    pub work_request: Option<u64>,
    /// The workspace that it was stored with.
    pub workspace: Option<String>,
}

/// Which artifacts to list; nothing set means all.
#[derive(Debug, Clone, Default)]
pub struct ArtifactFilter {
    /// Only those of this category.
    pub category: Option<String>,
    /// Only those that this work request made.
    pub work_request: Option<u64>,
}

/// Records an artifact whose files are in place.
pub(super) fn insert(
    connection: &Connection,
    artifact: &NewArtifact,
    files: &[(String, Copied)],
) -> Outcome<ArtifactId> {
    if let Some(id) = artifact.work_request {
        require_work_request(connection, id)?;
    }
    connection.execute(
        "INSERT INTO artifacts (category, data, workspace, work_request, created_at) VALUES (?, ?, ?, ?, ?)",
        (
            &artifact.category,
            artifact.data.to_string(),
            &artifact.workspace,
            artifact.work_request.map(row_id),
            Moment::now(),
        ),
    )?;
    let id = connection.last_insert_rowid();
    for (path, Copied { digest, size }) in files {
        connection
            .prepare_cached("INSERT OR IGNORE INTO blobs (sha256, size) VALUES (?, ?)")?
            .execute((digest, *size as i64))?;
        connection
            .prepare_cached("INSERT INTO artifact_files (artifact, path, sha256) VALUES (?, ?, ?)")?
            .execute((id, path, digest))?;
    }
    Ok(ArtifactId(id as u64))
}

/// Gives an artifact one more name. Naming it again changes nothing; another artifact's name is refused.
pub(super) fn add_name(connection: &Connection, id: ArtifactId, name: &str) -> Outcome<()> {
    check_name(name)?;
    require(connection, id)?;
    match named(connection, name)? {
        None => {
            connection.execute(
                "INSERT INTO artifact_names (name, artifact) VALUES (?, ?)",
                (name, row_id(id.0)),
            )?;
            Ok(())
        }
        Some(other) if other == id => Ok(()),
        Some(other) => Err(Failure::invalid(format!(
            "name {name:?}: artifact {other} already has it; choose another name"
        ))),
    }
}

/// A name must be distinguishable, in a look-up, from an id, from a path into a collection and from a collection's category.
pub(super) fn check_name(name: &str) -> Outcome<()> {
    let why = if name.is_empty() {
        "it is empty"
    } else if integers::from_text(name).is_some() {
        "look-ups would take it for an artifact's id"
    } else if name.contains(['/', '@']) {
        "look-ups give `/` and `@` a meaning of their own"
    } else if name.contains(char::is_control) || name.trim() != name {
        "it has control characters, or blanks at an end"
    } else {
        return Ok(());
    };
    Err(Failure::invalid(format!(
        "name {name:?}: {why}; choose another name"
    )))
}

/// The artifact that has a name.
pub(super) fn named(connection: &Connection, name: &str) -> Outcome<Option<ArtifactId>> {
    Ok(connection
        .prepare_cached("SELECT artifact FROM artifact_names WHERE name = ?")?
        .query_row([name], |row| Ok(ArtifactId(row.get::<_, i64>(0)? as u64)))
        .optional()?)
}

/// All names, sorted.
pub(super) fn all_names(connection: &Connection) -> Outcome<Vec<String>> {
    let mut names = connection.prepare("SELECT name FROM artifact_names ORDER BY name")?;
    let names = names.query_map([], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// Fails unless there is such an artifact.
pub(super) fn require(connection: &Connection, id: ArtifactId) -> Outcome<()> {
    let there = connection
        .prepare_cached("SELECT 1 FROM artifacts WHERE id = ?")?
        .exists([row_id(id.0)])?;
    match there {
        true => Ok(()),
        false => Err(missing(id)),
    }
}

/// Category, data and files of an artifact.
pub(super) fn artifact(connection: &Connection, id: ArtifactId) -> Outcome<Artifact> {
    Ok(stored(connection, id)?.artifact)
}

/// An artifact with everything that is known of it.
pub(super) fn stored(connection: &Connection, id: ArtifactId) -> Outcome<StoredArtifact> {
    let head = connection
        .prepare_cached(&format!("SELECT {HEAD} FROM artifacts WHERE id = ?"))?
        .query_row([row_id(id.0)], head)
        .optional()?
        .ok_or_else(|| missing(id))?;
    complete(connection, head)
}

/// The artifacts that pass a filter, oldest first.
pub(super) fn list(
    connection: &Connection,
    filter: &ArtifactFilter,
) -> Outcome<Vec<StoredArtifact>> {
    let mut rows = connection.prepare(&format!(
        "SELECT {HEAD} FROM artifacts
         WHERE (?1 IS NULL OR category = ?1) AND (?2 IS NULL OR work_request = ?2) ORDER BY id"
    ))?;
    let heads = rows.query_map((&filter.category, filter.work_request.map(row_id)), head)?;
    heads
        .collect::<rusqlite::Result<Vec<_>>>()?
        .into_iter()
        .map(|head| complete(connection, head))
        .collect()
}

/// The content of one file of an artifact: its digest and its size.
pub(super) fn file(connection: &Connection, id: ArtifactId, path: &str) -> Outcome<Copied> {
    let found = connection
        .prepare_cached(
            "SELECT sha256, size FROM artifact_files JOIN blobs USING (sha256) WHERE artifact = ? AND path = ?",
        )?
        .query_row((row_id(id.0), path), content)
        .optional()?;
    if let Some(content) = found {
        return Ok(content);
    }
    let files = artifact(connection, id)?.files;
    let there: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    Err(Failure::not_found(format!(
        "artifact {id} has no file {path:?}: its files are {}",
        listed(&there)
    )))
}

/// For messages: the first few of many, or `none`.
pub(super) fn listed(things: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 8;
    let first: Vec<_> = things.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match things.len() {
        0 => "none".to_owned(),
        many if many > SHOWN => format!("{} and {} more", first.join(", "), many - SHOWN),
        _ => first.join(", "),
    }
}

/// An id as SQLite keeps it; one beyond its integers exists as little as -1.
pub(super) fn row_id(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(-1)
}

/// JSON text of the database.
pub(super) fn json(text: &str) -> Outcome<Value> {
    serde_json::from_str(text).map_err(|error| {
        Failure::damaged(format!(
            "artifact store: a row holds damaged JSON: {error}; verify the store"
        ))
    })
}

pub(super) fn content(row: &Row) -> rusqlite::Result<Copied> {
    Ok(Copied {
        digest: row.get::<_, Digest>(0)?,
        size: row.get::<_, i64>(1)? as u64,
    })
}

const HEAD: &str = "id, category, data, workspace, work_request, created_at";

struct Head {
    id: ArtifactId,
    category: String,
    data: String,
    workspace: Option<String>,
    work_request: Option<i64>,
    created_at: Moment,
}

fn head(row: &Row) -> rusqlite::Result<Head> {
    Ok(Head {
        id: ArtifactId(row.get::<_, i64>(0)? as u64),
        category: row.get(1)?,
        data: row.get(2)?,
        workspace: row.get(3)?,
        work_request: row.get(4)?,
        created_at: row.get(5)?,
    })
}

fn complete(connection: &Connection, head: Head) -> Outcome<StoredArtifact> {
    let mut names = connection
        .prepare_cached("SELECT name FROM artifact_names WHERE artifact = ? ORDER BY name")?;
    let names = names.query_map([row_id(head.id.0)], |row| row.get(0))?;
    Ok(StoredArtifact {
        artifact: Artifact {
            id: head.id,
            category: head.category,
            data: json(&head.data)?,
            files: files(connection, head.id)?,
        },
        names: names.collect::<rusqlite::Result<_>>()?,
        created_at: head.created_at.into(),
        work_request: head.work_request.map(|id| id as u64),
        workspace: head.workspace,
    })
}

fn files(connection: &Connection, id: ArtifactId) -> Outcome<Vec<ArtifactFile>> {
    let mut rows = connection.prepare_cached(
        "SELECT sha256, size, path FROM artifact_files JOIN blobs USING (sha256) WHERE artifact = ? ORDER BY path",
    )?;
    let files = rows.query_map([row_id(id.0)], |row| {
        let Copied { digest, size } = content(row)?;
        Ok(ArtifactFile {
            path: row.get(2)?,
            size,
            sha256: digest.to_string(),
            url: None,
        })
    })?;
    Ok(files.collect::<rusqlite::Result<_>>()?)
}

fn require_work_request(connection: &Connection, id: u64) -> Outcome<()> {
    let there = connection
        .prepare_cached("SELECT 1 FROM work_requests WHERE id = ?")?
        .exists([row_id(id)])?;
    match there {
        true => Ok(()),
        false => Err(Failure::not_found(format!(
            "work request {id}: the store has none with that id; record it before its artifacts"
        ))),
    }
}

fn missing(id: ArtifactId) -> Failure {
    Failure::not_found(format!(
        "artifact {id}: the store has none with that id; list its artifacts to see which there are"
    ))
}
