//! The imports: those of the component, or natively those of the scripted world that tests set up.

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::bindings::debusine::task::{
    abort, artifacts, commands, executor, files, host_facts, http, logs, task_database,
};

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::imports::{
    abort, artifacts, commands, executor, files, host_facts, http, logs, task_database,
};
