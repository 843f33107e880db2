//! What `verify` finds, what opening tidies up, and what a full disk leaves.

use super::fixture::{Fixture, damage, files_beneath, test_artifact};
use crate::artifacts::local::{LocalStore, Problem, VerifyProgress};
use crate::artifacts::{ArtifactStore, StoreError};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

impl Fixture {
    async fn problems(&self) -> Vec<Problem> {
        self.store.verify(|_| ()).await.unwrap().problems
    }

    fn blobs(&self) -> Vec<PathBuf> {
        files_beneath(&self.store_path().join("files"))
    }

    fn incoming(&self) -> PathBuf {
        self.store_path().join("incoming")
    }
}

#[tokio::test]
async fn a_good_store_has_no_problems_and_progress_is_told() {
    let fixture = Fixture::new();
    fixture.add(&[("a", b"one"), ("b", b"three")]).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let report = fixture
        .store
        .verify(move |state| told.lock().unwrap().push(state))
        .await
        .unwrap();
    assert!(report.is_good());
    assert_eq!((report.files, report.bytes), (2, 8));
    let end = VerifyProgress {
        files: 2,
        files_total: 2,
        bytes: 8,
        bytes_total: 8,
    };
    assert_eq!(seen.lock().unwrap().last(), Some(&end));
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn changed_cut_and_missing_files_are_found_with_their_users() {
    let fixture = Fixture::new();
    fixture.add(&[("a", b"one"), ("b/c", b"one")]).await;
    damage(&fixture.store_path(), b"one");
    let problems = fixture.problems().await;
    let users = vec!["1:a".to_owned(), "1:b/c".to_owned()];
    assert!(
        matches!(&problems[..], [Problem::DamagedFile { size: 3, found_size: 3, used_by, .. }] if *used_by == users)
    );

    let blob = &fixture.blobs()[0];
    fs::remove_file(blob).unwrap();
    let problems = fixture.problems().await;
    assert!(matches!(&problems[..], [Problem::MissingFile { used_by, .. }] if *used_by == users));
    assert!(problems[0].to_string().contains("1:a, 1:b/c"));

    fs::write(blob, "on").unwrap();
    let problems = fixture.problems().await;
    assert!(matches!(
        &problems[..],
        [Problem::DamagedFile { found_size: 2, .. }]
    ));
}

#[tokio::test]
async fn orphans_and_dangling_rows_are_found() {
    let fixture = Fixture::new();
    fixture.add(&[("a", b"one")]).await;
    let stranger = fixture.store_path().join("files/letter.txt");
    fs::write(&stranger, "").unwrap();
    let database = rusqlite::Connection::open(fixture.store_path().join("store.sqlite3")).unwrap();
    database.pragma_update(None, "foreign_keys", false).unwrap();
    database.execute("DELETE FROM artifacts", []).unwrap();
    let problems = fixture.problems().await;
    assert!(
        matches!(&problems[0], Problem::DanglingRow { table, parent } if table == "artifact_files" && parent == "artifacts")
    );
    assert_eq!(problems[1], Problem::OrphanFile { path: stranger });

    database
        .execute_batch("DELETE FROM artifact_files; DELETE FROM blobs")
        .unwrap();
    let problems = fixture.problems().await;
    assert_eq!(problems.len(), 2);
    assert!(
        problems
            .iter()
            .all(|problem| matches!(problem, Problem::OrphanFile { .. }))
    );
}

#[tokio::test]
async fn a_damaged_database_is_found() {
    let fixture = Fixture::new();
    for _ in 0..50 {
        fixture.add(&[("a", b"one")]).await;
    }
    let path = fixture.store_path();
    let Fixture { store, directory } = fixture;
    drop(store);
    let database = path.join("store.sqlite3");
    let mut bytes = fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0x5a);
    fs::write(&database, bytes).unwrap();

    match LocalStore::open(&path) {
        Ok(store) => assert!(!store.verify(|_| ()).await.unwrap().is_good()),
        Err(error) => assert!(matches!(error, StoreError::Damaged(_)), "{error}"),
    }
    drop(directory);
}

