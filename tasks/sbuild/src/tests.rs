//! What a build does, from its inputs to its uploads.

use super::*;
use task_sdk::testing::{Ended, World, configured};

const DSC: &[u8] = b"Source: hello\nVersion: 1.0\n";
const DEB: &[u8] = include_bytes!("tests/hello_1.0_amd64.deb");
const CHANGES: &str = "Source: hello
Architecture: amd64
Version: 1.0
Checksums-Sha1:
 db2ba2e248a6239cabe5f4b7a11051fa3b17375a 968 hello_1.0_amd64.deb
Checksums-Sha256:
 1a9d2a9cc8057543165477d63485d453d2025ce58c408d13a169edb1bc580eb3 968 hello_1.0_amd64.deb
Files:
 b35070dc86a82e9a79f39787df924643 968 misc optional hello_1.0_amd64.deb
";

fn data() -> Value {
    json!({
        "input": {"source_artifact": 5, "extra_binary_artifacts": [6]},
        "environment": "debian/match:codename=trixie",
        "host_architecture": "amd64",
    })
}

fn dynamic_data() -> Value {
    json!({
        "environment_id": 42,
        "input_source_artifact_id": 5,
        "input_extra_binary_artifacts_ids": [6],
        "subject": "hello",
    })
}

fn world() -> World {
    let environment =
        "debian/match:codename=trixie:architecture=amd64:format=tarball:backend=unshare";
    World::new()
        .artifact(
            5,
            "debian:source-package",
            json!({"name": "hello"}),
            &[("hello_1.0.dsc", DSC)],
        )
        .artifact(
            6,
            "debian:binary-packages",
            json!({}),
            &[("extra.deb", b""), ("u.udeb", b"")],
        )
        .artifact(
            42,
            "debian:system-tarball",
            json!({"codename": "trixie"}),
            &[],
        )
        .lookup(json!([6]), &[6])
        .lookup(json!(environment), &[42])
        .setting("DEBUSINE_FQDN", "example.org")
}

/// An sbuild that leaves these files.
fn sbuild(status: i32, files: &[(&str, &[u8])]) -> Ended {
    let files = files
        .iter()
        .map(|(name, content)| ((*name).to_owned(), content.to_vec()));
    Ended {
        status,
        files: files.collect(),
        ..Ended::default()
    }
}

#[test]
fn a_build_leaves_its_log_its_packages_and_an_upload_to_be_signed() {
    let built = sbuild(
        0,
        &[
            ("hello_1.0_amd64.build", b"Status: successful\n"),
            ("hello_1.0_amd64.deb", DEB),
            ("hello_1.0_amd64.changes", CHANGES.as_bytes()),
        ],
    );
    let report = world()
        .command("sbuild", built)
        .run::<Sbuild>(data(), dynamic_data());
    assert_eq!(report.result, Ok(true));

    let [command] = report.commands.as_slice() else {
        panic!("one command expected: {:?}", report.commands);
    };
    assert!(!command.in_instance && !command.as_root);
    let extra: Vec<&String> = command
        .arguments
        .iter()
        .filter(|word| word.starts_with("--extra-package="))
        .collect();
    assert!(
        extra.len() == 1 && extra[0].ends_with("/extra.deb"),
        "{extra:?}"
    );

    let uploaded: Vec<(i64, &str)> = report
        .uploads
        .iter()
        .map(|upload| (upload.id, upload.category.as_str()))
        .collect();
    let (log, package, packages, upload, signing_input) = (1001, 1002, 1003, 1004, 1005);
    let expected = [
        (log, "debian:package-build-log"),
        (package, "debian:binary-package"),
        (packages, "debian:binary-packages"),
        (upload, "debian:upload"),
        (signing_input, "debusine:signing-input"),
    ];
    assert_eq!(uploaded, expected);

    use RelationType::{BuiltUsing, Extends, RelatesTo};
    let mut expected = vec![(log, 5, RelatesTo), (log, 6, RelatesTo)];
    for built in [package, packages] {
        expected.extend([
            (built, 5, BuiltUsing),
            (built, 6, BuiltUsing),
            (log, built, RelatesTo),
            (upload, built, Extends),
            (upload, built, RelatesTo),
        ]);
    }
    expected.push((signing_input, upload, RelatesTo));
    assert_eq!(report.relations, expected);
}

#[test]
fn of_a_failed_build_only_the_log_is_kept() {
    for (status, log) in [(0, "Status: attempted\n"), (2, "Status: successful\n")] {
        let built = sbuild(
            status,
            &[
                ("hello_1.0_amd64.build", log.as_bytes()),
                ("hello_1.0_amd64.deb", DEB),
                ("hello_1.0_amd64.changes", CHANGES.as_bytes()),
            ],
        );
        let report = world()
            .command("sbuild", built)
            .run::<Sbuild>(data(), dynamic_data());
        assert_eq!(report.result, Ok(false));
        let uploaded: Vec<&str> = report
            .uploads
            .iter()
            .map(|upload| upload.category.as_str())
            .collect();
        assert_eq!(uploaded, ["debian:package-build-log"]);
    }
}

