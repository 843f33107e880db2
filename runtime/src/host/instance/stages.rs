//! The stages of a run, as calls into an instance that was made for execution.

use super::super::Failure;
use super::super::bindings::debusine::task::commands::Exit;
use super::{
    CallError, CallErrorReason, HostState, PlannedCommand, TaskInstance, Workspace, execution,
};
use std::time::Duration;
use wasmtime::Store;
use wasmtime::component::ResourceAny;

/// How long a clean-up may take once the run is aborted: a virtual machine takes its time to stop.
const CLEAN_UP: Duration = Duration::from_secs(30);

/// The stages of a run. The inner error is the task's own failure.
impl TaskInstance {
    /// Downloads the inputs.
    pub async fn fetch_input(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Result<bool, Failure>, CallError> {
        self.stage(
            "fetch-input",
            workspace,
            async |guest, store, task, workspace| {
                guest.call_fetch_input(store, task, workspace).await
            },
        )
        .await
    }

    /// Picks files, writes configuration, starts an instance of the environment.
    pub async fn configure_for_execution(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Result<bool, Failure>, CallError> {
        self.stage(
            "configure-for-execution",
            workspace,
            async |guest, store, task, workspace| {
                guest
                    .call_configure_for_execution(store, task, workspace)
                    .await
            },
        )
        .await
    }

    /// Takes the inputs into the instance of the environment.
    pub async fn prepare_to_run(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Result<(), Failure>, CallError> {
        self.stage(
            "prepare-to-run",
            workspace,
            async |guest, store, task, workspace| {
                guest.call_prepare_to_run(store, task, workspace).await
            },
        )
        .await
    }

    /// The command that `run` will run.
    pub async fn command_line(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Result<Option<PlannedCommand>, Failure>, CallError> {
        self.stage(
            "command-line",
            workspace,
            async |guest, store, task, workspace| {
                guest.call_command_line(store, task, workspace).await
            },
        )
        .await
    }

    /// Does the work and judges it.
    pub async fn run(&mut self, workspace: &Workspace) -> Result<Result<bool, Failure>, CallError> {
        self.stage("run", workspace, async |guest, store, task, workspace| {
            guest.call_run(store, task, workspace).await
        })
        .await
    }

    /// What `run` answers for a command that ended so.
    pub async fn task_succeeded(
        &mut self,
        workspace: &Workspace,
        exit: Exit,
    ) -> Result<Result<bool, Failure>, CallError> {
        self.stage(
            "task-succeeded",
            workspace,
            async |guest, store, task, workspace| {
                guest
                    .call_task_succeeded(store, task, workspace, exit)
                    .await
            },
        )
        .await
    }

    /// Checks that the results fit each other.
    pub async fn consistency_errors(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Result<Vec<String>, Failure>, CallError> {
        self.stage(
            "check-directory-for-consistency-errors",
            workspace,
            async |guest, store, task, workspace| {
                guest
                    .call_check_directory_for_consistency_errors(store, task, workspace)
                    .await
            },
        )
        .await
    }

    /// Uploads the results.
    pub async fn upload_artifacts(
        &mut self,
        workspace: &Workspace,
        execution_success: bool,
    ) -> Result<Result<(), Failure>, CallError> {
        self.stage(
            "upload-artifacts",
            workspace,
            async |guest, store, task, workspace| {
                guest
                    .call_upload_artifacts(store, task, workspace, execution_success)
                    .await
            },
        )
        .await
    }

    /// Stops what the task started.
    pub async fn cleanup(&mut self) -> Result<Result<(), Failure>, CallError> {
        let (guest, task) = self.executing("cleanup")?;
        self.call_patiently("cleanup", CLEAN_UP, async |store| {
            guest.call_cleanup(store, task).await
        })
        .await
    }

    /// Whether a call has ended the instance.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    fn executing(&self, call: &'static str) -> Result<(execution::Guest, ResourceAny), CallError> {
        let (_, task) = self.configured(call)?;
        match &self.execution {
            Some(guest) => Ok((guest.clone(), task)),
            None => {
                let words = "the instance was made for scheduling only".to_owned();
                Err(self.error(call, CallErrorReason::Unsuitable(words)))
            }
        }
    }

    /// Calls a stage with handles on both directories.
    async fn stage<T>(
        &mut self,
        call: &'static str,
        workspace: &Workspace,
        work: impl AsyncFnOnce(
            &execution::Guest,
            &mut Store<HostState>,
            ResourceAny,
            execution::Workspace,
        ) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        let (guest, task) = self.executing(call)?;
        let workspace = workspace.clone();
        self.call(call, async |store| {
            let state = store.data_mut();
            let handles = execution::Workspace {
                download: state.lend(workspace.download)?,
                execute: state.lend(workspace.execute)?,
            };
            work(&guest, store, task, handles).await
        })
        .await
    }
}
