//! Work requests that were run against this store, and how they ended.

use super::failure::{Failure, Outcome};
use super::moment::Moment;
use super::owner::{self, Owner};
use super::records::{json, row_id};
use super::{Inner, LocalStore};
use crate::artifacts::{ArtifactId, StoreError};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use serde_json::Value;
use std::sync::PoisonError;
use std::time::SystemTime;

/// A work request that is about to be recorded.
#[derive(Debug, Clone)]
pub struct NewWorkRequest {
    /// Name of the task, e.g. `sbuild`.
    pub task_name: String,
    /// The task's data, as they were given.
    pub task_data: Value,
    /// The workspace that its artifacts go to.
    pub workspace: Option<String>,
}

/// A recorded work request.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkRequest {
    /// Its number; the first is 1.
    pub id: u64,
    /// Name of the task.
    pub task_name: String,
    /// The task's data, as they were given.
    pub task_data: Value,
    /// The task's dynamic data, once they were computed.
    pub dynamic_task_data: Option<Value>,
    /// The workspace that its artifacts go to.
    pub workspace: Option<String>,
    /// How far it is.
    pub status: WorkRequestStatus,
    /// How it ended, if it is completed.
    pub result: Option<WorkRequestResult>,
    /// What the task reported beside its artifacts.
    pub output_data: Option<Value>,
    /// When it was recorded.
    pub created_at: SystemTime,
    /// When it began to run.
    pub started_at: Option<SystemTime>,
    /// When it was completed or aborted.
    pub completed_at: Option<SystemTime>,
    /// What it made, oldest first.
    pub artifacts: Vec<ArtifactId>,
}

/// How far a work request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkRequestStatus {
    /// It has not begun.
    Pending,
    /// A living process runs it.
    Running,
    /// It ran to its end and has a result.
    Completed,
    /// It was aborted, or the process that ran it died.
    Aborted,
}

/// How a completed work request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkRequestResult {
    /// The task did its work and says that all is well.
    Success,
    /// The task did its work and says that something is not well.
    Failure,
    /// The task could not do its work.
    Error,
    /// There was nothing to do.
    Skipped,
}

impl WorkRequestStatus {
    const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Completed, Self::Aborted];

    /// Its name on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Aborted => "aborted",
        }
    }
}

impl WorkRequestResult {
    const ALL: [Self; 4] = [Self::Success, Self::Failure, Self::Error, Self::Skipped];

    /// Its name on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Skipped => "skipped",
        }
    }
}

impl LocalStore {
    /// Records a work request; it is pending.
    pub async fn create_work_request(&self, new: NewWorkRequest) -> Result<u64, StoreError> {
        self.blocking(move |store| store.write(|rows| create(rows, &new)))
            .await
    }

    /// A pending work request begins to run in this process. Should the process die, or this store be dropped with all its clones, the next
    /// opening of the store finds it aborted.
    pub async fn start_work_request(&self, id: u64) -> Result<(), StoreError> {
        self.blocking(move |store| store.start(id)).await
    }

    /// Keeps the dynamic data that were computed for a work request.
    pub async fn set_dynamic_task_data(&self, id: u64, data: Value) -> Result<(), StoreError> {
        self.blocking(move |store| {
            store.write(|rows| {
                let sql = "UPDATE work_requests SET dynamic_task_data = ? WHERE id = ?";
                match rows.execute(sql, (data.to_string(), row_id(id)))? {
                    0 => Err(missing(id)),
                    _ => Ok(()),
                }
            })
        })
        .await
    }

    /// A running work request has ended with a result.
    pub async fn complete_work_request(
        &self,
        id: u64,
        result: WorkRequestResult,
        output_data: Option<Value>,
    ) -> Result<(), StoreError> {
        self.blocking(move |store| store.write(|rows| complete(rows, id, result, output_data)))
            .await
    }

    /// A pending or running work request is given up.
    pub async fn abort_work_request(&self, id: u64) -> Result<(), StoreError> {
        self.blocking(move |store| store.write(|rows| abort(rows, id)))
            .await
    }

    /// One work request.
    pub async fn work_request(&self, id: u64) -> Result<WorkRequest, StoreError> {
        self.blocking(move |store| {
            store.read(|rows| select(rows, Some(id))?.pop().ok_or_else(|| missing(id)))
        })
        .await
    }

    /// All work requests, oldest first.
    pub async fn work_requests(&self) -> Result<Vec<WorkRequest>, StoreError> {
        self.blocking(|store| store.read(|rows| select(rows, None)))
            .await
    }
}

impl Inner {
    fn start(&self, id: u64) -> Outcome<()> {
        let mut owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = match &mut *owner {
            Some(owner) => owner,
            none => none.insert(Owner::new(&self.path)?),
        };
        self.write(|rows| {
            require_status(rows, id, &[WorkRequestStatus::Pending], "start")?;
            rows.execute(
                "UPDATE work_requests SET status = 'running', started_at = ?, owner = ? WHERE id = ?",
                (Moment::now(), owner.name(), row_id(id)),
            )?;
            Ok(())
        })
    }

