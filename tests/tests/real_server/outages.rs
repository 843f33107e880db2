//! The server is killed, and comes back: nothing is lost, nothing is run again.

use crate::stages::{Hold, STAGES, Stage, Standing};
use crate::{SHORT, Together, trial};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![trial(
        "a_server_killed_while_idle_finds_its_worker_again",
        SHORT,
        idle,
    )];
    trials.extend(STAGES.map(|stage| {
        let name = format!("a_server_killed_while_{stage:?}_gets_the_result_once").to_lowercase();
        trial(name, SHORT, move || outage(stage, "kill"))
    }));
    trials.push(trial(
        "a_server_stopped_while_running_gets_the_result_once",
        SHORT,
        || outage(Stage::Running, "stop"),
    ));
    trials
}

async fn idle() -> Result<()> {
    let together = Together::start().await?;
    let Together { home, server, .. } = &together;
    server.daphne("kill")?;
    server.daphne("start")?;
    home.wait_for("metadata accepted", 2).await?;
    let id = server.work_request("noop", json!({})).await?;
    let shown = server.wait(id, "completed").await?;
    ensure!(shown["result"] == "success", "{shown}");
    Ok(())
}

async fn outage(stage: Stage, how: &str) -> Result<()> {
    let together = Together::start().await?;
    let Standing { id, hold } = stage.reach(&together).await?;
    let Together { home, server, .. } = &together;
    server.daphne(how)?;
    if let Hold::Mirror(mirror) = &hold {
        mirror.hang_up();
        home.wait_for(&format!("work request {id}: ended"), 1)
            .await?;
    }
    drop(hold);
    // Long enough for the worker to find nobody there.
    sleep(Duration::from_secs(1)).await;
    server.daphne("start")?;
    stage.is_done(&together, id).await
}
