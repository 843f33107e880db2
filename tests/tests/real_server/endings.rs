//! The worker is asked to end, or killed: nothing of it survives, and the server ends up right.

use crate::stages::{Hold, STAGES, Stage, Standing};
use crate::{SHORT, Together, trial};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for stage in STAGES {
        for (signal, what) in [
            (Signal::SIGTERM, "asked_to_end"),
            (Signal::SIGKILL, "killed"),
        ] {
            let becomes = match stage.is_after_the_run() {
                true => "delivers_its_result_once",
                false => "leaves_its_work_to_the_next",
            };
            let name = format!("a_worker_{what}_while_{stage:?}_{becomes}").to_lowercase();
            trials.push(trial(name, SHORT, move || ended(stage, signal)));
        }
    }
    trials
}

async fn ended(stage: Stage, signal: Signal) -> Result<()> {
    let mut together = Together::start().await?;
    let Standing { id, hold } = stage.reach(&together).await?;
    let gentle = signal == Signal::SIGTERM;
    together.worker.signal(signal)?;
    let hold = match hold {
        // There is time for a farewell: this one can be made use of.
        Hold::Wire(caught) if gentle && stage == Stage::Uploading => {
            caught.release();
            None
        }
        hold => Some(hold),
    };
    let status = together.worker.wait().await?;
    ensure!(status.success() == gentle, "{status}");
    let Together { home, server, .. } = &together;
    match gentle {
        true => home.is_deserted().await?,
        // Its files go when the next one begins to work.
        false => home.has_no_processes().await?,
    }
    let is_delivered = hold.is_none();
    let shown = server.show(id).await?;
    let expected = if is_delivered { "completed" } else { "running" };
    ensure!(shown["status"] == expected, "{shown}\n{}", home.log());
    if let Some(Hold::Mirror(mirror)) = &hold {
        mirror.hang_up();
    }

    together.worker = together.home.start()?;
    let server = &together.server;
    let id = match stage.is_after_the_run() {
        true => id,
        false => {
            let retry = server.retry_of(id).await?;
            let lost = server.show(id).await?;
            ensure!(lost["status"] == "aborted", "{lost}");
            ensure!(
                lost["artifacts"].as_array().is_some_and(|it| it.len() <= 1),
                "only logs: {lost}"
            );
            retry
        }
    };
    stage.is_done(&together, id).await?;
    together.worker.signal(Signal::SIGTERM)?;
    let status = together.worker.wait().await?;
    ensure!(status.success(), "{status}");
    together.home.is_deserted().await?;
    let spooled = together.home.spooled();
    ensure!(spooled.is_empty(), "{spooled:?}");
    Ok(())
}
