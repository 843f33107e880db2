//! Fixtures that several test suites share.

pub mod conformance;
pub mod fixtures;
