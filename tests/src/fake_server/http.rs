//! Requests and answers, as plainly as tests need them.

use super::{State, Trouble, locked, websocket};
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest request head.
const LONGEST_HEAD: usize = 64 << 10;

/// How much is written at a time.
const PIECE: usize = 64 << 10;

/// A request.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// `GET`, …
    pub method: String,
    /// As it came, still encoded.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Recorded {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Method and path.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn json(status: u16, document: &Value) -> Self {
        Self::empty(status)
            .with("Content-Type", "application/json")
            .with_body(document.to_string().into())
    }

    pub(super) fn problem(status: u16, title: &str) -> Self {
        Self::empty(status)
            .with("Content-Type", "application/problem+json")
            .with_body(json!({"title": title}).to_string().into())
    }

    pub(super) fn forbidden() -> Self {
        let detail = "Authentication credentials were not provided.";
        Self::empty(403)
            .with("Content-Type", "application/problem+json")
            .with_body(
                json!({"title": "Error", "detail": detail})
                    .to_string()
                    .into(),
            )
    }

    pub(super) fn html(status: u16) -> Self {
        Self::empty(status)
            .with("Content-Type", "text/html")
            .with_body(b"<html><body>not here</body></html>".to_vec())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + &format!("Content-Length: {}\r\n\r\n", self.body.len())
    }
}

/// One connection: request after request.
pub(super) async fn attend(mut stream: TcpStream, state: Arc<Mutex<State>>) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = read(&mut stream, &mut buffer).await? else {
            return Ok(());
        };
        let trouble = {
            let mut state = locked(&state);
            state.requests.push(request.clone());
            state.trouble(&request.method, &request.path)
        };
        let answer = || locked(&state).answer(&request);
        let (reply, pause, at_most) = match trouble {
            Some(Trouble::Answer(status, body)) => {
                let kind = if body.starts_with('{') {
                    "application/problem+json"
                } else {
                    "text/html"
                };
                let reply = Reply::empty(status).with("Content-Type", kind);
                let reply = match status {
                    301 | 302 => reply.with("Location", body),
                    _ => reply.with_body(body.as_bytes().to_vec()),
                };
                (reply, None, usize::MAX)
            }
            Some(Trouble::Lost) => {
                answer();
                return Ok(());
            }
            Some(Trouble::Cut) => return Ok(()),
            Some(Trouble::Late(pause)) => {
                tokio::time::sleep(pause).await;
                (answer(), None, usize::MAX)
            }
            Some(Trouble::Silence) => return std::future::pending().await,
            Some(Trouble::Short(length)) => (answer(), None, length),
            Some(Trouble::Slow(pause)) => (answer(), Some(pause), usize::MAX),
            Some(Trouble::Body(body)) => (answer().with_body(body.to_vec()), None, usize::MAX),
            Some(Trouble::Forgotten) => {
                let reply = Reply::empty(200).with("Range", "bytes=0-0");
                (reply, None, usize::MAX)
            }
            None if request.path.ends_with("/worker/connect/") => {
                return websocket::attend(stream, &request, state).await;
            }
            None => (answer(), None, usize::MAX),
        };
        if !write(&mut stream, &reply, pause, at_most).await? {
            return Ok(());
        }
    }
}

/// False if the connection is to end after it.
async fn write(
    stream: &mut TcpStream,
    reply: &Reply,
    pause: Option<Duration>,
    at_most: usize,
) -> io::Result<bool> {
    stream.write_all(reply.head().as_bytes()).await?;
    let length = reply.body.len().min(at_most);
    for piece in reply.body[..length].chunks(PIECE) {
        stream.write_all(piece).await?;
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
    stream.flush().await?;
    Ok(length == reply.body.len())
}

/// The next request; none at the end of the connection.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Recorded>> {
    let (mut request, head, length) = loop {
        if let Some(found) = parse(buffer)? {
            break found;
        }
        if buffer.len() > LONGEST_HEAD || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let mut body = buffer.split_off(head);
    buffer.clear();
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    *buffer = body.split_off(length);
    request.body = body;
    Ok(Some(request))
}

/// A request without its body, where that begins, and how long it is.
fn parse(buffer: &[u8]) -> io::Result<Option<(Recorded, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed.parse(buffer).map_err(io::Error::other)?;
    let httparse::Status::Complete(head) = status else {
        return Ok(None);
    };
    let headers = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).into_owned();
        (header.name.to_lowercase(), value)
    });
    let request = Recorded {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: parsed.path.unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    let length = request.header("content-length").unwrap_or("0");
    let length = length.parse().map_err(io::Error::other)?;
    Ok(Some((request, head, length)))
}
