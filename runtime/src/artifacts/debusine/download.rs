//! Downloads: streamed to disk while they are hashed, resumed after a break, and nothing is taken for whole that is not.

use super::server::{Repetition, failed};
use super::{Server, ServerError};
use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderMap, LOCATION, RANGE};
use reqwest::{Response, StatusCode, Url};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Bytes that are handed to the disk at once: pieces come in all sizes, and each time the thread that writes is woken.
const LOAD: usize = 256 << 10;

/// How many loads may wait for the disk, while another one is written and one more comes: each is in memory.
const WAITING_LOADS: usize = 1;

/// How often content with a wrong checksum is fetched anew.
const ATTEMPTS: u32 = 2;

/// How often a server may send us elsewhere.
const LONGEST_WAY: u32 = 5;

/// What is to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    /// Where from.
    pub url: &'a str,
    /// In bytes.
    pub size: u64,
    /// 64 lower-case hexadecimal digits.
    pub sha256: &'a str,
}

/// What has come so far.
struct Received {
    target: File,
    /// Where in the target the content begins.
    begin: u64,
    size: u64,
    hasher: Sha256,
}

impl Received {
    fn new(mut target: File) -> io::Result<Self> {
        Ok(Self {
            begin: target.stream_position()?,
            target,
            size: 0,
            hasher: Sha256::new(),
        })
    }

    fn restart(&mut self) -> io::Result<()> {
        self.target.set_len(self.begin)?;
        self.target.seek(SeekFrom::Start(self.begin))?;
        self.size = 0;
        self.hasher = Sha256::new();
        Ok(())
    }

    fn take(&mut self, piece: &[u8]) -> io::Result<()> {
        self.target.write_all(piece)?;
        self.hasher.update(piece);
        self.size += piece.len() as u64;
        Ok(())
    }
}

impl Server {
    /// Fetches content to `target`, at its current position. On an error `target` holds an unspecified prefix.
    pub(super) async fn fetch(
        &self,
        expected: Expected<'_>,
        target: File,
    ) -> Result<(), ServerError> {
        let writing = |error| writing(expected.url, error);
        let mut received = Received::new(target).map_err(writing)?;
        let mut repetition = Repetition::new(self);
        let mut attempts = 0;
        loop {
            let before = received.size;
            let (back, outcome) = self.fetch_some(expected, received).await?;
            received = back;
            if received.size > before {
                repetition.succeeded();
            }
            if let Err(error) = outcome {
                repetition.pause(error).await?;
                continue;
            }
            let digest = hex::encode(received.hasher.clone().finalize());
            if digest == expected.sha256 {
                return Ok(());
            }
            attempts += 1;
            let words = format!(
                "{}: what came has sha256 {digest}, and {} was promised; verify the server's file store",
                expected.url, expected.sha256
            );
            if attempts == ATTEMPTS {
                return Err(ServerError::Damaged(words));
            }
            tracing::warn!("{words}; fetching it anew");
            received.restart().map_err(writing)?;
        }
    }

    /// One connection's worth. The inner error is the network's or the server's; the outer one ends everything.
    async fn fetch_some(
        &self,
        expected: Expected<'_>,
        mut received: Received,
    ) -> Result<(Received, Result<(), ServerError>), ServerError> {
        if received.size == expected.size && expected.size > 0 {
            return Ok((received, Ok(())));
        }
        let response = match self.content(expected, received.size).await {
            Ok(response) => response,
            Err(error) => return Ok((received, Err(error))),
        };
        if !continues(response.headers(), response.status(), received.size) {
            let restarted = received.restart();
            restarted.map_err(|error| writing(expected.url, error))?;
        }
        self.stream(expected, received, response).await
    }

