//! Results that the server does not take, or not yet: nothing is lost, and nothing holds up what comes after.

use crate::{delivered, making, report, together, trial};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use task_runtime::worker::{Stop, kept_aside};
use task_runtime_tests::fake_server::{FakeServer, Trouble, work_request};
use task_runtime_tests::living_worker::{Home, LivingWorker};

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_result_behind_a_stubborn_proxy_waits_and_the_next_does_not",
            stubborn_proxy,
        ),
        trial(
            "what_others_say_in_place_of_the_server_refuses_nothing",
            others,
        ),
        trial("a_result_behind_a_wall_waits_and_the_next_does_not", wall),
        trial(
            "a_result_that_cannot_be_read_is_not_refused_but_kept",
            unreadable,
        ),
        trial(
            "what_others_say_in_place_of_inputs_is_waited_out_and_not_for_ever",
            strange_inputs,
        ),
        trial(
            "a_postponed_result_goes_out_after_the_next_start",
            postponed_until_restart,
        ),
        trial(
            "a_postponed_result_that_is_asked_for_again_is_delivered_without_a_run",
            postponed_and_wanted,
        ),
        trial(
            "a_result_that_the_server_refuses_is_kept_and_the_server_told",
            refused_result,
        ),
        trial(
            "a_result_that_is_refused_together_with_the_word_of_it_is_kept",
            refused_twice,
        ),
        trial(
            "redirections_are_waited_out_and_the_token_is_not_taken_along",
            redirected,
        ),
        trial(
            "a_draining_worker_does_not_wait_for_ever_for_a_server",
            drained_in_vain,
        ),
        trial(
            "a_draining_worker_waits_while_the_server_takes_something",
            drained_slowly,
        ),
        trial(
            "a_worker_that_sends_nonsense_back_can_be_stopped",
            stopped_while_sending_back,
        ),
        trial(
            "metadata_that_were_not_accepted_are_sent_again_without_a_request",
            metadata_again,
        ),
        trial(
            "a_lost_connection_is_made_anew_once_and_not_twice",
            renewed_once,
        ),
    ]
}

/// What a proxy says for a server that it does not find.
const NOT_HERE: Trouble = Trouble::Answer(404, "<html>no such site</html>");

async fn stubborn_proxy() -> Result<()> {
    held_up_by(NOT_HERE).await
}

/// Unlike the server's own no, it may never become a yes.
async fn wall() -> Result<()> {
    held_up_by(Trouble::Answer(403, "<html>forbidden</html>")).await
}

async fn held_up_by(trouble: Trouble) -> Result<()> {
    let (server, home, worker) = together().await?;
    server.fault("PUT", "/work-request/1/completed/", trouble, u32::MAX);
    server.hand_out(work_request(1, "noop", json!({})));
    server.hand_out(work_request(2, "noop", json!({})));
    // The server took the worker for busy with the first one; asked for more, it gives that out anew.
    for id in [1001, 2] {
        ensure!(report(&server, id).await["result"] == "success");
    }
    worker.stop(Stop::Drain).await?;
    ensure!(home.spooled() == ["1"], "{:?}", home.spooled());
    Ok(())
}

async fn others() -> Result<()> {
    for status in [400, 401, 403, 405, 407, 410] {
        let (server, home, _worker) = together().await?;
        for (method, path) in [
            ("POST", "/artifact/"),
            ("PUT", "/files/"),
            ("PUT", "/completed/"),
        ] {
            let trouble = Trouble::Answer(status, "<html>not now</html>");
            server.fault(method, path, trouble, 2);
        }
        server.hand_out(making(1));
        delivered(&server, &home, 1)
            .await
            .with_context(|| format!("status {status}"))?;
    }
    Ok(())
}

