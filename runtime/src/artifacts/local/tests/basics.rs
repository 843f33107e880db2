//! Storing, reading, naming, relating and exporting artifacts.

use super::fixture::{Fixture, damage, files_beneath, new_artifact, relation, test_artifact};
use crate::artifacts::local::{ArtifactFilter, LocalStore, Overwrite};
use crate::artifacts::{ArtifactId, ArtifactStore, RelationType, StoreError};
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

#[tokio::test]
async fn an_artifact_comes_back_as_it_was_stored() {
    let fixture = Fixture::new();
    let data = json!({"z": 1, "a": {"nested": ["ü", null]}});
    let artifact = new_artifact(
        "debusine:test",
        data.clone(),
        &[("b/c", b"two"), ("a", b"one")],
    );
    let id = fixture.store.upload(artifact).await.unwrap();

    let stored = fixture.store.artifact(id).await.unwrap();
    assert_eq!(id, ArtifactId(1));
    assert_eq!(stored.category, "debusine:test");
    assert_eq!(stored.data.to_string(), data.to_string(), "order of keys");
    let paths: Vec<_> = stored.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["a", "b/c"]);
    assert_eq!(
        stored.files[0].sha256,
        "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    );
    assert_eq!(fixture.fetch(id, "b/c").await, b"two");
}

#[tokio::test]
async fn a_store_outlives_its_process() {
    let fixture = Fixture::new();
    let id = fixture.add(&[("a", b"one")]).await;
    let path = fixture.store_path();
    let Fixture { store, directory } = fixture;
    drop(store);

    let store = LocalStore::open(path).unwrap();
    assert_eq!(store.artifact(id).await.unwrap().files.len(), 1);
    drop(directory);
}

#[tokio::test]
async fn the_same_content_is_stored_once() {
    let fixture = Fixture::new();
    fixture
        .add(&[("a", b"same"), ("b", b"same"), ("c", b"other")])
        .await;
    fixture.add(&[("d", b"same"), ("empty", b"")]).await;
    let store = fixture.store_path();
    assert_eq!(files_beneath(&store.join("files")).len(), 3);
    assert_eq!(files_beneath(&store.join("incoming")).len(), 0);
}

#[tokio::test]
async fn an_upload_for_which_nobody_waits_any_more_is_given_up_and_leaves_nothing() {
    let fixture = Fixture::new();
    let artifact = test_artifact(&[("big", b"")]);
    // More than any disk has room for.
    artifact.files[0].content.set_len(4 << 40).unwrap();
    let upload = fixture.store.upload(artifact);
    let waited = tokio::time::timeout(Duration::from_millis(100), upload).await;
    assert!(waited.is_err(), "{waited:?}");
    let incoming = fixture.store_path().join("incoming");
    for _ in 0..1000 {
        if files_beneath(&incoming).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(files_beneath(&incoming).len(), 0);
    assert_eq!(fixture.add(&[("a", b"one")]).await, ArtifactId(1));
}

#[tokio::test]
async fn a_fetched_file_goes_to_the_position_of_its_target() {
    let fixture = Fixture::new();
    let id = fixture.add(&[("a", b"content")]).await;
    let path = fixture.directory.path().join("target");
    let mut target = std::fs::File::create(&path).unwrap();
    target.write_all(b"before ").unwrap();
    fixture.store.fetch_file(id, "a", target).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"before content");
}

#[tokio::test]
async fn a_damaged_file_is_never_fetched_as_whole_and_heals_when_it_is_stored_again() {
    let fixture = Fixture::new();
    let id = fixture.add(&[("a", b"content")]).await;
    damage(&fixture.store_path(), b"content");

    let target = tempfile::tempfile().unwrap();
    let error = fixture.store.fetch_file(id, "a", target).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    let error = fixture
        .store
        .export(id, fixture.directory.path().to_owned(), Overwrite::Never)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert!(!fixture.directory.path().join("a").exists());

    fixture.add(&[("again", b"content")]).await;
    assert_eq!(fixture.fetch(id, "a").await, b"content");
}

