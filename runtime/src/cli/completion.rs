//! `completion`: scripts that complete command lines.

use super::output::Output;
use super::{Outcome, Status};
use clap_complete::Shell;
use serde_json::json;

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  task-runtime completion bash > /etc/bash_completion.d/task-runtime"
)]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn completion(arguments: &Arguments, mut command: clap::Command, output: &Output) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "task-runtime", &mut script);
    let script = String::from_utf8_lossy(&script);
    let document = json!({"shell": arguments.shell.to_string(), "script": script});
    output.answer(&document, || script.into_owned())?;
    Ok(Status::Success)
}
