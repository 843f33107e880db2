//! Uploads: the server is asked what it has, and is sent the rest in chunks, until it has verified the whole.

use super::paths::quoted;
use super::server::{Answer, Repetition, failed};
use super::{Server, ServerError};
use crate::artifacts::ArtifactId;
use bytes::Bytes;
use futures_util::stream::{Stream, try_unfold};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RANGE};
use reqwest::{Body, Method, StatusCode};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::timeout;

/// How much of a file is in memory at a time, in bytes.
const PIECE: usize = 256 << 10;

/// How often content that the server finds damaged is sent again from its beginning.
const ATTEMPTS: u32 = 3;

/// How many answers in a row may bring the upload no further. Who does not answer, or not now, is waited for instead.
const FRUITLESS: u32 = 5;

/// What the server says of an upload.
enum Progress {
    /// It has this many bytes of the file.
    Has(u64),
    /// It has all of it, verified.
    Complete,
}

/// The smallest chunk that is tried where chunks are too large, in bytes.
const SMALLEST: u64 = 64 << 10;

/// What reading a file has failed with, while it was on its way.
type Unreadable = Arc<Mutex<Option<io::Error>>>;

/// A file on its way.
struct Upload<'a> {
    server: &'a Server,
    path: String,
    content: Arc<File>,
    size: u64,
    /// How much of it one request carries.
    chunk: AtomicU64,
    /// The most that was ever sent of it: to send something again is no advance.
    furthest: Arc<AtomicU64>,
}

impl Server {
    /// Sends the content of a file that the server lacks, from wherever an earlier attempt ended.
    pub(super) async fn send_file(
        &self,
        artifact: ArtifactId,
        path: &str,
        content: File,
        size: u64,
    ) -> Result<(), ServerError> {
        let upload = Upload {
            server: self,
            path: format!("/artifact/{artifact}/files/{}/", quoted(path)),
            content: Arc::new(content),
            size,
            chunk: self.chunk().into(),
            furthest: Arc::default(),
        };
        upload.send().await
    }
}

