//! The scripted world in which the logic of a task is tested natively, with plain `cargo test`.
//!
//! ```
//! # use task_sdk::prelude::*;
//! # model! { /** Data. */ pub struct Data { /** R. */ pub result: bool = true } }
//! # struct Noop { core: Core<Self> }
//! # register_task!(Noop as ExternalTask);
//! # impl Task for Noop {
//! #     const NAME: &'static str = "noop";
//! #     const SUMMARY: &'static str = "";
//! #     type Data = Data;
//! #     type DynamicData = DynamicFields;
//! #     fn new(core: Core<Self>) -> Self { Self { core } }
//! #     fn core(&self) -> &Core<Self> { &self.core }
//! #     fn core_mut(&mut self) -> &mut Core<Self> { &mut self.core }
//! #     fn compute_dynamic_data(&self, _: &TaskDatabase) -> Result<DynamicFields, DynamicDataError> { unreachable!() }
//! #     fn source_artifacts_ids(&self) -> Option<Vec<i64>> { None }
//! # }
//! # impl ExternalTask for Noop {
//! #     fn fetch_input(&mut self, _: &Workspace) -> Result<bool> { Ok(true) }
//! #     fn run(&mut self, _: &Workspace) -> Result<bool> { Ok(self.core.data.result) }
//! # }
//! use task_sdk::testing::World;
//!
//! let report = World::new().run::<Noop>(json!({"result": false}), json!({}));
//! assert_eq!(report.result, Ok(false));
//! ```

pub(crate) mod imports;
mod world;

use crate::core::Core;
use crate::database::{DynamicDataError, TaskDatabase};
use crate::external_task::Running;
use crate::failure::Failure;
use crate::files::{Directory, Entry, Workspace};
use crate::model::{FieldType, Model, Violation};
use serde_json::Value;
use std::collections::BTreeMap;

pub use world::{Ended, RanCommand, UploadedArtifact, World};

/// What a run did.
#[derive(Debug)]
pub struct Report {
    /// What the task answered in the end, or the failure of the stage that failed.
    pub result: Result<bool, Failure>,
    /// The log files, by name.
    pub logs: BTreeMap<String, String>,
    /// The commands that were run, in order.
    pub commands: Vec<RanCommand>,
    /// The files that lay in the directory of inputs in the end: path, content.
    pub inputs: BTreeMap<String, Vec<u8>>,
    /// The artifacts that were uploaded, in order.
    pub uploads: Vec<UploadedArtifact>,
    /// The relations that were recorded: from, to, kind.
    pub relations: Vec<(i64, i64, crate::exchange::RelationType)>,
}

impl World {
    /// Runs all stages of a task as the host does, short of keeping its logs.
    pub fn run<T: Running>(self, data: Value, dynamic_data: Value) -> Report {
        let mut task = match configured::<T>(&data, Some(&dynamic_data)) {
            Ok(task) => task,
            Err(violations) => panic!("the data are invalid: {violations:?}"),
        };
        let directories = self.install();
        let workspace = Workspace {
            download: Directory(directories.download),
            execute: Directory(directories.execute),
        };
        let result = stages(&mut task, &workspace);
        let inputs = files_in(&workspace.download);
        let cleaned = task.cleanup();
        let world = World::uninstall();
        Report {
            result: cleaned.and(result),
            logs: world.logs,
            commands: world.ran,
            inputs,
            uploads: world.uploads,
            relations: world.relations,
        }
    }

    /// The dynamic data that a task computes in this world.
    pub fn compute_dynamic_data<T: Running>(self, data: Value) -> Result<Value, DynamicDataError> {
        let task = configured::<T>(&data, None)
            .unwrap_or_else(|violations| panic!("the data are invalid: {violations:?}"));
        let _directories = self.install();
        let computed = task.compute_dynamic_data(&TaskDatabase(()));
        World::uninstall();
        Ok(computed?.to_json())
    }
}

/// A task with these data, or everything that is wrong with them.
pub fn configured<T: Running>(
    data: &Value,
    dynamic_data: Option<&Value>,
) -> Result<T, Vec<Violation>> {
    let data = T::Data::parse(data)?;
    let dynamic_data = dynamic_data.map(T::DynamicData::parse).transpose()?;
    Ok(T::new(Core::new(data, dynamic_data, None)))
}

fn files_in(directory: &Directory) -> BTreeMap<String, Vec<u8>> {
    let entries = directory.entries_recursive();
    let entries = entries.expect("a directory of the run can be listed");
    let content = |entry: Entry| Some((entry.name.clone(), directory.0.content(&entry.name).ok()?));
    entries.into_iter().filter_map(content).collect()
}

fn stages<T: Running>(task: &mut T, workspace: &Workspace) -> Result<bool, Failure> {
    if !task.fetch_input(workspace)? || !task.configure_for_execution(workspace)? {
        return Ok(false);
    }
    task.prepare_to_run(workspace)?;
    let succeeded = task.run_stage(workspace)?;
    let flaws = task.check_directory_for_consistency_errors(workspace)?;
    if !flaws.is_empty() {
        return Err(Failure::new("consistency", flaws.join("\n")));
    }
    task.upload_artifacts(workspace, succeeded)?;
    Ok(succeeded)
}
