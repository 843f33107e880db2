//! makesourcepackageupload and mergeuploads: what is handed to an archive.

use super::farm::{Farm, Run, list, text};
use super::materials::{
    PACKAGE, build_for_all, build_for_this_machine, environment, source, system,
};
use serde_json::{Value, json};

fn source_upload(farm: &Farm) -> Run<'_> {
    let told = farm.once("source-upload", |farm| {
        let data = json!({
            "input": {"source_artifact": source(farm, PACKAGE, "bookworm")},
            "environment": environment(&system(farm)),
            "since_version": "3.2.3-3",
            "target_distribution": "bookworm",
        });
        let run = farm.run("makesourcepackageupload", &data);
        Ok(run.ended("success")?.told)
    });
    farm.earlier_run(told)
}

/// The names of the files that a field of an upload lists, ordered.
fn files(upload: &Value) -> Vec<&str> {
    let files = list(&upload["data"]["changes_fields"]["Files"]).iter();
    let mut names: Vec<&str> = files.filter_map(|file| file["name"].as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_source_package_becomes_an_upload() {
    let Some(farm) = Farm::with(&["makesourcepackageupload"], &[]) else {
        return;
    };
    let run = source_upload(&farm);
    assert_eq!(run.categories(), ["debian:upload"]);
    let upload = run.artifact("debian:upload");
    let fields = &upload["data"]["changes_fields"];
    assert_eq!(fields["Architecture"], "source");
    assert_eq!(fields["Distribution"], "bookworm");
    let changes = fields["Changes"].as_str().expect("a text");
    assert!(changes.contains("mustang (3.2.3-4)"), "{changes}");
    assert!(!changes.contains("mustang (3.2.3-3)"), "{changes}");
    let expected = [
        "mustang_3.2.4-1.debian.tar.xz",
        "mustang_3.2.4-1.dsc",
        "mustang_3.2.4.orig.tar.gz",
    ];
    assert_eq!(files(&upload), expected);
    let source = source(&farm, PACKAGE, "bookworm");
    let relations = ["extends", "relates-to"].map(|kind| (kind.to_owned(), source));
    assert_eq!(farm.relations(&upload), relations);
}

#[test]
fn uploads_of_one_version_become_one() {
    let Some(farm) = Farm::with(&["makesourcepackageupload", "mergeuploads"], &["sbuild"]) else {
        return;
    };
    let uploads = [
        source_upload(&farm),
        build_for_this_machine(&farm),
        build_for_all(&farm),
    ]
    .map(|run| run.artifact("debian:upload"));
    let ids = uploads.each_ref().map(|upload| &upload["id"]);
    let run = farm
        .run("mergeuploads", &json!({"input": {"uploads": ids}}))
        .succeeded();
    let merged = run.artifact("debian:upload");
    let mut expected: Vec<&str> = uploads.iter().flat_map(files).collect();
    expected.sort_unstable();
    assert_eq!(files(&merged), expected);

    let content = text(&farm.file(&merged, "mustang_3.2.4-1_multi.changes"));
    let architectures = content
        .lines()
        .find(|line| line.starts_with("Architecture:"));
    assert!(
        architectures.is_some_and(|line| line.ends_with(" source")),
        "{content}"
    );
    let extended: Vec<i64> = farm
        .relations(&merged)
        .into_iter()
        .map(|(_, to)| to)
        .collect();
    let ids: Vec<i64> = ids.iter().filter_map(|id| id.as_i64()).collect();
    assert_eq!(extended, ids);

    // What it promises is there: the program checks an upload's files by their checksums when it takes one in.
    let into = farm.scratch();
    let path = into.path().to_string_lossy();
    farm.ask(&["artifact", "export", &merged["id"].to_string(), &path]);
    let changes = into.path().join("mustang_3.2.4-1_multi.changes");
    farm.import(&[&changes.to_string_lossy()]);
}
