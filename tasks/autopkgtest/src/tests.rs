use super::*;
use task_sdk::testing::{Ended, Report, World};

const DSC: &str = "Format: 3.0 (native)\nSource: hello\nVersion: 1.0-1\n";

fn data(changes: Value) -> Value {
    let mut data = json!({
        "input": {"source_artifact": 5, "binary_artifacts": [6]},
        "host_architecture": "amd64",
        "environment": "debian/match:codename=trixie",
    });
    for (key, change) in changes.as_object().unwrap() {
        data[key] = change.clone();
    }
    data
}

fn world(dsc: &str) -> World {
    let image = json!({"codename": "trixie", "vendor": "debian"});
    World::new()
        .artifact(42, "debian:system-tarball", image, &[])
        .artifact(
            5,
            "debian:source-package",
            json!({"name": "hello"}),
            &[("hello_1.0-1.dsc", dsc.as_bytes())],
        )
        .artifact(
            6,
            "debian:binary-packages",
            json!({}),
            &[("b.deb", b"x"), ("a.deb", b"x"), ("u.udeb", b"x")],
        )
}

/// A run in which autopkgtest ends with this status and leaves these files.
fn run(changes: Value, status: i32, files: &[(&str, &str)]) -> Report {
    let files = files.iter();
    let ended = Ended {
        status,
        files: files
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect(),
        ..Ended::default()
    };
    let dynamic_data = json!({
        "environment_id": 42, "input_source_artifact_id": 5, "input_binary_artifacts_ids": [6],
    });
    world(DSC)
        .command("autopkgtest", ended)
        .run::<Autopkgtest>(data(changes), dynamic_data)
}

#[test]
fn a_run_tests_the_packages_and_uploads_what_it_left() {
    let report = run(
        json!({}),
        0,
        &[
            ("artifact-dir/summary", "t PASS\n"),
            ("artifact-dir/log", "l"),
            ("artifact-dir/binaries/x.deb", "x"),
            ("artifact-dir/binaries-not/q", "q"),
            ("other.txt", "o"),
        ],
    );
    assert_eq!(report.result, Ok(true));
    let [command] = report.commands.as_slice() else {
        panic!("one command expected: {:?}", report.commands);
    };
    assert!(!command.in_instance && !command.as_root);
    let end = command
        .arguments
        .iter()
        .position(|argument| argument == "--")
        .unwrap();
    let names: Vec<&str> = command.arguments[end - 3..end]
        .iter()
        .map(|path| path.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["a.deb", "b.deb", "hello_1.0-1.dsc"]);
    assert_eq!(command.arguments[end + 1], "unshare");

    let [results] = report.uploads.as_slice() else {
        panic!("one artifact expected: {:?}", report.uploads);
    };
    assert_eq!(results.category, "debian:autopkgtest");
    assert_eq!(results.data["results"]["t"]["status"], "PASS");
    assert_eq!(results.data["distribution"], "debian:trixie");
    assert_eq!(
        results.data["source_package"],
        json!({"name": "hello", "version": "1.0-1", "url": "artifact://local/5/hello_1.0-1.dsc"})
    );
    let mut paths: Vec<&str> = results
        .files
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["binaries-not/q", "log", "summary"]);
    assert!(report.relations.is_empty());
}

#[test]
fn failed_tests_are_uploaded_too() {
    let files = [("artifact-dir/summary", "t FAIL x\n")];
    let report = run(json!({}), 4, &files);
    assert_eq!((report.result, report.uploads.len()), (Ok(false), 1));
    let tolerant = run(json!({"fail_on": {"failed_test": false}}), 4, &files);
    assert_eq!((tolerant.result, tolerant.uploads.len()), (Ok(true), 1));
}

#[test]
fn a_run_without_a_summary_is_a_failure() {
    let report = run(json!({}), 0, &[("artifact-dir/log", "l")]);
    assert_eq!(report.result.unwrap_err().kind, "not-found");
    assert!(report.uploads.is_empty());
}

