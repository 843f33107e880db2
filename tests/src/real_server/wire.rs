//! A wire between a worker and a server: it keeps what was said, and can stop at any moment of a conversation, and be cut there.

use super::{SECONDS, wait_for};
use anyhow::{Context, Result};
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, copy,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The longest body that is kept.
const LONGEST_KEPT: u64 = 1 << 20;

/// How much goes over the wire at a time.
const PIECE: u64 = 64 << 10;

/// A question and its answer, both of them complete.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// `GET`, …
    pub method: String,
    /// As it came, still encoded.
    pub path: String,
    /// JSON of the question, if it was JSON.
    pub asked: Value,
    /// Of the answer.
    pub status: u16,
    /// JSON of the answer, if it was JSON.
    pub answered: Value,
}

/// A moment of a conversation.
#[derive(Debug, Clone)]
pub struct Moment {
    /// `GET`, …
    pub method: &'static str,
    /// What the path contains.
    pub path: String,
    /// How many that are like it go past before.
    pub after: usize,
    /// Where in it.
    pub part: Part,
}

/// A part of an exchange.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// When so many bytes of the question's body have passed; questions with shorter ones do not count.
    Question(u64),
    /// When all of the question has passed, and there is no answer yet; questions without a body do not count.
    Between,
    /// When so many bytes of the answer's body have passed, or all of a shorter one.
    Answer(u64),
}

/// A conversation that stands still. It is cut when this is dropped.
pub struct Caught {
    moment: String,
    reached: oneshot::Receiver<oneshot::Sender<()>>,
    on: Option<oneshot::Sender<()>>,
}

impl Caught {
    /// Waits until the moment has come.
    pub async fn wait(&mut self) -> Result<()> {
        let reached = timeout(SECONDS, &mut self.reached).await;
        let reached = reached.with_context(|| format!("never came: {}", self.moment))?;
        self.on = Some(reached?);
        Ok(())
    }

    /// Lets the conversation go on.
    pub fn release(self) {
        if let Some(on) = self.on {
            let _ = on.send(());
        }
    }
}

struct Trap {
    moment: Moment,
    reached: oneshot::Sender<oneshot::Sender<()>>,
}

#[derive(Default)]
struct State {
    traps: Vec<Trap>,
    exchanges: Vec<Exchange>,
    sent: u64,
}

