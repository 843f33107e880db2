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

#[test]
fn a_list_without_files_can_be_added_to_another_but_not_be_the_result() {
    let any = changes("hello", "amd64", "\n hello - x", "a.deb");
    let empty = any.replace("Files:\n 3 5 misc optional a.deb\n", "Files:\n");
    assert_eq!(merge_texts(&[&empty]), Err(MergeError::List("Files")));
    assert_eq!(
        merge_texts(&[&empty, &empty]),
        Err(MergeError::List("Files"))
    );
    let all = changes("hello", "all", "", "b.deb");
    let empty = all.replace("Files:\n 3 5 misc optional b.deb\n", "Files:\n");
    let merged = merge_texts(&[&any, &empty]).unwrap();
    assert!(merged.ends_with("Files:\n 3 5 misc optional a.deb\n"));
}

#[test]
fn each_upload_is_merged_with_one_that_has_binaries_if_only_as_an_empty_field() {
    let source = changes("", "source", "", "a.dsc");
    let other = changes("", "all", "", "b.deb");
    let any = changes("hello", "amd64", "\n hello - x", "c.deb");
    assert_eq!(
        merge_texts(&[&source, &other, &any]),
        Err(MergeError::Missing("Binary"))
    );
    let empty = other.replace("Architecture", "Binary:\nArchitecture");
    let merged = merge_texts(&[&source, &empty, &any]).unwrap();
    assert!(merged.contains("Binary: hello\n"), "{merged}");
}

#[test]
fn one_upload_may_list_a_file_twice_but_two_may_not_both_list_it() {
    let any = changes("hello", "amd64", "\n hello - x", "a.deb");
    let entry = " 3 5 misc optional b.deb\n";
    let twice = changes("hello", "all", "", "b.deb").replace(entry, &entry.repeat(2));
    let merged = merge_texts(&[&any, &twice]).unwrap();
    assert!(merged.ends_with(&entry.repeat(2)));
    assert!(matches!(
        merge_texts(&[&any, &any]),
        Err(MergeError::Twice { field: "Files", .. })
    ));
}

#[test]
fn a_line_that_is_no_description_contradicts_none() {
    let any = changes(
        "hello",
        "amd64",
        "\n hello - x\n  hello - y\n a hello - z",
        "a.deb",
    );
    let all = changes("hello", "all", "\n  hello - v\n b hello - w", "b.deb");
    let merged = merge_texts(&[&any, &all]).unwrap();
    assert!(merged.contains(" a hello - z\n  hello - v\n b hello - w\n"));
}

#[test]
fn descriptions_begin_on_the_line_of_their_field_in_all_uploads_or_in_none() {
    let bare = changes("hello", "source", "x", "a.dsc").replace("Description: x", "Description:");
    let on_line = changes("hello", "amd64", "x", "a.deb");
    let below = changes("hello", "all", "\n hello - x", "b.deb");
    let merged = merge_texts(&[&bare, &on_line]).unwrap();
    assert!(merged.contains("Description: x\nChanges"), "{merged}");
    assert!(matches!(
        merge_texts(&[&on_line, &below]),
        Err(MergeError::Value(_))
    ));
}
