//! hostile: attacks its host, in the export and in the way that `DEB_BUILD_OPTIONS` says: `EXPORT:ATTACK`.
//!
//! It is written against the bare contract: the SDK would not let it.

#![cfg(target_arch = "wasm32")]

mod attacks;

use attacks::{answer, attack};
use task_sdk::bindings::debusine::task::commands::Exit;
use task_sdk::bindings::debusine::task::types::Failure;
use task_sdk::bindings::exports::debusine::task::execution::{self, PlannedCommand, Workspace};
use task_sdk::bindings::exports::debusine::task::scheduling::{
    self, Description, DynamicDataError, Task, TaskBorrow, TaskConfigError, TaskType, WorkersBorrow,
};

/// The component.
pub struct Hostile;

/// A configured task.
pub struct Configured;

/// Prepared workers; it does not look at them.
pub struct Prepared;

impl Drop for Configured {
    fn drop(&mut self) {
        attack("drop", None);
    }
}

task_sdk::bindings::export_component!(Hostile with_types_in task_sdk::bindings);

impl scheduling::Guest for Hostile {
    type Task = Configured;
    type Workers = Prepared;

    fn describe() -> Description {
        attack("describe", None);
        Description {
            name: answer("describe", "hostile"),
            summary: "Attack the host".to_owned(),
            type_: TaskType::Worker,
            version: 1,
            data_schema: "{}".to_owned(),
            dynamic_data_schema: "{}".to_owned(),
        }
    }

    fn analyze_worker() -> String {
        attack("analyze-worker", None);
        answer("analyze-worker", "{}")
    }
}

impl scheduling::GuestWorkers for Prepared {
    fn new(_metadata: Vec<String>) -> Self {
        attack("workers", None);
        Self
    }

    fn add(&self, _metadata: Vec<String>) {
        attack("add", None);
    }
}

impl scheduling::GuestTask for Configured {
    fn configure(
        _data: String,
        _dynamic_data: Option<String>,
        _worker_architecture: Option<String>,
    ) -> Result<Task, TaskConfigError> {
        attack("configure", None);
        Ok(Task::new(Self))
    }

    fn data(&self) -> String {
        attack("data", None);
        answer("data", "{}")
    }

    fn dynamic_data(&self) -> Option<String> {
        attack("dynamic-data", None);
        Some(answer("dynamic-data", "{}"))
    }

    fn label(&self) -> String {
        attack("label", None);
        answer("label", "hostile")
    }

    fn host_architecture(&self) -> Option<String> {
        attack("host-architecture", None);
        Some(answer("host-architecture", "amd64"))
    }

    fn can_run_on(&self, _worker_metadata: String) -> bool {
        attack("can-run-on", None);
        true
    }

    fn can_run_on_each(&self, _workers: WorkersBorrow<'_>) -> Vec<u64> {
        attack("can-run-on-each", None);
        vec![u64::MAX; 10_000]
    }

    fn compute_dynamic_data(&self) -> Result<String, DynamicDataError> {
        attack("compute-dynamic-data", None);
        Ok(answer("compute-dynamic-data", "{}"))
    }

    fn source_artifact_ids(&self) -> Option<Vec<u64>> {
        attack("source-artifact-ids", None);
        None
    }
}

impl execution::Guest for Hostile {
    fn fetch_input(_task: TaskBorrow<'_>, workspace: Workspace) -> Result<bool, Failure> {
        attack("fetch-input", Some(&workspace));
        Ok(true)
    }

    fn configure_for_execution(_: TaskBorrow<'_>, workspace: Workspace) -> Result<bool, Failure> {
        attack("configure-for-execution", Some(&workspace));
        Ok(true)
    }

    fn prepare_to_run(_task: TaskBorrow<'_>, workspace: Workspace) -> Result<(), Failure> {
        attack("prepare-to-run", Some(&workspace));
        Ok(())
    }

    fn command_line(
        _task: TaskBorrow<'_>,
        workspace: Workspace,
    ) -> Result<Option<PlannedCommand>, Failure> {
        attack("command-line", Some(&workspace));
        Ok(None)
    }

    fn run(_task: TaskBorrow<'_>, workspace: Workspace) -> Result<bool, Failure> {
        attack("run", Some(&workspace));
        Ok(true)
    }

    fn task_succeeded(_: TaskBorrow<'_>, workspace: Workspace, _: Exit) -> Result<bool, Failure> {
        attack("task-succeeded", Some(&workspace));
        Ok(true)
    }

    fn check_directory_for_consistency_errors(
        _task: TaskBorrow<'_>,
        workspace: Workspace,
    ) -> Result<Vec<String>, Failure> {
        attack("check-directory-for-consistency-errors", Some(&workspace));
        Ok(Vec::new())
    }

    fn upload_artifacts(
        _task: TaskBorrow<'_>,
        workspace: Workspace,
        _execution_success: bool,
    ) -> Result<(), Failure> {
        attack("upload-artifacts", Some(&workspace));
        Ok(())
    }

    fn cleanup(_task: TaskBorrow<'_>) -> Result<(), Failure> {
        attack("cleanup", None);
        Ok(())
    }
}
