//! One run of a task: the stages in their order, the logs that they leave, clean-up whatever happens, and the result.

mod environments;
mod preconditions;
mod run;
mod stages;
mod workdir;

pub use environments::{LocalEnvironments, image_cache, sandbox_scratch};
pub use preconditions::check_machine;
pub use run::{RunError, RunOptions, RunRequest, RunResult, Runner, Verdict};
pub use stages::{Observer, Silent, Stage};
