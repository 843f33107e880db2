//! What operators do: they enable and disable workers, abort work, put a second worker beside the first.

use crate::{LONG, SHORT, Together, home, trial};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use task_runtime_tests::real_server::{RealServer, SECONDS, SilentMirror, Wire, wait_for};

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_new_worker_registers_waits_and_once_enabled_works",
            LONG,
            registration,
        ),
        trial(
            "a_worker_that_is_disabled_while_it_runs_delivers_once_it_is_enabled",
            SHORT,
            disabled,
        ),
        trial(
            "work_that_was_aborted_on_the_server_does_not_hold_up_what_follows",
            SHORT,
            aborted,
        ),
        trial(
            "check_tells_whether_the_server_lets_the_worker_work",
            SHORT,
            checked,
        ),
        trial(
            "two_workers_side_by_side_share_the_work",
            SHORT,
            side_by_side,
        ),
    ]
}

const REJECTED: &str = "the server does not let this worker work";

async fn registration() -> Result<()> {
    let server = RealServer::start()?;
    let wire = Wire::to(server.address).await?;
    let home = home(&server, &wire)?;
    let _worker = home.start()?;
    let token = home.token().await?;
    home.wait_for(REJECTED, 1).await?;
    let id = server.work_request("noop", json!({})).await?;
    server.admin(&["manage_worker", "enable", &token])?;
    let shown = server.wait(id, "completed").await?;
    ensure!(shown["result"] == "success", "{shown}");

    wire.report(id).await?;
    let said: Vec<_> = wire
        .exchanges()
        .into_iter()
        .filter(|said| said.status != 101)
        .map(|said| {
            let path = said.path.trim_start_matches("/api/1.0").to_owned();
            (said.method, path, said.status)
        })
        .collect();
    let said: Vec<_> = said
        .iter()
        .map(|(method, path, status)| (method.as_str(), path.as_str(), *status))
        .collect();
    let completed = format!("/work-request/{id}/completed/");
    let expected = [
        ("POST", "/worker/register/", 201),
        ("PUT", "/worker/dynamic-metadata/", 204),
        ("GET", "/work-request/get-next-for-worker/", 200),
        ("POST", "/artifact/", 201),
        ("PUT", completed.as_str(), 200),
    ];
    ensure!(said == expected, "{said:?}");
    Ok(())
}

async fn disabled() -> Result<()> {
    let together = Together::start().await?;
    let Together { home, server, .. } = &together;
    let token = home.token().await?;
    let mirror = SilentMirror::start().await?;
    let id = server.work_request("mmdebstrap", mirror.system()).await?;
    mirror.visited(0).await?;
    server.admin(&["manage_worker", "disable", &token])?;
    home.wait_for(REJECTED, 1).await?;
    mirror.hang_up();
    home.wait_for(&format!("work request {id}: ended"), 1)
        .await?;
    server.admin(&["manage_worker", "enable", &token])?;
    let shown = server.wait(id, "completed").await?;
    ensure!(shown["result"] == "failure", "{shown}");
    let ended = home.logged(&format!("work request {id}: ended"));
    ensure!(ended == 1, "it was run {ended} times: {}", home.log());
    Ok(())
}

async fn aborted() -> Result<()> {
    let together = Together::start().await?;
    let Together { server, .. } = &together;
    let mirror = SilentMirror::start().await?;
    let id = server.work_request("mmdebstrap", mirror.system()).await?;
    mirror.visited(0).await?;
    server.python(&format!(
        "from debusine.db.models import WorkRequest\nWorkRequest.objects.get(id={id}).mark_aborted()\n"
    ))?;
    let after = server.work_request("noop", json!({})).await?;
    mirror.hang_up();
    let shown = server.wait(after, "completed").await?;
    ensure!(shown["result"] == "success", "{shown}");
    let shown = server.show(id).await?;
    ensure!(shown["status"] == "aborted", "{shown}");
    Ok(())
}

async fn checked() -> Result<()> {
    let server = RealServer::start()?;
    let wire = Wire::to(server.address).await?;
    let home = home(&server, &wire)?;
    let check = |what: &str| -> Result<(bool, String)> {
        let findings = home.check()?;
        let found = findings.iter().find(|it| it["what"] == what);
        let found = found.with_context(|| format!("nothing on {what}: {findings:?}"))?;
        let words = found["words"].as_str().unwrap_or_default();
        Ok((found["good"] == true, words.to_owned()))
    };
    let may_not = || -> Result<()> {
        let (good, words) = check("access")?;
        ensure!(!good && words.contains("manage_worker enable"), "{words}");
        ensure!(check("server")?.0, "it is Debusine that says no");
        Ok(())
    };
    home.enrol(&server)?;
    let token = home.token().await?;
    let (good, words) = check("access")?;
    ensure!(good, "{words}");
    server.admin(&["manage_worker", "disable", &token])?;
    may_not()?;
    server.admin(&["manage_worker", "enable", &token])?;
    let (good, words) = check("access")?;
    ensure!(good, "{words}");
    home.set_token(&"f".repeat(64))?;
    may_not()?;
    // It asks who it is, and nothing else.
    let said = wire.exchanges();
    let paths: Vec<_> = said.iter().map(|said| said.path.as_str()).collect();
    ensure!(
        paths.iter().all(|path| *path == "/api/1.0/whoami/"),
        "{paths:?}"
    );
    Ok(())
}

async fn side_by_side() -> Result<()> {
    let together = Together::start().await?;
    let Together {
        home: first,
        wire,
        server,
        ..
    } = &together;
    let second = home(server, wire)?;
    second.enrol(server)?;
    let _other = second.start()?;
    second.wait_for("metadata accepted", 1).await?;

    let mirror = SilentMirror::start().await?;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(server.work_request("mmdebstrap", mirror.system()).await?);
    }
    // Both run at once, and not on the same worker.
    let mut workers = Vec::new();
    for id in &ids {
        workers.push(server.wait(*id, "running").await?["worker"].clone());
    }
    ensure!(workers[0] != workers[1], "{workers:?}");
    wait_for("both ask the mirror", SECONDS, async || {
        Ok((mirror.visitors() >= 2).then_some(()))
    })
    .await?;
    mirror.hang_up();
    for id in ids {
        let shown = server.wait(id, "completed").await?;
        ensure!(shown["result"] == "failure", "{shown}");
        let words = format!("work request {id}: ended");
        let ended = [first, &second].map(|home| home.logged(&words));
        ensure!(ended.iter().sum::<usize>() == 1, "{words}: {ended:?}");
    }
    Ok(())
}
