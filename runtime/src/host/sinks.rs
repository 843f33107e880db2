//! Where the output of commands goes besides logs: into a file of the task, or back to the component up to a limit.

use crate::executor::Sink;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Output that a component asked for.
#[derive(Clone, Default)]
pub struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Collected {
    /// A sink that keeps the first `limit` bytes.
    pub fn sink(&self, limit: usize) -> Sink {
        sink(CollectingSink {
            into: self.clone(),
            limit,
        })
    }

    /// What was collected.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A sink over any writer that does not wait.
pub fn sink(writer: impl Write + Send + Unpin + 'static) -> Sink {
    Box::new(WritingSink(writer))
}

struct CollectingSink {
    into: Collected,
    limit: usize,
}

impl Write for CollectingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self
            .into
            .bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let room = self.limit.saturating_sub(kept.len()).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes go to the page cache in microseconds and need no thread of their own.
struct WritingSink<W>(W);

impl<W: Write + Unpin> AsyncWrite for WritingSink<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
