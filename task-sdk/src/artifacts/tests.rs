use super::*;
use crate::model::Dictionary;
use crate::model::Model;
use serde_json::json;
use std::collections::BTreeMap;

/// Files in memory.
#[derive(Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    fn with(mut self, path: &str, content: &str) -> Self {
        self.0.insert(path.to_owned(), content.into());
        self
    }

    fn content(&self, path: &str) -> io::Result<&Vec<u8>> {
        self.0
            .get(path)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Directory for Memory {
    fn size(&self, path: &str) -> io::Result<u64> {
        Ok(self.content(path)?.len() as u64)
    }

    fn read_at(&self, path: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        use crate::debian::read_at::ReadAt;
        self.content(path)?.read_at(offset, buffer)
    }
}

fn changes_of(names: &[&str]) -> String {
    let list = |columns: &str| -> String {
        names
            .iter()
            .map(|name| format!("\n {columns} {name}"))
            .collect()
    };
    format!(
        "Source: hello\nArchitecture: amd64\nFiles:{}\nChecksums-Sha256:{}\n",
        list("0 1 misc optional"),
        list("0 1")
    )
}

#[test]
fn an_upload_has_the_changes_file_and_what_it_lists_beside_it() {
    let directory = Memory::default()
        .with(
            "out/hello.changes",
            &changes_of(&["hello.deb", "hello.buildinfo"]),
        )
        .with("out/hello.deb", "x")
        .with("out/hello.buildinfo", "x");
    let draft = build::upload(&directory, "out/hello.changes").unwrap();
    assert_eq!(draft.category, Category::Upload);
    assert_eq!(draft.data["changes_fields"]["Files"][0]["size"], "1");
    let files: Vec<(&str, &str)> = draft
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.source.as_str()))
        .collect();
    assert_eq!(
        files,
        [
            ("hello.changes", "out/hello.changes"),
            ("hello.deb", "out/hello.deb"),
            ("hello.buildinfo", "out/hello.buildinfo"),
        ]
    );
    assert_eq!(
        source_name(draft.category, &draft.data),
        Some(&json!("hello"))
    );
    assert_eq!(
        label(draft.category, &draft.data),
        Ok(Some("hello.deb".to_owned()))
    );
}

#[test]
fn a_changes_file_cannot_list_files_of_other_directories() {
    for name in ["../hello.deb", "/etc/hello.deb", "sub/hello.deb", ".."] {
        let directory = Memory::default()
            .with("out/hello.changes", &changes_of(&["hello.deb", name]))
            .with("out/hello.deb", "x")
            .with("hello.deb", "secret");
        let error = build::upload(&directory, "out/hello.changes").unwrap_err();
        assert!(matches!(error, ArtifactError::Path(_)), "{name}: {error}");
    }
}

#[test]
fn a_listed_file_that_is_missing_spoils_the_upload() {
    let directory = Memory::default().with("hello.changes", &changes_of(&["hello.deb"]));
    let error = build::upload(&directory, "hello.changes").unwrap_err();
    assert!(matches!(error, ArtifactError::Read { file, .. } if file == "hello.deb"));
}

#[test]
fn a_changes_file_of_a_hundred_megabytes_is_not_read() {
    struct Endless;
    impl Directory for Endless {
        fn size(&self, _: &str) -> io::Result<u64> {
            Ok(100 << 20)
        }
        fn read_at(&self, _: &str, _: u64, _: &mut [u8]) -> io::Result<usize> {
            panic!("read all the same");
        }
    }
    let error = build::upload(&Endless, "hello.changes").unwrap_err();
    assert!(matches!(error, ArtifactError::Stanza { .. }));
}

#[test]
fn a_source_package_needs_exactly_the_files_of_its_dsc() {
    let dsc = "Source: hello\nVersion: 1\nFiles:\n 0 1 hello.tar.xz\n";
    let directory = Memory::default()
        .with("hello.dsc", dsc)
        .with("hello.tar.xz", "x")
        .with("more.txt", "x");
    let build = |files: &[&str]| build::source_package(&directory, "hello", "1", files);
    let draft = build(&["hello.dsc", "hello.tar.xz"]).unwrap();
    assert_eq!(draft.data["dsc_fields"]["Source"], "hello");
    for files in [
        &["hello.dsc"][..],
        &["hello.tar.xz"],
        &["hello.dsc", "hello.tar.xz", "more.txt"],
        &["hello.dsc", "hello.dsc", "hello.tar.xz"],
    ] {
        assert!(
            matches!(build(files), Err(ArtifactError::Files(_))),
            "{files:?}"
        );
    }
}