async fn unreadable() -> Result<()> {
    let (mut server, home, worker) = together().await?;
    server.fault("PUT", "/files/", Trouble::Cut, 1);
    server.hand_out(making(5));
    server
        .wait_until("the upload", |state| state.count("PUT", "/files/") > 0)
        .await;
    server.go_down().await;
    worker.stop(Stop::Now).await?;
    let (files, safe) = (home.spool().join("5/files"), home.spool().join("safe"));
    fs::rename(&files, &safe)?;
    server.come_back().await?;
    // The files are gone, then they are shorter than they were: neither is the server's doing. It has the work done anew meanwhile.
    for (id, is_gone) in [(1005, true), (6, false)] {
        fs::create_dir(&files)?;
        for file in fs::read_dir(&safe)?.take(if is_gone { 0 } else { usize::MAX }) {
            let file = file?;
            let content = fs::read(file.path())?;
            fs::write(files.join(file.file_name()), &content[..content.len() / 2])?;
        }
        let worker = LivingWorker::start(&server, &home)?;
        if !is_gone {
            server.hand_out(work_request(id, "noop", json!({})));
        }
        ensure!(report(&server, id).await["result"] == "success");
        worker.stop(Stop::Drain).await?;
        ensure!(home.spooled() == ["5"], "{:?}", home.spooled());
        ensure!(kept_aside(&home.spool()).is_empty());
        fs::remove_dir_all(&files)?;
        // What has been done anew has the same content.
        server.state().contents.clear();
    }
    fs::rename(&safe, &files)?;
    let _worker = LivingWorker::start(&server, &home)?;
    ensure!(report(&server, 5).await["result"] == "success");
    let state = server.state();
    let mut made = state.artifacts.iter();
    let (id, _) = made
        .find(|(_, it)| it.work_request == Some(5))
        .context("what it made")?;
    ensure!(state.content(*id, "one") == Some(&b"one\n"[..]));
    ensure!(state.content(*id, "two") == Some(&b"two\n"[..]));
    Ok(())
}

async fn strange_inputs() -> Result<()> {
    let (server, _home, _worker) = together().await?;
    let input = server
        .state()
        .add_artifact("debusine:test", &[("input", b"input")]);
    let strange = [
        Trouble::Body(b"<html>maintenance</html>"),
        Trouble::Answer(403, "<html>forbidden</html>"),
        Trouble::Answer(302, "/maintenance"),
        Trouble::Answer(400, "<html>bad</html>"),
    ];
    for (id, trouble) in (1..).zip(strange) {
        server.fault("GET", "/artifact/", trouble, 1);
        server.fault(
            "GET",
            "/download/",
            Trouble::Answer(401, "<html>who?</html>"),
            1,
        );
        let mut wanted = making(id);
        wanted["task_data"]["artifacts"] = json!([input]);
        server.hand_out(wanted);
        let told = report(&server, id).await;
        ensure!(told["result"] == "success", "{id}: {told}");
    }
    server.fault(
        "GET",
        "/artifact/",
        Trouble::Body(b"<html>for ever</html>"),
        u32::MAX,
    );
    let mut wanted = making(9);
    wanted["task_data"]["artifacts"] = json!([input]);
    server.hand_out(wanted);
    ensure!(report(&server, 9).await["result"] == "failure");
    let state = server.state();
    let (id, _) = state.artifacts.last_key_value().context("logs")?;
    let told = state.content(*id, "fetch_input.log").context("a log")?;
    let told = String::from_utf8_lossy(told);
    ensure!(told.contains("that of a Debusine server?"), "{told}");
    Ok(())
}

async fn postponed_until_restart() -> Result<()> {
    let (server, home, worker) = together().await?;
    server.fault("PUT", "/files/", NOT_HERE, u32::MAX);
    server.hand_out(making(1));
    server
        .wait_until("the upload", |state| state.count("PUT", "/files/") > 0)
        .await;
    server.fault("GET", "get-next", Trouble::Answer(204, ""), u32::MAX);
    // It has been given up when there is a question for more.
    server
        .wait_until("more", |state| state.count("GET", "get-next") > 1)
        .await;
    worker.stop(Stop::Drain).await?;
    ensure!(home.spooled() == ["1"], "{:?}", home.spooled());
    server.state().forgive();
    let _worker = LivingWorker::start(&server, &home)?;
    delivered(&server, &home, 1).await
}

