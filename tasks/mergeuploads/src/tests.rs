//! What becomes of uploads that are merged, sane ones and others.

use super::*;
use task_sdk::testing::{Report, World, configured};

/// The `.changes` file of a build for one architecture with one file.
fn changes(source: &str, architecture: &str, file: &str) -> String {
    format!(
        "Format: 1.8\nSource: {source}\nBinary: hello\nArchitecture: {architecture}\nVersion: 1:1.0\n\
         Description:\n hello - x\nChanges:\n x\n\
         Checksums-Sha1:\n 1 4 {file}\nChecksums-Sha256:\n 2 4 {file}\nFiles:\n 3 4 misc optional {file}\n"
    )
}

fn dynamic_data(uploads: usize) -> Value {
    let ids: Vec<usize> = (1..=uploads).collect();
    json!({"input_uploads_ids": ids})
}

/// Merges uploads: name and content of each one's `.changes` file, and the file that comes with it.
fn merge_all(uploads: &[(&str, &[u8], &str)]) -> Report {
    let mut world = World::new();
    for (index, (name, content, file)) in uploads.iter().enumerate() {
        let files: [(&str, &[u8]); 2] = [(*name, *content), (*file, b"file")];
        world = world.artifact(index as u64 + 1, "debian:upload", json!({}), &files);
    }
    let data = json!({"input": {"uploads": [1]}});
    world.run::<MergeUploads>(data, dynamic_data(uploads.len()))
}

/// Merges an upload for amd64 with this one for all architectures.
fn merge_with(content: &[u8]) -> Report {
    let first = changes("hello", "amd64", "hello_1.0_amd64.deb");
    merge_all(&[
        ("b.changes", first.as_bytes(), "hello_1.0_amd64.deb"),
        ("a.changes", content, "hello-doc_1.0_all.deb"),
    ])
}

#[test]
fn the_merged_upload_has_the_files_of_all_and_extends_them() {
    let second = changes("hello", "all", "hello-doc_1.0_all.deb");
    let report = merge_with(second.as_bytes());
    assert_eq!(report.result, Ok(true));
    let [merged] = report.uploads.as_slice() else {
        panic!("one artifact expected: {:?}", report.uploads);
    };
    assert_eq!(merged.category, "debian:upload");
    assert_eq!(merged.data["changes_fields"]["Architecture"], "all amd64");
    let names: Vec<&str> = merged.files.iter().map(|(name, _)| name.as_str()).collect();
    // In the order of the names of the .changes files, not of the artifacts.
    let expected = [
        "hello_1.0_multi.changes",
        "hello-doc_1.0_all.deb",
        "hello_1.0_amd64.deb",
    ];
    assert_eq!(names, expected);
    let extends = |id| (1001, id, RelationType::Extends);
    assert_eq!(report.relations, [extends(1), extends(2)]);
    assert!(report.commands.is_empty());
}

#[test]
fn a_merged_upload_can_be_merged_again() {
    let first = changes("hello", "amd64", "hello_1.0_amd64.deb");
    let second = changes("hello", "all", "hello-doc_1.0_all.deb");
    let report = merge_all(&[
        (
            "hello_1.0_multi.changes",
            first.as_bytes(),
            "hello_1.0_amd64.deb",
        ),
        ("z.changes", second.as_bytes(), "hello-doc_1.0_all.deb"),
    ]);
    assert_eq!(report.result, Ok(true));
    assert_eq!(report.uploads[0].files.len(), 3);
}

#[test]
fn signatures_and_line_ends_do_not_matter() {
    let plain = changes("hello", "all", "hello-doc_1.0_all.deb");
    let signed = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{plain}\n\
         -----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
    );
    let second_stanza = format!("{plain}\nFormat: 1.7\nSource: evil\n");
    let merged = |content: &[u8]| {
        let report = merge_with(content);
        assert_eq!(report.result, Ok(true), "{}", content.escape_ascii());
        String::from_utf8(report.uploads[0].files[0].1.clone()).unwrap()
    };
    let expected = merged(plain.as_bytes());
    for text in [plain.replace('\n', "\r\n"), signed, second_stanza] {
        assert_eq!(merged(text.as_bytes()), expected);
    }
}

#[test]
fn files_outside_the_directory_are_not_uploaded() {
    for file in [
        "../x",
        "/etc/passwd",
        "a/../../b",
        "sub/file",
        "..",
        "missing",
    ] {
        let report = merge_with(changes("hello", "all", file).as_bytes());
        assert!(report.result.is_err(), "{file}");
        assert!(report.uploads.is_empty());
    }
}

#[test]
fn a_merged_upload_whose_files_have_no_checksums_is_not_uploaded() {
    let text = changes("hello", "amd64", "a.deb");
    let text = text.replace("Checksums-Sha256:\n 2 4 a.deb\n", "");
    let report = merge_all(&[("a.changes", text.as_bytes(), "a.deb")]);
    let failure = report.result.unwrap_err();
    assert!(
        failure.message.contains("\"a.deb\" is listed"),
        "{failure:?}"
    );
    assert!(report.uploads.is_empty());
}

