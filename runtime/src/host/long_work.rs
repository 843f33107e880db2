//! Long work on files: off the asynchronous threads, in stretches, and given up when nobody waits for it any more.

use super::Fault;
use crate::executor::Abort;
use std::io::{self, Read, Write};

/// Bytes after which a copy looks whether it is still wanted.
const STRETCH: u64 = 8 << 20;

/// Why work on files was given up.
#[derive(Debug, thiserror::Error)]
#[error("given up: the task was aborted")]
pub struct GivenUp;

/// Whether work is still wanted.
#[derive(Clone)]
pub struct Wanted(Abort);

impl Wanted {
    /// Of work that nobody gives up.
    #[cfg(test)]
    pub fn always() -> Self {
        Self(Abort::new())
    }

    /// An error with [`GivenUp`] in it once it is not.
    pub fn check(&self) -> io::Result<()> {
        match self.0.is_cancelled() {
            true => Err(io::Error::other(GivenUp)),
            false => Ok(()),
        }
    }

    /// A reader that fails once it is not.
    pub fn reader<R: Read>(&self, source: R) -> impl Read {
        WantedReader {
            source,
            wanted: self.clone(),
        }
    }

    /// Copies everything; what the kernel can copy by itself, it does.
    pub fn copy(&self, from: &mut std::fs::File, to: &mut impl Write) -> io::Result<()> {
        loop {
            self.check()?;
            if io::copy(&mut from.take(STRETCH), to)? == 0 {
                return Ok(());
            }
        }
    }
}

struct WantedReader<R> {
    source: R,
    wanted: Wanted,
}

impl<R: Read> Read for WantedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wanted.check()?;
        self.source.read(buffer)
    }
}

/// Does work that is given up after an abort.
pub async fn until_abort<T: Send + 'static>(
    abort: &Abort,
    work: impl FnOnce(&Wanted) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    wait(abort.child_token(), work).await
}

/// Does work that is still wanted after an abort, such as writing down what happened. It is given up when the call that waits for it is ended.
pub async fn to_its_end<T: Send + 'static>(
    work: impl FnOnce(&Wanted) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    wait(Abort::new(), work).await
}

async fn wait<T: Send + 'static>(
    ended: Abort,
    work: impl FnOnce(&Wanted) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    // A thread goes on when its waiter is dropped; this tells it.
    let _dropped = ended.clone().drop_guard();
    tokio::task::spawn_blocking(move || work(&Wanted(ended)))
        .await
        .map_err(|error| Fault::Trap(error.into()))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Reads zeros for as long as somebody wants them.
    async fn endless(abort: Abort) -> Result<(), Fault> {
        until_abort(&abort, |wanted| {
            let copied = io::copy(&mut wanted.reader(io::repeat(0)), &mut io::sink());
            copied.map(drop).map_err(|error| Fault::io("zeros", &error))
        })
        .await
    }

    #[tokio::test]
    async fn long_work_on_files_ends_with_an_abort() {
        let abort = Abort::new();
        let soon = abort.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            soon.cancel();
        });
        match endless(abort).await {
            Err(Fault::Failure(failure)) => assert_eq!(failure.kind, "aborted"),
            other => panic!("{other:?}"),
        }
    }

    /// The runtime of this test waits for its threads: it would hang if the work went on.
    #[tokio::test]
    async fn long_work_that_nobody_waits_for_ends() {
        let waited = tokio::time::timeout(Duration::from_millis(50), endless(Abort::new())).await;
        assert!(waited.is_err());
    }
}
