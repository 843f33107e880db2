//! The conformance suite: recorded behaviour of the reference, replayed through components and the real host code.
//!
//! A [`Folder`] holds vectors: an operation, what goes in, what the reference gave out. A [`Suite`] carries the operation out in a
//! scripted [`world`] and compares. What ours does otherwise on purpose is listed in [`Deviations`], each with its reason.

pub mod world;

mod deviations;
mod difference;
mod keyrings;
mod observation;
mod operations;
mod report;
mod suite;
mod vector;

pub use deviations::Deviations;
pub use report::{Report, Tally};
pub use suite::{Outcome, Suite, SuiteError};
pub use vector::{Folder, FolderError, Level, Vector};