#[test]
fn nothing_is_uploaded_that_differs_from_the_changes_or_is_not_in_them() {
    for (name, content, flaws) in [
        ("hello_1.0_amd64.deb", &b"changed"[..], 3),
        ("stray.deb", b"", 4),
    ] {
        let built = sbuild(
            0,
            &[
                ("hello_1.0_amd64.build", b"Status: successful\n"),
                ("hello_1.0_amd64.changes", CHANGES.as_bytes()),
                (name, content),
            ],
        );
        let report = world()
            .command("sbuild", built)
            .run::<Sbuild>(data(), dynamic_data());
        let failure = report.result.unwrap_err();
        assert_eq!(
            failure.message.lines().count(),
            flaws,
            "{}",
            failure.message
        );
        assert!(report.uploads.is_empty());
    }
}

#[test]
fn nothing_outside_the_directory_is_uploaded_however_the_changes_name_it() {
    for outside in [
        "../secret.deb",
        "/etc/passwd",
        "a/../../secret.deb",
        "..",
        "sub/x.deb",
    ] {
        let changes = CHANGES.replace("hello_1.0_amd64.deb", outside);
        let built = sbuild(
            0,
            &[
                ("hello_1.0_amd64.build", b"Status: successful\n"),
                ("hello_1.0_amd64.changes", changes.as_bytes()),
                ("sub/x.deb", b"x"),
            ],
        );
        let report = world()
            .command("sbuild", built)
            .run::<Sbuild>(data(), dynamic_data());
        assert!(report.result.is_err(), "{outside}");
        assert!(report.uploads.is_empty(), "{outside}");
    }
}

#[test]
fn inputs_of_another_category_end_the_task_with_a_word_in_the_log() {
    for (id, fetched) in [(5, "source_artifact"), (6, "extra_binary_artifacts")] {
        let world = world().artifact(id, "debusine:test", json!({}), &[]);
        let report = world.run::<Sbuild>(data(), dynamic_data());
        assert_eq!(report.result, Ok(false));
        let log = &report.logs["fetch_input.log"];
        assert!(log.lines().count() == 1 && log.contains(fetched), "{log}");
        assert!(report.commands.is_empty());
    }
}

#[test]
fn a_scheduler_learns_what_is_built_and_with_what() {
    let computed = world().compute_dynamic_data::<Sbuild>(data()).unwrap();
    let expected = json!({
        "parameter_summary": null,
        "subject": "hello",
        "runtime_context": "any:amd64:amd64",
        "task_configuration_id": null,
        "configuration_context": "trixie",
        "environment_id": 42,
        "input_source_artifact_id": 5,
        "input_extra_binary_artifacts_ids": [6],
        "binnmu_maintainer": "Debusine <noreply@example.org>",
    });
    assert_eq!(computed, expected);

    let task: Sbuild = configured(&data(), Some(&computed)).unwrap();
    assert_eq!(task.label(), "build hello");
    assert_eq!(task.source_artifacts_ids(), Some(vec![42, 5, 6]));
}

#[test]
fn builds_that_are_cut_short_say_nothing_about_others() {
    let context = |changes: Value| {
        let mut data = data();
        for (key, change) in changes.as_object().unwrap() {
            data[key] = change.clone();
        }
        runtime_context(&SbuildData::parse(&data).unwrap())
    };
    assert_eq!(context(json!({"build_profiles": ["cross", "nodoc"]})), None);
    let all = context(json!({"build_components": ["source", "any", "all"]}));
    assert_eq!(all.as_deref(), Some("all+any+source:amd64:amd64"));
}

#[test]
fn a_worker_needs_sbuild_the_backend_and_for_most_backends_autopkgtest() {
    let mut data = data();
    let mut can_run = |backend: &str, keys: &[&str]| {
        data["backend"] = backend.into();
        let task: Sbuild = configured(&data, None).unwrap();
        let keys = keys.iter().map(|key| ((*key).to_owned(), true.into()));
        let metadata = Map::from_iter(keys);
        task.can_run_on(WorkerMetadata(&metadata))
    };
    assert!(can_run(
        "auto",
        &["sbuild:available", "executor:unshare:available"]
    ));
    assert!(!can_run("auto", &["executor:unshare:available"]));
    let incus = [
        "sbuild:available",
        "executor:incus-lxc:available",
        "autopkgtest:available",
    ];
    assert!(!can_run("incus-lxc", &incus[..2]));
    assert!(can_run("incus-lxc", &incus));
    assert!(!can_run("qemu", &incus));
}
