//! The command `task-runtime`.

fn main() {}
