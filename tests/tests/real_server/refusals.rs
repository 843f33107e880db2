//! Work that this worker cannot do. The server would hand out none of it by itself: it is put into its database while the worker is stopped.

use crate::{SHORT, Together, trial};
use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::json;
use task_runtime_tests::real_server::{SECONDS, wait_for};

pub fn trials() -> Vec<Trial> {
    let refusal = |name: &str, change: &'static str, code: &'static str, message: &'static str| {
        trial(name, SHORT, move || refused(change, code, message))
    };
    vec![
        refusal(
            "work_of_another_type_is_an_error",
            "w.task_type, w.task_name = 'Server', 'servernoop'",
            "wrong-task-type",
            "Task: servernoop is of type Server, not Worker",
        ),
        refusal(
            "an_unknown_task_is_an_error",
            "w.task_name = 'doesnotexist'",
            "setup-failed",
            "Task: doesnotexist Error setup: 'doesnotexist' is not a registered Worker task_name",
        ),
        refusal(
            "invalid_data_are_an_error",
            "w.task_data = w.configured_task_data = {'result': 'perhaps', 'bogus': 1}",
            "configure-failed",
            "Task: noop Error configure: 2 validation errors for NoopData\n\
             result\n  (type=type_error.bool)\nbogus\n  (type=value_error.extra)",
        ),
    ]
}

/// Code, place and kind are those of the reference; what is wrong is explained in our own words.
async fn refused(change: &str, code: &str, message: &str) -> Result<()> {
    let together = Together::start().await?;
    let Together {
        worker,
        wire,
        server,
        ..
    } = &together;
    worker.signal(Signal::SIGSTOP)?;
    let id = server.work_request("noop", json!({})).await?;
    wait_for("the worker is to get it", SECONDS, async || {
        Ok(server.show(id).await?["worker"].as_u64())
    })
    .await?;
    server.python(&format!(
        "from debusine.db.models import WorkRequest\nw = WorkRequest.objects.get(id={id})\n{change}\nw.save()\n"
    ))?;
    worker.signal(Signal::SIGCONT)?;
    let shown = server.wait(id, "completed").await?;
    ensure!(shown["result"] == "error", "{shown}");
    ensure!(shown["artifacts"] == json!([]), "{shown}");
    let expected = json!({"errors": [{"message": message, "code": code}]});
    let mut output = server.output_data(id)?;
    let said = wire.report(id).await?.asked;
    ensure!(
        said == json!({"result": "error", "output_data": output}),
        "{said}"
    );
    let words = output["errors"][0]["message"].as_str().unwrap_or_default();
    output["errors"][0]["message"] = without_explanations(words).into();
    ensure!(output == expected, "{output}");

    // And it goes on working.
    let after = server.work_request("noop", json!({})).await?;
    let shown = server.wait(after, "completed").await?;
    ensure!(shown["result"] == "success", "{shown}");
    Ok(())
}

/// Only the kinds of what is wrong.
fn without_explanations(message: &str) -> String {
    let kind = |line: &str| match line.rfind("(type=") {
        Some(at) => format!("  {}", &line[at..]),
        None => line.to_owned(),
    };
    let lines: Vec<String> = message.lines().map(kind).collect();
    lines.join("\n")
}
