//! Rust types and traits generated from `wit/`: what a component imports, and what it exports.

#![allow(
    missing_docs,
    reason = "the documentation is in wit/, and comes with it"
)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "worker-task",
    imports: { default: async | trappable },
    exports: { default: async },
    with: {
        "debusine:task/files.directory": super::files::DirectoryHandle,
        "debusine:task/files.file": super::files::FileHandle,
        "debusine:task/executor.executor": super::executor::ExecutorHandle,
        "debusine:task/executor.instance": super::executor::InstanceHandle,
        "debusine:task/task-database.artifacts": super::task_database::ArtifactList,
    },
    trappable_error_type: {
        "debusine:task/types.failure" => super::Fault,
        "debusine:task/task-database.lookup-error" => super::LookupFault,
    },
});
