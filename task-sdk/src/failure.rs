//! How a stage of a task fails: a kind and words, which the host writes to the log of the stage.

use crate::bindings::debusine::task::types;
use std::fmt;

/// Why a stage cannot go on; what is an exception elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A name for the kind of failure, e.g. `invalid-data`.
    pub kind: String,
    /// What was wrong, where, and what to do about it.
    pub message: String,
}

/// The result of a stage, or of a host call in it.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure of this kind, in these words.
    pub fn new(kind: &str, message: impl fmt::Display) -> Self {
        Self {
            kind: kind.to_owned(),
            message: message.to_string(),
        }
    }

    /// The same failure with what was being done put before its words.
    pub fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

/// Any error of a parser or builder can end a stage with `?`.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new("invalid-data", error)
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            kind: failure.kind,
            message: failure.message,
        }
    }
}

/// Takes over a failure of a host call.
pub(crate) fn from_host(failure: types::Failure) -> Failure {
    Failure {
        kind: failure.kind,
        message: failure.message,
    }
}
