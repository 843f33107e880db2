//! The exports of a component, answered by a [`Task`](crate::task::Task).

use crate::bindings::debusine::task::commands::Exit;
use crate::bindings::debusine::task::journal::{Level, say};
use crate::bindings::debusine::task::types as wit_types;
use crate::bindings::exports::debusine::task::{execution, scheduling};
use crate::core::Core;
use crate::database::{DynamicDataError, TaskDatabase};
use crate::external_task::Running;
use crate::files::{Directory, Workspace};
use crate::listed_metadata::ListedMetadata;
use crate::model::{FieldType, Model, PathPart, Violation};
use crate::worker_metadata::{Metadata, WorkerMetadata, metadata_key};
use crate::workers::Workers;
use scheduling::{
    Description, DynamicDataError as WitDynamicDataError, TaskBorrow, TaskConfigError,
};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::marker::PhantomData;

/// The exports of the task `T`.
pub struct Component<T>(PhantomData<T>);

/// A task in the hands of the host.
pub struct TaskHandle<T>(RefCell<T>);

/// Workers in the hands of the host, parsed.
pub struct WorkersHandle(RefCell<Workers>);

impl<T: Running> scheduling::Guest for Component<T> {
    type Task = TaskHandle<T>;
    type Workers = WorkersHandle;

    fn describe() -> Description {
        log_panics();
        Description {
            name: T::NAME.to_owned(),
            summary: T::SUMMARY.to_owned(),
            type_: scheduling::TaskType::Worker,
            version: T::VERSION,
            data_schema: T::Data::json_schema().to_string(),
            dynamic_data_schema: T::DynamicData::json_schema().to_string(),
        }
    }

    fn analyze_worker() -> String {
        log_panics();
        let mut metadata = Map::new();
        metadata.insert(metadata_key(T::NAME, "version"), T::VERSION.into());
        T::analyze_worker(&mut metadata);
        Value::Object(metadata).to_string()
    }
}

impl scheduling::GuestWorkers for WorkersHandle {
    fn new(metadata: Vec<String>) -> Self {
        log_panics();
        let handle = Self(RefCell::default());
        handle.add(metadata);
        handle
    }

    fn add(&self, metadata: Vec<String>) {
        let mut workers = self.0.borrow_mut();
        for text in metadata {
            workers.add(ListedMetadata::parse(text));
        }
    }
}

impl<T: Running> TaskHandle<T> {
    fn can_run(&self, worker: &dyn Metadata) -> bool {
        let task = self.0.borrow();
        let worker = WorkerMetadata(worker);
        worker.can_run(T::NAME, T::VERSION.into(), task.host_architecture())
            && task.can_run_on(worker)
    }
}

impl<T: Running> scheduling::GuestTask for TaskHandle<T> {
    fn configure(
        data: String,
        dynamic_data: Option<String>,
        worker_architecture: Option<String>,
    ) -> Result<scheduling::Task, TaskConfigError> {
        log_panics();
        let data = parse(&data).map_err(TaskConfigError::Data)?;
        let dynamic_data = dynamic_data
            .map(|text| parse(&text))
            .transpose()
            .map_err(TaskConfigError::DynamicData)?;
        let core = Core::new(data, dynamic_data, worker_architecture);
        Ok(scheduling::Task::new(Self(RefCell::new(T::new(core)))))
    }

    fn data(&self) -> String {
        self.0.borrow().core().data.to_json().to_string()
    }

    fn dynamic_data(&self) -> Option<String> {
        let task = self.0.borrow();
        let dynamic_data = task.core().dynamic_data.as_ref()?;
        Some(dynamic_data.to_json().to_string())
    }

    fn label(&self) -> String {
        self.0.borrow().label()
    }

    fn host_architecture(&self) -> Option<String> {
        self.0.borrow().host_architecture().map(str::to_owned)
    }

    fn can_run_on(&self, worker_metadata: String) -> bool {
        self.can_run(&ListedMetadata::parse(worker_metadata))
    }

    fn can_run_on_each(&self, workers: scheduling::WorkersBorrow<'_>) -> Vec<u64> {
        let mut workers = workers.get::<WorkersHandle>().0.borrow_mut();
        workers.ask(|worker| self.can_run(worker))
    }

    fn compute_dynamic_data(&self) -> Result<String, WitDynamicDataError> {
        let computed = self.0.borrow().compute_dynamic_data(&TaskDatabase(()))?;
        Ok(computed.to_json().to_string())
    }

    fn source_artifact_ids(&self) -> Option<Vec<u64>> {
        let ids = self.0.borrow().source_artifacts_ids()?;
        Some(ids.into_iter().map(|id| id as u64).collect())
    }
}

