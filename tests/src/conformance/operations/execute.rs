//! A whole run: the lifecycle drives the task through all stages, and keeps its logs.

use super::session::{effects, finished, work_request, workspace};
use super::{Output, exception};
use crate::conformance::suite::Suite;
use crate::conformance::vector::Vector;
use crate::conformance::world::World;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use task_runtime::executor::Abort;
use task_runtime::host::Workspace;
use task_runtime::lifecycle::{Observer, RunOptions, RunRequest, Runner, Verdict};

/// Prepares the directories of a run as soon as they are there.
struct Preparation(Arc<World>);

impl Observer for Preparation {
    fn workspace(&self, workspace: &Workspace) {
        let (download, execute) = (workspace.download.location(), workspace.execute.location());
        self.0.set_directories(download, execute);
        for (directory, tree) in [(execute, "execute_files"), (download, "download_files")] {
            if let Err(error) = self.0.write_tree(directory, tree) {
                panic!("{tree}: {error}");
            }
        }
    }
}

pub async fn execute(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let input = &vector.input;
    let component = &suite.task(&vector.task)?.loaded;
    let root = tempfile::tempdir()?;
    let runs = root.path().join("runs");
    std::fs::create_dir(&runs)?;
    let world = World::new(input, files, &root.path().join("cache"));
    let runner = Runner {
        engine: suite.engine.clone(),
        linkers: Arc::clone(&suite.linkers),
        facts: Arc::clone(&world) as _,
        commands: Arc::clone(&world) as _,
        executors: Arc::clone(&world) as _,
        artifacts: Arc::clone(&world) as _,
        downloads: Arc::clone(&world) as _,
        options: RunOptions {
            directory: runs.clone(),
            ..RunOptions::default()
        },
    };
    let request = RunRequest {
        work_request: work_request(input),
        workspace: workspace(input),
        data: input["task_data"].clone(),
        dynamic_data: input["dynamic_task_data"].clone(),
    };
    let observer = Arc::new(Preparation(Arc::clone(&world)));
    let ran = runner
        .run(component, request, observer, &Abort::new())
        .await;
    let result = match ran {
        Ok(result) => Value::Bool(result.verdict == Verdict::Success),
        Err(error) => exception(error),
    };
    let left = std::fs::read_dir(&runs)?.count();
    let mut output = json!({"result": result, "directories_left": left});
    effects(&world, &mut output, input, &vector.output);
    Ok(finished(&world, output))
}
