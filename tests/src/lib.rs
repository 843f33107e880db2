//! Fixtures that several test suites share.
