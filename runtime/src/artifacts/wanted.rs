//! Whether anybody still waits for what is done on a blocking thread, which no dropped future stops by itself.

use std::io;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Asked between two pieces of long work.
pub(crate) struct Wanted(CancellationToken);

impl Wanted {
    /// Wanted until the guard is dropped.
    pub(crate) fn until_dropped() -> (Self, DropGuard) {
        let token = CancellationToken::new();
        (Self(token.clone()), token.drop_guard())
    }

    /// Of work that nobody gives up.
    pub(crate) fn always() -> Self {
        Self(CancellationToken::new())
    }

    /// An error once it is not wanted.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.0.is_cancelled() {
            true => Err(io::Error::other(
                "a copy was given up: nobody waits for it any more",
            )),
            false => Ok(()),
        }
    }
}
