//! What a comparison does, from the packages to the report.

use super::*;
use task_sdk::testing::{Ended, World, configured};

const ENVIRONMENT: &str =
    "debian/match:codename=trixie:architecture=amd64:format=tarball:backend=unshare";

fn data(input: Value) -> Value {
    json!({
        "input": input,
        "environment": "debian/match:codename=trixie",
        "host_architecture": "amd64",
    })
}

fn sources() -> Value {
    data(json!({"source_artifacts": [1, 2]}))
}

fn binaries() -> Value {
    data(json!({"binary_artifacts": [[3, 4], [5]]}))
}

/// Two source packages, 1 and 2; three uploads, 3 to 5.
fn world() -> World {
    let source = |version: &str| json!({"name": "hello", "version": version});
    let mut world = World::new()
        .artifact(
            1,
            "debian:source-package",
            source("1"),
            &[("hello_1.dsc", b"1"), ("hello_1.tar.xz", b"")],
        )
        .artifact(
            2,
            "debian:source-package",
            source("2"),
            &[("hello_2.dsc", b"2")],
        )
        .artifact(
            42,
            "debian:system-tarball",
            json!({"codename": "trixie"}),
            &[],
        )
        .lookup(json!([3, 4]), &[3, 4])
        .lookup(json!([5]), &[5])
        .lookup(json!(ENVIRONMENT), &[42]);
    for (id, changes) in [
        (3, "hello_1_amd64.changes"),
        (4, "hello_1_all.changes"),
        (5, "hello_2_amd64.changes"),
    ] {
        let data = json!({"changes_fields": {"Source": "hello"}});
        world = world.artifact(id, "debian:upload", data, &[(changes, b"")]);
    }
    world
}

fn debdiff(status: i32) -> Ended {
    Ended {
        status,
        stdout: "-a\n+b\n".to_owned(),
        ..Ended::default()
    }
}

/// The paths that the last command compared, from the two sides on.
fn compared(report: &task_sdk::testing::Report) -> Vec<&str> {
    let arguments = &report.commands.last().expect("a command").arguments;
    let side = |path: &'_ String| path.match_indices('/').nth_back(1).map(|(at, _)| at + 1);
    arguments
        .iter()
        .filter_map(|path| side(path).map(|at| &path[at..]))
        .collect()
}

#[test]
fn source_packages_are_compared_by_their_dsc_files() {
    for (status, success) in [(0, true), (1, true), (2, false), (255, false)] {
        let world = world().command("debdiff", debdiff(status));
        let computed = world.compute_dynamic_data::<DebDiff>(sources()).unwrap();
        assert_eq!(computed["subject"], "source:hello");
        let world = self::world().command("debdiff", debdiff(status));
        let report = world.run::<DebDiff>(sources(), computed);
        assert_eq!(report.result, Ok(success), "{status}");
        assert_eq!(
            compared(&report),
            ["original/hello_1.dsc", "new/hello_2.dsc"]
        );
        let [upload] = report.uploads.as_slice() else {
            panic!("one artifact expected: {:?}", report.uploads);
        };
        assert_eq!(
            upload.data,
            json!({"original": "hello_1.dsc", "new": "hello_2.dsc"})
        );
        let files = [("debdiff.txt".to_owned(), b"-a\n+b\n".to_vec())];
        assert_eq!(upload.files, files);
        use RelationType::RelatesTo;
        let expected = [(upload.id, 1, RelatesTo), (upload.id, 2, RelatesTo)];
        assert_eq!(report.relations, expected);
    }
}

#[test]
fn uploads_are_compared_by_the_first_changes_file_of_each_side() {
    let computed = world().compute_dynamic_data::<DebDiff>(binaries()).unwrap();
    assert_eq!(computed["subject"], "binary:hello");
    assert_eq!(computed["input_binary_artifacts_ids"], json!([[3, 4], [5]]));

    let report = world()
        .command("debdiff", debdiff(1))
        .run::<DebDiff>(binaries(), computed);
    assert_eq!(report.result, Ok(true));
    let expected = ["original/hello_1_all.changes", "new/hello_2_amd64.changes"];
    assert_eq!(compared(&report), expected);
    let related: Vec<i64> = report.relations.iter().map(|(_, to, _)| *to).collect();
    assert_eq!(related, [3, 4, 5, 3, 4, 5]);
}

#[test]
fn a_side_without_packages_ends_the_task_with_a_word_in_the_log() {
    for (groups, side) in [(json!([[], [5]]), "original"), (json!([[3], []]), "new")] {
        let dynamic_data = json!({"environment_id": 42, "input_binary_artifacts_ids": groups});
        let report = world().run::<DebDiff>(binaries(), dynamic_data);
        assert_eq!(report.result, Ok(false));
        let told = &report.logs["configure_for_execution.log"];
        assert!(told.contains(side) && told.contains(".changes"), "{told}");
        assert!(report.uploads.is_empty());
    }
}

#[test]
fn uploads_of_several_sources_have_no_subject() {
    let other = json!({"changes_fields": {"Source": "other"}});
    let world = world().artifact(5, "debian:upload", other, &[]);
    let computed = world.compute_dynamic_data::<DebDiff>(binaries()).unwrap();
    assert_eq!(computed["subject"], Value::Null);
}

#[test]
fn an_upload_that_names_no_source_fails_the_task() {
    for fields in [json!({}), json!({"Source": ["hello"]})] {
        let data = json!({"changes_fields": fields});
        let world = world().artifact(5, "debian:upload", data, &[]);
        let error = world
            .compute_dynamic_data::<DebDiff>(binaries())
            .unwrap_err();
        assert!(matches!(error, DynamicDataError::Internal(_)), "{error:?}");
    }
}

#[test]
fn only_source_packages_and_uploads_are_compared() {
    for (data, id) in [(sources(), 2), (binaries(), 4)] {
        let world = world().artifact(id, "debusine:test", json!({}), &[]);
        let error = world.compute_dynamic_data::<DebDiff>(data).unwrap_err();
        assert!(matches!(error, DynamicDataError::Config(_)), "{error:?}");
    }
}

#[test]
fn a_task_reads_sources_and_all_uploads() {
    let dynamic_data = json!({
        "environment_id": 42,
        "input_source_artifacts_ids": [1, 2],
        "input_binary_artifacts_ids": [[3, 4], [5]],
    });
    let task: DebDiff = configured(&sources(), Some(&dynamic_data)).unwrap();
    assert_eq!(task.source_artifacts_ids(), Some(vec![1, 2, 3, 4, 5]));
    assert_eq!(task.label(), "debdiff");
}

#[test]
fn exactly_one_kind_of_packages_is_compared() {
    for input in [
        json!({}),
        json!({"source_artifacts": [1, 2], "binary_artifacts": [[3], [4]]}),
        json!({"source_artifacts": [1]}),
        json!({"binary_artifacts": [[1], [2], [3]]}),
    ] {
        assert!(
            configured::<DebDiff>(&data(input.clone()), None).is_err(),
            "{input}"
        );
    }
}
