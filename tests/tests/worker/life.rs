//! What a worker does from day to day, with a server that is away, wrong or rude.

use crate::{Gate, delivered, making, report, together, trial};
use anyhow::Result;
use libtest_mimic::Trial;
use serde_json::json;
use std::fs;
use std::time::Duration;
use task_runtime::worker::Stop;
use task_runtime_tests::fake_server::{FakeServer, Order, State, Trouble, work_request};
use task_runtime_tests::fixtures::Bench;
use task_runtime_tests::living_worker::{Home, LivingWorker};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_noop_is_run_and_reported", noop),
        trial("metadata_come_before_work", metadata_first),
        trial("pings_are_answered_while_a_task_runs", pings),
        trial("results_go_out_in_the_order_of_the_task", order),
        trial("inputs_are_fetched_and_related_to", inputs),
        trial(
            "an_input_that_would_leave_its_directory_is_a_failure_and_no_more",
            leaving_inputs,
        ),
        trial(
            "the_wrong_type_the_unknown_and_the_invalid_are_errors",
            errors,
        ),
        trial("junk_in_place_of_work_is_reported_or_left", junk_work),
        trial("junk_on_the_websocket_is_survived", junk_messages),
        trial(
            "a_server_that_goes_away_at_any_moment_gets_the_result",
            server_away,
        ),
        trial(
            "a_lost_answer_does_not_make_an_artifact_twice",
            lost_answers,
        ),
        trial(
            "a_refused_artifact_is_a_failure_that_its_log_explains",
            refused,
        ),
        trial("refused_logs_are_an_error", refused_logs),
        trial(
            "a_worker_that_was_disabled_delivers_when_it_is_enabled",
            disabled,
        ),
        trial("a_finished_result_outlives_the_worker", restarted),
        trial(
            "a_killed_task_is_taken_again_as_another_work_request",
            killed,
        ),
        trial("an_aborted_task_leaves_its_logs_and_no_result", aborted),
        trial("a_drained_worker_finishes_first", drained),
        trial("a_rejected_worker_waits_without_haste", rejected),
        trial(
            "a_server_without_its_other_half_is_asked_again_until_it_has_it",
            unavailable,
        ),
        trial("two_workers_cannot_share_a_spool", shared_spool),
        trial(
            "components_that_come_and_go_are_noticed_without_a_restart",
            components,
        ),
    ]
}

async fn noop() -> Result<()> {
    let (server, home, worker) = together().await?;
    server.hand_out(work_request(1, "noop", json!({})));
    server.hand_out(work_request(2, "noop", json!({"result": false})));
    let success = report(&server, 1).await;
    assert_eq!(success["result"], "success");
    let statistics = &success["output_data"]["runtime_statistics"];
    let keys: Vec<_> = statistics.as_object().expect("statistics").keys().collect();
    assert_eq!(keys, ["duration", "cpu_time"]);
    assert_eq!(report(&server, 2).await["result"], "failure");
    worker.stop(Stop::Abort).await?;
    let state = server.state();
    let files = |id| -> Vec<&str> {
        state.artifacts[&id]
            .files
            .iter()
            .map(|it| it.path.as_str())
            .collect()
    };
    assert!(files(1).is_empty());
    assert_eq!(files(2), ["stages.log"]);
    assert!(home.left().is_empty() && home.spooled().is_empty());
    Ok(())
}

async fn metadata_first() -> Result<()> {
    let server = FakeServer::start().await?;
    server.hand_out(work_request(1, "noop", json!({})));
    server.fault(
        "PUT",
        "/dynamic-metadata/",
        Trouble::Answer(502, "<html>"),
        2,
    );
    let home = Home::new()?;
    let worker = LivingWorker::start(&server, &home)?;
    report(&server, 1).await;
    worker.stop(Stop::Drain).await?;
    let state = server.state();
    let place = |path: &str| state.requests.iter().rposition(|it| it.path.contains(path));
    let first = state
        .requests
        .iter()
        .position(|it| it.path.contains("get-next"));
    assert!(place("dynamic-metadata") < first);
    let metadata = state.metadata.as_ref().expect("metadata");
    for key in [
        "system:cpu_count",
        "system:worker_type",
        "noop:version",
        "sbuild:available",
        "executor:unshare:available",
    ] {
        assert!(!metadata[key].is_null(), "{key} is missing");
    }
    Ok(())
}

