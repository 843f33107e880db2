//! A task in a scripted world, stage by stage.

use super::Trouble;
use crate::conformance::keyrings;
use crate::conformance::observation;
use crate::conformance::suite::Suite;
use crate::conformance::world::World;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use task_runtime::component::Limits;
use task_runtime::executor::Abort;
use task_runtime::host::files::DirectoryHandle;
use task_runtime::host::{
    Facts, HostState, Powers, TaskConfigError, TaskInstance, TaskLogs, Workspace,
};
use tempfile::TempDir;

/// Number of the work request, unless the vector has another.
const WORK_REQUEST: u64 = 77;

/// Workspace of the work request, unless the vector has another.
const WORKSPACE: &str = "System";

/// How many bytes the logs of a vector may have.
const LOG_SIZE: u64 = 64 << 20;

/// A task with its directories and its world.
pub struct Session {
    pub world: Arc<World>,
    pub instance: TaskInstance,
    pub workspace: Workspace,
    pub powers: Powers,
    root: TempDir,
}

impl Session {
    /// Configures a task for the input of a vector. The inner error is the task's own.
    pub async fn start(
        suite: &Suite,
        task: &str,
        input: &Value,
        files: &Path,
    ) -> Result<Result<Self, TaskConfigError>, Trouble> {
        let component = &suite.task(task)?.execution;
        let root = tempfile::tempdir()?;
        let place = |name: &str| -> std::io::Result<PathBuf> {
            let path = root.path().join(name);
            std::fs::create_dir(&path)?;
            Ok(path)
        };
        let (download, execute) = (place("download")?, place("execute")?);
        let logs = TaskLogs::new(&place("logs")?, LOG_SIZE);
        let world = World::new(input, files, &place("cache")?);
        world.set_directories(&download, &execute);
        let powers = powers(&world, input, logs);
        let facts: Arc<dyn Facts> = Arc::clone(&world) as _;
        let state =
            HostState::new(&suite.engine, &Limits::EXECUTION, facts).with_powers(powers.clone());
        let mut instance = component.instantiate(state).await?;
        let dynamic_data = input
            .get("dynamic_task_data")
            .filter(|data| !data.is_null());
        let architecture = world.architecture();
        let configured = instance
            .configure(&input["task_data"], dynamic_data, architecture.as_deref())
            .await?;
        let workspace = Workspace {
            download: DirectoryHandle::open(&download)?,
            execute: DirectoryHandle::open(&execute)?,
        };
        Ok(configured.map(|()| Self {
            world,
            instance,
            workspace,
            powers,
            root,
        }))
    }

    /// The log files, as vectors have them.
    pub fn logs(&self) -> Result<Value, Trouble> {
        Ok(observation::logs(&self.root.path().join("logs"))?)
    }

    /// The download directory, as vectors have it.
    pub fn tree(&self, recorded: &Value) -> Result<Value, Trouble> {
        Ok(observation::tree(self.download(), recorded)?)
    }

    pub fn download(&self) -> &Path {
        self.workspace.download.location()
    }

    pub fn execute(&self) -> &Path {
        self.workspace.execute.location()
    }
}

/// Number of the work request of a vector.
pub fn work_request(input: &Value) -> Option<u64> {
    match input.get("work_request_id") {
        Some(id) => id.as_u64(),
        None => Some(WORK_REQUEST),
    }
}

/// Workspace of a vector; null is none.
pub fn workspace(input: &Value) -> Option<String> {
    match input.get("workspace") {
        Some(workspace) => workspace.as_str().map(str::to_owned),
        None => Some(WORKSPACE.to_owned()),
    }
}

/// An output in the terms of vectors: placeholders for paths, keyrings in order.
pub fn finished(world: &World, output: Value) -> Value {
    let mut output = world.with_placeholders(&output);
    keyrings::sort_everywhere(&mut output);
    output
}

/// What an operation did in the world.
pub fn effects(world: &World, output: &mut Value, input: &Value, recorded: &Value) {
    let volatile = input["volatile_files"] == true;
    output["events"] = Value::Array(world.events());
    output["artifacts"] =
        observation::artifacts(&world.artifacts(), &recorded["artifacts"], volatile);
    output["relations"] = json!(world.relations());
}

fn powers(world: &Arc<World>, input: &Value, logs: TaskLogs) -> Powers {
    Powers {
        work_request: work_request(input),
        workspace: workspace(input),
        commands: Arc::clone(world) as _,
        executors: Arc::clone(world) as _,
        artifacts: Arc::clone(world) as _,
        downloads: Arc::clone(world) as _,
        logs: Arc::new(logs),
        abort: Abort::new(),
        record: Arc::default(),
    }
}
