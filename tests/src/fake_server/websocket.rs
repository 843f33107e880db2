//! The server's end of the websocket.

use super::http::Recorded;
use super::{State, TOKEN, locked};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

/// What the server does with a websocket.
#[derive(Debug, Clone)]
pub enum Order {
    /// Says this.
    Say(String),
    /// Pings.
    Ping,
    /// Ends it in good order.
    Close,
    /// Cuts the connection, after these bytes.
    Cut(&'static [u8]),
}

impl Order {
    /// There is work.
    pub fn announcement() -> Self {
        Self::said("work_request_available")
    }

    /// The worker must not work any more.
    pub fn disabled() -> Self {
        let message = json!({"type": "connection_closed", "reason": "Token has been disabled", "reason_code": "TOKEN_DISABLED"});
        Self::Say(message.to_string())
    }

    fn said(text: &str) -> Self {
        Self::Say(json!({"type": "websocket.send", "text": text}).to_string())
    }
}

/// A connection that asked for a websocket.
pub(super) async fn attend(
    mut stream: TcpStream,
    request: &Recorded,
    state: Arc<Mutex<State>>,
) -> io::Result<()> {
    let Some(key) = request.header("sec-websocket-key") else {
        return stream
            .write_all(b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")
            .await;
    };
    let accepted = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accepted}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let (sender, mut orders) = mpsc::unbounded_channel();
    {
        let mut state = locked(&state);
        if request.header("token") == Some(TOKEN) && !state.disabled {
            state.connections += 1;
            let _ = sender.send(Order::said("connected"));
            let _ = sender.send(Order::said("request_dynamic_metadata"));
            if state.running.is_some() || !state.queue.is_empty() {
                let _ = sender.send(Order::announcement());
            }
            state.sockets.push(sender);
        } else {
            let rejection = json!({"type": "connection_rejected", "reason": "No token header, token not associated to a worker or not enabled", "reason_code": "TOKEN_DISABLED"});
            let _ = sender.send(Order::Say(rejection.to_string()));
            let _ = sender.send(Order::Close);
        }
    }
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            message = socket.next() => match message {
                Some(Ok(Message::Pong(_))) => {
                    let pong = Recorded { method: "PONG".to_owned(), path: String::new(), headers: Vec::new(), body: Vec::new() };
                    locked(&state).requests.push(pong);
                    continue;
                }
                Some(Ok(_)) => continue,
                _ => return Ok(()),
            },
        };
        let sent = match order {
            Some(Order::Say(text)) => socket.send(Message::text(text)).await,
            Some(Order::Ping) => socket.send(Message::Ping("0123456789ab".into())).await,
            Some(Order::Close) | None => socket.close(None).await,
            Some(Order::Cut(bytes)) => {
                socket.get_mut().write_all(bytes).await?;
                return Ok(());
            }
        };
        sent.map_err(io::Error::other)?;
    }
}