async fn pings() -> Result<()> {
    let (server, _home, _worker) = together().await?;
    let data = json!({"run": "command", "command": ["sleep", "1000"]});
    server.hand_out(work_request(1, "scripted", data));
    server
        .wait_until("the task", |state| state.running.is_some())
        .await;
    for pongs in 1..4 {
        server.order(Order::Ping);
        server
            .wait_until("a pong", |state| state.count("PONG", "") >= pongs)
            .await;
    }
    // More work is announced while one runs: nobody may ask for it.
    server.order(Order::announcement());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.state().count("GET", "get-next"), 1);
    Ok(())
}

async fn order() -> Result<()> {
    let (server, home, _worker) = together().await?;
    server.hand_out(making(7));
    delivered(&server, &home, 7).await?;
    let state = server.state();
    let from = state
        .requests
        .iter()
        .position(|it| it.path.contains("get-next"))
        .expect("work");
    let lines: Vec<_> = state.requests[from..].iter().map(|it| it.line()).collect();
    assert_eq!(lines[1], "POST /api/1.0/artifact/");
    assert_eq!(lines[2], "PUT /api/1.0/artifact/1/files/one/");
    assert!(
        lines
            .iter()
            .any(|line| line == "PUT /api/1.0/artifact/1/files/two/")
    );
    let reported = lines
        .iter()
        .position(|line| line == "PUT /api/1.0/work-request/7/completed/");
    let last = lines.iter().rposition(|line| line.contains("/artifact/"));
    assert!(last < reported, "{lines:#?}");
    let body = state.requests[from + 1].json();
    assert_eq!(body["work_request"], 7);
    assert_eq!(body["workspace"], "System");
    assert!(body["expire_at"].is_null() && body["data"].is_object());
    assert_eq!(body["files"]["one"]["type"], "file");
    Ok(())
}

async fn inputs() -> Result<()> {
    let (server, home, _worker) = together().await?;
    let id = server
        .state()
        .add_artifact("debusine:test", &[("in/put", b"input")]);
    let mut wanted = making(3);
    wanted["task_data"]["artifacts"] = json!([id]);
    server.hand_out(wanted);
    assert_eq!(report(&server, 3).await["result"], "success");
    let state = server.state();
    assert_eq!(
        state.count("GET", &format!("/artifact/{id}/download/in/put")),
        1
    );
    let relation = |from: u64| json!({"artifact": from, "target": id, "type": "relates-to"});
    assert_eq!(state.relations, [relation(2), relation(3)]);
    drop(state);
    assert!(home.left().is_empty());
    Ok(())
}

async fn leaving_inputs() -> Result<()> {
    let (server, home, _worker) = together().await?;
    for (id, path) in (1..).zip(["../leaving", "a/../../leaving", "/leaving-the-directory"]) {
        let input = server
            .state()
            .add_artifact("debusine:test", &[(path, b"input")]);
        let mut wanted = making(id);
        wanted["task_data"]["artifacts"] = json!([input]);
        server.hand_out(wanted);
        assert_eq!(report(&server, id).await["result"], "failure", "{path}");
        let state = server.state();
        assert_eq!(state.count("GET", "/download/"), 0);
        let (logs, _) = state.artifacts.last_key_value().expect("logs");
        let told = state.content(*logs, "fetch_input.log").expect("a log");
        let told = String::from_utf8_lossy(told);
        assert!(told.contains(path), "{told}");
    }
    assert!(home.left().is_empty());
    server.hand_out(work_request(9, "noop", json!({})));
    assert_eq!(report(&server, 9).await["result"], "success");
    Ok(())
}

