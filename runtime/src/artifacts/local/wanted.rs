//! Whether anybody still waits for what is done on a blocking thread, which no dropped future stops by itself.

use super::failure::{Failure, Outcome};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Asked between two pieces of long work.
pub(super) struct Wanted(CancellationToken);

impl Wanted {
    /// Wanted until the guard is dropped.
    pub(super) fn until_dropped() -> (Self, DropGuard) {
        let token = CancellationToken::new();
        (Self(token.clone()), token.drop_guard())
    }

    /// Of work that nobody gives up.
    pub(super) fn always() -> Self {
        Self(CancellationToken::new())
    }

    /// An error once it is not wanted.
    pub(super) fn check(&self) -> Outcome<()> {
        match self.0.is_cancelled() {
            true => Err(Failure::unavailable(
                "a copy was given up: nobody waits for it any more",
            )),
            false => Ok(()),
        }
    }
}