async fn postponed_and_wanted() -> Result<()> {
    let (server, home, _worker) = together().await?;
    server.fault("PUT", "/completed/", NOT_HERE, u32::MAX);
    server.hand_out(making(1));
    server
        .wait_until("the report", |state| state.count("PUT", "/completed/") > 0)
        .await;
    // The worker loses the work request, and gets it again under the same number, when its result has been given up.
    server.enable(false);
    wait_for_postponement(&server, "PUT", "/completed/").await;
    server.state().forgive();
    server.enable(true);
    delivered(&server, &home, 1).await
}

async fn refused_result() -> Result<()> {
    let (server, home, _worker) = together().await?;
    let refusal = r#"{"title": "Cannot change work request as completed", "validation_errors": {"output_data": ["Invalid"]}}"#;
    server.fault("PUT", "/completed/", Trouble::Answer(400, refusal), 1);
    server.hand_out(making(3));
    let told = report(&server, 3).await;
    ensure!(told["result"] == "error", "{told}");
    let error = &told["output_data"]["errors"][0];
    ensure!(error["code"] == "execute-failed", "{told}");
    let words = error["message"].as_str().unwrap_or_default();
    ensure!(
        words.starts_with("Task: scripted Error execute: the server does not take the result: {'title': 'Cannot change"),
        "{words}"
    );
    let kept = aside(&home).await?;
    ensure!(kept.ends_with("3.refused"), "{kept:?}");
    let journal: Value = serde_json::from_slice(&fs::read(kept.join("journal.json"))?)?;
    ensure!(journal["report"]["result"] == "success", "{journal}");
    let files = fs::read_dir(kept.join("files"))?.count();
    ensure!(files > 0, "what the task has made is gone");
    let why = fs::read_to_string(kept.join("why"))?;
    ensure!(why.contains("refused with status 400"), "{why}");
    // The server knows how it ended, and gives out the next.
    server.hand_out(work_request(4, "noop", json!({})));
    ensure!(report(&server, 4).await["result"] == "success");
    Ok(())
}