#[test]
fn the_merged_file_is_written_nowhere_else() {
    for source in ["../../x", "/tmp/x", "a/b", "x\n y", "hello\0"] {
        let text = changes(source, "amd64", "a.deb");
        let report = merge_all(&[("a.changes", text.as_bytes(), "a.deb")]);
        let failure = report.result.unwrap_err();
        assert!(failure.message.starts_with("file name "), "{failure:?}");
        assert!(report.uploads.is_empty());
    }
}

#[test]
fn uploads_that_are_none_or_contradict_each_other_are_not_merged() {
    let plain = changes("hello", "all", "hello-doc_1.0_all.deb");
    for content in [
        String::new(),
        "junk\n".to_owned(),
        plain.replace("1:1.0", "1:1.1"),
        plain.replace("hello - x", "hello - y"),
        plain[..plain.len() / 2].to_owned(),
    ]
    .map(String::into_bytes)
    .into_iter()
    .chain([[b"Maintainer: Andr\xe9\n", plain.as_bytes()].concat()])
    {
        let report = merge_with(&content);
        assert!(report.result.is_err(), "{}", content.escape_ascii());
        assert!(report.uploads.is_empty());
    }
}

#[test]
fn what_is_far_too_long_is_not_even_read() {
    let padded = |file: &str, length: usize| {
        let text = changes("hello", "all", file);
        format!("{text}X-Padding: {}", "x".repeat(length))
    };
    let line = padded("a.deb", LONGEST_STANZA);
    assert_eq!(
        merge_with(line.as_bytes()).result.unwrap_err().kind,
        "too-large"
    );

    // Each could be read, but not what they would become.
    let [first, second] = ["a.deb", "b.deb"].map(|file| padded(file, LONGEST_STANZA / 2));
    let report = merge_all(&[
        ("a.changes", first.as_bytes(), "a.deb"),
        ("b.changes", second.as_bytes(), "b.deb"),
    ]);
    assert_eq!(report.result.unwrap_err().kind, "too-large");
}

#[test]
fn of_changes_files_of_one_name_the_last_counts() {
    let first = changes("hello", "amd64", "a.deb");
    let second = changes("hello", "all", "b.deb");
    let report = merge_all(&[
        ("x.changes", first.as_bytes(), "a.deb"),
        ("x.changes", second.as_bytes(), "b.deb"),
    ]);
    assert_eq!(report.result, Ok(true));
    let fields = &report.uploads[0].data["changes_fields"];
    assert_eq!(fields["Architecture"], "all");
}

#[test]
fn an_input_of_another_category_ends_the_task_with_a_word_in_the_log() {
    let world = World::new().artifact(1, "debian:source-package", json!({}), &[]);
    let data = json!({"input": {"uploads": [1]}});
    let report = world.run::<MergeUploads>(data, dynamic_data(1));
    assert_eq!(report.result, Ok(false));
    let log = &report.logs["fetch_input.log"];
    assert!(log.starts_with("input.uploads: "), "{log}");
}

#[test]
fn no_uploads_are_no_merged_upload() {
    let report = merge_all(&[]);
    assert_eq!(report.result.unwrap_err().kind, "missing");
}

#[test]
fn a_scheduler_learns_the_source_only_if_it_is_one() {
    let computed = |sources: &[Value]| {
        let mut world = World::new();
        let ids: Vec<u64> = (1..=sources.len() as u64).collect();
        for (id, source) in ids.iter().zip(sources) {
            let data = json!({"changes_fields": {"Source": source}});
            world = world.artifact(*id, "debian:upload", data, &[]);
        }
        // The environment is never looked up: this world has none.
        let data = json!({"input": {"uploads": ids}, "environment": "debian/match:codename=x"});
        world
            .lookup(json!(ids), &ids)
            .compute_dynamic_data::<MergeUploads>(data)
    };
    for unnamed in [json!([]), json!({"name": "hello"})] {
        let error = computed(&[json!("hello"), unnamed]).unwrap_err();
        assert!(matches!(error, DynamicDataError::Internal(_)), "{error:?}");
    }
    let computed = |sources: &[Value]| computed(sources).unwrap();
    let same = computed(&[json!("hello"), json!("hello")]);
    assert_eq!(same["subject"], "hello");
    assert_eq!(same["environment_id"], Value::Null);
    assert_eq!(same["input_uploads_ids"], json!([1, 2]));
    assert_eq!(
        computed(&[json!("hello"), json!("other")])["subject"],
        Value::Null
    );
    assert_eq!(computed(&[])["subject"], Value::Null);

    let task: MergeUploads = configured(&json!({"input": {"uploads": [1]}}), None).unwrap();
    assert_eq!(task.label(), "merge package uploads");
}