impl From<DynamicDataError> for WitDynamicDataError {
    fn from(error: DynamicDataError) -> Self {
        match error {
            DynamicDataError::Config(words) => Self::Config(TaskConfigError::Unsuitable(words)),
            DynamicDataError::Lookup(words) => Self::Lookup(words),
            DynamicDataError::Internal(failure) => Self::Internal(failure.into()),
        }
    }
}

/// Runs a stage of the task behind a handle.
fn stage<T: Running, R>(
    task: TaskBorrow<'_>,
    workspace: execution::Workspace,
    work: impl FnOnce(&mut T, &Workspace) -> crate::failure::Result<R>,
) -> Result<R, wit_types::Failure> {
    let handle = task.get::<TaskHandle<T>>();
    Ok(work(&mut handle.0.borrow_mut(), &workspace.into())?)
}

impl<T: Running> execution::Guest for Component<T> {
    fn fetch_input(
        task: TaskBorrow<'_>,
        workspace: execution::Workspace,
    ) -> Result<bool, wit_types::Failure> {
        stage(task, workspace, T::fetch_input)
    }

    fn configure_for_execution(
        task: TaskBorrow<'_>,
        workspace: execution::Workspace,
    ) -> Result<bool, wit_types::Failure> {
        stage(task, workspace, T::configure_for_execution)
    }

    fn prepare_to_run(
        task: TaskBorrow<'_>,
        workspace: execution::Workspace,
    ) -> Result<(), wit_types::Failure> {
        stage(task, workspace, T::prepare_to_run)
    }

    fn command_line(
        task: TaskBorrow<'_>,
        workspace: execution::Workspace,
    ) -> Result<Option<execution::PlannedCommand>, wit_types::Failure> {
        let line = stage(task, workspace, <T as Running>::command_line)?;
        Ok(line.map(|line| execution::PlannedCommand {
            arguments: line.arguments,
            environment: line.environment,
            as_root: line.as_root,
            captures_output_in: line.captures_output_in.map(str::to_owned),
        }))
    }

    fn run(
        task: TaskBorrow<'_>,
        workspace: execution::Workspace,
    ) -> Result<bool, wit_types::Failure> {
        stage(task, workspace, T::run_stage)
    }

    fn task_succeeded(
        task: TaskBorrow<'_>,
        workspace: execution::Workspace,
        exit: Exit,
    ) -> Result<bool, wit_types::Failure> {
        stage(task, workspace, |task: &mut T, workspace| {
            task.judge(workspace, exit)
        })
    }

    fn check_directory_for_consistency_errors(
        task: TaskBorrow<'_>,
        workspace: execution::Workspace,
    ) -> Result<Vec<String>, wit_types::Failure> {
        stage(task, workspace, T::check_directory_for_consistency_errors)
    }

    fn upload_artifacts(
        task: TaskBorrow<'_>,
        workspace: execution::Workspace,
        execution_success: bool,
    ) -> Result<(), wit_types::Failure> {
        stage(task, workspace, |task: &mut T, workspace| {
            task.upload_artifacts(workspace, execution_success)
        })
    }

    fn cleanup(task: TaskBorrow<'_>) -> Result<(), wit_types::Failure> {
        let handle = task.get::<TaskHandle<T>>();
        Ok(handle.0.borrow_mut().cleanup()?)
    }
}

impl From<execution::Workspace> for Workspace {
    fn from(workspace: execution::Workspace) -> Self {
        Self {
            download: Directory(workspace.download),
            execute: Directory(workspace.execute),
        }
    }
}

/// Reads a document as a model; text that is no JSON breaks a rule of the document as a whole.
fn parse<M: Model>(text: &str) -> Result<M, Vec<wit_types::Violation>> {
    let value = serde_json::from_str(text).map_err(|error| {
        vec![wit_types::Violation {
            location: Vec::new(),
            kind: "value_error.jsondecode".to_owned(),
            message: format!("not JSON: {error}"),
        }]
    })?;
    M::parse(&value).map_err(|violations| violations.into_iter().map(violation).collect())
}

fn violation(violation: Violation) -> wit_types::Violation {
    let location = violation.location.into_iter().map(|part| match part {
        PathPart::Name(name) => wit_types::PathPart::Member(name.into_owned()),
        PathPart::Index(index) => wit_types::PathPart::Element(index as u32),
    });
    wit_types::Violation {
        location: location.collect(),
        kind: violation.kind.to_owned(),
        message: violation.message.into_owned(),
    }
}

/// A panic is told to the host before it traps: without a word nobody could find it.
fn log_panics() {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| say(Level::Error, &panic.to_string())));
    });
}
