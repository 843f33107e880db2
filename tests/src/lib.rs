//! Fixtures that several test suites share.

pub mod conformance;
pub mod fake_server;
pub mod fixtures;
pub mod living_worker;
pub mod real_server;
pub mod worker_program;