#[test]
fn binary_packages_are_called_what_their_files_begin_with() {
    let directory = Memory::default()
        .with("a_1_amd64.deb", "x")
        .with("a.txt", "x");
    let build = build::Build {
        source: "a",
        source_version: "1",
        version: "1",
        architecture: "amd64",
    };
    let draft = build::binary_packages(&directory, build, &["a_1_amd64.deb"]).unwrap();
    assert_eq!(draft.data["packages"], json!(["a"]));
    assert!(build::binary_packages(&directory, build, &["a.txt"]).is_err());
    assert!(build::binary_packages(&directory, build, &[]).is_err());
}

#[test]
fn files_have_their_paths_beneath_the_base() {
    let directory = Memory::default()
        .with("result/summary", "x")
        .with("result/binaries/a.deb", "x");
    let data = Autopkgtest::parse(&json!({
        "results": {"t": {"status": "PASS"}}, "cmdline": "autopkgtest", "architecture": "amd64", "distribution": "debian:sid",
        "source_package": {"name": "a", "version": "1", "url": "https://example.org/a.dsc"},
    }))
    .unwrap();
    let draft =
        build::autopkgtest(&directory, "result", &data, &["summary", "binaries/a.deb"]).unwrap();
    assert_eq!(draft.files.len(), 1);
    assert_eq!(draft.files[0].path, "summary");
    assert_eq!(draft.files[0].source, "result/summary");
    let error = build::autopkgtest(&directory, "result", &data, &["../x"]).unwrap_err();
    assert!(matches!(error, ArtifactError::Path(_)));
}

#[test]
fn an_analysis_of_lintian_has_to_be_json() {
    let summary = || LintianSummary {
        tags_count_by_severity: SeverityCounts::default(),
        package_filename: Dictionary::default(),
        tags_found: Vec::new(),
        overridden_tags_found: Vec::new(),
        lintian_version: "2".to_owned(),
        distribution: "debian:sid".to_owned(),
    };
    let with = |analysis: &str| {
        let directory = Memory::default().with("a", analysis).with("b", "");
        build::lintian(&directory, summary(), "a", "b")
    };
    assert_eq!(with("{\"x\": [1]}").unwrap().files[0].path, "analysis.json");
    assert!(matches!(
        with("{"),
        Err(ArtifactError::Files(FilesError::Json(_)))
    ));
    let deep = "[".repeat(100_000);
    assert!(matches!(
        with(&deep),
        Err(ArtifactError::Files(FilesError::Json(_)))
    ));
}

#[test]
fn debug_logs_may_be_without_files() {
    assert_eq!(
        build::debug_logs(&Memory::default(), &[]).unwrap().data,
        json!({})
    );
}

#[test]
fn data_are_checked_by_category() {
    assert!(matches!(
        check("debian:unknown", &json!({}), &[], None),
        Err(ArtifactError::Category(_))
    ));
    let error = check("debian:debdiff", &json!({"original": []}), &[], None).unwrap_err();
    assert!(matches!(error, ArtifactError::Data(violations) if violations.len() == 2));
    let counts = json!({"tags_count_by_severity": {"error": "1", "odd": 1}});
    let violations = normalise(Category::Lintian, &json!({"summary": counts})).unwrap_err();
    assert!(
        violations
            .iter()
            .any(|violation| violation.kind == "type_error.enum")
    );
}

#[test]
fn an_upload_has_a_dsc_if_it_has_sources_and_packages_if_it_has_an_architecture() {
    let accepts = |architecture: &str, names: &[&str]| {
        let files: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        let data = json!({"type": "dpkg", "changes_fields": {"Architecture": architecture, "Files": files}});
        normalise(Category::Upload, &data).is_ok()
    };
    assert!(accepts("source", &["a.dsc", "a.tar.xz"]));
    assert!(accepts("source all", &["a.dsc", "a.deb"]));
    assert!(accepts("amd64 all", &["a.udeb"]));
    assert!(!accepts("source", &["a.dsc", "a.deb"]));
    assert!(!accepts("source", &["a.tar.xz"]));
    assert!(!accepts("source", &["a.dsc", "b.dsc"]));
    assert!(!accepts("source all", &["a.dsc"]));
    assert!(!accepts("amd64", &["a.buildinfo"]));
    assert!(!accepts("amd64", &["a.deb", "a.dsc"]));
}

#[test]
fn empty_text_is_a_list_without_files_and_other_text_is_none() {
    for (files, kind) in [("", "value_error"), ("x", "type_error")] {
        let fields = json!({"Architecture": "amd64", "Files": files});
        let data = json!({"type": "dpkg", "changes_fields": fields});
        let violations = normalise(Category::Upload, &data).unwrap_err();
        assert_eq!(violations[0].kind, kind, "{files:?}");
    }
}
