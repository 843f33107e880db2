//! What the author of a task imports: task traits, data models, Debian file formats, a test kit.

pub mod lookups;
pub mod model;
pub mod prelude;
pub mod repositories;
pub mod task_data;
pub mod worker_metadata;
