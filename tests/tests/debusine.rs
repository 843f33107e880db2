//! Artifacts over HTTP: what a Debusine server, a network or a proxy may do to downloads and uploads.

use anyhow::Result;
use serde_json::json;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::Duration;
use task_runtime::artifacts::debusine::{Server, ServerArtifacts};
use task_runtime::artifacts::{
    ArtifactId, ArtifactStore, NewArtifact, NewFile, Relation, RelationType, StoreError,
};
use task_runtime_tests::fake_server::{FakeServer, State, TOKEN, Trouble};
use task_runtime_tests::living_worker::QUICK;

/// Path of a file that wants quoting.
const PATH: &str = "d/a#b+1:2.bin";

fn artifacts(server: &FakeServer) -> Result<ServerArtifacts> {
    let server = Server::new(&server.api_url(), QUICK)?.with_token(TOKEN)?;
    Ok(ServerArtifacts::new(server))
}

fn content(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(next).collect()
}

async fn fetched(server: &FakeServer, id: u64) -> Result<Vec<u8>, StoreError> {
    let store = artifacts(server).expect("a server");
    let mut file = tempfile::tempfile().expect("a file");
    let target = file.try_clone().expect("a descriptor");
    store.fetch_file(ArtifactId(id), PATH, target).await?;
    let mut bytes = Vec::new();
    file.rewind().expect("seekable");
    file.read_to_end(&mut bytes).expect("readable");
    Ok(bytes)
}

fn file_of(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(content).expect("written");
    file
}

fn artifact(content: &[u8]) -> NewArtifact {
    NewArtifact {
        category: "debusine:test".to_owned(),
        data: json!({}),
        files: vec![NewFile {
            path: PATH.to_owned(),
            content: file_of(content),
        }],
        work_request: Some(1),
        workspace: None,
    }
}

