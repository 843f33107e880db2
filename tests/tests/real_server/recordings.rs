//! What the reference's worker told a server of the same task, volatile values aside: `tests/server/recordings/`.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use task_runtime_tests::real_server::Exchange;

/// Stands for what differs from run to run.
const VOLATILE: &str = "…";

/// Fields whose values depend on when, and from which sources, something was made. The recordings name nobody.
const VOLATILE_FIELDS: [&str; 7] = [
    "Build-Ids",
    "Changed-By",
    "Installed-Size",
    "Maintainer",
    "lintian_version",
    "mirror",
    "size",
];

/// A recording.
pub struct Recording {
    /// The task.
    pub task: String,
    /// Its data, with the numbers of these inputs in place of their names.
    pub data: Value,
    /// What was told, in order: artifacts, relations, the result.
    pub steps: Vec<Value>,
}

/// The recording of a task. Inputs have names there: `source`, `binary`.
pub fn recorded(task: &str, inputs: &[(&str, Value)]) -> Result<Recording> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("server/recordings/{task}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut recording: Map<String, Value> = serde_json::from_str(&text)?;
    let mut data = recording["data"].take();
    fill_in(&mut data, inputs);
    let steps = recording["steps"].take();
    Ok(Recording {
        task: task.to_owned(),
        data,
        steps: steps.as_array().context("a list")?.clone(),
    })
}

fn fill_in(data: &mut Value, inputs: &[(&str, Value)]) {
    match data {
        Value::Object(fields) => fields.values_mut().for_each(|it| fill_in(it, inputs)),
        Value::Array(elements) => elements.iter_mut().for_each(|it| fill_in(it, inputs)),
        Value::String(text) => {
            if let Some((_, value)) = inputs.iter().find(|(name, _)| name == text) {
                *data = value.clone();
            }
        }
        _ => {}
    }
}

/// What was told of a work request, in the form of the recordings.
pub fn told(exchanges: &[Exchange], work_request: u64, inputs: &[(&str, Value)]) -> Vec<Value> {
    let named = inputs.iter();
    let mut names: BTreeMap<String, String> = named
        .map(|(name, number)| (number.to_string(), (*name).to_owned()))
        .collect();
    let (mut steps, mut made) = (Vec::new(), 0);
    let completed = format!("/work-request/{work_request}/completed/");
    for said in exchanges {
        let asked = &said.asked;
        if said.method == "POST"
            && said.path.ends_with("/artifact/")
            && asked["work_request"] == work_request
        {
            made += 1;
            names.insert(said.answered["id"].to_string(), format!("#{made}"));
            let files = asked["files"].as_object().into_iter().flat_map(Map::keys);
            let mut files: Vec<_> = files.map(|name| without_times(name)).collect();
            files.sort();
            let data = steady("", &asked["data"]);
            steps.push(json!({"artifact": asked["category"], "files": files, "data": data}));
        } else if said.path.ends_with("/artifact-relation/") {
            let ends = [&asked["artifact"], &asked["target"]].map(Value::to_string);
            // Neither of the artifacts is known: it is another work request's.
            if ends.iter().any(|end| names.contains_key(end)) {
                let [from, to] = ends.map(|end| names.get(&end).cloned().unwrap_or(end));
                let kind = asked["type"].as_str().unwrap_or_default();
                steps.push(json!({"relation": format!("{from} {kind} {to}")}));
            }
        } else if said.path.ends_with(&completed) {
            let statistics = asked["output_data"]["runtime_statistics"].as_object();
            let keys: Vec<_> = statistics.into_iter().flat_map(Map::keys).collect();
            steps.push(json!({"result": asked["result"], "statistics": keys}));
        }
    }
    steps
}

/// The value of a field without what is volatile in it.
fn steady(field: &str, value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let steadied = fields.iter().map(|(name, value)| {
                let value = match field {
                    // Versions of packages.
                    "pkglist" => VOLATILE.into(),
                    _ => steady(name, value),
                };
                (name.clone(), value)
            });
            steadied.collect::<Map<_, _>>().into()
        }
        Value::Array(elements) => elements.iter().map(|it| steady(field, it)).collect(),
        Value::String(text) => match VOLATILE_FIELDS.contains(&field) || is_hash(text) {
            true => VOLATILE.into(),
            false => without_times(text).into(),
        },
        other => other.clone(),
    }
}

/// MD5, SHA-1, SHA-256.
fn is_hash(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    [32, 40, 64].contains(&text.len()) && text.bytes().all(is_digit)
}

/// Without points in time, as in names of build logs.
fn without_times(text: &str) -> String {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let has_shape = |part: &[u8]| {
        let alike = |(byte, shape): (&u8, &u8)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == shape,
        };
        part.iter().zip(SHAPE).all(alike)
    };
    match text.as_bytes().windows(SHAPE.len()).position(has_shape) {
        Some(at) => format!("{}{VOLATILE}{}", &text[..at], &text[at + SHAPE.len()..]),
        None => text.to_owned(),
    }
}
