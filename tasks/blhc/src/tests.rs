//! What a check does, from the log to the report.

use super::*;
use task_sdk::testing::{Ended, World, configured};

fn data() -> Value {
    json!({"input": {"artifact": 7}, "environment": "debian/match:codename=trixie"})
}

fn dynamic_data() -> Value {
    json!({"environment_id": 42, "input_artifact_id": 7})
}

fn world(files: &[(&str, &[u8])]) -> World {
    World::new()
        .artifact(
            7,
            "debian:package-build-log",
            json!({"source": "hello", "version": "1.0", "filename": "hello.build"}),
            files,
        )
        .artifact(
            42,
            "debian:system-tarball",
            json!({"codename": "trixie"}),
            &[],
        )
}

const LOG: (&str, &[u8]) = ("hello_1.0_amd64.build", b"gcc -c \xff.c\n");

fn blhc(status: i32) -> Ended {
    Ended {
        status,
        stdout: "CFLAGS missing\n".to_owned(),
        ..Ended::default()
    }
}

#[test]
fn what_blhc_says_of_a_log_becomes_an_artifact_whatever_it_says() {
    for (status, success) in [(0, true), (1, true), (2, false), (8, false), (32, false)] {
        let world = world(&[LOG]).command("blhc --debian", blhc(status));
        let report = world.run::<Blhc>(data(), dynamic_data());
        assert_eq!(report.result, Ok(success), "{status}");
        let [upload] = report.uploads.as_slice() else {
            panic!("one artifact expected: {:?}", report.uploads);
        };
        assert_eq!(upload.category, "debian:blhc");
        let files = [("blhc.txt".to_owned(), b"CFLAGS missing\n".to_vec())];
        assert_eq!(upload.files, files);
        assert_eq!(
            report.relations,
            [(upload.id, 7, RelationType::RelatesTo)],
            "{status}"
        );
    }
}

#[test]
fn blhc_is_installed_by_root_and_run_by_the_user() {
    let mut data = data();
    data["extra_flags"] = json!(["--pie", "--all"]);
    let report = world(&[LOG]).run::<Blhc>(data, dynamic_data());
    let commands: Vec<(String, bool, bool)> = report
        .commands
        .iter()
        .map(|command| {
            let words: Vec<&str> = command
                .arguments
                .iter()
                .map(|word| word.rsplit('/').next().unwrap_or(word))
                .collect();
            (words.join(" "), command.as_root, command.in_instance)
        })
        .collect();
    let expected = [
        ("apt-get update", true),
        ("apt-get --yes install blhc", true),
        ("blhc --debian --pie --all hello_1.0_amd64.build", false),
    ]
    .map(|(words, as_root)| (words.to_owned(), as_root, true));
    assert_eq!(commands, expected);
}

#[test]
fn without_a_log_nothing_is_run_and_the_reason_is_told() {
    let others: &[(&str, &[u8])] = &[("build", b""), ("a.log", b"")];
    let report = world(others).run::<Blhc>(data(), dynamic_data());
    assert_eq!(report.result, Ok(false));
    let told = &report.logs["configure_for_execution.log"];
    assert!(
        told.contains("*.build") && told.lines().count() == 1,
        "{told}"
    );
    assert_eq!(report.commands.len(), 2, "{:?}", report.commands);
    assert!(report.uploads.is_empty());
}

#[test]
fn a_blhc_that_cannot_be_installed_is_a_failure() {
    let failed = Ended {
        status: 100,
        ..Ended::default()
    };
    let world = world(&[LOG]).command("apt-get --yes install blhc", failed);
    let report = world.run::<Blhc>(data(), dynamic_data());
    assert_eq!(report.result.unwrap_err().kind, "command-failed");
}

#[test]
fn the_environment_is_optional_to_a_scheduler_but_not_to_a_worker() {
    let mut data = data();
    data["environment"] = Value::Null;
    let computed = world(&[LOG])
        .compute_dynamic_data::<Blhc>(data.clone())
        .unwrap();
    assert_eq!(computed["environment_id"], Value::Null);
    assert_eq!(computed["subject"], "hello");
    let task: Blhc = configured(&data, Some(&computed)).unwrap();
    assert_eq!(task.label(), "blhc");

    let report = world(&[LOG]).run::<Blhc>(data, computed);
    assert!(report.result.unwrap_err().message.contains("environment"));
}

#[test]
fn only_build_logs_are_checked() {
    let world = world(&[]).artifact(7, "debian:upload", json!({}), &[]);
    let error = world.compute_dynamic_data::<Blhc>(data()).unwrap_err();
    assert!(
        matches!(&error, DynamicDataError::Config(words) if words.contains("input.artifact")),
        "{error:?}"
    );
}
