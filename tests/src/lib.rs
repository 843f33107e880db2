//! Fixtures that several test suites share.

pub mod fixtures;