async fn errors() -> Result<()> {
    let (server, _home, _worker) = together().await?;
    let mut server_task = work_request(1, "servernoop", json!({}));
    server_task["task_type"] = json!("Server");
    let cases = [
        (
            server_task,
            "wrong-task-type",
            "Task: servernoop is of type Server, not Worker",
        ),
        (
            work_request(2, "doesnotexist", json!({})),
            "setup-failed",
            "Task: doesnotexist Error setup: 'doesnotexist' is not a registered Worker task_name",
        ),
        (
            work_request(3, "noop", json!({"result": "perhaps", "bogus": 1})),
            "configure-failed",
            "Task: noop Error configure: 2 validation errors for NoopData\nresult\n  ",
        ),
    ];
    for (wanted, code, message) in cases {
        let id = wanted["id"].as_u64().expect("a number");
        server.hand_out(wanted);
        let document = report(&server, id).await;
        assert_eq!(document["result"], "error");
        let output = document["output_data"].as_object().expect("an object");
        assert_eq!(output.len(), 1, "nothing but errors: {document}");
        let error = &output["errors"][0];
        assert_eq!(error["code"], code);
        let told = error["message"].as_str().expect("words");
        // How a rule is put into words is each side's own.
        assert!(told.starts_with(message), "{told}");
    }
    assert!(server.state().artifacts.is_empty());
    Ok(())
}

async fn junk_work() -> Result<()> {
    let (server, _home, _worker) = together().await?;
    server.hand_out(json!({"id": 5, "task_name": "noop"}));
    let document = report(&server, 5).await;
    assert_eq!(document["result"], "error");
    assert_eq!(document["output_data"]["errors"][0]["code"], "setup-failed");
    for body in [&b"junk"[..], b"[]", b"{\"task_name\": 3}"] {
        server.fault("GET", "get-next", Trouble::Body(body), 1);
        let connections = server.state().connections;
        server.hand_out(work_request(6, "noop", json!({})));
        server
            .wait_until("a new connection", |state| state.connections > connections)
            .await;
        server
            .wait_until("the work", |state| {
                state.running.is_none() && state.queue.is_empty()
            })
            .await;
    }
    Ok(())
}

async fn junk_messages() -> Result<()> {
    let (server, _home, _worker) = together().await?;
    server
        .wait_until("metadata", |state| state.metadata.is_some())
        .await;
    for text in [
        "",
        "junk",
        "[1]",
        "{}",
        r#"{"text": 7}"#,
        r#"{"text": "unheard_of"}"#,
        r#"{"reason_code": "OTHER"}"#,
        r#"{"reason": "so"}"#,
    ] {
        server.order(Order::Say(text.to_owned()));
    }
    for bytes in [
        &b"\x81"[..],
        b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\xff",
        b"\x82\x05junk",
    ] {
        let connections = server.state().connections;
        server.order(Order::Cut(bytes));
        server
            .wait_until("a new connection", |state| state.connections > connections)
            .await;
    }
    server.order(Order::Say("x".repeat(1 << 20)));
    server.hand_out(work_request(1, "noop", json!({})));
    assert_eq!(report(&server, 1).await["result"], "success");
    Ok(())
}

async fn server_away() -> Result<()> {
    let moments = [
        ("GET", "get-next"),
        ("POST", "/artifact/"),
        ("PUT", "/files/"),
        ("PUT", "/completed/"),
    ];
    for (method, path) in moments {
        let (mut server, home, _worker) = together().await?;
        server
            .wait_until("metadata", |state| state.metadata.is_some())
            .await;
        server.fault(method, path, Trouble::Cut, 1);
        server.hand_out(making(9));
        server
            .wait_until(path, |state| state.count(method, path) > 0)
            .await;
        server.go_down().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.come_back().await?;
        delivered(&server, &home, 9)
            .await
            .map_err(|error| error.context(path))?;
    }
    Ok(())
}

