//! Several processes at one store, and processes that are killed. They are this test program again, running one of the ignored tests.

use super::fixture::{files_beneath, new_file, relation, test_artifact};
use crate::artifacts::local::{
    ArtifactFilter, LocalStore, NewWorkRequest, WorkRequestResult, WorkRequestStatus,
};
use crate::artifacts::{ArtifactId, ArtifactStore, NewFile, RelationType, StoreError};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// Tells a child where the store is.
const STORE: &str = "TASK_RUNTIME_TEST_STORE";

/// What a child prints once it has reached the point that its parent waits for.
const READY: &str = "ready";

/// A child ends by itself after so many rounds, should its parent be gone.
const ROUNDS: usize = 5000;

#[tokio::test]
async fn a_kill_at_any_moment_leaves_a_store_that_opens_and_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut artifacts = 0;
    // On a slow disk the first rounds get nowhere: then there are more, which last longer.
    for round in 0.. {
        if round >= 15 && artifacts > 0 {
            break;
        }
        assert!(round < 60, "no round got as far as an artifact");
        let mut child = start("writes_until_it_is_killed", &path);
        sleep(Duration::from_millis((round * 7 % 40) << (round / 15)));
        child.kill().unwrap();
        child.wait().unwrap();

        let store = LocalStore::open(&path).unwrap();
        let report = store.verify(|_| ()).await.unwrap();
        assert_eq!(report.problems, [], "round {round}");
        assert_eq!(
            files_beneath(&path.join("incoming")).len(),
            0,
            "round {round}"
        );
        let work_requests = store.work_requests().await.unwrap();
        let running = WorkRequestStatus::Running;
        assert!(
            work_requests.iter().all(|it| it.status != running),
            "round {round}"
        );
        artifacts = store.list(ArtifactFilter::default()).await.unwrap().len();
    }
}

#[tokio::test]
#[ignore = "a child of a_kill_at_any_moment_leaves_a_store_that_opens_and_verifies"]
async fn writes_until_it_is_killed() {
    let Some(store) = store_of_parent() else {
        return;
    };
    println!("{READY}");
    let mut previous = None;
    for round in 0..ROUNDS {
        let id = run_one(&store, round).await;
        if let Some(previous) = previous.replace(id) {
            let relation = relation(id, previous, RelationType::RelatesTo);
            store.relate(relation).await.unwrap();
        }
    }
}

/// A work request that makes an artifact of three files, one of them always the same.
async fn run_one(store: &LocalStore, round: usize) -> ArtifactId {
    let work_request = record(store).await;
    store.start_work_request(work_request).await.unwrap();
    let content = format!("{} {round} ", std::process::id()).repeat(round * 997 % 40_000);
    let mut artifact = test_artifact(&[("same", b"same"), ("new", content.as_bytes())]);
    artifact.work_request = Some(work_request);
    artifact
        .files
        .push(new_file("newer", &content.as_bytes()[content.len() / 2..]));
    let id = store.upload(artifact).await.unwrap();
    let success = WorkRequestResult::Success;
    store
        .complete_work_request(work_request, success, None)
        .await
        .unwrap();
    id
}

async fn record(store: &LocalStore) -> u64 {
    let new = NewWorkRequest {
        task_name: "noop".to_owned(),
        task_data: json!({}),
        workspace: None,
    };
    store.create_work_request(new).await.unwrap()
}

#[tokio::test]
async fn two_processes_use_one_store_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let children = [(); 2].map(|()| spawn("stores_twenty_artifacts", &path));
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = LocalStore::open(&path).unwrap();
    let stored = store.list(ArtifactFilter::default()).await.unwrap();
    assert_eq!(stored.len(), 40);
    let named = stored
        .iter()
        .filter(|stored| !stored.names.is_empty())
        .count();
    assert_eq!(named, 20, "each name is given once");
    assert_eq!(store.verify(|_| ()).await.unwrap().problems, []);
}

#[tokio::test]
#[ignore = "a child of two_processes_use_one_store_at_once"]
async fn stores_twenty_artifacts() {
    let Some(store) = store_of_parent() else {
        return;
    };
    for round in 0..20 {
        let content = format!("content {round}");
        let files: &[(&str, &[u8])] = &[("a", content.as_bytes()), ("same", b"same")];
        let name = format!("name {round}");
        match store.import(test_artifact(files), vec![name]).await {
            Ok(_) => {}
            Err(StoreError::Invalid(words)) if words.contains("already has it") => {
                store.upload(test_artifact(files)).await.unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_work_request_whose_process_was_killed_is_aborted_at_the_next_opening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut child = start("runs_a_work_request_for_ever", &path);
    let store = LocalStore::open(&path).unwrap();
    assert_eq!(
        store.work_request(1).await.unwrap().status,
        WorkRequestStatus::Running
    );
    child.kill().unwrap();
    child.wait().unwrap();

    let store = LocalStore::open(&path).unwrap();
    let work_request = store.work_request(1).await.unwrap();
    assert_eq!(work_request.status, WorkRequestStatus::Aborted);
    assert!(work_request.completed_at.is_some());
    assert_eq!(files_beneath(&path.join("running")).len(), 0);
}

#[tokio::test]
#[ignore = "a child of a_work_request_whose_process_was_killed_is_aborted_at_the_next_opening"]
async fn runs_a_work_request_for_ever() {
    let Some(store) = store_of_parent() else {
        return;
    };
    let id = record(&store).await;
    store.start_work_request(id).await.unwrap();
    println!("{READY}");
    sleep(Duration::from_secs(60));
}

#[test]
fn memory_does_not_grow_with_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = spawn("stores_a_big_file", &directory.path().join("store"));
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
#[ignore = "a child of memory_does_not_grow_with_a_file: memory is counted for a whole process"]
async fn stores_a_big_file() {
    let Some(store) = store_of_parent() else {
        return;
    };
    store
        .upload(test_artifact(&[("small", b"small")]))
        .await
        .unwrap();
    let before = peak_memory();
    let content = tempfile::tempfile().unwrap();
    content.set_len(64 << 20).unwrap();
    let mut artifact = test_artifact(&[]);
    let path = "big".to_owned();
    artifact.files.push(NewFile { path, content });
    let id = store.upload(artifact).await.unwrap();
    let target = tempfile::tempfile().unwrap();
    store.fetch_file(id, "big", target).await.unwrap();
    let growth = peak_memory() - before;
    assert!(growth < 2 << 10, "{growth} KiB more for 64 MiB");
}

/// The most memory that this process ever had resident, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The store that the parent gave; none when the ignored tests are run by hand.
fn store_of_parent() -> Option<LocalStore> {
    let path = PathBuf::from(std::env::var_os(STORE)?);
    Some(LocalStore::open(path).unwrap())
}

fn spawn(test: &str, store: &Path) -> Child {
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--ignored", "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Starts a child and waits until it is ready.
fn start(test: &str, store: &Path) -> Child {
    let mut child = spawn(test, store);
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let ready = lines.any(|line| line.unwrap().contains(READY));
    assert!(ready, "{test} ended early");
    child
}
