//! What the author of a task imports: task traits, data models, Debian file formats, a test kit.

pub mod artifacts;
pub mod debian;
pub mod model;
pub mod paths;
pub mod prelude;
pub mod shell;