    /// Marks what dead processes were running as aborted.
    pub(super) fn abort_orphans(&self) -> Outcome<()> {
        // A request that starts after this look belongs to an owner that was not looked at; it is not running yet in the rows read first.
        let running = self.read(running)?;
        let living = owner::living(&self.path)?;
        let dead: Vec<_> = running
            .into_iter()
            .filter(|(_, owner)| !living.contains(owner))
            .collect();
        if dead.is_empty() {
            return Ok(());
        }
        self.write(|rows| {
            for (id, owner) in dead {
                rows.execute(
                    "UPDATE work_requests SET status = 'aborted', completed_at = ?, owner = NULL WHERE id = ? AND owner = ?",
                    (Moment::now(), id, owner),
                )?;
            }
            Ok(())
        })
    }
}

fn create(connection: &Connection, new: &NewWorkRequest) -> Outcome<u64> {
    connection.execute(
        "INSERT INTO work_requests (task_name, task_data, workspace, status, created_at) VALUES (?, ?, ?, 'pending', ?)",
        (
            &new.task_name,
            new.task_data.to_string(),
            &new.workspace,
            Moment::now(),
        ),
    )?;
    Ok(connection.last_insert_rowid() as u64)
}

fn complete(
    connection: &Connection,
    id: u64,
    result: WorkRequestResult,
    output_data: Option<Value>,
) -> Outcome<()> {
    require_status(connection, id, &[WorkRequestStatus::Running], "complete")?;
    connection.execute(
        "UPDATE work_requests SET status = 'completed', result = ?, output_data = ?, completed_at = ?, owner = NULL WHERE id = ?",
        (
            result.name(),
            output_data.map(|data| data.to_string()),
            Moment::now(),
            row_id(id),
        ),
    )?;
    Ok(())
}

fn abort(connection: &Connection, id: u64) -> Outcome<()> {
    let abortable = [WorkRequestStatus::Pending, WorkRequestStatus::Running];
    require_status(connection, id, &abortable, "abort")?;
    connection.execute(
        "UPDATE work_requests SET status = 'aborted', completed_at = ?, owner = NULL WHERE id = ?",
        (Moment::now(), row_id(id)),
    )?;
    Ok(())
}

/// The running work requests and their owners.
fn running(connection: &rusqlite::Transaction) -> Outcome<Vec<(i64, String)>> {
    let mut rows =
        connection.prepare("SELECT id, owner FROM work_requests WHERE status = 'running'")?;
    let running = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(running.collect::<rusqlite::Result<_>>()?)
}

fn require_status(
    connection: &Connection,
    id: u64,
    allowed: &[WorkRequestStatus],
    action: &str,
) -> Outcome<()> {
    let status: Option<String> = connection
        .query_row(
            "SELECT status FROM work_requests WHERE id = ?",
            [row_id(id)],
            |row| row.get(0),
        )
        .optional()?;
    let status = status.ok_or_else(|| missing(id))?;
    match allowed.iter().any(|allowed| allowed.name() == status) {
        true => Ok(()),
        false => Err(Failure::invalid(format!(
            "cannot {action} work request {id}: it is {status}; record a new one"
        ))),
    }
}

fn select(connection: &Connection, id: Option<u64>) -> Outcome<Vec<WorkRequest>> {
    let mut rows = connection.prepare_cached(
        "SELECT id, task_name, task_data, dynamic_task_data, workspace, status, result, output_data, created_at, started_at, completed_at
         FROM work_requests WHERE ?1 IS NULL OR id = ?1 ORDER BY id",
    )?;
    let mut found = rows.query([id.map(row_id)])?;
    let mut work_requests = Vec::new();
    while let Some(row) = found.next()? {
        work_requests.push(read(connection, row)?);
    }
    Ok(work_requests)
}

fn read(connection: &Connection, row: &Row) -> Outcome<WorkRequest> {
    let id: i64 = row.get(0)?;
    let data = |column| {
        let text: Option<String> = row.get(column)?;
        text.map(|text| json(&text)).transpose()
    };
    let time =
        |column| Ok::<_, Failure>(row.get::<_, Option<Moment>>(column)?.map(SystemTime::from));
    let (status, result): (String, Option<String>) = (row.get(5)?, row.get(6)?);
    let status = WorkRequestStatus::ALL
        .into_iter()
        .find(|known| known.name() == status);
    Ok(WorkRequest {
        id: id as u64,
        task_name: row.get(1)?,
        task_data: data(2)?.unwrap_or_default(),
        dynamic_task_data: data(3)?,
        workspace: row.get(4)?,
        // The schema admits no other status.
        status: status.unwrap_or(WorkRequestStatus::Aborted),
        result: result.and_then(|name| {
            WorkRequestResult::ALL
                .into_iter()
                .find(|known| known.name() == name)
        }),
        output_data: data(7)?,
        created_at: row.get::<_, Moment>(8)?.into(),
        started_at: time(9)?,
        completed_at: time(10)?,
        artifacts: artifacts(connection, id)?,
    })
}

fn artifacts(connection: &Connection, id: i64) -> Outcome<Vec<ArtifactId>> {
    let mut rows =
        connection.prepare_cached("SELECT id FROM artifacts WHERE work_request = ? ORDER BY id")?;
    let ids = rows.query_map([id], |row| Ok(ArtifactId(row.get::<_, i64>(0)? as u64)))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

fn missing(id: u64) -> Failure {
    Failure::not_found(format!(
        "work request {id}: the store has none with that id; list its work requests to see which there are"
    ))
}