impl Upload<'_> {
    async fn send(&self) -> Result<(), ServerError> {
        let mut repetition = Repetition::new(self.server);
        let (mut attempts, mut fruitless, mut most) = (0, 0, 0);
        let mut at = None;
        loop {
            let asked = match at {
                None => self.ask().await,
                Some(from) => self.chunk(from).await,
            };
            // Whatever goes wrong, the server is asked how far it got.
            at = match asked {
                Ok(Progress::Complete) => return Ok(()),
                Ok(Progress::Has(count)) if count > self.size => {
                    return Err(self.unexpected(format!(
                        "it says that it has {count} bytes of {}",
                        self.size
                    )));
                }
                Ok(Progress::Has(count)) => {
                    if count > most {
                        (fruitless, most) = (0, count);
                        repetition.succeeded();
                    } else if at.is_some_and(|from| count <= from || count == self.size) {
                        fruitless += 1;
                    }
                    Some(match count == self.size {
                        // Who has everything, and does not say that it is complete, is sent the end once more: the answer to that tells.
                        true => self.size.saturating_sub(PIECE as u64),
                        // What it has lost is sent again, however many chunks that takes.
                        false => count,
                    })
                }
                Err(error) if error.status() == Some(StatusCode::CONFLICT) => {
                    attempts += 1;
                    if attempts == ATTEMPTS {
                        return Err(error);
                    }
                    tracing::warn!("{error}; sending it again");
                    // It has thrown away what it had.
                    (fruitless, most) = (0, 0);
                    None
                }
                // A proxy in front of the server lets no more through.
                Err(error)
                    if error.status() == Some(StatusCode::PAYLOAD_TOO_LARGE)
                        && self.chunk.load(Ordering::Relaxed) > SMALLEST =>
                {
                    let less = self.chunk.load(Ordering::Relaxed) / 2;
                    self.chunk.store(less, Ordering::Relaxed);
                    tracing::warn!("{error}; trying {less} bytes at a time");
                    None
                }
                // A gap, or a chunk that was partly written.
                Err(error) if error.status() == Some(StatusCode::BAD_REQUEST) && at.is_some() => {
                    fruitless += 1;
                    if fruitless > FRUITLESS {
                        return Err(error);
                    }
                    tracing::warn!("{error}; asking where to go on");
                    None
                }
                Err(error) => {
                    repetition.pause(error).await?;
                    None
                }
            };
            if fruitless > FRUITLESS {
                return Err(ServerError::Damaged(format!(
                    "{}: the upload gets no further than {most} bytes of {}",
                    self.request(),
                    self.size
                )));
            }
        }
    }

    /// How much of the file is there?
    ///
    /// A file that is complete is told as one of which nothing is there; the first chunk is then answered at once with success.
    async fn ask(&self) -> Result<Progress, ServerError> {
        let builder = self
            .server
            .request(Method::PUT, &self.path)
            .header(CONTENT_LENGTH, 0)
            .header(CONTENT_RANGE, format!("bytes */{}", self.size));
        let answer = self.server.answer(&self.request(), builder.send()).await?;
        if answer.status == StatusCode::OK && received(&answer.headers).is_none() {
            // All of it has come, but the server may have been ended before it verified and kept it.
            return Ok(Progress::Has(self.size));
        }
        self.progress(&answer)
    }

    /// Sends a chunk.
    async fn chunk(&self, from: u64) -> Result<Progress, ServerError> {
        let end = self.size.min(from + self.chunk.load(Ordering::Relaxed));
        let sent = Arc::new(AtomicU64::new(from));
        let (told, furthest) = (Arc::clone(&sent), Arc::clone(&self.furthest));
        let traffic = self.server.traffic();
        let unreadable = Unreadable::default();
        let content = (Arc::clone(&self.content), Arc::clone(&unreadable));
        let body = pieces(content, from, end, move |at| {
            told.store(at, Ordering::Relaxed);
            if furthest.fetch_max(at, Ordering::Relaxed) < at {
                traffic.advance();
            }
        });
        let mut builder = self
            .server
            .request(Method::PUT, &self.path)
            .header(CONTENT_LENGTH, end - from)
            .body(Body::wrap_stream(body));
        if self.size > 0 {
            let range = format!("bytes {from}-{}/{}", end.saturating_sub(1), self.size);
            builder = builder.header(CONTENT_RANGE, range);
        }
        let request = self.request();
        let sending = builder.send();
        tokio::pin!(sending);
        let mut seen = from;
        let patience = self.server.patience();
        let response = loop {
            let is_sent = sent.load(Ordering::Relaxed) == end;
            let longest = if is_sent {
                patience.verification
            } else {
                patience.answer
            };
            match timeout(longest, &mut sending).await {
                Ok(response) => break response.map_err(|error| self.unsent(&unreadable, error))?,
                Err(_) => {
                    let now = sent.load(Ordering::Relaxed);
                    if now == seen {
                        return Err(self.server.silent(&request));
                    }
                    seen = now;
                }
            }
        };
        self.server.traffic().add_sent(end - from);
        self.progress(&self.server.read(&request, response).await?)
    }

    fn progress(&self, answer: &Answer) -> Result<Progress, ServerError> {
        let has = received(&answer.headers);
        match (answer.status, has) {
            (StatusCode::CREATED, _) => Ok(Progress::Complete),
            (StatusCode::PARTIAL_CONTENT | StatusCode::OK, Some(count)) => Ok(Progress::Has(count)),
            (status, _) => Err(answer.unexpected(format!("status {status}"))),
        }
    }

    /// A chunk that has not gone through: that is not the network's doing if the file could not be read.
    fn unsent(&self, unreadable: &Unreadable, error: reqwest::Error) -> ServerError {
        let mut unreadable = unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        match unreadable.take() {
            Some(error) => ServerError::File {
                what: format!("{}: reading what is to be sent", self.request()),
                error,
            },
            None => failed(&self.request(), error),
        }
    }

    fn request(&self) -> String {
        format!("PUT {}", self.path)
    }

    fn unexpected(&self, reason: String) -> ServerError {
        ServerError::Unexpected {
            request: self.request(),
            status: None,
            reason,
        }
    }
}

/// `Range: bytes=0-N`, where N is how many bytes are there, and not the last of them.
fn received(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes=0-")?.parse().ok()
}

/// The bytes of a file from `from` up to `end`, read as the network takes them. `told` hears where they have got to: with the last piece, for nobody
/// asks whether there is more when all that was announced has come. What reading fails with is left where it is found.
fn pieces(
    (file, unreadable): (Arc<File>, Unreadable),
    from: u64,
    end: u64,
    told: impl Fn(u64) + Send,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    try_unfold(
        (file, unreadable, from, told),
        move |(file, unreadable, from, told)| async move {
            if from == end {
                return Ok(None);
            }
            let length = PIECE.min(usize::try_from(end - from).unwrap_or(PIECE));
            let reading = Arc::clone(&file);
            let piece = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; length];
                reading.read_exact_at(&mut piece, from)?;
                Ok::<_, io::Error>(Bytes::from(piece))
            });
            let piece = piece.await.map_err(io::Error::other).flatten();
            let piece = piece.inspect_err(|error| {
                let mut unreadable = unreadable.lock().unwrap_or_else(PoisonError::into_inner);
                *unreadable = Some(io::Error::new(error.kind(), error.to_string()));
            })?;
            let next = from + length as u64;
            told(next);
            Ok(Some((piece, (file, unreadable, next, told))))
        },
    )
}