#[tokio::test]
async fn what_is_missing_is_named_in_the_error() {
    let fixture = Fixture::new();
    let id = fixture.add(&[("a", b"one"), ("b", b"two")]).await;

    let error = fixture
        .store
        .artifact(ArtifactId(u64::MAX))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::NotFound(words) if words.contains("18446744073709551615"))
    );
    let error = fixture.store.open_file(id, "c").await.unwrap_err();
    assert!(
        matches!(&error, StoreError::NotFound(words) if words.contains("\"c\"") && words.contains("a, b"))
    );
    let error = fixture
        .store
        .relate(relation(id, ArtifactId(9), RelationType::Extends))
        .await
        .unwrap_err();
    assert!(matches!(&error, StoreError::NotFound(words) if words.contains("artifact 9")));
    let mut orphan = test_artifact(&[("c", b"three")]);
    orphan.work_request = Some(7);
    let error = fixture.store.upload(orphan).await.unwrap_err();
    assert!(matches!(&error, StoreError::NotFound(words) if words.contains("work request 7")));
    assert_eq!(files_beneath(&fixture.store_path().join("files")).len(), 2);
    assert_eq!(
        files_beneath(&fixture.store_path().join("incoming")).len(),
        0
    );
}

#[tokio::test]
async fn paths_that_lead_out_are_refused() {
    let fixture = Fixture::new();
    for path in ["", "/a", "../a", "a/../b", "a//b", "./a", "a/", "a\0b"] {
        let error = fixture
            .store
            .upload(test_artifact(&[(path, b"")]))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{path:?}: {error}");
    }
    for paths in [["a", "a"], ["a", "a/b"]] {
        let artifact = test_artifact(&paths.map(|path| (path, b"".as_slice())));
        let error = fixture.store.upload(artifact).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Invalid(_)),
            "{paths:?}: {error}"
        );
    }
}

#[tokio::test]
async fn the_validator_refuses_before_anything_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let validator = |artifact: &crate::artifacts::NewArtifact| match artifact.files.len() {
        1 => Ok(()),
        other => Err(format!("{other} files: exactly one is needed; give one")),
    };
    let store = LocalStore::open_validating(directory.path(), Box::new(validator)).unwrap();
    let error = store.upload(test_artifact(&[])).await.unwrap_err();
    assert!(matches!(&error, StoreError::Invalid(words) if words.starts_with("0 files")));
    store.upload(test_artifact(&[("a", b"")])).await.unwrap();
}

#[tokio::test]
async fn relations_keep_the_order_in_which_they_were_recorded() {
    let fixture = Fixture::new();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(fixture.add(&[]).await);
    }
    let recorded = [
        relation(ids[3], ids[2], RelationType::BuiltUsing),
        relation(ids[3], ids[0], RelationType::RelatesTo),
        relation(ids[3], ids[2], RelationType::Extends),
        relation(ids[3], ids[1], RelationType::RelatesTo),
        relation(ids[1], ids[0], RelationType::Extends),
    ];
    for relation in [recorded.as_slice(), &recorded[..2]].concat() {
        fixture.store.relate(relation).await.unwrap();
    }
    let from = fixture.store.relations_from(ids[3]).await.unwrap();
    assert_eq!(from, recorded[..4]);
    let to = fixture.store.relations_to(ids[0]).await.unwrap();
    assert_eq!(to, [recorded[1], recorded[4]]);
}

