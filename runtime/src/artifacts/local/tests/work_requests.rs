//! The life of recorded work requests.

use super::fixture::{Fixture, test_artifact};
use crate::artifacts::local::{
    ArtifactFilter, LocalStore, NewWorkRequest, WorkRequestResult, WorkRequestStatus,
};
use crate::artifacts::{ArtifactStore, StoreError};
use serde_json::json;

impl Fixture {
    async fn record(&self) -> u64 {
        let new = NewWorkRequest {
            task_name: "noop".to_owned(),
            task_data: json!({"result": true}),
            workspace: Some("System".to_owned()),
        };
        self.store.create_work_request(new).await.unwrap()
    }

    async fn status(&self, id: u64) -> WorkRequestStatus {
        self.store.work_request(id).await.unwrap().status
    }
}

#[tokio::test]
async fn a_work_request_is_kept_with_its_result_and_artifacts() {
    let fixture = Fixture::new();
    let id = fixture.record().await;
    let store = &fixture.store;
    assert_eq!(fixture.status(id).await, WorkRequestStatus::Pending);
    store
        .set_dynamic_task_data(id, json!({"subject": "x"}))
        .await
        .unwrap();
    store.start_work_request(id).await.unwrap();
    let mut made = test_artifact(&[]);
    made.work_request = Some(id);
    let made = store.upload(made).await.unwrap();
    fixture.add(&[]).await;
    let output = Some(json!({"runtime": 1}));
    store
        .complete_work_request(id, WorkRequestResult::Failure, output.clone())
        .await
        .unwrap();

    let kept = store.work_request(id).await.unwrap();
    assert_eq!(kept.task_name, "noop");
    assert_eq!(kept.task_data, json!({"result": true}));
    assert_eq!(kept.dynamic_task_data, Some(json!({"subject": "x"})));
    assert_eq!(kept.status, WorkRequestStatus::Completed);
    assert_eq!(kept.result, Some(WorkRequestResult::Failure));
    assert_eq!(kept.output_data, output);
    assert_eq!(kept.artifacts, [made]);
    assert!(kept.created_at <= kept.started_at.unwrap() && kept.started_at <= kept.completed_at);
    assert_eq!(store.work_requests().await.unwrap(), [kept]);
    let filter = ArtifactFilter {
        work_request: Some(id),
        category: None,
    };
    assert_eq!(store.list(filter).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_work_request_ends_once() {
    let fixture = Fixture::new();
    let id = fixture.record().await;
    let store = &fixture.store;
    let success = WorkRequestResult::Success;
    let early = store.complete_work_request(id, success, None).await;
    assert!(matches!(early, Err(StoreError::Invalid(words)) if words.contains("pending")));
    store.abort_work_request(id).await.unwrap();
    for again in [
        store.abort_work_request(id).await,
        store.start_work_request(id).await,
    ] {
        assert!(matches!(again, Err(StoreError::Invalid(words)) if words.contains("aborted")));
    }
    assert!(matches!(
        store.work_request(9).await,
        Err(StoreError::NotFound(_))
    ));
    assert!(matches!(
        store.start_work_request(9).await,
        Err(StoreError::NotFound(_))
    ));
}

#[tokio::test]
async fn a_work_request_whose_store_was_dropped_is_aborted() {
    let mut fixture = Fixture::new();
    let (id, pending) = (fixture.record().await, fixture.record().await);
    fixture.store.start_work_request(id).await.unwrap();
    let second = LocalStore::open(fixture.store_path()).unwrap();
    assert_eq!(fixture.status(id).await, WorkRequestStatus::Running);

    fixture.store = second;
    fixture.store = LocalStore::open(fixture.store_path()).unwrap();
    assert_eq!(fixture.status(id).await, WorkRequestStatus::Aborted);
    assert_eq!(fixture.status(pending).await, WorkRequestStatus::Pending);
}
