//! What a worker's operator sees of it: a line in the log for each event of its life, a status file, metrics, and systemd's own status.

use super::metrics::Metrics;
use super::spool::Delivered;
use super::work_request::{Report, WorkRequest};
use crate::artifacts::debusine::ServerError;
use crate::lifecycle::{Observer, Stage};
use sd_notify::NotifyState;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Name of the status file in the spool.
const STATUS_FILE: &str = "status.json";

/// How much more time systemd gives to a worker that drains. It is told so again long before.
const PATIENCE_OF_SYSTEMD: Duration = Duration::from_secs(120);

/// What a worker is doing, as its status file tells it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// The server's address.
    pub server: String,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// Whether the server listens to it.
    pub connected: bool,
    /// Why the server does not let it work, if it said so.
    pub disabled: Option<String>,
    /// The work request that it is busy with.
    pub work_request: Option<CurrentWork>,
    /// How many work requests were reported since it started.
    pub reported: u64,
    /// The last one: number, task, result.
    pub last: Option<(u64, String, String)>,
    /// When this was written, RFC 3339.
    pub updated_at: String,
}

/// A work request under way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CurrentWork {
    /// Its number.
    pub id: u64,
    /// Its task.
    pub task: String,
    /// The stage, or what is done with the result.
    pub stage: String,
    /// When it was handed out, RFC 3339.
    pub since: String,
}

impl Status {
    /// Reads the status of the worker that uses a spool; none if none ever did.
    pub fn read(spool: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(spool.join(STATUS_FILE)).ok()?).ok()
    }
}

/// Tells whoever is interested.
pub struct Operator {
    status: Mutex<Status>,
    path: PathBuf,
    /// The last reason for which there was no connection: it is told once.
    trouble: Mutex<Option<String>>,
    metrics: Arc<Metrics>,
}

impl Operator {
    /// Of a worker with this server and this spool.
    pub fn new(server: &str, spool: &Path, metrics: Arc<Metrics>) -> Self {
        let status = Status {
            pid: std::process::id(),
            server: server.to_owned(),
            started_at: now(),
            ..Status::default()
        };
        Self {
            status: Mutex::new(status),
            path: spool.join(STATUS_FILE),
            trouble: Mutex::default(),
            metrics,
        }
    }

    /// The worker is ready to work.
    pub fn started(&self) {
        let server = self.update(|status| status.server.clone());
        tracing::info!("worker started, server {server}");
        self.notify(&[NotifyState::Ready]);
    }

    /// The worker is about to end.
    pub fn stopping(&self, why: &str) {
        tracing::info!("stopping: {why}");
        self.notify(&[NotifyState::Stopping]);
    }

    /// A worker that was asked to end is at its last work, however long that takes.
    pub fn draining(&self) {
        self.notify(&[NotifyState::ExtendTimeoutUsec(
            PATIENCE_OF_SYSTEMD.as_micros() as u32,
        )]);
    }

    /// The worker has ended in good order.
    pub fn stopped(&self) {
        self.update(|status| {
            status.connected = false;
            status.work_request = None;
        });
        tracing::info!("worker stopped");
    }

    /// The worker's loop goes round.
    pub fn alive(&self) {
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }

    /// The server listens.
    pub fn connected(&self) {
        *locked(&self.trouble) = None;
        self.metrics.connected(true);
        self.update(|status| {
            status.connected = true;
            status.disabled = None;
        });
        tracing::info!("connected to the server");
    }

    /// A connection ended, or was not made.
    pub fn disconnected(&self, was_connected: bool, reason: &str) {
        self.metrics.connected(false);
        if was_connected {
            self.update(|status| status.connected = false);
            tracing::info!("disconnected: {reason}");
            return;
        }
        let mut trouble = locked(&self.trouble);
        match trouble.as_deref() == Some(reason) {
            true => tracing::debug!("still not connected: {reason}"),
            false => tracing::info!("not connected: {reason}; trying again until it works"),
        }
        *trouble = Some(reason.to_owned());
    }

    /// The server does not let this worker work.
    pub fn disabled(&self, reason: &str) {
        let known = self.update(|status| {
            status.connected = false;
            status.disabled.replace(reason.to_owned()).is_some()
        });
        if !known {
            tracing::warn!(
                "the server does not let this worker work: {reason}; enable it there: debusine-admin manage_worker enable NAME"
            );
        }
    }

    /// The server knows what we can do.
    pub fn metadata_accepted(&self, took: Duration) {
        tracing::info!("metadata accepted after {} ms", took.as_millis());
    }

    /// The server does not.
    pub fn metadata_refused(&self, error: &ServerError) {
        tracing::error!("metadata not accepted: {error}; there will be no work until they are");
    }