/// The wire.
pub struct Wire {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Wire {
    /// A wire to a server.
    pub async fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::default();
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((worker, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // While there is no server, nobody is at the other end.
                    if let Ok(server) = TcpStream::connect(server).await {
                        let _ = connect(worker, server, &shared).await;
                    }
                });
            }
        });
        Ok(Self { address, state })
    }

    /// The interface at its other end.
    pub fn api_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// The next conversation that gets to this moment stands still there.
    pub fn catch(&self, moment: Moment) -> Caught {
        let (reached, waiting) = oneshot::channel();
        let words = format!("{moment:?}");
        locked(&self.state).traps.push(Trap { moment, reached });
        Caught {
            moment: words,
            reached: waiting,
            on: None,
        }
    }

    /// What was said, in order, without what was cut.
    pub fn exchanges(&self) -> Vec<Exchange> {
        locked(&self.state).exchanges.clone()
    }

    /// Waits for the report of a work request; the server knows of it somewhat earlier.
    pub async fn report(&self, work_request: u64) -> Result<Exchange> {
        let path = format!("/api/1.0/work-request/{work_request}/completed/");
        wait_for("the report passes", SECONDS, async || {
            let exchanges = self.exchanges().into_iter();
            Ok(exchanges.rev().find(|said| said.path == path))
        })
        .await
    }

    /// How many bytes of bodies went to the server.
    pub fn sent(&self) -> u64 {
        locked(&self.state).sent
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of a conversation.
fn hung_up() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

/// One connection: question and answer in turn, until one side hangs up or there is a websocket.
async fn connect(worker: TcpStream, server: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let ((worker, mut to_worker), (server, mut to_server)) =
        (worker.into_split(), server.into_split());
    let (mut worker, mut server) = (BufReader::new(worker), BufReader::new(server));
    loop {
        // A server that goes away between two questions is seen by the worker.
        tokio::select! {
            more = worker.fill_buf() => if more?.is_empty() { return Err(hung_up()) },
            _ = server.fill_buf() => return Err(hung_up()),
        }
        let head = Head::read(&mut worker).await?;
        let mut words = head.first.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or_default().to_owned();
        let mut stops = Stops::at(state, &method, &path, head.body(0));
        to_server.write_all(head.text.as_bytes()).await?;
        let asked = body(
            &mut worker,
            &mut to_server,
            head.body(0),
            &mut stops.question,
        )
        .await?;
        locked(state).sent += asked.length;
        stand_still(&mut stops.between).await?;

        let head = Head::read(&mut server).await?;
        let status = head.first.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or_else(hung_up)?;
        to_worker.write_all(head.text.as_bytes()).await?;
        if status == 101 {
            tokio::select! {
                done = copy(&mut worker, &mut to_server) => return done.map(drop),
                done = copy(&mut server, &mut to_worker) => return done.map(drop),
            }
        }
        let answered = body(
            &mut server,
            &mut to_worker,
            head.body(status),
            &mut stops.answer,
        )
        .await?;
        locked(state).exchanges.push(Exchange {
            method,
            path,
            asked: asked.json(),
            status,
            answered: answered.json(),
        });
    }
}

/// Where an exchange stops.
#[derive(Default)]
struct Stops {
    question: Option<Stop>,
    between: Option<Stop>,
    answer: Option<Stop>,
}

struct Stop {
    after: u64,
    reached: oneshot::Sender<oneshot::Sender<()>>,
}

impl Stops {
    fn at(state: &Mutex<State>, method: &str, path: &str, length: Length) -> Self {
        let mut state = locked(state);
        let is_long = |part| match (part, &length) {
            (Part::Question(after), Length::Bytes(length)) => *length > after,
            (Part::Between, Length::Bytes(length)) => *length > 0,
            _ => true,
        };
        let is_like = |moment: &Moment| {
            moment.method == method && path.contains(&moment.path) && is_long(moment.part)
        };
        let Some(index) = state.traps.iter().position(|it| is_like(&it.moment)) else {
            return Self::default();
        };
        let moment = &mut state.traps[index].moment;
        if moment.after > 0 {
            moment.after -= 1;
            return Self::default();
        }
        let Trap { moment, reached } = state.traps.remove(index);
        let mut stops = Self::default();
        match moment.part {
            Part::Question(after) => stops.question = Some(Stop { after, reached }),
            Part::Between => stops.between = Some(Stop { after: 0, reached }),
            Part::Answer(after) => stops.answer = Some(Stop { after, reached }),
        }
        stops
    }
}

/// Stands still until the test says how it goes on.
async fn stand_still(stop: &mut Option<Stop>) -> io::Result<()> {
    let Some(Stop { reached, .. }) = stop.take() else {
        return Ok(());
    };
    let (on, waiting) = oneshot::channel();
    reached.send(on).map_err(|_| hung_up())?;
    waiting.await.map_err(|_| hung_up())
}

/// The first line and the headers of a message.
struct Head {
    first: String,
    text: String,
}

/// How the end of a body is known.
enum Length {
    Bytes(u64),
    Chunked,
}

impl Head {
    async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Self> {
        let mut text = String::new();
        loop {
            let before = text.len();
            from.read_line(&mut text).await?;
            match &text[before..] {
                "" => return Err(hung_up()),
                "\r\n" => break,
                _ => {}
            }
        }
        let first = text.lines().next().unwrap_or_default().to_owned();
        Ok(Self { first, text })
    }

    fn header(&self, name: &str) -> Option<&str> {
        let headers = self.text.lines().filter_map(|line| line.split_once(':'));
        let mut found = headers.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }

    fn body(&self, status: u16) -> Length {
        let chunked = self.header("transfer-encoding");
        if chunked.is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Length::Chunked;
        }
        match (status, self.header("content-length")) {
            (204 | 304, _) | (_, None) => Length::Bytes(0),
            (_, Some(length)) => Length::Bytes(length.parse().unwrap_or_default()),
        }
    }
}

/// What has passed.
struct Passed {
    length: u64,
    kept: Vec<u8>,
}

impl Passed {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.kept).unwrap_or_default()
    }
}

/// Passes a body on, and stops where it is to stop.
async fn body(
    from: &mut (impl AsyncBufRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    length: Length,
    stop: &mut Option<Stop>,
) -> io::Result<Passed> {
    let mut passed = Passed {
        length: 0,
        kept: Vec::new(),
    };
    match length {
        Length::Bytes(length) => pass(from, to, length, stop, &mut passed).await?,
        Length::Chunked => loop {
            let mut line = String::new();
            from.read_line(&mut line).await?;
            let size = u64::from_str_radix(line.trim_end(), 16).map_err(|_| hung_up())?;
            to.write_all(line.as_bytes()).await?;
            pass(from, to, size, stop, &mut passed).await?;
            let mut end = [0; 2];
            from.read_exact(&mut end).await?;
            to.write_all(&end).await?;
            if size == 0 {
                break;
            }
        },
    }
    // It was shorter.
    stand_still(stop).await?;
    Ok(passed)
}

async fn pass(
    from: &mut (impl AsyncBufRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    length: u64,
    stop: &mut Option<Stop>,
    passed: &mut Passed,
) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let until = stop
            .as_ref()
            .map(|stop| stop.after.saturating_sub(passed.length));
        if until == Some(0) {
            stand_still(stop).await?;
            continue;
        }
        let longest = left.min(PIECE).min(until.unwrap_or(PIECE));
        let mut piece = vec![0; usize::try_from(longest).unwrap_or_default()];
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Err(hung_up());
        }
        to.write_all(&piece[..read]).await?;
        if passed.length < LONGEST_KEPT {
            passed.kept.extend_from_slice(&piece[..read]);
        }
        passed.length += read as u64;
        left -= read as u64;
    }
    Ok(())
}
