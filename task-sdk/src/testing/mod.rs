//! The scripted world in which a task's logic is tested natively.

pub(crate) mod imports;
