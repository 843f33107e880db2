use super::*;

fn changes(binary: &str, architecture: &str, description: &str, file: &str) -> String {
    let optional = |name: &str, value: &str| match value {
        "" => String::new(),
        value => format!("{name}: {value}\n"),
    };
    format!(
        "Format: 1.8\nSource: hello\n{}Architecture: {architecture}\nVersion: 1:1.0\n{}Changes:\n x\nChecksums-Sha1:\n 1 5 {file}\nChecksums-Sha256:\n 2 5 {file}\nFiles:\n 3 5 misc optional {file}\n",
        optional("Binary", binary),
        optional("Description", description),
    )
}

fn merge_texts(texts: &[&str]) -> Result<String, MergeError> {
    let uploads: Vec<Changes> = texts
        .iter()
        .map(|text| Changes::parse(text.as_bytes()).unwrap())
        .collect();
    merge(&uploads).map(|merged| merged.to_text())
}

#[test]
fn binaries_descriptions_and_files_of_all_uploads_come_together() {
    let source = changes("", "source", "", "hello_1.0.dsc");
    let any = changes("hello", "amd64", "\n hello - x - y", "hello_1.0_amd64.deb");
    let all = changes(
        "hello-doc hello",
        "all",
        "\n hello-doc - z\n hello - x - y",
        "hello-doc_1.0_all.deb",
    );
    assert_eq!(
        merge_texts(&[&source, &any, &all]).unwrap(),
        "Format: 1.8\nBinary: hello hello-doc\nSource: hello\nArchitecture: all amd64 source\nVersion: 1:1.0\n\
         Description:\n hello - x - y\n hello-doc - z\nChanges:\n x\n\
         Checksums-Sha1:\n 1 5 hello_1.0.dsc\n 1 5 hello_1.0_amd64.deb\n 1 5 hello-doc_1.0_all.deb\n\
         Checksums-Sha256:\n 2 5 hello_1.0.dsc\n 2 5 hello_1.0_amd64.deb\n 2 5 hello-doc_1.0_all.deb\n\
         Files:\n 3 5 misc optional hello_1.0.dsc\n 3 5 misc optional hello_1.0_amd64.deb\n 3 5 misc optional hello-doc_1.0_all.deb\n"
    );
}

#[test]
fn a_lone_upload_is_merged_to_itself_but_needs_binaries_and_descriptions() {
    let any = changes("hello", "amd64", "\n hello - x", "a.deb");
    assert!(
        merge_texts(&[&any])
            .unwrap()
            .contains("Binary: hello\nSource: hello\n")
    );
    let source = changes("", "source", "", "a.dsc");
    assert_eq!(merge_texts(&[&source]), Err(MergeError::Missing("Binary")));
    let bare = changes("hello", "amd64", "", "a.deb");
    assert_eq!(
        merge_texts(&[&bare]),
        Err(MergeError::Missing("Description"))
    );
    assert_eq!(merge_texts(&[]), Err(MergeError::Nothing));
}

#[test]
fn uploads_that_contradict_each_other_are_refused() {
    let any = changes("hello", "amd64", "\n hello - x", "a.deb");
    let differs = |from: &str, to: &str| merge_texts(&[&any, &any.replace(from, to)]).unwrap_err();
    assert!(matches!(
        differs("1.8", "1.9"),
        MergeError::Differs {
            field: "Format",
            ..
        }
    ));
    assert!(matches!(
        differs("1:1.0", "1.1"),
        MergeError::Differs {
            field: "Version",
            ..
        }
    ));
    assert!(matches!(
        differs(" - x", " - y"),
        MergeError::Description(_)
    ));
    assert!(matches!(
        differs(" 2 5", " 2 6"),
        MergeError::File {
            field: "Checksums-Sha256",
            ..
        }
    ));
    assert!(matches!(
        differs("Files:", "Checksums-Sha512:\nFiles:"),
        MergeError::Checksum(_)
    ));
    assert!(matches!(
        differs("Checksums-Sha1:", "X:"),
        MergeError::Missing("Checksums-Sha1")
    ));
    assert!(matches!(differs("", ""), MergeError::Twice { .. }));
}

#[test]
fn words_are_parted_by_commas_if_either_upload_has_them() {
    assert_eq!(
        merge_single_lines("hello, zz", "aa, hello"),
        "aa, hello, zz"
    );
    assert_eq!(merge_single_lines("hello, zz", "a b"), "a b, hello, zz");
    assert_eq!(merge_single_lines("b a", "c a"), "a b c");
}

#[test]
fn the_name_of_the_merged_file_has_no_epoch() {
    let upload = Changes::parse(b"Source: hello\nVersion: 2:1:0-1\n").unwrap();
    assert_eq!(file_name(&upload).unwrap(), "hello_1:0-1_multi.changes");
}

#[test]
fn values_of_many_lines_take_on_one_more_line_at_their_end() {
    assert_eq!(merge_many_lines("a\n b\n c", "a\n b\n c"), "a\n b\n c");
    assert_eq!(merge_many_lines("a\n b", "a\n c"), "a\n b\n c");
    let refused = |theirs| check_value("Binary", &merge_many_lines("a\n b", theirs)).is_err();
    assert!(refused("a\n c\n b") && refused("a\n c\n d"));
}

#[test]
fn values_of_a_million_lines_are_merged_at_once() {
    let lines = |word: &str| -> String {
        let lines = (0..500_000).map(|number| format!("\n {word}{number}"));
        lines.collect()
    };
    let merged = merge_many_lines(&lines("a"), &lines("b"));
    assert!(merged.ends_with(" b499999"));
}
