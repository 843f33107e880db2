//! Why something in the executor did not happen.

/// Why a command or a file operation of an instance could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The command cannot be started as it was given (no such program, not executable, a NUL, too many arguments, directory missing).
    #[error("{0}")]
    Command(String),
    /// The image is missing, damaged or of the wrong kind.
    #[error("{0}")]
    Image(String),
    /// A file that was to be pushed or pulled breaks a rule: symlink, not a regular file, outside its directory, too big.
    #[error("{0}")]
    File(String),
    /// The machine lacks what the operation needs; the words say what, and how to get it.
    #[error("{0}")]
    Unsupported(String),
    /// The operation was aborted with its task.
    #[error("aborted")]
    Aborted,
    /// The system refused: disk full, too many processes…
    #[error("{0}")]
    System(String),
}
