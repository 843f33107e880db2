//! What the spool keeps over restarts, and what it does not.

use super::journal::DEBUG_LOGS;
use super::*;
use crate::artifacts::debusine::{Patience, Server, ServerArtifacts};
use crate::artifacts::{ArtifactId, ArtifactStore, NewArtifact, NewFile, Relation, RelationType};
use crate::worker::work_request::{Outcome, Report};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

fn owner() -> Owner {
    Owner::new("http://localhost/api", "token")
}

fn spool(directory: &TempDir) -> Spool {
    Spool::open(directory.path(), owner()).expect("a spool")
}

fn work_request(id: u64) -> WorkRequest {
    WorkRequest {
        id,
        task_name: "noop".to_owned(),
        task_type: "Worker".to_owned(),
        task_data: json!({}),
        dynamic_task_data: None,
        workspace: Some("System".to_owned()),
    }
}

fn success() -> Report {
    Report::new(Outcome::Success, json!({"duration": 0}))
}

fn numbers(spool: &Spool) -> Vec<u64> {
    spool
        .undelivered()
        .iter()
        .map(Entry::work_request)
        .collect()
}

/// A store whose server is never reached.
fn store(entry: Entry) -> (SpoolingStore, Arc<Mutex<Entry>>) {
    let server = Server::new("http://127.0.0.1:9/api", Patience::default()).expect("a server");
    let entry = Arc::new(Mutex::new(entry));
    let server = Arc::new(ServerArtifacts::new(server));
    (SpoolingStore::new(server, Arc::clone(&entry)), entry)
}

fn artifact(category: &str, content: &[u8]) -> NewArtifact {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(content).expect("written");
    NewArtifact {
        category: category.to_owned(),
        data: json!({}),
        files: vec![NewFile {
            path: "name".to_owned(),
            content: file,
        }],
        work_request: Some(1),
        workspace: None,
    }
}

#[test]
fn finished_work_outlives_the_worker_and_half_done_work_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = spool(&directory);
    first.begin(&work_request(1)).expect("room");
    let mut finished = first.begin(&work_request(20)).expect("room");
    finished.finish(success()).expect("kept");
    let mut aborted = first.begin(&work_request(3)).expect("room");
    aborted.abort().expect("kept");
    drop(first);
    let second = spool(&directory);
    assert_eq!(numbers(&second), [3, 20]);
    assert!(!directory.path().join("1").exists());
    assert_eq!(second.undelivered()[1].report(), Some(&success()));
}

#[test]
fn damaged_and_half_written_journals_are_never_believed() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = spool(&directory);
    for id in [1, 2] {
        let mut entry = first.begin(&work_request(id)).expect("room");
        entry.finish(success()).expect("kept");
    }
    let place = |name: &str| directory.path().join(name);
    fs::write(place("1/journal.json"), "{\"owner\":").expect("written");
    fs::write(place("2/journal.new"), "{\"owner\":").expect("written");
    drop(first);
    assert_eq!(numbers(&spool(&directory)), [2]);
}

#[test]
fn what_cannot_be_read_is_kept_under_a_name_that_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| directory.path().join(name);
    for content in ["{\"owner\":", "{\"version\": 2}"] {
        let first = spool(&directory);
        let mut entry = first.begin(&work_request(1)).expect("room");
        fs::write(entry.content("abc"), "made by the task").expect("written");
        entry.finish(success()).expect("kept");
        fs::write(place("1/journal.json"), content).expect("written");
    }
    assert!(numbers(&spool(&directory)).is_empty());
    let kept = kept_aside(directory.path());
    assert_eq!(kept, [place("1.unreadable"), place("1.unreadable.2")]);
    for place in &kept {
        let made = fs::read_to_string(place.join("files/abc")).expect("kept");
        assert_eq!(made, "made by the task");
    }
    let why = |at: usize| fs::read_to_string(kept[at].join("why")).expect("a reason");
    assert!(why(0).contains("damaged"), "{}", why(0));
    assert!(why(1).contains("newer program (version 2"), "{}", why(1));
    // It does not come back, and is not touched again.
    assert!(numbers(&spool(&directory)).is_empty());
    assert_eq!(kept_aside(directory.path()), kept);
}

#[test]
fn journals_have_a_version_and_those_without_are_the_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = spool(&directory);
    let mut entry = first.begin(&work_request(1)).expect("room");
    entry.finish(success()).expect("kept");
    let path = directory.path().join("1/journal.json");
    let text = fs::read(&path).expect("there");
    let mut journal: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(journal["version"], 1);
    journal
        .as_object_mut()
        .expect("an object")
        .remove("version");
    fs::write(&path, journal.to_string()).expect("written");
    drop(first);
    assert_eq!(numbers(&spool(&directory)), [1]);
}

#[test]
fn a_journal_of_another_work_request_is_not_believed() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = spool(&directory);
    let mut entry = first.begin(&work_request(1)).expect("room");
    entry.finish(success()).expect("kept");
    fs::rename(directory.path().join("1"), directory.path().join("2")).expect("renamed");
    drop(first);
    assert!(numbers(&spool(&directory)).is_empty());
    assert!(directory.path().join("2.unreadable").exists());
}

#[test]
fn results_that_nobody_wants_expire_while_the_worker_lives() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = spool(&directory);
    for (id, age) in [(1, KEPT * 2), (2, KEPT / 2)] {
        let mut entry = spool.begin(&work_request(id)).expect("room");
        entry.finish(success()).expect("kept");
        entry.set_state(State::Unassigned).expect("kept");
        let changed = std::time::SystemTime::now() - age;
        let opened = File::open(&entry.directory).expect("there");
        opened.set_modified(changed).expect("changed");
    }
    spool.expire();
    assert!(spool.unassigned(1).is_none());
    assert!(!directory.path().join("1").exists());
    assert!(spool.unassigned(2).is_some());
}

