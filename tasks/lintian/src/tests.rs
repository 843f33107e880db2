//! What a check does, from its inputs to its uploads.

use super::*;
use task_sdk::testing::{Ended, Report, World, configured};

const DSC: &[u8] = b"Source: hello\nVersion: 1.0\n";
const HELLO: &[u8] = include_bytes!("tests/hello_1.0_amd64.deb");
const DOC: &[u8] = include_bytes!("tests/hello-doc_1.0_all.deb");

/// A tag of each package, and one of a package that is not among the inputs.
const TAGS: &str = "\
E: hello source: bad-rule [debian/rules:10]
W: hello-doc: no-index
I: hello: spelling b [usr/bin/hello]
I: hello: spelling a [usr/bin/hello]
O: hello: no-manual-page
N:
N:   There is no manual page.
W: elsewhere: no-index
";

fn data() -> Value {
    json!({
        "input": {"source_artifact": 5, "binary_artifacts": [6]},
        "environment": "debian/match:codename=trixie",
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut data = data();
    data[key] = value;
    data
}

fn dynamic_data() -> Value {
    json!({
        "environment_id": 42,
        "input_source_artifact_id": 5,
        "input_binary_artifacts_ids": [6],
        "subject": "hello",
    })
}

fn world() -> World {
    let environment = "debian/match:codename=trixie:format=tarball:backend=unshare";
    World::new()
        .artifact(
            5,
            "debian:source-package",
            json!({"name": "hello"}),
            &[("hello_1.0.dsc", DSC), ("hello_1.0.tar.xz", b"tar")],
        )
        .artifact(
            6,
            "debian:upload",
            json!({"changes_fields": {"Source": "hello-upload"}}),
            &[
                ("hello_1.0_amd64.deb", HELLO),
                ("hello-doc_1.0_all.deb", DOC),
            ],
        )
        .artifact(
            42,
            "debian:system-tarball",
            json!({"codename": "trixie"}),
            &[],
        )
        .lookup(json!([6]), &[6])
        .lookup(json!(environment), &[42])
}

fn ended(status: i32, stdout: &str) -> Ended {
    Ended {
        status,
        stdout: stdout.to_owned(),
        ..Ended::default()
    }
}

/// A check in a world where lintian says this, and ends with this status.
fn run(world: World, data: Value, status: i32, output: &str) -> Report {
    world
        .command("--print-version", ended(0, " 2.116.3\n"))
        .command("lintian --no-cfg", ended(status, output))
        .run::<Lintian>(data, dynamic_data())
}

/// The uploaded analyses.
fn analyses(report: &Report) -> Vec<Value> {
    let of_upload = |upload: &task_sdk::testing::UploadedArtifact| {
        assert_eq!(upload.category, "debian:lintian");
        let [(name, analysis), (output, _)] = upload.files.as_slice() else {
            panic!("two files expected: {:?}", upload.files);
        };
        assert_eq!([name, output], ["analysis.json", OUTPUT]);
        let analysis: Value = serde_json::from_slice(analysis).unwrap();
        assert_eq!(analysis["summary"], upload.data["summary"]);
        analysis
    };
    report.uploads.iter().map(of_upload).collect()
}

#[test]
fn each_kind_of_packages_gets_an_analysis_of_its_own() {
    let report = run(world(), data(), 2, TAGS);
    assert_eq!(report.result, Ok(true));
    let analyses = analyses(&report);
    let names = |analysis: &Value| {
        let tags = analysis["tags"].as_array().unwrap();
        let name = |tag: &Value| {
            let text = |key: &str| tag[key].as_str().unwrap().to_owned();
            [text("package"), text("tag"), text("note")].join(" ")
        };
        tags.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&analyses[0]), ["hello bad-rule "]);
    assert_eq!(names(&analyses[1]), ["hello-doc no-index "]);
    let sorted = [
        "hello spelling a",
        "hello spelling b",
        "hello no-manual-page ",
    ];
    assert_eq!(names(&analyses[2]), sorted);
    assert_eq!(
        analyses[2]["summary"],
        json!({
            "tags_count_by_severity": {
                "error": 0, "warning": 0, "info": 2, "pedantic": 0, "experimental": 0,
                "overridden": 1, "classification": 0,
            },
            "package_filename": {"hello": "hello_1.0_amd64.deb"},
            "tags_found": ["spelling"],
            "overridden_tags_found": ["no-manual-page"],
            "lintian_version": "2.116.3",
            "distribution": "debian:unstable",
        })
    );
    let inputs = report.relations.iter().map(|(_, to, _)| *to);
    assert_eq!(inputs.collect::<Vec<_>>(), [5, 6, 5, 6, 5, 6]);
}

#[test]
fn only_the_analyses_that_were_asked_for_are_made() {
    let output = json!({"source_analysis": false, "binary_all_analysis": false});
    let report = run(world(), with("output", output), 0, TAGS);
    assert_eq!(analyses(&report).len(), 1);
    let version = ["lintian", "--print-version"];
    let asked = report.commands.iter();
    assert_eq!(asked.filter(|ran| ran.arguments == version).count(), 1);
}

#[test]
fn a_tag_as_bad_as_the_threshold_fails_the_task_and_what_lintian_found_is_uploaded() {
    let fail_on = |severity: &str, output: &str| {
        let report = run(
            world(),
            with("fail_on_severity", json!(severity)),
            2,
            output,
        );
        assert_eq!(report.uploads.len(), 3);
        report.result
    };
    assert_eq!(fail_on("warning", "W: hello: t\n"), Ok(false));
    assert_eq!(fail_on("warning", "I: hello: t\n"), Ok(true));
    assert_eq!(fail_on("overridden", "O: elsewhere: t\n"), Ok(false));
    assert_eq!(
        fail_on("overridden", "C: hello: t\nM: hello: t\n"),
        Ok(true)
    );
    assert_eq!(fail_on("none", "E: hello: t\n"), Ok(true));
}

#[test]
fn a_lintian_that_broke_off_is_believed_as_far_as_it_can_be_read() {
    let cut = &TAGS[..TAGS.find("ling b").unwrap()];
    let report = run(world(), data(), 255, cut);
    assert_eq!(report.result, Ok(true));
    let analyses = analyses(&report);
    assert_eq!(analyses[2]["summary"]["tags_found"], json!(["spel"]));
    let unreadable = run(world(), data(), 255, &format!("{cut}\nCannot fork\n"));
    assert_eq!(unreadable.result.unwrap_err().kind, "invalid-data");
    assert!(unreadable.uploads.is_empty());
}

#[test]
fn a_task_may_ask_for_no_analysis_at_all() {
    let data = with(
        "output",
        json!({"source_analysis": false, "binary_all_analysis": false, "binary_any_analysis": false}),
    );
    let task: Lintian = configured(&data, None).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(task.kinds().count(), 0);
    assert_eq!(task.runtime_context("sid"), ":sid");
}

#[test]
fn lintian_checks_source_packages_first_and_is_told_which_tags_matter() {
    let mut data = with("include_tags", json!(["a", "b"]));
    data["exclude_tags"] = json!(["c"]);
    data["target_distribution"] = json!("jessie");
    let report = run(world(), data, 0, "");
    let lines = report.commands.iter().map(|ran| &ran.arguments);
    let line = lines
        .clone()
        .find(|line| line.contains(&"--no-cfg".to_owned()));
    let line = line.unwrap();
    let expected = [
        "lintian",
        "--no-cfg",
        "--display-level",
        ">=pedantic",
        "--display-experimental",
        "--info",
        "--show-overrides",
        "--tags=a,b",
        "--suppress-tags=c",
    ];
    assert_eq!(line[..expected.len()], expected);
    let targets = line[expected.len()..].iter();
    let names: Vec<_> = targets.filter_map(|path| path.rsplit('/').next()).collect();
    let files = [
        "hello_1.0.dsc",
        "hello-doc_1.0_all.deb",
        "hello_1.0_amd64.deb",
    ];
    assert_eq!(names, files);
}

#[test]
fn a_damaged_package_ends_the_task_before_lintian_runs() {
    for content in [&HELLO[..100], &b"!<arch>\n"[..], b""] {
        let world = world().artifact(6, "debian:upload", json!({}), &[("bad.deb", content)]);
        let report = run(world, data(), 0, "");
        let failure = report.result.unwrap_err();
        assert!(failure.message.contains("bad.deb"), "{failure:?}");
        assert_eq!(report.commands.len(), 2);
    }
}

#[test]
fn a_file_that_only_looks_like_a_dsc_is_logged_and_passed_over() {
    let long = vec![b'\n'; (16 << 20) + 1];
    let files = [
        ("README", &b"read me"[..]),
        ("two\nlines.dsc", b"x"),
        ("hello_1.0_amd64.deb", HELLO),
        ("long", &long),
    ];
    let world = world().artifact(6, "debian:upload", json!({}), &files);
    let report = run(world, data(), 0, TAGS);
    assert_eq!(report.result, Ok(true));
    assert_eq!(
        report.logs["configure_for_execution.log"].lines().count(),
        3
    );
}

#[test]
fn without_a_package_there_is_nothing_to_check() {
    let world = world()
        .artifact(
            5,
            "debian:source-package",
            json!({}),
            &[("hello.tar.xz", b"")],
        )
        .artifact(6, "debian:upload", json!({}), &[]);
    let report = run(world, data(), 0, "");
    assert_eq!(report.result, Ok(false));
    assert!(report.logs["configure_for_execution.log"].starts_with("there is no .dsc"));
}

#[test]
fn the_scheduler_learns_what_is_checked_and_where() {
    let computed = world().compute_dynamic_data::<Lintian>(data()).unwrap();
    assert_eq!(computed["subject"], "hello");
    assert_eq!(
        computed["runtime_context"],
        "binary-all+binary-any+source:trixie"
    );
    assert_eq!(computed["input_binary_artifacts_ids"], json!([6]));
    let only_binaries = json!({"input": {"binary_artifacts": [6]}});
    let computed = world()
        .compute_dynamic_data::<Lintian>(only_binaries)
        .unwrap();
    assert_eq!(computed["subject"], "hello-upload");
    assert_eq!(computed["runtime_context"], Value::Null);
    let unnamed = json!({"changes_fields": {}});
    let error = world()
        .artifact(6, "debian:upload", unnamed, &[])
        .compute_dynamic_data::<Lintian>(json!({"input": {"binary_artifacts": [6]}}))
        .unwrap_err();
    assert!(matches!(error, DynamicDataError::Internal(_)), "{error:?}");
}
