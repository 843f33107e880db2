//! A mirror of packages that says nothing until it is told to hang up: who asks it is running, for as long as a test likes.

use super::{SECONDS, wait_for};
use anyhow::Result;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The mirror. It hangs up when it is dropped.
pub struct SilentMirror {
    address: SocketAddr,
    visitors: Arc<AtomicUsize>,
    hung_up: watch::Sender<bool>,
}

impl SilentMirror {
    /// A mirror that listens.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let visitors = Arc::new(AtomicUsize::new(0));
        let (hung_up, waiting) = watch::channel(false);
        let seen = Arc::clone(&visitors);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.fetch_add(1, Ordering::Relaxed);
                let mut waiting = waiting.clone();
                tokio::spawn(async move {
                    // An error says that the mirror itself is gone.
                    let _ = waiting.wait_for(|hung_up| *hung_up).await;
                    drop(stream);
                });
            }
        });
        Ok(Self {
            address,
            visitors,
            hung_up,
        })
    }

    /// A system made from it; the task runs until the mirror hangs up, and fails then.
    pub fn system(&self) -> Value {
        let mirror = format!("http://{}/debian", self.address);
        json!({
            "bootstrap_options": {"architecture": "amd64", "variant": "essential"},
            "bootstrap_repositories": [{"mirror": mirror, "suite": "bookworm", "components": ["main"]}],
        })
    }

    /// Waits until somebody has asked, beyond those who were there before.
    pub async fn visited(&self, before: usize) -> Result<()> {
        wait_for("the mirror is asked", SECONDS, async || {
            Ok((self.visitors() > before).then_some(()))
        })
        .await
    }

    /// How many have asked.
    pub fn visitors(&self) -> usize {
        self.visitors.load(Ordering::Relaxed)
    }

    /// From now on whoever asks is left without an answer at once.
    pub fn hang_up(&self) {
        self.hung_up.send_replace(true);
    }
}