#[tokio::test]
async fn a_download_is_what_was_promised() -> Result<()> {
    let server = FakeServer::start().await?;
    for size in [0, 1, 300_000] {
        let content = content(size);
        let id = server
            .state()
            .add_artifact("debusine:test", &[(PATH, &content)]);
        assert!(fetched(&server, id).await? == content, "{size}");
    }
    Ok(())
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_stopped() -> Result<()> {
    let server = FakeServer::start().await?;
    let content = content(1 << 20);
    let id = server
        .state()
        .add_artifact("debusine:test", &[(PATH, &content)]);
    server.fault("GET", "/download/", Trouble::Short(300_000), 3);
    assert!(fetched(&server, id).await? == content);
    let state = server.state();
    let ranges: Vec<_> = state
        .requests
        .iter()
        .filter_map(|it| it.header("range"))
        .collect();
    assert_eq!(
        ranges,
        [
            "bytes=300000-1048575",
            "bytes=600000-1048575",
            "bytes=900000-1048575"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn wrong_bytes_are_fetched_once_more_and_never_kept() -> Result<()> {
    let server = FakeServer::start().await?;
    let id = server
        .state()
        .add_artifact("debusine:test", &[(PATH, b"right")]);
    server.fault("GET", "/download/", Trouble::Body(b"wrong"), 1);
    assert_eq!(fetched(&server, id).await?, b"right");
    server.fault("GET", "/download/", Trouble::Body(b"wrong"), 2);
    let error = fetched(&server, id).await.expect_err("never right");
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    server.fault("GET", "/download/", Trouble::Body(b"too much of it"), 1);
    let error = fetched(&server, id).await.expect_err("too long");
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_and_asked_again() -> Result<()> {
    let server = FakeServer::start().await?;
    let id = server
        .state()
        .add_artifact("debusine:test", &[(PATH, b"content")]);
    server.fault("GET", "/artifact/", Trouble::Silence, 1);
    server.fault("GET", "/download/", Trouble::Silence, 1);
    assert_eq!(fetched(&server, id).await?, b"content");
    Ok(())
}

#[tokio::test]
async fn a_slow_body_is_waited_for() -> Result<()> {
    let server = FakeServer::start().await?;
    let content = content((6 * 64) << 10);
    let id = server
        .state()
        .add_artifact("debusine:test", &[(PATH, &content)]);
    server.fault(
        "GET",
        "/download/",
        Trouble::Slow(Duration::from_millis(200)),
        1,
    );
    assert!(fetched(&server, id).await? == content);
    assert_eq!(server.state().count("GET", "/download/"), 1);
    Ok(())
}

#[tokio::test]
async fn proxies_and_overload_are_waited_out() -> Result<()> {
    let server = FakeServer::start().await?;
    let id = server
        .state()
        .add_artifact("debusine:test", &[(PATH, b"content")]);
    for status in [500, 502, 503, 504, 429] {
        server.fault(
            "GET",
            "/artifact/",
            Trouble::Answer(status, "<html>later</html>"),
            1,
        );
        server.fault(
            "GET",
            "/download/",
            Trouble::Answer(status, "<html>later</html>"),
            1,
        );
        assert_eq!(fetched(&server, id).await?, b"content", "{status}");
    }
    Ok(())
}

#[tokio::test]
async fn the_token_goes_to_the_server_and_to_nobody_else() -> Result<()> {
    let server = FakeServer::start().await?;
    let elsewhere = FakeServer::start().await?;
    let id = server
        .state()
        .add_artifact("debusine:test", &[(PATH, b"content")]);
    elsewhere
        .state()
        .add_artifact("debusine:test", &[(PATH, b"content")]);
    let address = elsewhere.api_url().replace(
        "/api",
        "/debusine/System/artifact/1/download/d/a%23b%2B1%3A2.bin",
    );
    server.fault(
        "GET",
        "/download/",
        Trouble::Answer(302, Box::leak(address.into_boxed_str())),
        1,
    );
    assert_eq!(fetched(&server, id).await?, b"content");
    let sent = |server: &FakeServer| {
        server
            .state()
            .requests
            .iter()
            .all(|it| it.header("token").is_some())
    };
    assert!(sent(&server) && !sent(&elsewhere));
    Ok(())
}

#[tokio::test]
async fn paths_that_leave_the_directory_are_refused() -> Result<()> {
    let server = FakeServer::start().await?;
    let store = artifacts(&server)?;
    for path in ["../x", "/etc/passwd", "a/../../x", ""] {
        let id = server
            .state()
            .add_artifact("debusine:test", &[(path, b"content")]);
        let error = store.artifact(ArtifactId(id)).await.expect_err(path);
        assert!(matches!(error, StoreError::Invalid(_)), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_told_at_once() -> Result<()> {
    let server = FakeServer::start().await?;
    let error = fetched(&server, 4711).await.expect_err("no artifact");
    assert!(matches!(error, StoreError::NotFound(_)), "{error}");
    assert_eq!(server.state().requests.len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_upload_goes_in_chunks_from_where_the_server_is() -> Result<()> {
    let server = FakeServer::start().await?;
    let content = content((50 << 20) + 12_345);
    let id = artifacts(&server)?.upload(artifact(&content)).await?;
    assert!(server.state().content(id.0, PATH) == Some(&content[..]));
    let state = server.state();
    let ranges: Vec<_> = state
        .requests
        .iter()
        .filter_map(|it| it.header("content-range"))
        .collect();
    let size = content.len();
    assert_eq!(
        ranges,
        [
            format!("bytes */{size}"),
            format!("bytes 0-52428799/{size}"),
            format!("bytes 52428800-{}/{size}", size - 1)
        ]
    );
    let put = state
        .requests
        .iter()
        .find(|it| it.method == "PUT")
        .expect("an upload");
    assert_eq!(put.path, "/api/1.0/artifact/1/files/d/a%23b%2B1%3A2.bin/");
    Ok(())
}

#[tokio::test]
async fn a_cut_upload_goes_on() -> Result<()> {
    let server = FakeServer::start().await?;
    let content = content(400_000);
    for trouble in [
        Trouble::Cut,
        Trouble::Lost,
        Trouble::Silence,
        Trouble::Answer(502, "<html>"),
    ] {
        server.fault("PUT", "/files/", trouble.clone(), 2);
        let id = artifacts(&server)?.upload(artifact(&content)).await?;
        assert!(
            server.state().content(id.0, PATH) == Some(&content[..]),
            "{trouble:?}"
        );
        server.state().contents.clear();
    }
    Ok(())
}

#[tokio::test]
async fn what_a_server_has_and_did_not_verify_is_not_taken_for_kept() -> Result<()> {
    let server = FakeServer::start().await?;
    let content = content(400_000);
    server.state().deaths_before_verification = 2;
    let id = artifacts(&server)?.upload(artifact(&content)).await?;
    assert!(server.state().content(id.0, PATH) == Some(&content[..]));
    Ok(())
}

#[tokio::test]
async fn a_server_that_has_everything_and_does_not_say_so_is_sent_the_end_again_and_not_for_ever()
-> Result<()> {
    let server = FakeServer::start().await?;
    let content = content(400_000);
    server.state().unverified = 2;
    let id = artifacts(&server)?.upload(artifact(&content)).await?;
    assert!(server.state().content(id.0, PATH) == Some(&content[..]));
    let before = server.state().count("PUT", "/files/");
    server.state().contents.clear();
    server.state().unverified = u32::MAX;
    let error = artifacts(&server)?.upload(artifact(&content)).await;
    let error = error.expect_err("it is never complete");
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert!(server.state().count("PUT", "/files/") < before + 15);
    Ok(())
}

#[tokio::test]
async fn damage_on_the_way_is_sent_again_and_not_for_ever() -> Result<()> {
    let server = FakeServer::start().await?;
    let problem = r#"{"title": "Invalid file hash"}"#;
    server.fault("PUT", "/files/", Trouble::Answer(409, problem), 2);
    let id = artifacts(&server)?.upload(artifact(b"content")).await?;
    assert_eq!(server.state().content(id.0, PATH), Some(&b"content"[..]));
    server.state().contents.clear();
    server.fault("PUT", "/files/", Trouble::Answer(409, problem), 100);
    let error = artifacts(&server)?
        .upload(artifact(b"content"))
        .await
        .expect_err("always 409");
    assert!(error.to_string().contains("Invalid file hash"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_server_may_take_longer_to_verify_than_to_answer() -> Result<()> {
    let server = FakeServer::start().await?;
    let pause = (QUICK.answer + QUICK.verification) / 2;
    // The question is answered at once.
    server.fault("PUT", "/files/", Trouble::Late(Duration::ZERO), 1);
    server.fault("PUT", "/files/", Trouble::Late(pause), 1);
    let id = artifacts(&server)?.upload(artifact(b"content")).await?;
    assert_eq!(server.state().content(id.0, PATH), Some(&b"content"[..]));
    assert_eq!(server.state().count("PUT", "/files/"), 2);
    Ok(())
}

#[tokio::test]
async fn damage_of_many_chunks_is_sent_again_from_the_beginning() -> Result<()> {
    let server = FakeServer::start().await?;
    let content = content(7 * 1000 + 500);
    server.state().damages = 2;
    let asked = Server::new(&server.api_url(), QUICK)?.with_token(TOKEN)?;
    let store = ServerArtifacts::new(asked.with_chunk(1000));
    let id = store.upload(artifact(&content)).await?;
    assert!(server.state().content(id.0, PATH) == Some(&content[..]));
    let state = server.state();
    let ranges = state
        .requests
        .iter()
        .filter_map(|it| it.header("content-range"));
    let (first, last) = ("bytes 0-999/7500", "bytes 7000-7499/7500");
    let count = |wanted: &str| ranges.clone().filter(|range| *range == wanted).count();
    assert_eq!((count(first), count(last)), (3, 3));
    Ok(())
}

#[tokio::test]
async fn chunks_that_the_server_has_lost_are_sent_again_however_many() -> Result<()> {
    let server = FakeServer::start().await?;
    let content = content(40 * 1000 + 500);
    let asked = Server::new(&server.api_url(), QUICK)?.with_token(TOKEN)?;
    let store = ServerArtifacts::new(asked.with_chunk(1000));
    let losing = async {
        // Half of so much are more chunks than answers that may be of no use.
        let is_far = |state: &State| state.count("PUT", "/files/") > 25;
        server.wait_until("many chunks", is_far).await;
        server.state().losses = 1;
    };
    server.fault(
        "PUT",
        "/files/",
        Trouble::Late(Duration::from_millis(10)),
        u32::MAX,
    );
    let (id, ()) = tokio::join!(store.upload(artifact(&content)), losing);
    let id = id?;
    assert!(server.state().content(id.0, PATH) == Some(&content[..]));
    assert_eq!(server.state().losses, 0);
    // As many chunks as it has, the question, the refused one, the question again, and at least ten that were lost.
    assert!(server.state().count("PUT", "/files/") > 41 + 3 + 10);
    Ok(())
}

#[tokio::test]
async fn a_server_that_loses_what_it_has_again_and_again_is_given_up() -> Result<()> {
    let server = FakeServer::start().await?;
    server.state().losses = u32::MAX;
    let asked = Server::new(&server.api_url(), QUICK)?.with_token(TOKEN)?;
    let store = ServerArtifacts::new(asked.with_chunk(1000));
    let error = store.upload(artifact(&content(40_000))).await;
    let error = error.expect_err("it gets nowhere");
    assert!(matches!(error, StoreError::Invalid(_)), "{error}");
    let words = error.to_string();
    assert!(words.contains("Please continue from"), "{words}");
    let requests = server.state().count("PUT", "/files/");
    assert!(requests < 40, "{requests}");
    Ok(())
}

#[tokio::test]
async fn a_chunk_that_is_not_taken_now_is_sent_until_it_is() -> Result<()> {
    let server = FakeServer::start().await?;
    // More often than answers may be of no use. How far it has got the server tells at once each time.
    for _ in 0..8 {
        server.fault("PUT", "/files/", Trouble::Late(Duration::ZERO), 1);
        server.fault("PUT", "/files/", Trouble::Answer(502, "<html>"), 1);
    }
    let id = artifacts(&server)?.upload(artifact(b"content")).await?;
    assert_eq!(server.state().content(id.0, PATH), Some(&b"content"[..]));
    assert_eq!(server.state().count("PUT", "/files/"), 18);
    Ok(())
}

#[tokio::test]
async fn a_chunk_of_which_nothing_is_kept_is_not_sent_for_ever() -> Result<()> {
    let server = FakeServer::start().await?;
    server.fault("PUT", "/files/", Trouble::Late(Duration::ZERO), 1);
    server.fault("PUT", "/files/", Trouble::Forgotten, u32::MAX);
    let error = artifacts(&server)?.upload(artifact(b"content")).await;
    let error = error.expect_err("it gets nowhere");
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert!(server.state().count("PUT", "/files/") < 10);
    Ok(())
}

#[tokio::test]
async fn chunks_that_are_too_large_for_a_proxy_become_smaller() -> Result<()> {
    let server = FakeServer::start().await?;
    let content = content(1_000_000);
    server.state().longest_body = Some(300_000);
    let id = artifacts(&server)?.upload(artifact(&content)).await?;
    assert!(server.state().content(id.0, PATH) == Some(&content[..]));
    server.state().contents.clear();
    server.state().longest_body = Some(100);
    let error = artifacts(&server)?.upload(artifact(&content)).await;
    let words = error.expect_err("nothing gets through").to_string();
    assert!(words.contains("413"), "{words}");
    assert!(server.state().count("PUT", "/files/") < 60);
    Ok(())
}

#[tokio::test]
async fn content_that_the_server_has_is_not_sent() -> Result<()> {
    let server = FakeServer::start().await?;
    let store = artifacts(&server)?;
    store.upload(artifact(b"content")).await?;
    let before = server.state().count("PUT", "/files/");
    store.upload(artifact(b"content")).await?;
    store.upload(artifact(b"")).await?;
    assert_eq!(server.state().count("PUT", "/files/"), before);
    Ok(())
}

#[tokio::test]
async fn a_relation_may_be_told_twice_and_an_artifact_may_not() -> Result<()> {
    let server = FakeServer::start().await?;
    let store = artifacts(&server)?;
    let (one, two) = (
        store.upload(artifact(b"one")).await?,
        store.upload(artifact(b"two")).await?,
    );
    let relation = Relation {
        from: one,
        to: two,
        kind: RelationType::RelatesTo,
    };
    server.fault("POST", "/artifact-relation/", Trouble::Lost, 1);
    store.relate(relation).await?;
    assert_eq!(server.state().relations.len(), 1);
    server.fault("POST", "/artifact/", Trouble::Lost, 1);
    store.upload(artifact(b"three")).await.expect_err("unclear");
    assert_eq!(server.state().artifacts.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_none_is_told_so_at_once() -> Result<()> {
    let server = FakeServer::start().await?;
    server.fault(
        "GET",
        "/artifact/",
        Trouble::Body(b"<html>Welcome</html>"),
        1,
    );
    server
        .state()
        .add_artifact("debusine:test", &[(PATH, b"content")]);
    let error = fetched(&server, 1).await.expect_err("no Debusine server");
    assert!(
        error
            .to_string()
            .contains("is api-url that of a Debusine server?"),
        "{error}"
    );
    assert_eq!(server.state().requests.len(), 1);
    Ok(())
}
