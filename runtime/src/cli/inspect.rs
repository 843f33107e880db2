//! `inspect`: what a component exports and imports, and in words what each import lets it do.

use super::output::Output;
use super::{Outcome, Status, table};
use serde_json::json;
use std::path::PathBuf;
use task_runtime::component::{Import, inspect as read};
use task_runtime::host::objections;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  task-runtime inspect tasks/target/wasm32-unknown-unknown/release/noop.wasm\n\nExit status: 1 if this host would not run the component, and why; 2 if the file is no component."
)]
pub struct Arguments {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
}

/// Prints exports, imports and objections. Nothing of the component is run or compiled.
pub fn inspect(arguments: &Arguments, output: &Output) -> Outcome {
    let interface = read(&arguments.file)?;
    let objections = objections(&interface);
    let imports = interface.imports.iter().map(|import| {
        json!({"name": import.name, "functions": import.functions, "allows": allows(import)})
    });
    let answer = json!({
        "path": arguments.file,
        "exports": interface.exports,
        "imports": imports.collect::<Vec<_>>(),
        "objections": objections,
    });
    output.answer(&answer, || {
        let mut text = String::from("exports\n");
        for export in &interface.exports {
            text.push_str(&format!("  {export}\n"));
        }
        text.push_str("imports, and what each allows\n");
        let rows = interface.imports.iter();
        let rows = rows.map(|it| vec![format!("  {}", it.name), allows(it).to_owned()]);
        text.push_str(&table::table(&rows.collect::<Vec<_>>()));
        if interface.imports.is_empty() {
            text.push_str("  none: it can do nothing but answer\n");
        }
        for objection in &objections {
            text.push_str(&format!("{} {objection}\n", output.red("unusable:")));
        }
        text
    })?;
    Ok(match objections.is_empty() {
        true => Status::Success,
        false => Status::Failure,
    })
}

/// What an imported interface lets a component do.
fn allows(import: &Import) -> &'static str {
    let (path, _) = import.name.split_once('@').unwrap_or((&import.name, ""));
    match path {
        "debusine:task/abort" => "learn that its run is being aborted",
        "debusine:task/artifacts" => {
            "fetch any artifact that it can name, upload artifacts, relate them"
        }
        "debusine:task/clock" => "read the time, while it runs",
        "debusine:task/commands" => {
            "run programs on the host, as the worker's user, in the directories of its run"
        }
        "debusine:task/executor" => {
            "start environments from the store's images, and run programs in them as root"
        }
        "debusine:task/files" => "read and write files in the directories of its run",
        "debusine:task/host-facts" => {
            "ask which programs and which architecture the worker has, its PATH and DEB_BUILD_OPTIONS"
        }
        "debusine:task/http" => "fetch http and https URLs, and keyrings of this machine",
        "debusine:task/journal" => "write to the worker's journal",
        "debusine:task/logs" => "write the log files of its run",
        "debusine:task/scheduling" | "debusine:task/types" => "nothing: names of types",
        "debusine:task/task-database" => "look artifacts up, while its dynamic data are computed",
        _ => "nothing: this host does not offer it",
    }
}