#[test]
fn a_summary_that_never_ends_is_a_failure_and_so_is_one_that_stops_half_way() {
    let endless = "t PASS x\n".repeat((16 << 20) / 9 + 1);
    let report = run(json!({}), 0, &[("artifact-dir/summary", &endless)]);
    assert_eq!(report.result.unwrap_err().kind, "too-large");
    assert!(report.uploads.is_empty());
    let report = run(json!({}), 0, &[("artifact-dir/summary", "t PASS\nu PA")]);
    assert!(report.result.unwrap_err().message.contains("PA"));
}

#[test]
fn a_file_with_a_name_that_nothing_can_hold_does_not_cost_the_results() {
    let files = [
        ("artifact-dir/summary", "t PASS\n"),
        ("artifact-dir/two\nlines", "x"),
    ];
    let report = run(json!({}), 0, &files);
    assert_eq!(report.result, Ok(true));
    assert_eq!(report.uploads[0].files.len(), 1);
    assert!(report.logs["left-out-files.log"].contains(r"two\nlines"));
}

#[test]
fn options_keep_the_order_that_autopkgtest_reads_them_in() {
    let report = run(
        json!({
            "include_tests": ["a"], "exclude_tests": ["b", "c"], "debug_level": 2,
            "use_packages_from_base_repository": true, "extra_environment": {"B": "1", "A": "x y"},
            "needs_internet": "try", "timeout": {"copy": 4, "global": 0},
            "extra_repositories": [
                {"url": "http://e.org/d", "suite": "s", "components": ["main"], "signing_key": "k"},
            ],
        }),
        0,
        &[("artifact-dir/summary", "t PASS\n")],
    );
    let arguments = &report.commands[0].arguments;
    assert_eq!(
        arguments[1..10],
        [
            "--apt-upgrade",
            "--output-dir=artifact-dir",
            "--summary=artifact-dir/summary",
            "--no-built-binaries",
            "--test-name=a",
            "--skip-test=b",
            "--skip-test=c",
            "-dd",
            &arguments[9],
        ]
    );
    assert!(arguments[9].ends_with(":/etc/apt/sources.list.d/extra_repository_0.sources"));
    assert_eq!(
        arguments[10..17],
        [
            "--apt-default-release=trixie",
            "--env=B=1",
            "--env=A=x y",
            "--needs-internet=try",
            "--timeout-global=0",
            "--timeout-copy=4",
            "--copy=/etc/resolv.conf:/etc/resolv.conf",
        ]
    );
}

#[test]
fn what_is_no_dsc_is_said_and_not_tested() {
    let dynamic_data = json!({
        "environment_id": 42, "input_source_artifact_id": 5, "input_binary_artifacts_ids": [],
    });
    for dsc in ["bad\n", "Source: hello\n"] {
        let report = world(dsc).run::<Autopkgtest>(data(json!({})), dynamic_data.clone());
        assert_eq!(report.result, Ok(false));
        assert_eq!(
            report.logs["configure_for_execution.log"].lines().count(),
            1
        );
        assert!(report.commands.is_empty());
    }
}

#[test]
fn dynamic_data_name_what_the_look_ups_found() {
    let environment =
        "debian/match:codename=trixie:architecture=amd64:format=tarball:backend=unshare";
    let computed = world(DSC)
        .lookup(json!(environment), &[42])
        .lookup(json!([6]), &[6])
        .compute_dynamic_data::<Autopkgtest>(data(json!({})))
        .unwrap();
    assert_eq!(computed["subject"], "hello");
    assert_eq!(computed["runtime_context"], "amd64:unshare");
    assert_eq!(computed["configuration_context"], "trixie");
    assert_eq!(computed["input_binary_artifacts_ids"], json!([6]));
    assert_eq!(computed["input_context_artifacts_ids"], json!([]));
}
