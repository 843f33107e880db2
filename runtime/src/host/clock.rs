//! `clock`: the time of day, for execution only.

use super::HostState;
use super::bindings::debusine::task::clock;
use std::time::{SystemTime, UNIX_EPOCH};

impl clock::Host for HostState {
    async fn now(&mut self) -> wasmtime::Result<u64> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH)?;
        Ok(since_epoch.as_millis() as u64)
    }
}