async fn lost_answers() -> Result<()> {
    let (server, home, _worker) = together().await?;
    server.fault("POST", "/artifact/", Trouble::Lost, 2);
    server.fault("PUT", "/files/", Trouble::Lost, 3);
    server.fault("PUT", "/completed/", Trouble::Lost, 1);
    server.hand_out(making(4));
    report(&server, 4).await;
    server
        .wait_until("the second report", |state| state.completed.len() == 2)
        .await;
    server.state().completed.truncate(1);
    delivered(&server, &home, 4).await
}

async fn refused() -> Result<()> {
    let (server, _home, _worker) = together().await?;
    let data = json!({"run": "command", "command": ["sh", "-c", "echo >'a name'; echo >other"], "results": ["a name"]});
    server.hand_out(work_request(8, "scripted", data));
    assert_eq!(report(&server, 8).await["result"], "failure");
    let state = server.state();
    let (id, logs) = state.artifacts.first_key_value().expect("logs");
    assert_eq!(logs.category, "debusine:work-request-debug-logs");
    let told = state.content(*id, "post_execution.log").expect("the log");
    assert!(String::from_utf8_lossy(told).starts_with("Exception type: "));
    Ok(())
}

async fn refused_logs() -> Result<()> {
    let (server, _home, _worker) = together().await?;
    let mut wanted = work_request(68, "noop", json!({}));
    wanted["workspace"] = json!("Ws");
    server.hand_out(wanted);
    let document = report(&server, 68).await;
    assert_eq!(document["result"], "error");
    assert_eq!(
        document["output_data"]["errors"],
        json!([{"message": "Task: noop Error execute: {'title': 'Workspace not found'}", "code": "execute-failed"}])
    );
    assert!(document["output_data"]["runtime_statistics"].is_object());
    Ok(())
}

async fn disabled() -> Result<()> {
    let (server, home, _worker) = together().await?;
    let gate = Gate::new()?;
    server.hand_out(gate.before(2));
    gate.is_reached().await?;
    server.enable(false);
    gate.open()?;
    server
        .wait_until("an attempt", |state| state.count("POST", "/artifact/") > 0)
        .await;
    assert!(server.state().artifacts.is_empty());
    server.enable(true);
    delivered(&server, &home, 2).await
}

async fn restarted() -> Result<()> {
    let (mut server, home, worker) = together().await?;
    server
        .wait_until("metadata", |state| state.metadata.is_some())
        .await;
    server.fault("PUT", "/files/", Trouble::Cut, 1);
    server.hand_out(making(5));
    server
        .wait_until("the upload", |state| state.count("PUT", "/files/") > 0)
        .await;
    server.go_down().await;
    worker.stop(Stop::Now).await?;
    assert_eq!(home.spooled(), ["5"]);
    server.come_back().await?;
    let _worker = LivingWorker::start(&server, &home)?;
    delivered(&server, &home, 5).await
}

async fn killed() -> Result<()> {
    let (server, home, worker) = together().await?;
    let gate = Gate::new()?;
    server.hand_out(gate.before(5));
    gate.is_reached().await?;
    worker.stop(Stop::Now).await?;
    gate.open()?;
    let _worker = LivingWorker::start(&server, &home)?;
    delivered(&server, &home, 1005).await
}

async fn aborted() -> Result<()> {
    let (server, home, worker) = together().await?;
    let gate = Gate::new()?;
    server.hand_out(gate.before(1));
    gate.is_reached().await?;
    worker.stop(Stop::Abort).await?;
    let state = server.state();
    assert!(state.completed.is_empty());
    assert_eq!(state.artifacts.len(), 1);
    assert!(home.left().is_empty() && home.spooled().is_empty());
    Ok(())
}

