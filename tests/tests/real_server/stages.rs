//! A work request that stands still in one of its stages.

use crate::{Together, materials};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use task_runtime_tests::real_server::{Caught, Moment, Part, SilentMirror};

/// Where work stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// In the middle of a download.
    Fetching,
    /// While a command runs.
    Running,
    /// In the middle of the upload of a file.
    Uploading,
    /// In the middle of the report.
    Reporting,
}

/// Every stage.
pub const STAGES: [Stage; 4] = [
    Stage::Fetching,
    Stage::Running,
    Stage::Uploading,
    Stage::Reporting,
];

/// What holds it.
pub enum Hold {
    /// The wire.
    Wire(Caught),
    /// The mirror that its command asks.
    Mirror(SilentMirror),
}

/// A work request that stands still.
pub struct Standing {
    /// Its number.
    pub id: u64,
    /// What holds it; once that is dropped the connection is cut.
    pub hold: Hold,
}

impl Stage {
    /// Makes a work request, and waits until it is there.
    pub async fn reach(self, together: &Together) -> Result<Standing> {
        let Together { server, wire, .. } = together;
        if self == Self::Running {
            let mirror = SilentMirror::start().await?;
            let id = server.work_request("mmdebstrap", mirror.system()).await?;
            mirror.visited(0).await?;
            let hold = Hold::Mirror(mirror);
            return Ok(Standing { id, hold });
        }
        let (upload, _) = materials::upload(server, 100_000).await?;
        let (method, path, part) = match self {
            Self::Fetching | Self::Running => ("GET", "/download/", Part::Answer(50_000)),
            Self::Uploading => (
                "PUT",
                "/files/burden_1.0_amd64.deb/",
                Part::Question(50_000),
            ),
            Self::Reporting => ("PUT", "/completed/", Part::Question(1)),
        };
        let mut caught = wire.catch(Moment {
            method,
            path: path.to_owned(),
            after: 0,
            part,
        });
        let data = materials::merge(upload);
        let id = server.work_request("mergeuploads", data).await?;
        caught.wait().await?;
        let hold = Hold::Wire(caught);
        Ok(Standing { id, hold })
    }

    /// Whether everything is in the spool by then, and only has to be delivered.
    pub fn is_after_the_run(self) -> bool {
        matches!(self, Self::Uploading | Self::Reporting)
    }

    /// What becomes of the work in the end. Nobody can make a system from a mirror that hangs up.
    fn outcome(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Running => ("failure", &["debusine:work-request-debug-logs"]),
            _ => (
                "success",
                &["debian:upload", "debusine:work-request-debug-logs"],
            ),
        }
    }

    /// Waits until the server has all that becomes of the work, and once only.
    pub async fn is_done(self, together: &Together, id: u64) -> Result<()> {
        let Together { server, home, .. } = together;
        let shown = server.wait(id, "completed").await?;
        let (result, categories) = self.outcome();
        ensure!(shown["result"] == result, "{shown}\n{}", home.log());
        ensure!(!server.was_repeated(id)?, "it was given out again: {shown}");
        let ended = home.logged(&format!("work request {id}: ended"));
        ensure!(ended == 1, "it ended {ended} times: {}", home.log());
        let artifacts = server.artifacts(id).await?;
        let made: Vec<&Value> = artifacts.iter().map(|it| &it["category"]).collect();
        ensure!(made == categories, "{made:?}\n{}", home.log());
        for artifact in &artifacts {
            ensure!(artifact["files_to_upload"] == json!([]), "{artifact}");
        }
        Ok(())
    }
}
