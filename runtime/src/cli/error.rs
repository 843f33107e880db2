//! What goes wrong on the command line: one clear sentence, its kind for machines, and every violation of data.

use serde::Serialize;
use task_runtime::artifacts::StoreError;
use task_runtime::component::{CacheError, EngineError, RegistryError};
use task_runtime::executor::ExecutorError;
use task_runtime::host::{CallError, CallErrorReason, DynamicDataError, PathPart, TaskConfigError};
use task_runtime::worker::metadata::MetadataError;
use task_sdk::artifacts::ArtifactError;

/// An error as it is told.
#[derive(Debug, Serialize)]
pub struct CliError {
    /// What kind of error, e.g. `unknown-task`, `document`, `task-data`.
    pub kind: &'static str,
    /// What was wrong, where, and what to do.
    pub message: String,
    /// The rules that data break.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<ViolatedRule>,
}

/// A rule that data break.
#[derive(Debug, Serialize)]
pub struct ViolatedRule {
    /// Where, e.g. `input.source_artifact`; empty for the document itself.
    pub location: String,
    /// The kind of rule, e.g. `value_error.missing`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong, in words.
    pub message: String,
}

impl CliError {
    /// An error of this kind, in these words.
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            violations: Vec::new(),
        }
    }

    /// Why a task cannot be configured.
    pub fn configuration(task: &str, error: TaskConfigError) -> Self {
        let (kind, what, violations) = match error {
            TaskConfigError::Data(violations) => ("task-data", "task data", violations),
            TaskConfigError::DynamicData(violations) => {
                ("dynamic-data", "dynamic data", violations)
            }
            TaskConfigError::Unsuitable(words) => {
                return Self::new(
                    "unsuitable",
                    format!("task {task}: {words}; change its data"),
                );
            }
        };
        let flaws = match violations.len() {
            1 => "a rule is broken".to_owned(),
            many => format!("{many} rules are broken"),
        };
        let schema = if kind == "task-data" {
            ""
        } else {
            " --dynamic"
        };
        Self {
            kind,
            message: format!(
                "{what} of {task}: {flaws}; `task-runtime schema {task}{schema}` shows what is allowed"
            ),
            violations: violations.into_iter().map(Into::into).collect(),
        }
    }

    /// Why dynamic data cannot be computed.
    pub fn dynamic_data(task: &str, error: DynamicDataError) -> Self {
        match error {
            DynamicDataError::Config(error) => Self::configuration(task, error),
            DynamicDataError::Lookup(words) => Self::new("lookup", words),
            DynamicDataError::Internal(failure) => Self::new(
                "task",
                format!("task {task}: {}: {}", failure.kind, failure.message),
            ),
        }
    }
}

impl From<task_runtime::host::Violation> for ViolatedRule {
    fn from(violation: task_runtime::host::Violation) -> Self {
        let parts = violation.location.into_iter().map(|part| match part {
            PathPart::Member(name) => name,
            PathPart::Element(index) => index.to_string(),
        });
        Self {
            location: parts.collect::<Vec<_>>().join("."),
            kind: violation.kind,
            message: violation.message,
        }
    }
}

impl From<&task_sdk::model::Violation> for ViolatedRule {
    fn from(violation: &task_sdk::model::Violation) -> Self {
        let parts: Vec<_> = violation.location.iter().map(ToString::to_string).collect();
        Self {
            location: parts.join("."),
            kind: violation.kind.to_owned(),
            message: violation.message.to_string(),
        }
    }
}

impl From<ExecutorError> for CliError {
    fn from(error: ExecutorError) -> Self {
        let kind = match &error {
            ExecutorError::Image(_) => "image",
            ExecutorError::Unsupported(_) => "unsupported",
            _ => "system",
        };
        Self::new(kind, error.to_string())
    }
}

impl From<RegistryError> for CliError {
    fn from(error: RegistryError) -> Self {
        let kind = match &error {
            RegistryError::Unknown { .. } => "unknown-task",
            RegistryError::Component(error) => return Self::new("component", error.to_string()),
            RegistryError::Directory { .. } | RegistryError::Duplicate { .. } => "tasks",
        };
        Self::new(kind, error.to_string())
    }
}

impl From<CacheError> for CliError {
    fn from(error: CacheError) -> Self {
        Self::new("component", error.to_string())
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self::new("system", error.to_string())
    }
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        let kind = match error.reason {
            CallErrorReason::Unsuitable(_) => "component",
            _ => "task",
        };
        Self::new(kind, error.to_string())
    }
}

impl From<MetadataError> for CliError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::Registry(error) => error.into(),
            MetadataError::Task(error) => error.into(),
            MetadataError::Incus(error) => Self::new("system", error.to_string()),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::NotFound(_) => "not-found",
            StoreError::Invalid(_) => "invalid",
            StoreError::Damaged(_) => "damaged",
            StoreError::Unavailable(_) => "store",
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ArtifactError> for CliError {
    fn from(error: ArtifactError) -> Self {
        let ArtifactError::Data(violations) = &error else {
            return Self::new("artifact", error.to_string());
        };
        Self {
            kind: "artifact-data",
            message:
                "data of the artifact: rules of its category are broken; give them with --data"
                    .to_owned(),
            violations: violations.iter().map(Into::into).collect(),
        }
    }
}
