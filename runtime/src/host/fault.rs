//! How host calls go wrong: a failure that the component is told, or a trap that ends it.

use super::bindings::debusine::task::task_database::LookupError;
pub use super::bindings::debusine::task::types::Failure;
use super::listing::TooMuch;
use super::logs::LogLimit;
use super::long_work::GivenUp;
use crate::artifacts::StoreError;
use crate::executor::ExecutorError;
use std::fmt;

/// Why a host call has no result.
#[derive(Debug)]
pub enum Fault {
    /// The component is told, as a WIT `failure`.
    Failure(Failure),
    /// The component is ended: it used a handle that is not its own, or a power that was not granted.
    Trap(wasmtime::Error),
}

impl Fault {
    /// A failure of this kind, in these words.
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self::Failure(Failure {
            kind: kind.to_owned(),
            message: message.into(),
        })
    }

    /// A failure of the file system at a named file, or the reason for which work on it was not done.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        let given_up = error.get_ref().is_some_and(|inner| inner.is::<GivenUp>());
        let too_much = error.get_ref().is_some_and(|inner| inner.is::<TooMuch>());
        let log_limit = error.get_ref().is_some_and(|inner| inner.is::<LogLimit>());
        let kind = match error.kind() {
            _ if log_limit => "log-limit",
            _ if too_much => "too-many-entries",
            _ if given_up => "aborted",
            std::io::ErrorKind::NotFound => "not-found",
            std::io::ErrorKind::StorageFull => "disk-full",
            _ => "file",
        };
        Self::new(kind, format!("{what}: {error}"))
    }
}

impl Failure {
    /// A failure of this kind, in these words.
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.into(),
        }
    }
}

impl From<wasmtime::component::ResourceTableError> for Fault {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl From<wasmtime::Error> for Fault {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::NotFound(_) => "not-found",
            StoreError::Invalid(_) => "invalid-data",
            StoreError::Damaged(_) => "damaged",
            StoreError::Unavailable(_) => "store-unavailable",
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ExecutorError> for Fault {
    fn from(error: ExecutorError) -> Self {
        let kind = match &error {
            ExecutorError::Command(_) => "command",
            ExecutorError::Image(_) => "image",
            ExecutorError::File(_) => "file",
            ExecutorError::Unsupported(_) => "unsupported",
            ExecutorError::Aborted => "aborted",
            ExecutorError::System(_) => "system",
        };
        Self::new(kind, error.to_string())
    }
}

/// Why a look-up has no result.
#[derive(Debug)]
pub enum LookupFault {
    /// The component is told, as a WIT `lookup-error`.
    Error(LookupError),
    /// The component is ended.
    Trap(wasmtime::Error),
}

impl From<wasmtime::component::ResourceTableError> for LookupFault {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl From<wasmtime::Error> for LookupFault {
    fn from(error: wasmtime::Error) -> Self {
        Self::Trap(error)
    }
}

impl From<StoreError> for LookupFault {
    fn from(error: StoreError) -> Self {
        Self::Error(match error {
            StoreError::NotFound(words) => LookupError::NotFound(words),
            StoreError::Invalid(words) => LookupError::Invalid(words),
            StoreError::Damaged(words) | StoreError::Unavailable(words) => {
                LookupError::Unavailable(words)
            }
        })
    }
}