async fn drained() -> Result<()> {
    let (server, home, worker) = together().await?;
    let gate = Gate::new()?;
    server.hand_out(gate.before(2));
    gate.is_reached().await?;
    worker.ask(Stop::Drain);
    server.hand_out(making(3));
    gate.open()?;
    worker.stop(Stop::Drain).await?;
    delivered(&server, &home, 2).await?;
    assert_eq!(server.state().queue.len(), 1);
    Ok(())
}

async fn rejected() -> Result<()> {
    let server = FakeServer::start().await?;
    server.enable(false);
    let home = Home::new()?;
    let _worker = LivingWorker::start(&server, &home)?;
    server
        .wait_until("some attempts", |state| state.count("GET", "/connect/") > 3)
        .await;
    assert_eq!(server.state().count("PUT", ""), 0);
    assert_eq!(server.state().count("GET", "get-next"), 0);
    server.enable(true);
    server.hand_out(work_request(1, "noop", json!({})));
    assert_eq!(report(&server, 1).await["result"], "success");
    Ok(())
}

/// As the real one says when Redis is down; then it hangs up.
async fn unavailable() -> Result<()> {
    let (server, _home, _worker) = together().await?;
    for _ in 0..3 {
        let connections = server.state().connections;
        let words = r#"{"type": "connection_rejected", "reason": "Service unavailable"}"#;
        server.order(Order::Say(words.to_owned()));
        server
            .wait_until("a new connection", |state| state.connections > connections)
            .await;
    }
    server.hand_out(work_request(1, "noop", json!({})));
    assert_eq!(report(&server, 1).await["result"], "success");
    Ok(())
}

async fn shared_spool() -> Result<()> {
    let (server, home, worker) = together().await?;
    let second = LivingWorker::start(&server, &home);
    let words = second
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(words.contains("another worker uses it"), "{words}");
    worker.stop(Stop::Abort).await?;
    LivingWorker::start(&server, &home).map(drop)
}

async fn components() -> Result<()> {
    let (server, home, shelf) = (
        FakeServer::start().await?,
        Home::new()?,
        tempfile::tempdir()?,
    );
    let registry = Bench::new()?.registry;
    let file = |name: &str| shelf.path().join(format!("{name}.wasm"));
    let put = |name: &str| -> Result<()> {
        // As an installer does: it is there at once, or not at all.
        let aside = shelf.path().join("aside");
        fs::copy(registry.load(name)?.path, &aside)?;
        Ok(fs::rename(aside, file(name))?)
    };
    put("noop")?;
    let worker = LivingWorker::start_with(&server, &home, &[shelf.path().to_owned()])?;
    let offered = |state: &State, task: &str| {
        let metadata = state.metadata.as_ref();
        metadata.is_some_and(|it| !it[format!("{task}:version")].is_null())
    };
    server
        .wait_until("noop", |state| offered(state, "noop"))
        .await;
    assert!(!offered(&server.state(), "debdiff"));

    // Work for a component that came just now does not wait for the next look.
    put("scripted")?;
    server.hand_out(work_request(1, "scripted", json!({})));
    assert_eq!(report(&server, 1).await["result"], "success");
    put("debdiff")?;
    let both = |state: &State| offered(state, "debdiff") && offered(state, "scripted");
    server.wait_until("new components", both).await;

    // A second file of a name changes nothing; what else has changed does.
    fs::copy(file("noop"), shelf.path().join("NoOp.wasm"))?;
    fs::remove_file(file("debdiff"))?;
    let without = |state: &State| offered(state, "noop") && !offered(state, "debdiff");
    server.wait_until("debdiff is gone", without).await;
    server.hand_out(work_request(2, "noop", json!({})));
    assert_eq!(report(&server, 2).await["result"], "success");
    server.hand_out(work_request(3, "debdiff", json!({})));
    assert_eq!(report(&server, 3).await["result"], "error");
    worker.stop(Stop::Abort).await
}
