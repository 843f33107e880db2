//! The command `task-runtime`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    task_runtime::executor::supervisor_main_if_called();
    task_runtime::component::compiler_main_if_called();
    cli::main()
}
