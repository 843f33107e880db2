//! Real tasks: the server gets what it got from the reference's worker, in the same order.

use crate::{LONG, SHORT, Together, materials, recordings, trial};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use task_runtime_tests::real_server::{MINUTES, RealServer};

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_noop_leaves_logs_without_files_and_a_failed_one_its_stages",
            SHORT,
            noop,
        ),
        trial("mmdebstrap_tells_what_the_reference_told", LONG, || {
            compare("mmdebstrap")
        }),
        trial(
            "makesourcepackageupload_tells_what_the_reference_told",
            LONG,
            || compare("makesourcepackageupload"),
        ),
        trial("sbuild_tells_what_the_reference_told", LONG, || {
            compare("sbuild")
        }),
        trial("lintian_tells_what_the_reference_told", LONG, || {
            compare("lintian")
        }),
    ]
}

async fn noop() -> Result<()> {
    let together = Together::start().await?;
    let Together { wire, server, .. } = &together;
    for (data, result, files) in [
        (json!({}), "success", json!([])),
        (json!({"result": false}), "failure", json!(["stages.log"])),
    ] {
        let id = server.work_request("noop", data).await?;
        let shown = server.wait(id, "completed").await?;
        ensure!(shown["result"] == result, "{shown}");
        wire.report(id).await?;
        wire.report(id).await?;
        let told = recordings::told(&wire.exchanges(), id, &[]);
        let logs = "debusine:work-request-debug-logs";
        let expected = [
            json!({"artifact": logs, "files": files, "data": {}}),
            json!({"result": result, "statistics": ["duration", "cpu_time"]}),
        ];
        ensure!(told == expected, "{told:?}");
        is_complete(server, id).await?;
    }
    Ok(())
}

async fn compare(task: &str) -> Result<()> {
    let mirror = match materials::mirror() {
        Ok(mirror) => mirror,
        Err(why) => {
            eprintln!("skipped: {why}");
            return Ok(());
        }
    };
    let together = Together::start().await?;
    let Together {
        home, wire, server, ..
    } = &together;
    let mut inputs: Vec<(&str, Value)> = vec![("MIRROR", mirror.into())];
    if task != "mmdebstrap" {
        materials::system(server).await?;
        inputs.push(("source", materials::source(server)?.into()));
    }
    if task == "lintian" {
        inputs.push(("binary", materials::binary(server)?.into()));
    }
    let recording = recordings::recorded(task, &inputs)?;
    let id = server.work_request(&recording.task, recording.data).await?;
    let shown = server.wait_long(id, "completed", MINUTES).await?;
    wire.report(id).await?;
    let told = recordings::told(&wire.exchanges(), id, &inputs);
    for (place, expected) in recording.steps.iter().enumerate() {
        let step = told.get(place).unwrap_or(&Value::Null);
        ensure!(
            step == expected,
            "step {place}:\n  expected {expected}\n  and not  {step}\n{shown}\n{}",
            home.log()
        );
    }
    ensure!(told.len() == recording.steps.len(), "{told:?}");
    is_complete(server, id).await
}

/// The server has every file of every artifact.
async fn is_complete(server: &RealServer, id: u64) -> Result<()> {
    for artifact in server.artifacts(id).await? {
        ensure!(artifact["files_to_upload"] == json!([]), "{artifact}");
    }
    Ok(())
}
