//! A server that takes a request and never answers: nothing waits for it for ever.

use crate::{delivered, making, report, together, trial};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use task_runtime::artifacts::debusine::Server;
use task_runtime::worker::Stop;
use task_runtime::worker::registration::register;
use task_runtime_tests::fake_server::{FakeServer, Trouble, work_request};
use task_runtime_tests::living_worker::{Home, LivingWorker, QUICK};

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_registration_without_an_answer_is_an_error_and_not_repeated",
            registration,
        ),
        trial(
            "a_websocket_without_an_answer_is_asked_for_again",
            websocket,
        ),
        trial("metadata_without_an_answer_are_sent_again", metadata),
        trial(
            "a_question_for_work_without_an_answer_is_asked_on_a_new_connection",
            next_work_request,
        ),
        trial(
            "an_artifact_without_an_answer_is_made_after_all_and_once",
            artifact,
        ),
        trial("content_without_an_answer_is_sent_again", content),
        trial("a_relation_without_an_answer_is_told_again", relation),
        trial("a_result_without_an_answer_is_reported_again", completed),
        trial(
            "a_worker_that_waits_for_an_answer_can_be_stopped",
            stopped_while_waiting,
        ),
        trial(
            "a_drained_worker_whose_task_waits_for_a_server_that_is_away_hands_it_back",
            drained_while_starving,
        ),
    ]
}

async fn registration() -> Result<()> {
    let server = FakeServer::start().await?;
    server.fault("POST", "/register/", Trouble::Silence, 1);
    let asked = Server::new(&server.api_url(), QUICK)?;
    let error = register(&asked, None, "name", "external").await;
    let words = error.err().map(|it| it.to_string()).unwrap_or_default();
    let patience = format!("nothing came for {:?}", QUICK.answer);
    ensure!(words.contains(&patience), "{words}");
    // A second time with the same token would stop a real server.
    ensure!(server.state().count("POST", "/register/") == 1);
    Ok(())
}

async fn websocket() -> Result<()> {
    let server = FakeServer::start().await?;
    server.fault("GET", "/connect/", Trouble::Silence, 1);
    let home = Home::new()?;
    let _worker = LivingWorker::start(&server, &home)?;
    server.hand_out(work_request(1, "noop", json!({})));
    ensure!(report(&server, 1).await["result"] == "success");
    ensure!(server.state().count("GET", "/connect/") == 2);
    Ok(())
}

async fn metadata() -> Result<()> {
    let server = FakeServer::start().await?;
    server.fault("PUT", "/dynamic-metadata/", Trouble::Silence, 1);
    let home = Home::new()?;
    let _worker = LivingWorker::start(&server, &home)?;
    server
        .wait_until("metadata", |state| state.metadata.is_some())
        .await;
    Ok(())
}

async fn next_work_request() -> Result<()> {
    let (server, _home, _worker) = together().await?;
    server
        .wait_until("metadata", |state| state.metadata.is_some())
        .await;
    server.fault("GET", "get-next", Trouble::Silence, 1);
    server.hand_out(work_request(1, "noop", json!({})));
    ensure!(report(&server, 1).await["result"] == "success");
    let state = server.state();
    ensure!(state.connections == 2, "{}", state.connections);
    ensure!(state.count("GET", "get-next") == 2);
    Ok(())
}

async fn artifact() -> Result<()> {
    told_again("POST", "/artifact/").await
}

async fn content() -> Result<()> {
    told_again("PUT", "/files/").await
}

async fn completed() -> Result<()> {
    told_again("PUT", "/completed/").await
}

/// A request is answered with silence; the result arrives all the same, with everything in it once.
async fn told_again(method: &'static str, path: &'static str) -> Result<()> {
    let (server, home, _worker) = together().await?;
    server.fault(method, path, Trouble::Silence, 1);
    server.hand_out(making(1));
    delivered(&server, &home, 1).await
}

async fn relation() -> Result<()> {
    let (server, _home, _worker) = together().await?;
    let id = server
        .state()
        .add_artifact("debusine:test", &[("input", b"input")]);
    server.fault("POST", "/artifact-relation/", Trouble::Silence, 1);
    let mut wanted = making(1);
    wanted["task_data"]["artifacts"] = json!([id]);
    server.hand_out(wanted);
    ensure!(report(&server, 1).await["result"] == "success");
    ensure!(server.state().relations.len() == 2);
    Ok(())
}

async fn stopped_while_waiting() -> Result<()> {
    for (method, path) in [
        ("GET", "/connect/"),
        ("PUT", "/dynamic-metadata/"),
        ("GET", "get-next"),
        ("POST", "/artifact/"),
        ("PUT", "/completed/"),
    ] {
        let server = FakeServer::start().await?;
        server.fault(method, path, Trouble::Silence, u32::MAX);
        let home = Home::new()?;
        let worker = LivingWorker::start(&server, &home)?;
        server.hand_out(making(1));
        server
            .wait_until(path, |state| state.count(method, path) > 0)
            .await;
        worker
            .stop(Stop::Abort)
            .await
            .map_err(|error| error.context(path))?;
    }
    Ok(())
}

async fn drained_while_starving() -> Result<()> {
    let (mut server, home, worker) = together().await?;
    let id = server
        .state()
        .add_artifact("debusine:test", &[("input", b"input")]);
    server.fault("GET", "/download/", Trouble::Cut, u32::MAX);
    let mut wanted = making(1);
    wanted["task_data"]["artifacts"] = json!([id]);
    server.hand_out(wanted);
    server
        .wait_until("the download", |state| state.count("GET", "/download/") > 0)
        .await;
    server.go_down().await;
    // It would wait for six hours for its input.
    worker.stop(Stop::Drain).await?;
    ensure!(home.left().is_empty());
    // Its logs, for which there was nobody.
    ensure!(home.spooled() == ["1"], "{:?}", home.spooled());
    server.state().forgive();
    server.come_back().await?;
    let _worker = LivingWorker::start(&server, &home)?;
    ensure!(report(&server, 1001).await["result"] == "success");
    let reported: Vec<_> = server.state().completed.iter().map(|it| it.0).collect();
    ensure!(reported == [1001], "{reported:?}");
    let state = server.state();
    let made: Vec<_> = state.artifacts.values().collect();
    let logs = made.iter().find(|it| it.work_request == Some(1));
    let category = logs.map(|it| it.category.as_str());
    ensure!(category == Some("debusine:work-request-debug-logs"));
    drop(state);
    ensure!(!home.spooled().contains(&"1".to_owned()));
    Ok(())
}
