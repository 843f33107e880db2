//! `worker status`: what the worker on this machine is doing.

use super::super::output::Output;
use super::super::{Outcome, Status as ExitStatus};
use serde_json::json;
use std::path::Path;
use std::path::PathBuf;
use task_runtime::worker::{Spool, Status, kept_aside};

/// Prints the status of the worker that uses this spool.
pub fn status(spool: &Path, output: &Output) -> Outcome {
    let running = Spool::is_in_use(spool);
    let status = Status::read(spool);
    let aside = kept_aside(spool);
    let document = json!({"running": running, "status": status, "spool": spool, "aside": aside});
    output.answer(&document, || text(running, status.as_ref(), spool, &aside))?;
    Ok(match running {
        true => ExitStatus::Success,
        false => ExitStatus::Failure,
    })
}

fn text(running: bool, status: Option<&Status>, spool: &Path, aside: &[PathBuf]) -> String {
    let Some(status) = status else {
        let shown = spool.display();
        return format!(
            "no worker has used the spool {shown}; start one with `task-runtime worker`"
        );
    };
    let mut lines = Vec::new();
    lines.push(match running {
        true => format!(
            "worker running since {}, process {}",
            status.started_at, status.pid
        ),
        false => format!(
            "no worker is running; the last one was seen at {}",
            status.updated_at
        ),
    });
    let connection = match (&status.disabled, status.connected) {
        (Some(reason), _) => format!("not enabled: {reason}"),
        (None, true) => "connected".to_owned(),
        (None, false) => "not connected".to_owned(),
    };
    lines.push(format!("server  {}, {connection}", status.server));
    match &status.work_request {
        Some(work) => lines.push(format!(
            "work    request {}, {}: {}, since {}",
            work.id, work.task, work.stage, work.since
        )),
        None => lines.push("work    none".to_owned()),
    }
    if let Some((id, task, result)) = &status.last {
        lines.push(format!(
            "last    request {id}, {task}: {result} ({} in all)",
            status.reported
        ));
    }
    for place in aside {
        let why = std::fs::read_to_string(place.join("why")).unwrap_or_default();
        lines.push(format!(
            "aside   {}, which is yours to remove: {}",
            place.display(),
            why.trim()
        ));
    }
    lines.join("\n")
}
