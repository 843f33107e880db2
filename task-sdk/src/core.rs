//! What every task holds: its data, and the environment it works in once it runs.

use crate::executor::{Executor, Instance};
use crate::task::Task;

/// The common part of a task. A task owns one and lends it to the SDK.
pub struct Core<T: Task> {
    /// The task data.
    pub data: T::Data,
    /// The dynamic data; none before they were computed.
    pub dynamic_data: Option<T::DynamicData>,
    /// Architecture of the worker that is to run the task; none on a scheduler.
    pub worker_architecture: Option<String>,
    /// The environment's image, once the task has prepared it.
    pub executor: Option<Executor>,
    /// The running instance, once the task has started it.
    pub instance: Option<Instance>,
}

impl<T: Task> Core<T> {
    pub(crate) fn new(
        data: T::Data,
        dynamic_data: Option<T::DynamicData>,
        worker_architecture: Option<String>,
    ) -> Self {
        Self {
            data,
            dynamic_data,
            worker_architecture,
            executor: None,
            instance: None,
        }
    }

    /// The dynamic data of a task that runs; a run always has them.
    pub fn dynamic_data(&self) -> crate::failure::Result<&T::DynamicData> {
        crate::exchange::required(self.dynamic_data.as_ref(), "dynamic data of the task")
    }

    /// The environment's image; a failure before the task has prepared it.
    pub fn image(&self) -> crate::failure::Result<&crate::executor::Image> {
        let executor =
            crate::exchange::required(self.executor.as_ref(), "environment of the task")?;
        Ok(executor.image())
    }

    /// The running instance; a failure before the task has started it.
    pub fn instance(&self) -> crate::failure::Result<&Instance> {
        crate::exchange::required(self.instance.as_ref(), "instance of the environment")
    }
}