#[tokio::test]
async fn leftovers_are_removed_on_opening_and_stored_files_are_not() {
    let fixture = Fixture::new();
    fixture.add(&[("a", b"one")]).await;
    leave_behind(&fixture);
    assert_eq!(fixture.blobs().len(), 2);

    LocalStore::open(fixture.store_path()).unwrap();
    assert_eq!(files_beneath(&fixture.incoming()).len(), 0);
    assert_eq!(fixture.blobs().len(), 1);
    assert_eq!(fixture.problems().await, []);
}

#[tokio::test]
async fn nothing_is_removed_while_somebody_brings_files_in() {
    let fixture = Fixture::new();
    let reception = fixture.store.inner.blobs.receive().unwrap();
    fixture.add(&[("a", b"one")]).await;
    leave_behind(&fixture);
    LocalStore::open(fixture.store_path()).unwrap();
    assert_eq!(files_beneath(&fixture.incoming()).len(), 3);
    assert_eq!(fixture.blobs().len(), 2);
    assert_eq!(
        fixture.problems().await,
        [],
        "what is on its way in is no orphan"
    );

    drop(reception);
    LocalStore::open(fixture.store_path()).unwrap();
    assert_eq!(files_beneath(&fixture.incoming()).len(), 0);
}

/// What processes leave that died while they wrote a file, after they put one in place, and after the transaction.
fn leave_behind(fixture: &Fixture) {
    let kept = fixture.blobs()[0].clone();
    let name = kept.file_name().unwrap().to_str().unwrap();
    let lost = "b".repeat(64);
    let place = fixture.store_path().join("files/bb").join(&lost);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, "lost").unwrap();
    for (leftover, content) in [
        ("part-abc".to_owned(), "on"),
        (format!("{lost}.part-abc"), "lost"),
        (format!("{name}.part-abc"), "one"),
    ] {
        fs::write(fixture.incoming().join(leftover), content).unwrap();
    }
}

#[test]
fn a_full_disk_is_one_clear_error_and_changes_nothing() {
    let disk = tempfile::tempdir().unwrap();
    // The mount is seen by this thread and the threads it starts, and ends with them.
    let private = unshare(CloneFlags::CLONE_NEWNS).and_then(|()| {
        let (none, flags) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        mount(none, "/", none, flags, none)?;
        mount(
            Some("tmpfs"),
            disk.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=4m"),
        )
    });
    if let Err(why) = private {
        eprintln!("skipped: cannot mount a small disk: {why}; run as root");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(fill(disk.path().join("store")));
    drop(runtime);
    umount2(disk.path(), MntFlags::MNT_DETACH).unwrap();
}

async fn fill(path: PathBuf) {
    let store = LocalStore::open(&path).unwrap();
    let small = store.upload(test_artifact(&[("a", b"one")])).await.unwrap();
    let big = vec![7; 5 << 20];
    let error = store
        .upload(test_artifact(&[("b", b"two"), ("big", &big)]))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Unavailable(words) if words.contains("the disk is full")),
        "{error}"
    );
    assert_eq!(files_beneath(&path.join("incoming")).len(), 0);
    assert_eq!(files_beneath(&path.join("files")).len(), 1);

    // The database meets the full disk too, in whatever step of its transaction.
    let mut refused = 0;
    for number in 0..64 {
        let content = vec![number; 256 << 10];
        let mut artifact = test_artifact(&[("c", &content)]);
        artifact.data = serde_json::json!({"long": "x".repeat(32 << 10)});
        refused += usize::from(store.upload(artifact).await.is_err());
    }
    assert!(refused > 0);
    assert_eq!(files_beneath(&path.join("incoming")).len(), 0);
    assert_eq!(store.artifact(small).await.unwrap().files.len(), 1);
    assert_eq!(store.verify(|_| ()).await.unwrap().problems, []);
}
