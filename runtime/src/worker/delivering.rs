//! What waits for the server in a worker's life: as long as it takes, or as long as a worker that ends has for it.

use super::life::Worker;
use super::spool::{Delivered, Entry, Undelivered};
use crate::artifacts::debusine::{Server, ServerError};
use crate::executor::Abort;
use std::future::Future;
use tokio::time::{sleep, timeout};

/// Whether the worker is to end, as its work sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    /// Whatever is going on ends early.
    pub abort: Abort,
    /// Nothing new is begun.
    pub drain: Abort,
}

impl Ending {
    /// Whether it is, in one way or the other.
    pub fn is_asked_for(&self) -> bool {
        self.abort.is_cancelled() || self.drain.is_cancelled()
    }

    /// Waits until it is.
    pub async fn asked_for(&self) {
        tokio::select! {
            () = self.abort.cancelled() => {}
            () = self.drain.cancelled() => {}
        }
    }
}

/// What the server knows after a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// How the work request stands.
    Everything,
    /// Nothing: it still takes this worker for busy with it. When it is asked for work, it gives up the work request, and has it done anew.
    Nothing,
    /// Perhaps something: there was no time for the rest.
    Something,
}

impl Worker {
    /// Delivers a result.
    pub(super) async fn deliver(&self, mut entry: Entry, ending: &Ending) -> Told {
        let (id, task) = (entry.work_request(), entry.task().to_owned());
        let report = entry.report().cloned();
        let begun = std::time::Instant::now();
        let Some(delivered) = self.in_time(ending, entry.deliver(&self.server)).await else {
            keep_for_later(&entry);
            return Told::Something;
        };
        match delivered {
            Ok(delivered) => {
                let took = begun.elapsed();
                self.operator
                    .delivered(id, &task, report.as_ref(), delivered, took);
                if delivered == Delivered::Completely {
                    entry.remove();
                }
                Told::Everything
            }
            Err(Undelivered::Postponed(error)) => {
                self.spool.postpone(&entry);
                self.operator.postponed(id, &task, &error);
                Told::Nothing
            }
            Err(Undelivered::Refused { error, told }) => {
                self.keep_aside(entry, &error, told);
                match told {
                    true => Told::Everything,
                    false => Told::Nothing,
                }
            }
        }
    }

    /// What comes of something; none if a worker that ends has no more time for it.
    pub(super) async fn in_time<T>(
        &self,
        ending: &Ending,
        something: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            outcome = something => Some(outcome),
            () = self.aborted(ending) => None,
            () = self.drained_in_vain(ending) => None,
        }
    }

    /// What comes of a run. One that waits for a server which is away keeps no worker from ending: it is aborted, and the server hands it out
    /// again. None if it does not end then: what runs is dropped.
    pub(super) async fn unless_starved<T>(
        &self,
        id: u64,
        ending: &Ending,
        server: &Server,
        run: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::pin!(run);
        tokio::select! {
            outcome = &mut run => return Some(outcome),
            () = self.starved(ending, server) => {}
        }
        tracing::warn!(
            "work request {id}: the worker is to end, and the server is away from which the task waits for its inputs: aborting it"
        );
        ending.abort.cancel();
        let ended = timeout(self.rhythm.agony, run).await;
        if ended.is_err() {
            tracing::error!("work request {id}: the task did not end in time; dropping it");
        }
        ended.ok()
    }

    /// The worker is to end, and all the while a task has waited for the server in vain.
    async fn starved(&self, ending: &Ending, server: &Server) {
        ending.drain.cancelled().await;
        loop {
            let before = server.wait();
            sleep(self.rhythm.drain).await;
            if before.is_some() && server.wait() == before {
                return;
            }
        }
    }

    async fn aborted(&self, ending: &Ending) {
        ending.abort.cancelled().await;
        sleep(self.rhythm.farewell).await;
    }

    /// The worker is to end, and the server takes nothing.
    async fn drained_in_vain(&self, ending: &Ending) {
        ending.drain.cancelled().await;
        let traffic = self.server.traffic();
        loop {
            let before = traffic.advances();
            sleep(self.rhythm.drain).await;
            if traffic.advances() == before {
                return;
            }
        }
    }

    fn keep_aside(&self, entry: Entry, error: &ServerError, told: bool) {
        let (id, task) = (entry.work_request(), entry.task().to_owned());
        let Some(report) = entry.report().cloned() else {
            // Logs of an aborted task, which nobody waits for.
            tracing::error!("work request {id}: its logs are not accepted, and dropped: {error}");
            entry.remove();
            return;
        };
        match entry.set_aside(&error.to_string()) {
            Ok(kept) => self.operator.refused(id, &task, error, told, &kept),
            Err(trouble) => tracing::error!(
                "work request {id}: its result is not accepted: {error}; nor can it be kept aside: {trouble}; it was {}",
                report.document()
            ),
        }
    }
}

/// What a worker that ends has no more time for stays in the spool.
fn keep_for_later(entry: &Entry) {
    let id = entry.work_request();
    let what = match entry.report() {
        Some(_) => "its result",
        None => "the logs of its aborted task",
    };
    tracing::info!("work request {id}: {what} will be delivered after the next start");
}
