//! The connection to a server: its address, the token, and requests with JSON in them.

use super::failure::chain;
use super::problem::MEDIA_TYPE;
use super::{Problem, ServerError};
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};

/// The header that carries the worker's secret.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("token");

/// How much content one request carries unless something else is asked for, in bytes: what a proxy in front of the server lets through, and what
/// is lost with a connection.
const CHUNK: u64 = 50 << 20;

/// How much of an answer is read where JSON is expected, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For an answer, and between two pieces of a body.
    pub answer: Duration,
    /// For the answer to the last piece of an upload: the server reads the whole file once more before it answers.
    pub verification: Duration,
    /// Before the first repetition; doubled each time.
    pub first_pause: Duration,
    /// Before later repetitions.
    pub longest_pause: Duration,
    /// How long a request is repeated that may be repeated, from its first failure on.
    pub give_up: Duration,
    /// How long, in all, the answers are waited out that no Debusine server gives, where the work of a worker hangs on them.
    pub nonsense: Duration,
    /// Whether a token that the server does not accept is such a failure too: a worker that was disabled may be enabled again.
    pub for_permission: bool,
    /// Whether what no Debusine server says is such a failure too, for as long as nonsense is waited out.
    pub for_sense: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(120),
            verification: Duration::from_secs(1800),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            give_up: Duration::from_secs(6 * 3600),
            nonsense: Duration::from_secs(600),
            for_permission: false,
            for_sense: false,
        }
    }
}

/// How much content has passed, in bytes.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
    advances: AtomicU64,
}

/// Requests of one purpose that fail.
#[derive(Debug, Default)]
struct Waits {
    /// How many do at the moment, and are tried again.
    now: AtomicU64,
    /// How many there have ever been.
    ever: AtomicU64,
}

/// How waiting for a server stands. Two that are equal are the same wait, during which nothing came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    number: u64,
    received: u64,
}

impl Traffic {
    /// Content that came from the server.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Content that went to the server.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How often a delivery got further. The number means nothing else than that it grows.
    pub fn advances(&self) -> u64 {
        self.advances.load(Ordering::Relaxed)
    }

