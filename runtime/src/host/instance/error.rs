//! How a call into a component goes wrong.

use crate::component::{Aborted, LimitReached, Metered, limit_reached};
use crate::host::HostState;
use crate::host::capabilities::Grants;
use crate::host::contract;
use crate::host::linker::NotLinked;
use wasmtime::Store;

/// A call into a component that did not come back.
#[derive(Debug, thiserror::Error)]
#[error("task {task}: {call}: {reason}{}", said(.last_words.as_deref()))]
pub struct CallError {
    /// Name of the task.
    pub task: String,
    /// The call, e.g. `run`.
    pub call: &'static str,
    /// What happened.
    pub reason: CallErrorReason,
    /// What the component said last, if that is not the reason itself.
    pub last_words: Option<String>,
}

impl CallError {
    /// Whether the call was ended because the run is aborted.
    pub fn is_abort(&self) -> bool {
        matches!(self.reason, CallErrorReason::Aborted)
    }
}

fn said(words: Option<&str>) -> String {
    words.map_or_else(String::new, |words| {
        format!("; before that it said: {words}")
    })
}

/// What happened in a call that did not come back.
#[derive(Debug, thiserror::Error)]
pub enum CallErrorReason {
    /// The component reached one of its limits.
    #[error("limit reached: {0}")]
    Limit(LimitReached),
    /// The run was aborted, and the component did not come back by itself.
    #[error("the task was aborted")]
    Aborted,
    /// The component panicked; this is what it said.
    #[error("the component panicked: {0}")]
    Panic(String),
    /// The component trapped.
    #[error("the component trapped: {0}")]
    Trap(String),
    /// The component answered with something that is not what it should be.
    #[error("the component's answer is unusable: {0}")]
    Answer(String),
    /// The component cannot be run by this host.
    #[error("{0}")]
    Unsuitable(String),
    /// The component used a power that was not granted to it.
    #[error("not granted: {0}")]
    NotGranted(String),
    /// The instance ended with an earlier call.
    #[error("the instance has ended with an earlier error")]
    Ended,
}

/// What an error of wasmtime means.
pub(super) fn call_error(
    task: &str,
    call: &'static str,
    error: wasmtime::Error,
    store: &mut Store<HostState>,
    stack: usize,
    grants: Option<&Grants>,
) -> CallError {
    let state = store.data_mut();
    let mut last_words = state.last_words.take();
    let limits = *state.meter().limits();
    let reason = if let Some(limit) = limit_reached(&error, &limits, stack) {
        CallErrorReason::Limit(limit)
    } else if error.downcast_ref::<Aborted>().is_some() {
        CallErrorReason::Aborted
    } else if gives_up(&error)
        && let Some(words) = last_words.take()
    {
        CallErrorReason::Panic(words)
    } else {
        trap(&error, grants)
    };
    CallError {
        task: task.to_owned(),
        call,
        reason,
        last_words,
    }
}

/// Whether the component itself gave up: what a panic ends with. Only of that its last words are the reason.
fn gives_up(error: &wasmtime::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(wasmtime::Trap::UnreachableCodeReached)
    )
}

/// What a trap means in which the component did not give up by itself.
fn trap(error: &wasmtime::Error, grants: Option<&Grants>) -> CallErrorReason {
    let missing = error.downcast_ref().and_then(|unlinked: &NotLinked| {
        let interface = contract::interface(&unlinked.interface)?;
        grants?.missing(interface)
    });
    match missing {
        Some(missing) => CallErrorReason::NotGranted(missing),
        None => CallErrorReason::Trap(error.root_cause().to_string()),
    }
}
