//! What becomes of a source package, from its artifact to the upload.

use super::*;
use std::fs;
use std::path::Path;
use std::process::Command as Program;
use task_sdk::paths;
use task_sdk::testing::{Ended, Report, World, configured};

const DSC: &[u8] = b"Source: hello\nVersion: 1.0\n";

fn data() -> Value {
    json!({
        "input": {"source_artifact": 5},
        "environment": "debian/match:codename=trixie",
        "since_version": "0.9",
    })
}

fn dynamic_data() -> Value {
    json!({"environment_id": 42, "input_source_artifact_id": 5})
}

fn world(files: &[(&str, &[u8])]) -> World {
    let environment = "debian/match:codename=trixie:format=tarball:backend=unshare";
    let source = json!({"name": "hello"});
    World::new()
        .artifact(5, "debian:source-package", source, files)
        .artifact(42, "debian:system-tarball", json!({}), &[])
        .lookup(json!(environment), &[42])
}

/// The `.changes` file of an upload of sources with this file besides the `.dsc`.
fn changes(file: &str) -> String {
    format!(
        "Source: hello\nArchitecture: source\nVersion: 1.0\n\
         Checksums-Sha256:\n 0 27 hello_1.0.dsc\n 0 1 {file}\n\
         Files:\n 0 27 misc optional hello_1.0.dsc\n 0 1 misc optional {file}\n"
    )
}

/// A run whose script ends with this status and leaves this `.changes` file.
fn run(status: i32, changes: Option<&str>) -> Report {
    let path = "../download/hello_1.0_source.changes".to_owned();
    let written = Ended {
        status,
        files: changes
            .map(|text| (path, text.into()))
            .into_iter()
            .collect(),
        ..Ended::default()
    };
    world(&[("hello_1.0.dsc", DSC), ("hello_1.0.tar.xz", b"x")])
        .command(SCRIPT, written)
        .run::<MakeSourcePackageUpload>(data(), dynamic_data())
}

#[test]
fn what_was_written_is_uploaded_even_if_the_command_failed_in_the_end() {
    for (status, result) in [(0, true), (1, false)] {
        let report = run(status, Some(&changes("hello_1.0.tar.xz")));
        assert_eq!(report.result, Ok(result));
        let [upload] = report.uploads.as_slice() else {
            panic!("one artifact expected: {:?}", report.uploads);
        };
        assert_eq!(upload.category, "debian:upload");
        let names: Vec<&str> = upload.files.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "hello_1.0_source.changes",
            "hello_1.0.dsc",
            "hello_1.0.tar.xz",
        ];
        assert_eq!(names, expected);
        let expected = [
            (1001, 5, RelationType::Extends),
            (1001, 5, RelationType::RelatesTo),
        ];
        assert_eq!(report.relations, expected);
    }
}

#[test]
fn the_script_runs_in_the_instance_beside_its_inputs() {
    let report = run(0, Some(&changes("hello_1.0.tar.xz")));
    let [command] = report.commands.as_slice() else {
        panic!("one command expected: {:?}", report.commands);
    };
    assert!(command.in_instance && !command.as_root);
    let [shell, trace, stop, paths @ .., since, distribution] = command.arguments.as_slice() else {
        panic!("{:?}", command.arguments);
    };
    assert_eq!(
        [shell, trace, stop, since, distribution],
        ["bash", "-x", "-e", "0.9", ""]
    );
    let names: Vec<&str> = paths.iter().map(|path| paths::file_name(path)).collect();
    assert_eq!(names, [SCRIPT, "hello_1.0.dsc", "hello_1.0_source.changes"]);
}

#[test]
fn a_changes_file_names_no_files_outside_its_directory() {
    for file in [
        "../x",
        "/etc/passwd",
        "a/../../b",
        "sub/file",
        ".",
        "..",
        "missing",
        "hello_1.0.dsc",
    ] {
        let report = run(0, Some(&changes(file)));
        assert!(report.result.is_err(), "{file}");
        assert!(report.uploads.is_empty() && report.relations.is_empty());
    }
}

