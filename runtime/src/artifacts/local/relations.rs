//! Relations between artifacts, in both directions.

use super::failure::{Failure, Outcome};
use super::records::{require, row_id};
use crate::artifacts::{ArtifactId, Relation};
use rusqlite::Connection;
use rusqlite::types::{FromSqlError, Type};

/// Which end of a relation an artifact is.
#[derive(Clone, Copy)]
pub(super) enum End {
    From,
    To,
}

/// Records a relation, once.
pub(super) fn relate(connection: &Connection, relation: Relation) -> Outcome<()> {
    for id in [relation.from, relation.to] {
        require(connection, id)?;
    }
    connection.execute(
        "INSERT OR IGNORE INTO relations (from_artifact, to_artifact, type) VALUES (?, ?, ?)",
        (
            row_id(relation.from.0),
            row_id(relation.to.0),
            relation.kind.name(),
        ),
    )?;
    Ok(())
}

/// The relations that have `id` at this end, in the order in which they were recorded.
pub(super) fn relations(
    connection: &Connection,
    id: ArtifactId,
    end: End,
) -> Outcome<Vec<Relation>> {
    require(connection, id)?;
    let column = match end {
        End::From => "from_artifact",
        End::To => "to_artifact",
    };
    let mut rows = connection.prepare_cached(&format!(
        "SELECT from_artifact, to_artifact, type FROM relations WHERE {column} = ? ORDER BY id"
    ))?;
    let relations = rows.query_map([row_id(id.0)], |row| {
        let kind: String = row.get(2)?;
        Ok(Relation {
            from: ArtifactId(row.get::<_, i64>(0)? as u64),
            to: ArtifactId(row.get::<_, i64>(1)? as u64),
            kind: kind.parse().map_err(|_| {
                rusqlite::Error::FromSqlConversionFailure(
                    2,
                    Type::Text,
                    FromSqlError::InvalidType.into(),
                )
            })?,
        })
    })?;
    relations
        .collect::<rusqlite::Result<_>>()
        .map_err(Failure::from)
}
