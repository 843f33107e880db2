//! What the server is to be told of a work request, in the order in which it is told, and how far that has got.

use super::Owner;
use crate::artifacts::debusine::UploadFile;
use crate::artifacts::{ArtifactId, Relation};
use crate::worker::work_request::{ErrorCode, Outcome, Report, WorkRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Category of the artifact that holds the logs of a run. The last one of every run.
pub(super) const DEBUG_LOGS: &str = "debusine:work-request-debug-logs";

/// The log that tells what went wrong after the task's command.
pub(super) const POST_EXECUTION_LOG: &str = "post_execution.log";

/// The version of the journals that are written. It grows when an older program would misread them.
const VERSION: u32 = 1;

/// Artifacts that the server does not know yet have numbers from here on. Its own never get there.
const PROVISIONAL: u64 = 1 << 62;

/// Where a work request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Its task runs.
    Running,
    /// Its task has ended; the server is to be told.
    Finished,
    /// Its task was aborted; the server gets the logs.
    Aborted,
    /// The server has everything but takes no report: the work request is not ours at the moment. It may become so again.
    Unassigned,
}

/// Everything there is to tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Journal {
    /// See [`VERSION`]; the first journals had none.
    #[serde(default = "first_version")]
    version: u32,
    pub(super) owner: Owner,
    pub(super) work_request: u64,
    pub(super) task: String,
    pub(super) workspace: Option<String>,
    pub(super) state: State,
    pub(super) operations: Vec<Operation>,
    /// How many operations are done.
    pub(super) done: usize,
    pub(super) report: Option<Report>,
}

/// One thing to tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    /// Make an artifact, and send its files.
    Create(Creation),
    /// Relate two artifacts; their numbers may be provisional.
    Relate(Relation),
}

/// An artifact to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Creation {
    pub(super) provisional: ArtifactId,
    pub(super) category: String,
    pub(super) data: Value,
    pub(super) files: Vec<UploadFile>,
    /// Whether the server may have been asked to make it.
    pub(super) attempted: bool,
    /// Its number on the server, once it is made.
    pub(super) created: Option<ArtifactId>,
}

fn first_version() -> u32 {
    1
}

impl Journal {
    pub(super) fn new(owner: Owner, work_request: &WorkRequest) -> Self {
        Self {
            version: VERSION,
            owner,
            work_request: work_request.id,
            task: work_request.task_name.clone(),
            workspace: work_request.workspace.clone(),
            state: State::Running,
            operations: Vec::new(),
            done: 0,
            report: None,
        }
    }

    /// A journal as it was written. The error says why it is none.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            #[serde(default = "first_version")]
            version: u32,
        }
        let damaged = |error| format!("its journal is damaged: {error}");
        let versioned: Versioned = serde_json::from_slice(text).map_err(damaged)?;
        if versioned.version > VERSION {
            return Err(format!(
                "its journal was written by a newer program (version {}, and {VERSION} is known here); let that one deliver it",
                versioned.version
            ));
        }
        serde_json::from_slice(text).map_err(damaged)
    }

    /// Whether the server is still to be told.
    pub(super) fn is_for_delivery(&self) -> bool {
        matches!(self.state, State::Finished | State::Aborted)
    }

    /// Adds an artifact; its provisional number.
    pub(super) fn create(
        &mut self,
        category: String,
        data: Value,
        files: Vec<UploadFile>,
    ) -> ArtifactId {
        let provisional = ArtifactId(PROVISIONAL + self.operations.len() as u64);
        self.operations.push(Operation::Create(Creation {
            provisional,
            category,
            data,
            files,
            attempted: false,
            created: None,
        }));
        provisional
    }

    pub(super) fn relate(&mut self, relation: Relation) {
        self.operations.push(Operation::Relate(relation));
    }

    /// The artifacts of this work request, in their order.
    pub(super) fn creations(&self) -> impl Iterator<Item = &Creation> {
        self.operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::Create(creation) => Some(creation),
                Operation::Relate(_) => None,
            })
    }

    /// The relations of this work request, in their order.
    pub(super) fn relations(&self) -> impl Iterator<Item = Relation> {
        self.operations
            .iter()
            .filter_map(|operation| match operation {
                Operation::Relate(relation) => Some(*relation),
                Operation::Create(_) => None,
            })
    }

    /// The artifact behind a provisional number.
    pub(super) fn creation(&self, id: ArtifactId) -> Option<&Creation> {
        self.creations().find(|creation| creation.provisional == id)
    }

    /// The number of an artifact on the server; none if it is still to be made, or never will be.
    pub(super) fn real(&self, id: ArtifactId) -> Option<ArtifactId> {
        match self.creation(id) {
            Some(creation) => creation.created,
            None => (id.0 < PROVISIONAL).then_some(id),
        }
    }

    /// The server will never do the next operation. Like the reference: without its artifacts a task has failed, and without its logs it
    /// could not be run. True if the words are still to be put into the logs.
    pub(super) fn refuse(&mut self, words: &str) -> bool {
        let is_logs = |operation: &Operation| matches!(operation, Operation::Create(it) if it.category == DEBUG_LOGS);
        let rest = &self.operations[self.done..];
        match rest.iter().position(is_logs) {
            Some(logs) if logs > 0 => {
                self.operations.drain(self.done..self.done + logs);
                if let Some(report) = &mut self.report
                    && report.result == Outcome::Success
                {
                    report.result = Outcome::Failure;
                }
                true
            }
            _ => {
                self.done = self.operations.len();
                let message = format!("Task: {} Error execute: {words}", self.task);
                if let Some(report) = &mut self.report {
                    report.add_error(ErrorCode::ExecuteFailed, message);
                }
                false
            }
        }
    }

    /// The logs, if they are still to be made.
    pub(super) fn logs_to_come(&mut self) -> Option<&mut Creation> {
        let rest = self.operations[self.done..].iter_mut();
        rest.filter_map(|operation| match operation {
            Operation::Create(creation) => Some(creation),
            Operation::Relate(_) => None,
        })
        .find(|creation| creation.category == DEBUG_LOGS && creation.created.is_none())
    }
}
