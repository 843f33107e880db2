//! How the parts of the local store fail, and the one sentence that each failure becomes at its border.

use crate::artifacts::StoreError;
use rusqlite::ErrorCode;
use std::io;
use std::path::Path;

/// What the parts of the local store return.
pub(super) type Outcome<T> = Result<T, Failure>;

/// Why a part of the local store could not do its work. Only [`Failure::told`] knows the store's place, so only it finds words.
#[derive(Debug)]
pub(super) enum Failure {
    /// A rule or a look-up failed; the words are already there.
    Store(StoreError),
    /// SQLite refused.
    Database(rusqlite::Error),
    /// The system refused a file operation; `doing` says which, e.g. `writing a new file`.
    Io { doing: String, error: io::Error },
}

impl Failure {
    pub(super) fn not_found(words: impl Into<String>) -> Self {
        Self::Store(StoreError::NotFound(words.into()))
    }

    pub(super) fn invalid(words: impl Into<String>) -> Self {
        Self::Store(StoreError::Invalid(words.into()))
    }

    pub(super) fn damaged(words: impl Into<String>) -> Self {
        Self::Store(StoreError::Damaged(words.into()))
    }

    pub(super) fn unavailable(words: impl Into<String>) -> Self {
        Self::Store(StoreError::Unavailable(words.into()))
    }

    /// For `map_err`: says what was being done when the system refused.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            doing: doing.into(),
            error,
        }
    }

    /// The error for the caller of the store at `store`.
    pub(super) fn told(self, store: &Path) -> StoreError {
        let store = store.display();
        match self {
            Self::Store(error) => error,
            Self::Database(error) => database_error(&format!("artifact store {store}"), error),
            Self::Io { doing, error } if is_full(&error) => StoreError::Unavailable(format!(
                "artifact store {store}: the disk is full ({doing}); free some space and try again"
            )),
            Self::Io { doing, error } => StoreError::Unavailable(format!(
                "artifact store {store}: {doing}: {error}; check the directory's owner, permissions and disk"
            )),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn database_error(store: &str, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Unavailable(format!(
            "{store}: the disk is full (writing the database); free some space and try again"
        )),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Unavailable(
            format!("{store}: another process keeps its database locked; try again"),
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::Unavailable(format!(
                "{store}: its database cannot be opened for writing: {error}; check the directory's owner and permissions"
            ))
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Damaged(format!(
            "{store}: its database is damaged: {error}; restore it from a backup"
        )),
        _ => StoreError::Unavailable(format!(
            "{store}: its database failed: {error}; verify the store"
        )),
    }
}