    /// Asks for the content, from `from` on.
    async fn content(&self, expected: Expected<'_>, from: u64) -> Result<Response, ServerError> {
        let request = format!("GET {}", expected.url);
        let unexpected = |reason: String| ServerError::Unexpected {
            request: request.clone(),
            status: None,
            reason,
        };
        let mut address =
            Url::parse(expected.url).map_err(|error| unexpected(error.to_string()))?;
        for _ in 0..LONGEST_WAY {
            let mut builder = self.download(address.clone());
            if from > 0 {
                // This server wants both numbers.
                builder = builder.header(RANGE, format!("bytes={from}-{}", expected.size - 1));
            }
            let response = timeout(self.patience().answer, builder.send())
                .await
                .map_err(|_| self.silent(&request))?
                .map_err(|error| failed(&request, error))?;
            if response.status().is_success() {
                return Ok(response);
            }
            if !response.status().is_redirection() {
                let refused = self.read(&request, response).await;
                return Err(refused
                    .err()
                    .unwrap_or_else(|| unexpected("no content".into())));
            }
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|it| it.to_str().ok()).unwrap_or_default();
            address = address
                .join(location)
                .map_err(|error| unexpected(format!("sent on to {location:?}: {error}")))?;
        }
        Err(unexpected(
            "sent from one address to another for ever".to_owned(),
        ))
    }

    /// Writes a body to the target, on a thread that may wait for the disk.
    async fn stream(
        &self,
        expected: Expected<'_>,
        mut received: Received,
        mut response: Response,
    ) -> Result<(Received, Result<(), ServerError>), ServerError> {
        let request = format!("GET {}", expected.url);
        let mut to_come = expected.size - received.size;
        let (sender, mut loads) = mpsc::channel::<Vec<Bytes>>(WAITING_LOADS);
        let writer = tokio::task::spawn_blocking(move || {
            while let Some(load) = loads.blocking_recv() {
                load.iter().try_for_each(|piece| received.take(piece))?;
            }
            Ok::<_, io::Error>(received)
        });
        let (mut load, mut loaded) = (Vec::new(), 0);
        let outcome = loop {
            let piece = match timeout(self.patience().answer, response.chunk()).await {
                Err(_) => break Err(self.silent(&request)),
                Ok(Err(error)) => break Err(failed(&request, error)),
                Ok(Ok(piece)) => piece,
            };
            let Some(piece) = piece else {
                break match to_come {
                    0 => Ok(()),
                    missing => Err(ServerError::Unanswered {
                        request: request.clone(),
                        reason: format!("the content ended {missing} bytes early"),
                    }),
                };
            };
            if piece.len() as u64 > to_come {
                break Err(ServerError::Damaged(format!(
                    "{request}: more than the {} bytes that were promised",
                    expected.size
                )));
            }
            to_come -= piece.len() as u64;
            self.traffic().add_received(piece.len());
            loaded += piece.len();
            load.push(piece);
            // The writer has gone only if the disk has failed it, which it tells below.
            if loaded >= LOAD {
                loaded = 0;
                if sender.send(std::mem::take(&mut load)).await.is_err() {
                    break Ok(());
                }
            }
        };
        // What came before an error counts too: a further attempt goes on after it.
        let _ = sender.send(load).await;
        drop(sender);
        let written = writer.await.map_err(io::Error::other).flatten();
        let received = written.map_err(|error| writing(expected.url, error))?;
        Ok((received, outcome))
    }
}

/// Whether an answer goes on where we stopped. A server may ignore the range, and send everything with status 200.
fn continues(headers: &HeaderMap, status: StatusCode, from: u64) -> bool {
    if from == 0 {
        return true;
    }
    let range = headers.get(CONTENT_RANGE).and_then(|it| it.to_str().ok());
    let begin = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
    status == StatusCode::PARTIAL_CONTENT
        && begin.is_some_and(|(begin, _)| begin.parse() == Ok(from))
}

fn writing(url: &str, error: io::Error) -> ServerError {
    ServerError::File {
        what: format!("writing what came from {url}"),
        error,
    }
}