#[tokio::test]
async fn a_name_belongs_to_one_artifact() {
    let fixture = Fixture::new();
    let names = vec!["hello".to_owned(), "hello 2.10-3".to_owned()];
    let id = fixture
        .store
        .import(test_artifact(&[]), names.clone())
        .await
        .unwrap();
    assert_eq!(fixture.store.show(id).await.unwrap().names, names);

    let again = fixture.store.import(test_artifact(&[("a", b"new")]), names);
    let error = again.await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Invalid(words) if words.contains("artifact 1 already has it"))
    );
    assert_eq!(files_beneath(&fixture.store_path().join("files")).len(), 0);
    fixture
        .store
        .add_name(id, "hello".to_owned())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_name_that_a_lookup_would_misread_is_refused() {
    let fixture = Fixture::new();
    for name in [
        "",
        "12",
        " 1_0",
        "a/b",
        "debian@debian:environments",
        " x",
        "a\nb",
    ] {
        let error = fixture
            .store
            .import(test_artifact(&[]), vec![name.to_owned()])
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{name:?}: {error}");
    }
}

#[tokio::test]
async fn artifacts_are_listed_by_category() {
    let fixture = Fixture::new();
    let test = fixture.add(&[]).await;
    let tarball = fixture.add_tarball("bookworm", "amd64", None).await;
    let all = fixture.store.list(ArtifactFilter::default()).await.unwrap();
    let ids: Vec<_> = all.iter().map(|stored| stored.artifact.id).collect();
    assert_eq!(ids, [test, tarball]);
    let filter = ArtifactFilter {
        category: Some("debian:system-tarball".to_owned()),
        work_request: None,
    };
    let tarballs = fixture.store.list(filter).await.unwrap();
    assert_eq!(tarballs.len(), 1);
    assert_eq!(tarballs[0].artifact.id, tarball);
}

#[tokio::test]
async fn an_export_never_overwrites_unasked() {
    let fixture = Fixture::new();
    let id = fixture.add(&[("a", b"one"), ("b/c", b"two")]).await;
    let target = tempfile::tempdir().unwrap();
    let directory = target.path().to_owned();
    std::fs::create_dir(directory.join("b")).unwrap();
    std::fs::write(directory.join("b/c"), "mine").unwrap();

    let export = |how| fixture.store.export(id, directory.clone(), how);
    let error = export(Overwrite::Never).await.unwrap_err();
    assert!(matches!(&error, StoreError::Invalid(words) if words.contains("b/c")));
    assert_eq!(files_beneath(&directory), [directory.join("b/c")]);

    let written = export(Overwrite::Replace).await.unwrap();
    assert_eq!(written, [directory.join("a"), directory.join("b/c")]);
    assert_eq!(std::fs::read(directory.join("b/c")).unwrap(), b"two");
    assert_eq!(files_beneath(&directory).len(), 2);
}

#[tokio::test]
async fn an_export_follows_no_symlink() {
    let fixture = Fixture::new();
    let id = fixture.add(&[("b/c", b"two")]).await;
    let (target, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(outside.path(), target.path().join("b")).unwrap();
    let directory = target.path().to_owned();
    let exported = fixture
        .store
        .export(id, directory, Overwrite::Replace)
        .await;
    assert!(matches!(exported, Err(StoreError::Invalid(_))));
    assert_eq!(files_beneath(outside.path()).len(), 0);
}

#[test]
fn only_its_owner_may_enter_a_store() {
    let fixture = Fixture::new();
    let mode = fixture
        .store_path()
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_directory_with_something_else_in_it_is_no_store() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("letter.txt"), "").unwrap();
    let error = LocalStore::open(directory.path()).err().unwrap();
    assert!(matches!(&error, StoreError::Invalid(words) if words.contains("letter.txt")));
    assert_eq!(files_beneath(directory.path()).len(), 1);
}

#[test]
fn a_store_of_a_newer_program_is_left_alone() {
    let fixture = Fixture::new();
    let path = fixture.store_path();
    drop(fixture.store);
    let database = rusqlite::Connection::open(path.join("store.sqlite3")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);

    let before = files_beneath(&path);
    let error = LocalStore::open(&path).err().unwrap();
    assert!(matches!(&error, StoreError::Unavailable(words) if words.contains("format 99")));
    assert_eq!(files_beneath(&path), before);
}

#[test]
fn a_database_that_is_none_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("store.sqlite3"), "x".repeat(4096)).unwrap();
    let error = LocalStore::open(directory.path()).err().unwrap();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}
