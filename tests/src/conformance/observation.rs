//! What is left after an operation (logs, directories, artifacts), in the terms of vectors.

use super::world::Stored;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Category of the artifact that holds the logs of a run.
const DEBUG_LOGS: &str = "debusine:work-request-debug-logs";

/// The log files of a directory.
pub fn logs(directory: &Path) -> io::Result<Value> {
    let mut logs = Map::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let log = log(&name, &std::fs::read(entry.path())?);
        logs.insert(name, log);
    }
    Ok(Value::Object(logs))
}

/// One log file: the whole text where its format is fixed, else how much there is of it.
fn log(name: &str, content: &[u8]) -> Value {
    let text = String::from_utf8_lossy(content);
    if name == "stages.log" {
        let message = |line: &str| {
            line.split_once(' ')
                .map_or("", |(_, message)| message)
                .to_owned()
        };
        let messages: Vec<String> = text.lines().map(message).collect();
        return json!({"stages": messages});
    }
    if ["cmd-output.log", "install.log"].contains(&name) || name.ends_with(".sources") {
        return json!({"text": text});
    }
    let exceptions: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("Exception type: "))
        .collect();
    if exceptions.is_empty() {
        json!({"lines": text.lines().count()})
    } else {
        json!({"exceptions": exceptions})
    }
}

/// Everything beneath a directory. `recorded` tells which files were looked into.
pub fn tree(directory: &Path, recorded: &Value) -> io::Result<Value> {
    let mut tree = Map::new();
    add_entries(directory, "", recorded, &mut tree)?;
    Ok(Value::Object(tree))
}

fn add_entries(
    directory: &Path,
    prefix: &str,
    recorded: &Value,
    tree: &mut Map<String, Value>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            tree.insert(name.clone(), json!({"dir": true}));
            add_entries(&entry.path(), &format!("{name}/"), recorded, tree)?;
        } else {
            let described = file(&entry.path(), &name, &recorded[&name])?;
            tree.insert(name, described);
        }
    }
    Ok(())
}

fn file(path: &Path, name: &str, recorded: &Value) -> io::Result<Value> {
    let Ok(found) = path.metadata() else {
        return Ok(json!({"dangling": true}));
    };
    let is_text = [
        ".sources",
        ".asc",
        ".gpg",
        "_debusine",
        "customization_script",
    ]
    .iter()
    .any(|ending| name.ends_with(ending));
    if recorded.get("script").is_some() {
        return Ok(json!({"script": true}));
    }
    if recorded.get("tar").is_some() {
        return Ok(json!({"tar": archive(path)?}));
    }
    if is_text {
        // Recorded in text mode: every kind of line end is a newline.
        let text = String::from_utf8_lossy(&std::fs::read(path)?)
            .replace("\r\n", "\n")
            .replace('\r', "\n");
        let mode = format!("{:o}", found.permissions().mode() & 0o7777);
        return Ok(json!({"text": text, "mode": mode}));
    }
    Ok(json!({"size": found.len()}))
}

/// The members of a tar.gz: name, type flag, permission bits, size.
fn archive(path: &Path) -> io::Result<Value> {
    let file = std::fs::File::open(path)?;
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(file));
    let mut members = Vec::new();
    for entry in archive.entries()? {
        let entry = entry?;
        let header = entry.header();
        let kind = char::from(header.entry_type().as_byte()).to_string();
        let mode = format!("{:o}", header.mode()? & 0o7777);
        // Recorded by a library that takes the slash off directories.
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        members.push(json!([
            path.trim_end_matches('/'),
            kind,
            mode,
            entry.size()
        ]));
    }
    Ok(Value::Array(members))
}

/// Uploaded artifacts. `recorded` tells which files were looked into.
pub fn artifacts(stored: &[Stored], recorded: &Value, volatile: bool) -> Value {
    let artifacts = stored.iter().enumerate().map(|(index, artifact)| {
        let recorded = &recorded[index];
        let mut described = json!({
            "id": artifact.id,
            "category": artifact.category,
            "data": if volatile { names_only(&artifact.data) } else { artifact.data.clone() },
            "files": files(artifact, &recorded["files"]),
            "work_request": artifact.work_request,
        });
        if let Some(workspace) = &artifact.workspace {
            described["workspace"] = json!(workspace);
        }
        described
    });
    artifacts.collect()
}

fn files(artifact: &Stored, recorded: &Value) -> Value {
    let described = artifact.files.iter().map(|(path, content)| {
        let recorded = &recorded[path];
        let described = if recorded.get("volatile").is_some() {
            json!({"volatile": true})
        } else if artifact.category == DEBUG_LOGS {
            log(path, content)
        } else if recorded.get("json").is_some() {
            let parsed: Value = serde_json::from_slice(content).unwrap_or_default();
            json!({"json": parsed})
        } else {
            stored_file(content, recorded.get("text").is_some())
        };
        (path.clone(), described)
    });
    described.collect()
}

fn stored_file(content: &[u8], with_text: bool) -> Value {
    let sha256 = hex::encode(Sha256::digest(content));
    let mut described = json!({"size": content.len(), "sha256": sha256});
    if with_text {
        described["text"] = json!(String::from_utf8_lossy(content));
    }
    described
}

/// Lists of files in the fields of a `.changes` or `.dsc`, reduced to names.
fn names_only(data: &Value) -> Value {
    match data {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                let is_list = key == "Files" || key.starts_with("Checksums-");
                let value = match value {
                    Value::Array(entries) if is_list => {
                        entries.iter().map(|entry| entry["name"].clone()).collect()
                    }
                    value => names_only(value),
                };
                (key.clone(), value)
            })
            .collect(),
        Value::Array(values) => values.iter().map(names_only).collect(),
        scalar => scalar.clone(),
    }
}
