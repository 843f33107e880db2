//! `inspect`: what a component exports and imports, what it asks for and may do, and where each line of that comes from.

use super::output::Output;
use super::places::Places;
use super::{Outcome, Status, table};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use task_runtime::component::{Import, Interface, Manifest, inspect_with_manifest};
use task_runtime::host::capabilities::{Capability, Grants, Use};
use task_runtime::host::objections;

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  task-runtime inspect tasks/target/wasm32-unknown-unknown/release/noop.wasm\n\nWhat is granted is decided by the policy: the file that TASK_RUNTIME_POLICY names, else /etc/task-runtime/policy, else everything that a manifest asks for.\nA line of it is `allow TASK CAPABILITY [VALUE…]` or `deny …`; the last one that fits decides, and what none allows is denied.\n\nExit status: 1 if this host would not run the component, and why; 2 if the file is no component."
)]
pub struct Arguments {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
}

/// Prints what the component is and may do. Nothing of it is run or compiled.
pub fn inspect(arguments: &Arguments, places: &Places, output: &Output) -> Outcome {
    let (interface, manifest) = inspect_with_manifest(&arguments.file)?;
    let task = task_of(&arguments.file);
    let imports: Vec<_> = interface.imports.iter().map(|it| it.name.clone()).collect();
    let policy = Arc::new(places.policy()?);
    let grants = Grants::resolve(&task, &manifest, &imports, &policy);
    let objections = objections(&interface, grants.has(Capability::Wasi));
    let imports = interface.imports.iter().map(|import| {
        json!({"name": import.name, "functions": import.functions, "allows": allows(import)})
    });
    let answer = json!({
        "path": arguments.file,
        "task": task,
        "manifest": manifest,
        "exports": interface.exports,
        "imports": imports.collect::<Vec<_>>(),
        "capabilities": grants.uses(),
        "objections": objections,
    });
    output.answer(&answer, || {
        let mut text = described(&manifest);
        text.push_str(&connected(&interface));
        text.push_str(&granted(grants.uses()));
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

/// The task that this file would be.
fn task_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default();
    stem.to_string_lossy().to_lowercase()
}

fn described(manifest: &Manifest) -> String {
    let fields = [
        ("task", &manifest.task),
        ("summary", &manifest.summary),
        ("built with", &manifest.sdk),
    ];
    let rows = fields.into_iter().filter_map(|(name, value)| {
        let value = value.as_ref()?;
        Some(vec![name.to_owned(), value.clone()])
    });
    table::table(&rows.collect::<Vec<_>>())
}

fn connected(interface: &Interface) -> String {
    let mut text = String::from("exports\n");
    for export in &interface.exports {
        text.push_str(&format!("  {export}\n"));
    }
    text.push_str("imports, and what each is for\n");
    let rows = interface.imports.iter();
    let rows = rows.map(|it| vec![format!("  {}", it.name), allows(it).to_owned()]);
    text.push_str(&table::table(&rows.collect::<Vec<_>>()));
    if interface.imports.is_empty() {
        text.push_str("  none: it can do nothing but answer\n");
    }
    text
}

fn granted(uses: &[Use]) -> String {
    let mut text =
        String::from("capabilities, who asks for them, and which line of the policy decides\n");
    let rows = uses.iter().map(|it| {
        let what = match &it.value {
            Some(value) => format!("  {} {value}", it.capability.name()),
            None => format!("  {}", it.capability.name()),
        };
        let granted = if it.granted { "granted" } else { "denied" };
        vec![
            what,
            granted.to_owned(),
            it.asked_by.to_owned(),
            it.decided_by.clone(),
        ]
    });
    text.push_str(&table::table(&rows.collect::<Vec<_>>()));
    if uses.is_empty() {
        text.push_str("  none: it works on the files, logs and artifacts of its run\n");
    }
    text
}

/// What an imported interface is for.
fn allows(import: &Import) -> &'static str {
    let (path, _) = import.name.split_once('@').unwrap_or((&import.name, ""));
    match path {
        "debusine:task/abort" => "learn that its run is being aborted",
        "debusine:task/artifacts" => {
            "fetch any artifact that it can name, upload artifacts (capability upload), relate them"
        }
        "debusine:task/clock" => "read the time, while it runs",
        "debusine:task/commands" => {
            "run programs on the host, as the worker's user, in the directories of its run (capability command)"
        }
        "debusine:task/executor" => {
            "start environments from the store's images, and run programs in them as root (capability environment), on the host's network (capability network)"
        }
        "debusine:task/files" => "read and write files in the directories of its run",
        "debusine:task/host-facts" => {
            "ask which programs and which architecture the worker has, its PATH and DEB_BUILD_OPTIONS"
        }
        "debusine:task/http" => {
            "fetch http and https URLs, and keyrings of this machine (capability http)"
        }
        "debusine:task/journal" => "write to the worker's journal",
        "debusine:task/logs" => "write the log files of its run",
        "debusine:task/scheduling" | "debusine:task/types" => "nothing: names of types",
        "debusine:task/task-database" => "look artifacts up, while its dynamic data are computed",
        _ => "nothing: this host does not offer it",
    }
}