    /// Work was handed out.
    pub fn fetched(&self, work_request: &WorkRequest) {
        let (id, task) = (work_request.id, work_request.task_name.clone());
        tracing::info!(work_request = id, "work request {id}: {task}");
        self.update(|status| {
            status.work_request = Some(CurrentWork {
                id,
                task,
                stage: "Starting".to_owned(),
                since: now(),
            });
        });
    }

    /// The image of an environment was taken from the cache, or fetched; it has this many bytes.
    pub fn image(&self, cached: bool, size: u64) {
        self.metrics.image(cached, size);
    }

    /// A task has ended.
    pub fn ended(&self, id: u64, report: Option<&Report>) {
        match report {
            Some(report) => {
                let result = report.result.name();
                tracing::info!(work_request = id, "work request {id}: ended, {result}");
            }
            None => tracing::info!(work_request = id, "work request {id}: aborted"),
        }
        self.stage("Delivering");
    }

    /// The server was told of a work request.
    pub fn delivered(
        &self,
        id: u64,
        task: &str,
        report: Option<&Report>,
        delivered: Delivered,
        took: Duration,
    ) {
        let result = report.map_or("aborted", |report| report.result.name());
        match delivered {
            Delivered::Completely => {
                tracing::info!(work_request = id, "work request {id}: delivered, {result}");
            }
            Delivered::Unassigned => tracing::warn!(
                work_request = id,
                "work request {id}: no longer assigned to this worker; its result ({result}) is kept in case it comes back"
            ),
        }
        self.metrics.work_request(task, result);
        self.metrics.delivery(took);
        let last = (id, task.to_owned(), result.to_owned());
        self.update(|status| {
            status.work_request = None;
            status.reported += 1;
            status.last = Some(last);
        });
    }

    /// The server will never take a result; `told` is whether it knows that there is one. It is kept aside.
    pub fn refused(&self, id: u64, task: &str, error: &ServerError, told: bool, kept: &Path) {
        let told = match told {
            true => "the server was told that it is an error",
            false => "the server was not told",
        };
        tracing::error!(
            work_request = id,
            "work request {id}: its result is not accepted: {error}; {told}; it is kept as {}",
            kept.display()
        );
        self.metrics.work_request(task, "refused");
        self.update(|status| status.work_request = None);
    }

    /// Who answers is no Debusine server; the result stays in the spool until the next start.
    pub fn postponed(&self, id: u64, task: &str, error: &ServerError) {
        tracing::error!(
            work_request = id,
            "work request {id}: its result cannot be delivered: {error}; it is kept, and offered again when the worker starts the next time"
        );
        self.metrics.work_request(task, "postponed");
        self.update(|status| status.work_request = None);
    }

    /// What is being done with the work request.
    fn stage(&self, stage: &str) {
        self.update(|status| {
            if let Some(work) = &mut status.work_request {
                stage.clone_into(&mut work.stage);
            }
        });
    }

    fn update<T>(&self, change: impl FnOnce(&mut Status) -> T) -> T {
        let mut status = locked(&self.status);
        let answer = change(&mut status);
        status.updated_at = now();
        let aside = self.path.with_extension("new");
        let text = serde_json::to_vec_pretty(&*status).unwrap_or_default();
        let written = fs::write(&aside, text).and_then(|()| fs::rename(&aside, &self.path));
        if let Err(error) = written {
            tracing::debug!("{}: {error}", self.path.display());
        }
        let words = match &status.work_request {
            Some(work) => format!("work request {}: {}: {}", work.id, work.task, work.stage),
            None if status.connected => "waiting for work".to_owned(),
            None => "not connected".to_owned(),
        };
        drop(status);
        self.notify(&[NotifyState::Status(&words)]);
        answer
    }

    fn notify(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::debug!("systemd cannot be notified: {error}");
        }
    }
}

/// Watches the run of a work request for the operator.
pub struct Watched {
    operator: Arc<Operator>,
    work_request: u64,
    current: Mutex<Option<(Stage, Instant)>>,
}

impl Watched {
    /// A run that begins.
    pub fn new(operator: Arc<Operator>, work_request: u64) -> Self {
        Self {
            operator,
            work_request,
            current: Mutex::default(),
        }
    }

    /// The run has ended, and with it its last stage.
    pub fn finish(&self) {
        if let Some((stage, begun)) = locked(&self.current).take() {
            self.operator
                .metrics
                .stage(stage.message(), begun.elapsed());
        }
    }
}

impl Observer for Watched {
    fn stage(&self, stage: Stage) {
        self.finish();
        *locked(&self.current) = Some((stage, Instant::now()));
        let id = self.work_request;
        tracing::debug!(work_request = id, "work request {id}: {stage}");
        self.operator.stage(stage.message());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