    /// A delivery got further.
    pub fn advance(&self) {
        self.advances.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A Debusine server, as a worker with a token sees it.
#[derive(Clone)]
pub struct Server {
    client: Client,
    /// Ends without `/`.
    api: String,
    origin: Url,
    token: Option<HeaderValue>,
    patience: Patience,
    chunk: u64,
    traffic: Arc<Traffic>,
    waits: Arc<Waits>,
}

/// Bytes both ways, once the server has agreed to another protocol.
pub trait SocketStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> SocketStream for T {}

impl Server {
    /// A server by its `api-url`, e.g. `https://debusine.example.org/api`. Nothing is sent yet.
    pub fn new(api: &str, patience: Patience) -> Result<Self, ServerError> {
        let unusable = |reason: String| ServerError::Unexpected {
            request: format!("api-url {api:?}"),
            status: None,
            reason,
        };
        let api = api.trim_end_matches('/');
        let origin = Url::parse(api).map_err(|error| unusable(error.to_string()))?;
        if !matches!(origin.scheme(), "http" | "https") || origin.host().is_none() {
            return Err(unusable("neither http:// nor https://".to_owned()));
        }
        // An error means that another part of the process chose a provider already: that one will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let builder = Client::builder()
                .http1_only()
                .connect_timeout(patience.connect)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .pool_idle_timeout(Duration::from_secs(30))
                .pool_max_idle_per_host(1)
                .user_agent(concat!("task-runtime/", env!("CARGO_PKG_VERSION")));
            match is_loopback(&origin) {
                true => builder.no_proxy(),
                false => builder,
            }
        };
        let client = match builder().build() {
            // A machine that trusts nobody can still talk to a server without TLS.
            Err(_) if origin.scheme() == "http" => builder().tls_certs_only([]).build(),
            client => client,
        };
        let client = client.map_err(|error| unusable(chain(error)))?;
        Ok(Self {
            client,
            api: api.to_owned(),
            origin,
            token: None,
            patience,
            chunk: CHUNK,
            traffic: Arc::default(),
            waits: Arc::default(),
        })
    }

    /// The same server, with the worker's token.
    pub fn with_token(mut self, token: &str) -> Result<Self, ServerError> {
        let mut value = HeaderValue::from_str(token).map_err(|_| ServerError::Unexpected {
            request: "token".to_owned(),
            status: None,
            reason: "it has characters that a header cannot have".to_owned(),
        })?;
        value.set_sensitive(true);
        self.token = Some(value);
        Ok(self)
    }

    /// The same server, asked with other patience.
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// The same server, sent no more than this many bytes of content in one request.
    pub fn with_chunk(mut self, bytes: u64) -> Self {
        self.chunk = bytes.max(1);
        self
    }

    /// How many bytes of content are sent in one request.
    pub(super) fn chunk(&self) -> u64 {
        self.chunk
    }

    /// How long it is waited for.
    pub fn patience(&self) -> &Patience {
        &self.patience
    }

    /// What has passed between it and us, whatever the token and the patience.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// The same server for another purpose: whoever waits for it there is not counted here.
    pub fn for_a_purpose(mut self) -> Self {
        self.waits = Arc::default();
        self
    }

    /// How waiting for it stands; none if no request fails at the moment.
    pub fn wait(&self) -> Option<Wait> {
        (self.waits.now.load(Ordering::Relaxed) > 0).then(|| Wait {
            number: self.waits.ever.load(Ordering::Relaxed),
            received: self.traffic.received(),
        })
    }

    /// The address beneath which its interface is, without a `/` at the end.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// One request with or without a JSON document; its answer. It is not repeated.
    pub async fn once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ServerError> {
        let request = format!("{method} {path}");
        let mut builder = self.request(method, path);
        if let Some(body) = body {
            builder = builder
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        self.answer(&request, builder.send()).await
    }

    /// The same, for requests that may be repeated: as long as failures are temporary, with growing pauses.
    pub async fn repeated(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ServerError> {
        let mut repetition = Repetition::new(self);
        loop {
            match self.once(method.clone(), path, body).await {
                Err(error) => repetition.pause(error).await?,
                answer => return answer,
            }
        }
    }

    /// Asks for another protocol by a GET; the headers come in addition.
    pub async fn upgrade(
        &self,
        path: &str,
        headers: HeaderMap,
    ) -> Result<(HeaderMap, Box<dyn SocketStream>), ServerError> {
        let request = format!("GET {path}");
        let mut builder = self.client.get(format!("{}{path}", self.api));
        if let Some(token) = &self.token {
            builder = builder.header(TOKEN, token.clone());
        }
        let sent = timeout(self.patience.answer, builder.headers(headers).send());
        let response = sent
            .await
            .map_err(|_| self.silent(&request))?
            .map_err(|error| failed(&request, error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let headers = response.headers();
            return Err(refusal(&request, response.status(), headers, &[]));
        }
        let answered = response.headers().clone();
        let stream = timeout(self.patience.answer, response.upgrade());
        let stream = stream
            .await
            .map_err(|_| self.silent(&request))?
            .map_err(|error| failed(&request, error))?;
        Ok((answered, Box::new(stream)))
    }

    /// A request to the REST interface; `path` begins with `/`.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let builder = self
            .client
            .request(method, format!("{}/1.0{path}", self.api));
        match &self.token {
            Some(token) => builder.header(TOKEN, token.clone()),
            None => builder,
        }
    }

    /// A GET of an address that the server named. The token goes to the server itself, and to nobody else.
    pub(super) fn download(&self, address: Url) -> RequestBuilder {
        let is_own = address.host() == self.origin.host()
            && address.port_or_known_default() == self.origin.port_or_known_default();
        let is_as_safe = address.scheme() == self.origin.scheme() || address.scheme() == "https";
        let builder = self.client.get(address);
        match &self.token {
            Some(token) if is_own && is_as_safe => builder.header(TOKEN, token.clone()),
            _ => builder,
        }
    }

    /// Waits for the answer to a request that was begun, and reads it.
    pub(super) async fn answer(
        &self,
        request: &str,
        sent: impl Future<Output = reqwest::Result<Response>>,
    ) -> Result<Answer, ServerError> {
        let response = timeout(self.patience.answer, sent)
            .await
            .map_err(|_| self.silent(request))?
            .map_err(|error| failed(request, error))?;
        self.read(request, response).await
    }

    /// Reads an answer; refusals become errors.
    pub(super) async fn read(
        &self,
        request: &str,
        mut response: Response,
    ) -> Result<Answer, ServerError> {
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        loop {
            let chunk = timeout(self.patience.answer, response.chunk())
                .await
                .map_err(|_| self.silent(request))?;
            let Some(chunk) = chunk.map_err(|error| failed(request, error))? else {
                break;
            };
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(ServerError::Unexpected {
                    request: request.to_owned(),
                    status: None,
                    reason: format!("more than {LONGEST_ANSWER} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        // The reference looks at this type first, whatever the status.
        if is_problem(&headers) || !status.is_success() && status != StatusCode::PARTIAL_CONTENT {
            return Err(refusal(request, status, &headers, &body));
        }
        Ok(Answer {
            request: request.to_owned(),
            status,
            headers,
            body: body.into(),
        })
    }

    /// The server said nothing for too long.
    pub(super) fn silent(&self, request: &str) -> ServerError {
        ServerError::Unanswered {
            request: request.to_owned(),
            reason: format!("nothing came for {:?}", self.patience.answer),
        }
    }
}

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    request: String,
    /// 2xx.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// What is in the body, as JSON of this shape.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ServerError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let begin = String::from_utf8_lossy(&self.body[..self.body.len().min(80)]).into_owned();
            self.unexpected(format!("{error}, in {begin:?}"))
        })
    }

    /// The body as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// An error about this answer.
    pub fn unexpected(&self, reason: impl Into<String>) -> ServerError {
        ServerError::Unexpected {
            request: self.request.clone(),
            status: None,
            reason: reason.into(),
        }
    }
}

/// Pauses that grow, until patience ends.
pub(super) struct Repetition<'a> {
    server: &'a Server,
    pause: Duration,
    failing: Option<Failing<'a>>,
    /// How long nonsense was waited out.
    wasted: Duration,
}

/// A request that is tried again.
struct Failing<'a> {
    since: Instant,
    waits: &'a Waits,
}

impl<'a> Failing<'a> {
    fn begin(waits: &'a Waits) -> Self {
        waits.ever.fetch_add(1, Ordering::Relaxed);
        waits.now.fetch_add(1, Ordering::Relaxed);
        Self {
            since: Instant::now(),
            waits,
        }
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.waits.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<'a> Repetition<'a> {
    pub(super) fn new(server: &'a Server) -> Self {
        Self {
            server,
            pause: server.patience.first_pause,
            failing: None,
            wasted: Duration::ZERO,
        }
    }

    /// Waits before a repetition; gives the error back if there should be none.
    pub(super) async fn pause(&mut self, error: ServerError) -> Result<(), ServerError> {
        let patience = &self.server.patience;
        let begin = || Failing::begin(&self.server.waits);
        let since = self.failing.get_or_insert_with(begin).since;
        // What is not there is told by a page too, and at once.
        let is_nonsense = error.is_odd() && error.status() != Some(StatusCode::NOT_FOUND);
        if is_nonsense {
            self.wasted += self.pause;
        }
        let is_worthwhile = error.is_temporary()
            || patience.for_permission && error.is_forbidden()
            || patience.for_sense && is_nonsense && self.wasted <= patience.nonsense;
        if !is_worthwhile || since.elapsed() + self.pause > patience.give_up {
            return Err(error);
        }
        tracing::info!("{error}; trying again in {:?}", self.pause);
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(patience.longest_pause);
        Ok(())
    }

    /// Something worked: the next failure is a first one.
    pub(super) fn succeeded(&mut self) {
        *self = Self::new(self.server);
    }
}

/// The client gave up on a request.
pub(super) fn failed(request: &str, error: reqwest::Error) -> ServerError {
    let request = request.to_owned();
    let never_arrived = error.is_connect() || error.is_builder();
    let reason = chain(error);
    match never_arrived {
        true => ServerError::Unreachable { request, reason },
        false => ServerError::Unanswered { request, reason },
    }
}

fn is_problem(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with(MEDIA_TYPE))
}

/// A status that is no success.
fn refusal(request: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ServerError {
    let request = request.to_owned();
    let problem = Problem::parse(body).filter(|_| is_problem(headers));
    let location = headers.get(LOCATION).and_then(|it| it.to_str().ok());
    match (problem, location) {
        (Some(problem), _) => ServerError::Refused {
            request,
            status,
            problem,
        },
        (None, Some(location)) if status.is_redirection() => ServerError::Unexpected {
            request,
            status: Some(status),
            reason: format!("status {status}, it is at {location:?}"),
        },
        (None, _) => ServerError::Unexpected {
            request,
            status: Some(status),
            reason: format!("status {status}"),
        },
    }
}

/// Proxies are for other machines.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