#[test]
fn a_postponed_result_waits_for_the_next_start_or_until_it_is_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = spool(&directory);
    let mut entry = first.begin(&work_request(1)).expect("room");
    entry.finish(success()).expect("kept");
    assert!(first.unassigned(1).is_none());
    first.postpone(&entry);
    assert!(numbers(&first).is_empty());
    assert!(first.unassigned(1).is_some());
    drop(first);
    assert_eq!(numbers(&spool(&directory)), [1]);
}

#[test]
fn a_refused_result_is_offered_again_once_it_has_its_number_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = spool(&directory);
    let mut entry = first.begin(&work_request(1)).expect("room");
    entry.finish(success()).expect("kept");
    let kept = entry
        .set_aside("the server does not like it")
        .expect("kept");
    assert!(numbers(&first).is_empty());
    drop(first);
    assert!(numbers(&spool(&directory)).is_empty());
    fs::rename(kept, directory.path().join("1")).expect("renamed");
    assert_eq!(numbers(&spool(&directory)), [1]);
}

#[test]
fn results_for_another_server_or_token_are_kept_and_not_delivered() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = spool(&directory);
    let mut entry = first.begin(&work_request(1)).expect("room");
    entry.finish(success()).expect("kept");
    drop(first);
    for other in [
        Owner::new("http://elsewhere/api", "token"),
        Owner::new("http://localhost/api", "another"),
    ] {
        let spool = Spool::open(directory.path(), other).expect("a spool");
        assert!(numbers(&spool).is_empty());
    }
    assert_eq!(numbers(&spool(&directory)), [1]);
}

#[test]
fn a_spool_has_one_worker() {
    let directory = tempfile::tempdir().expect("a directory");
    assert!(!Spool::is_in_use(directory.path()));
    let first = spool(&directory);
    assert!(Spool::is_in_use(directory.path()));
    let second = Spool::open(directory.path(), owner());
    assert!(matches!(second, Err(SpoolError::InUse(_))));
    drop(first);
    assert!(!Spool::is_in_use(directory.path()));
}

#[tokio::test]
async fn what_a_task_uploads_it_can_read_again_before_the_server_has_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = spool(&directory);
    let (store, entry) = store(spool.begin(&work_request(1)).expect("room"));
    let one = store.upload(artifact("debusine:test", b"content")).await;
    let two = store.upload(artifact("debusine:test", b"content")).await;
    let (one, two) = (one.expect("kept"), two.expect("kept"));
    assert_ne!(one, two);
    let relation = Relation {
        from: one,
        to: ArtifactId(7),
        kind: RelationType::RelatesTo,
    };
    store.relate(relation).await.expect("kept");
    let read = store.artifact(one).await.expect("there");
    assert_eq!(
        (read.files[0].size, read.category.as_str()),
        (7, "debusine:test")
    );
    let mut copy = tempfile::NamedTempFile::new().expect("a file");
    let target = copy.reopen().expect("a descriptor");
    store.fetch_file(one, "name", target).await.expect("copied");
    let text = io::read_to_string(copy.as_file_mut()).expect("text");
    assert_eq!(text, "content");
    assert_eq!(store.relations_from(one).await.expect("known"), [relation]);
    let kept = fs::read_dir(entry.lock().expect("free").directory.join("files"));
    assert_eq!(kept.expect("there").count(), 1, "content is kept once");
}

#[tokio::test]
async fn an_upload_for_which_nobody_waits_any_more_is_given_up_and_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = spool(&directory);
    let (store, entry) = store(spool.begin(&work_request(1)).expect("room"));
    let endless = artifact("debusine:test", b"");
    // More than any disk has room for.
    let content = &endless.files[0].content;
    content.set_len(4 << 40).expect("a sparse file");
    let upload = store.upload(endless);
    let waited = tokio::time::timeout(Duration::from_millis(100), upload).await;
    assert!(waited.is_err(), "{waited:?}");
    let files = entry.lock().expect("free").directory.join("files");
    let left = || fs::read_dir(&files).expect("there").count();
    for _ in 0..1000 {
        if left() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(left(), 0);
}

#[tokio::test]
async fn without_its_artifacts_a_task_has_failed_and_without_its_logs_it_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = spool(&directory);
    let (store, entry) = store(spool.begin(&work_request(1)).expect("room"));
    for category in ["debusine:test", "debusine:test", DEBUG_LOGS] {
        store
            .upload(artifact(category, b"content"))
            .await
            .expect("kept");
    }
    let mut entry = entry.lock().expect("free");
    entry.finish(success()).expect("kept");
    let journal = &mut entry.journal;
    assert!(journal.refuse("no"), "the logs are still to come");
    assert_eq!(journal.operations.len(), 1);
    let result = |journal: &Journal| journal.report.as_ref().map(|report| report.result);
    assert_eq!(result(journal), Some(Outcome::Failure));
    assert!(!journal.refuse("no"));
    assert_eq!(result(journal), Some(Outcome::Error));
    let document = journal.report.as_ref().expect("a report").document();
    let error = json!([{"message": "Task: noop Error execute: no", "code": "execute-failed"}]);
    assert_eq!(document["output_data"]["errors"], error);
    assert!(document["output_data"]["runtime_statistics"].is_object());
}
