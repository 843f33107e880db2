//! Work requests as the server hands them out, and what it is told at their end.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A work request. What the server says beyond this is not needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkRequest {
    /// Its number.
    pub id: u64,
    /// Name of the task.
    pub task_name: String,
    /// `Worker`, `Server`, `Signing`, …
    pub task_type: String,
    /// The task data, with the server's task configuration applied.
    pub task_data: Value,
    /// What the scheduler has looked up.
    #[serde(default)]
    pub dynamic_task_data: Option<Value>,
    /// The workspace of what it makes.
    #[serde(default)]
    pub workspace: Option<String>,
}

/// How a work request ended, as the server counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The task succeeded.
    Success,
    /// The task failed.
    Failure,
    /// The task could not be run.
    Error,
}

impl Outcome {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }
}

/// Why a task could not be run, in the reference's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The task is not for this type of worker.
    WrongTaskType,
    /// There is no such task.
    SetupFailed,
    /// Its data are invalid.
    ConfigureFailed,
    /// Something that should work did not.
    ExecuteFailed,
}

impl ErrorCode {
    fn name(self) -> &'static str {
        match self {
            Self::WrongTaskType => "wrong-task-type",
            Self::SetupFailed => "setup-failed",
            Self::ConfigureFailed => "configure-failed",
            Self::ExecuteFailed => "execute-failed",
        }
    }
}

/// What the server is told at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub result: Outcome,
    /// Statistics and errors; the server refuses other keys.
    pub output_data: Map<String, Value>,
}

impl Report {
    /// A task that ran.
    pub fn new(result: Outcome, statistics: Value) -> Self {
        let mut output_data = Map::new();
        output_data.insert("runtime_statistics".to_owned(), statistics);
        Self {
            result,
            output_data,
        }
    }

    /// A task that could not be run.
    pub fn error(code: ErrorCode, message: String) -> Self {
        let mut report = Self {
            result: Outcome::Error,
            output_data: Map::new(),
        };
        report.add_error(code, message);
        report
    }

    /// Makes it an error, whatever it was.
    pub fn add_error(&mut self, code: ErrorCode, message: String) {
        self.result = Outcome::Error;
        let error = json!({"message": message, "code": code.name()});
        let errors = self
            .output_data
            .entry("errors")
            .or_insert_with(|| json!([]));
        if let Some(errors) = errors.as_array_mut() {
            errors.push(error);
        }
    }

    /// The document that the server gets.
    pub fn document(&self) -> Value {
        json!({"result": self.result.name(), "output_data": self.output_data})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_ignored_and_missing_ones_are_not() {
        let document = json!({
            "id": 1, "task_name": "noop", "task_type": "Worker", "task_data": {}, "dynamic_task_data": null,
            "created_by": 2, "workflow_data": {"retry_count": 1}, "workspace": "System", "new": [1],
        });
        let read: WorkRequest = serde_json::from_value(document.clone()).expect("a work request");
        assert_eq!((read.id, read.dynamic_task_data), (1, None));
        for key in ["id", "task_name", "task_type", "task_data"] {
            let mut less = document.clone();
            less.as_object_mut().expect("an object").remove(key);
            assert!(
                serde_json::from_value::<WorkRequest>(less).is_err(),
                "{key}"
            );
        }
    }

    #[test]
    fn an_error_has_nothing_but_errors() {
        let report = Report::error(
            ErrorCode::WrongTaskType,
            "Task: x is of type Server, not Worker".into(),
        );
        assert_eq!(
            report.document(),
            json!({"result": "error", "output_data": {"errors": [
                {"message": "Task: x is of type Server, not Worker", "code": "wrong-task-type"}
            ]}})
        );
    }
}