#[test]
fn without_a_changes_file_there_is_no_upload() {
    let long = "x".repeat(17 << 20);
    for changes in [None, Some(""), Some("junk\n"), Some(&long)] {
        let report = run(0, changes);
        assert!(report.result.is_err());
        assert!(report.uploads.is_empty());
    }
}

#[test]
fn a_source_package_has_one_dsc_file() {
    for files in [&[][..], &[("a.dsc", DSC), ("b.dsc", DSC)]] {
        let report = world(files).run::<MakeSourcePackageUpload>(data(), dynamic_data());
        assert!(report.result.is_err());
        assert!(report.commands.is_empty());
    }
}

#[test]
fn an_input_of_another_category_ends_the_task_with_a_word_in_the_log() {
    let world = world(&[]).artifact(5, "debian:upload", json!({}), &[]);
    let report = world.run::<MakeSourcePackageUpload>(data(), dynamic_data());
    assert_eq!(report.result, Ok(false));
    let log = &report.logs["fetch_input.log"];
    assert!(log.starts_with("input.source_artifact: "), "{log}");
    assert!(report.commands.is_empty());
}

#[test]
fn a_scheduler_learns_which_package_it_is() {
    let computed = world(&[])
        .compute_dynamic_data::<MakeSourcePackageUpload>(data())
        .unwrap();
    assert_eq!(computed["subject"], "hello");
    assert_eq!(computed["environment_id"], 42);
    assert_eq!(computed["input_source_artifact_id"], 5);
    let task: MakeSourcePackageUpload = configured(&data(), Some(&computed)).unwrap();
    assert_eq!(task.label(), "prepare source package upload");
    assert_eq!(task.source_artifacts_ids(), None);
}

/// Runs the script with stand-ins for the tools of dpkg-dev: the second writes its arguments and ends with `status`.
fn run_script(directory: &Path, status: i32, since: &str, distribution: &str) -> bool {
    let tools = directory.join("bin");
    fs::create_dir(&tools).unwrap();
    let genchanges = format!("printf '<%s>' \"$@\"; exit {status}");
    for (name, body) in [
        ("dpkg-source", "mkdir \"$3\""),
        ("dpkg-genchanges", genchanges.as_str()),
    ] {
        let tool = tools.join(name);
        fs::write(&tool, format!("#!/bin/sh\n{body}\n")).unwrap();
        let mode = Program::new("chmod").arg("755").arg(&tool).status();
        assert!(mode.unwrap().success());
    }
    let script = directory.join(SCRIPT);
    fs::write(&script, include_str!("makesourcepackageupload.sh")).unwrap();
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let inputs = directory.join("in put");
    fs::create_dir(&inputs).unwrap();
    let mut bash = Program::new("bash");
    bash.args(["-x", "-e"])
        .arg(script)
        .arg(inputs.join("a.dsc"))
        .arg(inputs.join("a.changes"))
        .args([since, distribution])
        .current_dir("/")
        .env("PATH", path);
    bash.output().unwrap().status.success()
}

#[test]
fn nothing_in_the_data_is_shell_code() {
    let directory = tempfile::tempdir().unwrap();
    let (since, distribution) = ("1.0; touch x", "$(touch y) *");
    assert!(run_script(directory.path(), 0, since, distribution));
    let inputs = directory.path().join("in put");
    let written = fs::read_to_string(inputs.join("a.changes")).unwrap();
    let expected = "<-S><-sa><-v1.0; touch x><-DDistribution=$(touch y) *>";
    assert_eq!(written, expected);
    assert!(!inputs.join("package/x").exists() && !inputs.join("package/y").exists());
}

#[test]
fn empty_arguments_are_left_to_dpkg() {
    let directory = tempfile::tempdir().unwrap();
    assert!(run_script(directory.path(), 0, "", ""));
    let written = directory.path().join("in put/a.changes");
    assert_eq!(fs::read_to_string(written).unwrap(), "<-S><-sa>");
}

#[test]
fn a_half_written_changes_file_is_not_taken_for_one() {
    let directory = tempfile::tempdir().unwrap();
    assert!(!run_script(directory.path(), 1, "", ""));
    assert!(!directory.path().join("in put/a.changes").exists());
}
