//! The websocket: the server speaks, the worker listens, and answers pings whatever else it is doing.

use super::operator::Operator;
use crate::artifacts::debusine::{Server, ServerError, SocketStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use rand::Rng;
use reqwest::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use serde::Deserialize;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

/// Where the server waits for workers.
const PATH: &str = "/ws/1.0/worker/connect/";

/// The longest message that is listened to, in bytes; those of the server have some hundred.
const LONGEST_MESSAGE: usize = 64 << 10;

/// How long the server may be silent before it is asked whether it is still there; it pings every 20 s.
const SILENCE: Duration = Duration::from_secs(60);

/// How long its answer may take.
const LAST_CHANCE: Duration = Duration::from_secs(30);

/// What the server has said so far. Numbers only grow: who compares them misses nothing, and nothing piles up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// The server listens to us at the moment.
    pub connected: bool,
    /// How often it asked for metadata.
    pub metadata_requests: u64,
    /// How often it said that there is work.
    pub work_announcements: u64,
}

/// A connection that is made again whenever it ends.
pub struct Connection {
    /// The server, with the worker's token.
    pub server: Server,
    /// How long to wait before it is made again, at random.
    pub pause: Range<Duration>,
    /// Told of what happens.
    pub operator: Arc<Operator>,
    /// Notified to have it made again: the server then says what it thinks that we have to do.
    pub renew: Arc<Notify>,
}

/// A message of the server. Its `type` tells nothing that the rest does not.
#[derive(Debug, Deserialize)]
struct Said {
    text: Option<String>,
    reason_code: Option<String>,
    reason: Option<String>,
}

impl Connection {
    /// Keeps the connection for ever, and passes on what is heard.
    pub async fn keep(self, heard: watch::Sender<Heard>) {
        loop {
            let ended = self.listen(&heard).await;
            let was_connected = heard.borrow().connected;
            heard.send_modify(|heard| heard.connected = false);
            self.operator.disconnected(was_connected, &ended);
            let pause = rand::rng().random_range(self.pause.clone());
            sleep(pause).await;
        }
    }

    /// One connection from its beginning to its end; why it ended.
    async fn listen(&self, heard: &watch::Sender<Heard>) -> String {
        // Whoever asked for a new connection before now gets it.
        let _ = self.renew.notified().now_or_never();
        let mut socket = match self.connect().await {
            Ok(socket) => socket,
            Err(error) => return error.to_string(),
        };
        let mut is_asked = false;
        loop {
            let patience = if is_asked { LAST_CHANCE } else { SILENCE };
            let message = tokio::select! {
                message = timeout(patience, socket.next()) => message,
                () = self.renew.notified() => {
                    let _ = timeout(LAST_CHANCE, socket.close(None)).await;
                    return "to hear again what there is to do".to_owned();
                }
            };
            is_asked = match message {
                Err(_) if is_asked => return "the server has gone silent".to_owned(),
                Err(_) => {
                    if let Err(error) = socket.send(Message::Ping(Default::default())).await {
                        return error.to_string();
                    }
                    true
                }
                Ok(None) => return "the server ended the connection".to_owned(),
                Ok(Some(Err(error))) => return error.to_string(),
                Ok(Some(Ok(Message::Text(text)))) => {
                    if let Some(end) = self.hear(text.as_str(), heard) {
                        return end;
                    }
                    false
                }
                // Pings are answered by the library as soon as it is asked for the next message.
                Ok(Some(Ok(_))) => false,
            };
        }
    }

    async fn connect(&self) -> Result<WebSocketStream<Box<dyn SocketStream>>, ServerError> {
        let key = generate_key();
        let expected = derive_accept_key(key.as_bytes());
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
        let invalid = |reason: &str| ServerError::Unexpected {
            request: format!("GET {PATH}"),
            status: None,
            reason: reason.to_owned(),
        };
        let key = HeaderValue::from_str(&key).map_err(|_| invalid("no key"))?;
        headers.insert("sec-websocket-key", key);
        let (headers, stream) = self.server.upgrade(PATH, headers).await?;
        let accepted = headers.get("sec-websocket-accept");
        if accepted.is_none_or(|accepted| accepted.as_bytes() != expected.as_bytes()) {
            return Err(invalid("the handshake's key does not fit"));
        }
        let rules = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(0)
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(rules)).await)
    }

    /// Why there is nothing more to hear on this connection, if so.
    fn hear(&self, text: &str, heard: &watch::Sender<Heard>) -> Option<String> {
        let said: Said = match serde_json::from_str(text) {
            Ok(said) => said,
            Err(error) => {
                let begin: String = text.chars().take(80).collect();
                tracing::warn!("the server says {begin:?}, which is no message: {error}; ignored");
                return None;
            }
        };
        match (
            said.text.as_deref(),
            said.reason_code.as_deref(),
            said.reason,
        ) {
            (Some("connected"), ..) => {
                heard.send_modify(|heard| heard.connected = true);
                self.operator.connected();
            }
            (Some("request_dynamic_metadata"), ..) => {
                heard.send_modify(|heard| heard.metadata_requests += 1);
            }
            (Some("work_request_available"), ..) => {
                heard.send_modify(|heard| heard.work_announcements += 1);
            }
            (Some(other), ..) => tracing::debug!("the server says {other:?}; ignored"),
            (None, Some("TOKEN_DISABLED"), reason) => {
                heard.send_modify(|heard| heard.connected = false);
                self.operator
                    .disabled(reason.as_deref().unwrap_or("no reason"));
                return Some("the server does not let this worker work".to_owned());
            }
            (None, Some(code), _) => tracing::error!("the server says {code:?}; ignored"),
            // It hangs up then, and says the same when it is asked again.
            (None, None, Some(reason)) => return Some(format!("the server says: {reason}")),
            (None, None, None) => tracing::debug!("the server says nothing in many words; ignored"),
        }
        None
    }
}