async fn refused_twice() -> Result<()> {
    let (server, home, worker) = together().await?;
    let refusal = Trouble::Answer(400, r#"{"title": "Error"}"#);
    server.fault("PUT", "/completed/", refusal, 2);
    server.hand_out(work_request(3, "noop", json!({})));
    let kept = aside(&home).await?;
    // The server, which knows nothing of that, has it done anew.
    ensure!(report(&server, 1003).await["result"] == "success");
    worker.stop(Stop::Drain).await?;
    // The operator has it offered again.
    fs::rename(&kept, home.spool().join("3"))?;
    let _worker = LivingWorker::start(&server, &home)?;
    ensure!(report(&server, 3).await["result"] == "success");
    Ok(())
}

async fn redirected() -> Result<()> {
    let elsewhere = FakeServer::start().await?;
    let server = FakeServer::start().await?;
    let address: &'static str = Box::leak(elsewhere.api_url().into_boxed_str());
    let away = Trouble::Answer(301, address);
    for (method, path) in [
        ("GET", "/connect/"),
        ("PUT", "/dynamic-metadata/"),
        ("GET", "get-next"),
        ("POST", "/artifact/"),
        ("PUT", "/files/"),
        ("PUT", "/completed/"),
    ] {
        server.fault(method, path, away.clone(), 1);
    }
    let home = Home::new()?;
    let _worker = LivingWorker::start(&server, &home)?;
    server.hand_out(making(1));
    delivered(&server, &home, 1).await?;
    ensure!(elsewhere.state().requests.is_empty());
    Ok(())
}

async fn drained_in_vain() -> Result<()> {
    let (mut server, home, worker) = together().await?;
    server.fault("PUT", "/files/", Trouble::Cut, 1);
    server.hand_out(making(5));
    server
        .wait_until("the upload", |state| state.count("PUT", "/files/") > 0)
        .await;
    server.go_down().await;
    worker.stop(Stop::Drain).await?;
    ensure!(home.spooled() == ["5"], "{:?}", home.spooled());
    server.come_back().await?;
    let _worker = LivingWorker::start(&server, &home)?;
    delivered(&server, &home, 5).await
}

async fn drained_slowly() -> Result<()> {
    let (server, home, worker) = together().await?;
    // Together they take longer than a draining worker waits for a server that takes nothing.
    for (method, path, times) in [
        ("POST", "/artifact/", 2),
        ("PUT", "/files/one/", 1),
        ("PUT", "/files/two/", 1),
        ("PUT", "/completed/", 1),
    ] {
        server.fault(
            method,
            path,
            Trouble::Late(Duration::from_millis(1500)),
            times,
        );
    }
    server.hand_out(making(5));
    server
        .wait_until("the artifact", |state| {
            state.count("POST", "/artifact/") > 0
        })
        .await;
    worker.stop(Stop::Drain).await?;
    delivered(&server, &home, 5).await
}

async fn stopped_while_sending_back() -> Result<()> {
    let (server, _home, worker) = together().await?;
    server.fault("PUT", "/completed/", Trouble::Answer(502, ""), u32::MAX);
    server.hand_out(json!({"id": 5, "task_name": "noop"}));
    server
        .wait_until("the report", |state| state.count("PUT", "/completed/") > 1)
        .await;
    worker.stop(Stop::Abort).await
}

async fn metadata_again() -> Result<()> {
    let server = FakeServer::start().await?;
    // Longer than one description is tried to be sent.
    let refusal = Trouble::Answer(400, r#"{"title": "Error"}"#);
    server.fault("PUT", "/dynamic-metadata/", refusal, 2);
    let home = Home::new()?;
    let _worker = LivingWorker::start(&server, &home)?;
    server
        .wait_until("metadata", |state| state.metadata.is_some())
        .await;
    let state = server.state();
    ensure!(state.count("PUT", "/dynamic-metadata/") == 3);
    ensure!(state.connections == 1, "without a new connection");
    Ok(())
}

async fn renewed_once() -> Result<()> {
    let (mut server, _home, _worker) = together().await?;
    server
        .wait_until("metadata", |state| state.metadata.is_some())
        .await;
    // The question for work ends without an answer, so that the worker wants a new connection; and the old one is lost at the same time.
    server.fault("GET", "get-next", Trouble::Silence, 1);
    server.hand_out(work_request(1, "noop", json!({})));
    server
        .wait_until("the question", |state| state.count("GET", "get-next") > 0)
        .await;
    server.go_down().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = server.state().connections;
    server.come_back().await?;
    ensure!(report(&server, 1).await["result"] == "success");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let made = server.state().connections - before;
    ensure!(made == 1, "{made} connections");
    Ok(())
}

/// Waits until a request has failed for longer than the worker puts up with.
async fn wait_for_postponement(server: &FakeServer, method: &str, path: &str) {
    let mut asked = 0;
    // Pauses grow up to a fifth of a second: after two seconds without one more, it has given up.
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = server.state().count(method, path);
        if now > 0 && now == asked {
            return;
        }
        asked = now;
    }
    panic!("{method} {path}: repeated for ever");
}

/// What is kept aside, once it is.
async fn aside(home: &Home) -> Result<PathBuf> {
    for _ in 0..1000 {
        if let Some(kept) = kept_aside(&home.spool()).pop() {
            return Ok(kept);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None.context("nothing is kept aside")
}
