//! `abort`: whether the task is to end early.

use super::HostState;
use super::bindings::debusine::task::abort;

impl abort::Host for HostState {
    async fn is_aborted(&mut self) -> wasmtime::Result<bool> {
        Ok(self.powers()?.abort.is_cancelled())
    }
}
