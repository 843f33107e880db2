//! lintian's output: its tags as they are read, and the analyses that are made of them.

use super::parsers::{environment, ready};
use super::{Output, Trouble, exception};
use crate::conformance::suite::Suite;
use crate::conformance::vector::Vector;
use crate::conformance::world::tree;
use base64::Engine as _;
use lintian::output::Tags;
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::Path;

/// All tags of an output, in its order. A component shows them in the order of an analysis only, and not those of packages that are
/// not among its inputs: so this asks the task's own reader, compiled for this machine.
pub fn parse(input: &Value, files: &Path) -> Output {
    let output = tree::bytes(&input["text"], files)?;
    let tags: Result<Vec<_>, _> = Tags::new(&*output).collect();
    Ok(match tags {
        Ok(tags) => json!({"tags": tags}),
        Err(error) => exception(error),
    })
}

/// The analyses of an output: the packages are among the inputs, the output is where lintian would have left it.
pub async fn analysis(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let input = &vector.input;
    let inputs = json!({"category": "debian:upload", "data": {}, "files": packages(input)?});
    let version = input["lintian_version"].as_str().unwrap_or_default();
    let staged = json!({
        "task_data": input["task_data"],
        "dynamic_task_data": {"environment_id": 42, "input_binary_artifacts_ids": [5]},
        "server": {"artifacts": {"42": environment(), "5": inputs}},
        "script": [{"match": "--print-version", "stdout": format!("{version}\n")}],
        "execute_files": {"lintian.txt": input["text"]},
    });
    let mut session = ready(suite, files, vector, &staged).await?;
    session
        .world
        .write_tree(session.execute(), "execute_files")?;
    let uploaded = session.instance.upload_artifacts(&session.workspace, true);
    if let Err(failure) = uploaded.await? {
        return Ok(exception(failure.message));
    }
    let kinds = analysed_kinds(&session.instance.data().await?["output"]);
    let artifacts = session.world.artifacts();
    if artifacts.len() != kinds.len() {
        let count = artifacts.len();
        return Err(Trouble::Broken(format!("{count} artifacts for {kinds:?}")));
    }
    let mut analyses = Vec::new();
    for (kind, artifact) in kinds.iter().zip(&artifacts) {
        let mut files = artifact.files.iter();
        let file = files.find(|(path, _)| path == "analysis.json");
        let (_, content) =
            file.ok_or_else(|| Trouble::Broken("an artifact without analysis".to_owned()))?;
        let analysis: Value = serde_json::from_slice(content).map_err(io::Error::from)?;
        analyses.push(json!([kind, analysis]));
    }
    Ok(json!({"analyses": analyses}))
}

/// The kinds of packages that the data ask to analyse, in the order in which their analyses are uploaded.
fn analysed_kinds(output: &Value) -> Vec<&'static str> {
    let kinds = [
        ("source_analysis", "SOURCE"),
        ("binary_all_analysis", "BINARY_ALL"),
        ("binary_any_analysis", "BINARY_ANY"),
    ];
    let asked_for = kinds.into_iter().filter(|(key, _)| output[key] == true);
    asked_for.map(|(_, kind)| kind).collect()
}

/// Files with the names of the vector in which the task finds packages with the names and of the kinds of the vector.
fn packages(input: &Value) -> Result<Map<String, Value>, Trouble> {
    let mut files = Map::new();
    for (name, described) in input["packages"].as_object().into_iter().flatten() {
        let (Some(file), Some(kind)) = (described[0].as_str(), described[1].as_str()) else {
            return Err(Trouble::Broken(format!("package {name}: {described}")));
        };
        let content = match (kind, name.strip_suffix(" source")) {
            ("SOURCE", Some(source)) => json!(format!("Source: {source}\nVersion: 1\n")),
            ("BINARY_ALL", _) => json!({"b64": deb(name, "all")?}),
            ("BINARY_ANY", _) => json!({"b64": deb(name, "amd64")?}),
            _ => return Err(Trouble::Skipped(format!("no {kind} is called {name}"))),
        };
        files.insert(file.to_owned(), content);
    }
    Ok(files)
}

/// A binary package with nothing but a control file, in Base64.
fn deb(package: &str, architecture: &str) -> io::Result<String> {
    let control = format!("Package: {package}\nVersion: 1\nArchitecture: {architecture}\n");
    let mut header = tar::Header::new_ustar();
    header.set_size(control.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "./control", control.as_bytes())?;
    let control = archive.into_inner()?;
    let data = tar::Builder::new(Vec::new()).into_inner()?;
    let mut deb = b"!<arch>\n".to_vec();
    for (member, content) in [
        ("debian-binary", &b"2.0\n"[..]),
        ("control.tar", &control),
        ("data.tar", &data),
    ] {
        let length = content.len();
        writeln!(
            deb,
            "{member:<16}0           0     0     100644  {length:<10}`"
        )?;
        deb.extend_from_slice(content);
    }
    Ok(base64::engine::general_purpose::STANDARD.encode(deb))
}
