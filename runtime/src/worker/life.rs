//! The life of a worker, from its start to its end: it listens, describes itself, takes work when there is some, and delivers.

use super::connection::{Connection, Heard};
use super::delivering::{Ending, Told};
use super::description::Description;
use super::dispatch::Dispatch;
use super::memory;
use super::operator::Operator;
use super::spool::{Entry, Spool};
use super::work_request::{ErrorCode, Report, WorkRequest};
use crate::artifacts::debusine::{Answer, Patience, Server, ServerError};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, sleep_until};

/// How often the spool is looked through for what nobody wants any more.
const HOUSEKEEPING: Duration = Duration::from_secs(3600);

/// How often systemd is told that a worker that drains has not got stuck.
const DRAINING: Duration = Duration::from_secs(30);

/// How a worker is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    No,
    /// Finish what runs, take nothing new.
    Drain,
    /// Abort what runs, deliver its logs.
    Abort,
    /// At once; what ran is killed.
    Now,
}

/// How long things take in a worker's life.
#[derive(Debug, Clone)]
pub struct Rhythm {
    /// Between two connections, at random.
    pub reconnect: Range<Duration>,
    /// How long delivery may take once the worker has been asked to abort. What is not delivered then stays in the spool.
    pub farewell: Duration,
    /// How long a worker that was asked to drain waits for a server that takes nothing. The same holds for what is not delivered then.
    pub drain: Duration,
    /// How long an aborted task may take to end before it is dropped, its own clean-up with it.
    pub agony: Duration,
    /// How long metadata are tried to be sent, and how long to wait then before they are found out and sent anew.
    pub metadata: Duration,
    /// How long to wait when the spool can keep nothing.
    pub disk: Duration,
    /// How often components are looked for that are new, replaced or gone.
    pub components: Duration,
    /// How often systemd is told that all is well, if it wants to know.
    pub watchdog: Option<Duration>,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            reconnect: Duration::from_secs(1)..Duration::from_secs(6),
            farewell: Duration::from_secs(15),
            drain: Duration::from_secs(60),
            agony: Duration::from_secs(60),
            metadata: Duration::from_secs(60),
            disk: Duration::from_secs(30),
            components: Duration::from_secs(60),
            watchdog: sd_notify::watchdog_enabled().map(|interval| interval / 2),
        }
    }
}

/// A worker, ready to live.
pub struct Worker {
    /// The server, with the worker's token.
    pub server: Server,
    /// Where results wait for delivery.
    pub spool: Spool,
    /// Runs work requests.
    pub dispatch: Dispatch,
    /// Says what this worker can do.
    pub description: Description,
    /// Told of everything.
    pub operator: Arc<Operator>,
    /// How long things take.
    pub rhythm: Rhythm,
}

/// What to do after a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Wait for the server's word.
    Listen,
    /// It is unclear what the server thinks that we are doing: have it say so, on a new connection.
    Ask,
}

type Job<'a, T> = Option<Pin<Box<dyn Future<Output = T> + 'a>>>;

/// How telling the server what this worker can do has ended.
struct Described {
    /// Whether the server needs not to be told again.
    accepted: bool,
    /// What it knows.
    told: Option<Value>,
}

/// What is going on at the moment.
struct Present<'a> {
    /// Work and its delivery.
    work: Job<'a, After>,
    /// Telling the server what we can do; what it knows of that then.
    description: Job<'a, Described>,
    /// What the server was told of that.
    told: Option<Value>,
    /// Whether other components are there than those it was told of.
    outdated: bool,
    /// How many requests for that were heeded.
    described: u64,
    /// When the server is told without a request, because it did not accept what it was told before.
    described_again: Option<Instant>,
    /// How many announcements of work were heeded.
    announced: u64,
    /// Whether there may be something to deliver.
    undelivered: bool,
    ending: Ending,
    stop: Stop,
    /// When systemd is told again that a drain goes on.
    reassured: Option<Instant>,
    /// When work is dropped, whatever it does.
    deadline: Option<Instant>,
}

impl Worker {
    /// Lives until it is asked to stop, or until `stop` is dropped.
    pub async fn run(self, mut stop: watch::Receiver<Stop>) {
        let (heard, mut listening) = watch::channel(Heard::default());
        let renew = Arc::new(Notify::new());
        let connection = Connection {
            server: self.server.clone(),
            pause: self.rhythm.reconnect.clone(),
            operator: Arc::clone(&self.operator),
            renew: Arc::clone(&renew),
        };
        let connection = connection.keep(heard);
        tokio::pin!(connection);
        let mut watchdog = tokio::time::interval(self.rhythm.watchdog.unwrap_or(Duration::MAX / 4));
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        let mut present = Present {
            work: None,
            description: None,
            told: None,
            outdated: false,
            described: 0,
            described_again: None,
            announced: 0,
            undelivered: true,
            ending: Ending::default(),
            stop: Stop::No,
            reassured: None,
            deadline: None,
        };
        let registry = &self.dispatch.registry;
        let look = |known| registry.changed(known, self.rhythm.components);
        let components = look(registry.generation());
        tokio::pin!(components);
        self.operator.started();
        while !present.is_over() {
            self.begin(&mut present, *listening.borrow_and_update());
            tokio::select! {
                () = &mut connection => {}
                _ = listening.changed() => {}
                after = next(&mut present.work) => {
                    present.work = None;
                    memory::give_back();
                    if after == After::Ask {
                        renew.notify_one();
                    }
                }
                described = next(&mut present.description) => {
                    present.description = None;
                    let again = || Instant::now() + self.rhythm.metadata;
                    present.described_again = (!described.accepted).then(again);
                    present.told = described.told;
                    memory::give_back();
                }
                () = at(present.described_again) => {}
                generation = &mut components => {
                    tracing::info!("the tasks have changed");
                    components.set(look(generation));
                    present.outdated = true;
                }
                asked = stop.changed() => {
                    let asked = asked.map_or(Stop::Now, |()| *stop.borrow_and_update());
                    self.stop(&mut present, asked);
                }
                () = at(present.deadline) => {
                    tracing::error!("the task did not end in time; dropping it");
                    present.work = None;
                }
                _ = housekeeping.tick() => if present.work.is_none() {
                    self.spool.expire();
                },
                () = at(present.reassured) => {
                    self.operator.draining();
                    present.reassured = Some(Instant::now() + DRAINING);
                }
                _ = watchdog.tick() => if self.rhythm.watchdog.is_some() {
                    self.operator.alive();
                }
            }
        }
        // What is dropped here kills its processes and removes its directories.
        drop(present);
        self.operator.stopped();
    }

    /// Begins what can be begun.
    fn begin<'a>(&'a self, present: &mut Present<'a>, heard: Heard) {
        let is_due = |at: Instant| at <= Instant::now();
        // Whoever is not connected will be asked when he is.
        let again = present.described_again.take_if(|at| is_due(*at)).is_some() && heard.connected;
        let asked = present.described < heard.metadata_requests;
        // Before it has asked for the first time, it does not know us.
        let outdated = present.outdated && present.described > 0;
        if present.description.is_none() && (asked || again || outdated) {
            present.described = heard.metadata_requests;
            present.described_again = None;
            present.outdated = false;
            let told = present.told.take().filter(|_| !asked && !again);
            present.description = Some(Box::pin(self.describe(told)));
        }
        if present.work.is_some() || present.stop != Stop::No {
            return;
        }
        // The server gives work to those whom it knows.
        let may_fetch =
            present.description.is_none() && present.announced < heard.work_announcements;
        if may_fetch {
            present.announced = heard.work_announcements;
        }
        if may_fetch || present.undelivered {
            present.undelivered = false;
            present.work = Some(Box::pin(self.work(may_fetch, present.ending.clone())));
        }
    }

    fn stop(&self, present: &mut Present<'_>, asked: Stop) {
        if asked <= present.stop {
            return;
        }
        present.stop = asked;
        match asked {
            Stop::No => {}
            Stop::Drain => {
                self.operator.stopping("after what runs at the moment");
                present.reassured = Some(Instant::now());
                present.ending.drain.cancel();
            }
            Stop::Abort => {
                self.operator.stopping("aborting what runs");
                present.reassured = None;
                present.ending.abort.cancel();
                present.deadline = Some(Instant::now() + self.rhythm.agony);
            }
            Stop::Now => {
                self.operator.stopping("at once");
                present.work = None;
            }
        }
    }

    /// Tells the server what this worker can do, unless it was told just that.
    async fn describe(&self, told: Option<Value>) -> Described {
        let begun = Instant::now();
        let metadata = match self.description.metadata().await {
            Ok(metadata) => Value::Object(metadata),
            Err(error) => {
                tracing::error!("no metadata: {error}");
                return Described {
                    accepted: false,
                    told,
                };
            }
        };
        if told.as_ref() == Some(&metadata) {
            return Described {
                accepted: true,
                told,
            };
        }
        let server = self.server.clone().with_patience(Patience {
            give_up: self.rhythm.metadata,
            ..*self.server.patience()
        });
        let path = "/worker/dynamic-metadata/";
        match server.repeated(Method::PUT, path, Some(&metadata)).await {
            Ok(_) => {
                self.operator.metadata_accepted(begun.elapsed());
                Described {
                    accepted: true,
                    told: Some(metadata),
                }
            }
            Err(error) => {
                self.operator.metadata_refused(&error);
                Described {
                    accepted: false,
                    told: None,
                }
            }
        }
    }

    /// Delivers what is in the spool, then takes work if there is some.
    async fn work(&self, fetch: bool, ending: Ending) -> After {
        let mut after = After::Listen;
        for entry in self.spool.undelivered() {
            match self.deliver(entry, &ending).await {
                Told::Everything => {}
                Told::Nothing => after = After::Ask,
                Told::Something => return After::Listen,
            }
        }
        if !fetch || ending.is_asked_for() {
            return after;
        }
        if let Err(error) = self.spool.check() {
            tracing::error!("{error}; no work is taken until that works");
            let pause = self.rhythm.disk;
            tokio::select! {
                () = sleep(pause) => return After::Ask,
                () = ending.asked_for() => return After::Listen,
            }
        }
        let Some(answer) = self.in_time(&ending, self.next_work_request()).await else {
            tracing::warn!(
                "no answer to the question for work in time; what it hands out is lost to this worker"
            );
            return After::Listen;
        };
        let answer = match answer {
            Ok(answer) if answer.status == StatusCode::NO_CONTENT => return After::Listen,
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!("no work: {error}");
                return if error.is_forbidden() {
                    After::Listen
                } else {
                    After::Ask
                };
            }
        };
        let document: Value = answer.json().unwrap_or_default();
        match serde_json::from_value(document.clone()) {
            Ok(work_request) => self.attend(work_request, &ending).await,
            Err(error) => self.send_back(&document, &error.to_string(), &ending).await,
        }
    }

    /// Asks for work, once: the server counts whatever runs here as lost when it is asked.
    async fn next_work_request(&self) -> Result<Answer, ServerError> {
        let path = "/work-request/get-next-for-worker/";
        self.server.once(Method::GET, path, None).await
    }

    /// What the server hands out is no work request that can be run: it is told so, provided that this has a number.
    async fn send_back(&self, document: &Value, error: &str, ending: &Ending) -> After {
        tracing::error!("what the server hands out is no work request: {error}");
        let Some(id) = document["id"].as_u64() else {
            return After::Ask;
        };
        let name = document["task_name"].as_str().unwrap_or("unknown");
        let message = format!("Task: {name} Error setup: this is no work request: {error}");
        let report = Report::error(ErrorCode::SetupFailed, message).document();
        let path = format!("/work-request/{id}/completed/");
        let told = self.server.repeated(Method::PUT, &path, Some(&report));
        match self.in_time(ending, told).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => tracing::error!("work request {id}: {error}"),
            None => tracing::error!("work request {id}: no time to tell the server"),
        }
        After::Listen
    }

    /// Runs a work request, and delivers it.
    async fn attend(&self, work_request: WorkRequest, ending: &Ending) -> After {
        let id = work_request.id;
        self.operator.fetched(&work_request);
        if let Some(entry) = self.spool.unassigned(id) {
            tracing::info!("work request {id}: it has been run before; delivering that result");
            return self.deliver_last(entry, ending).await;
        }
        let server = self.server.clone().for_a_purpose();
        let run = self.dispatch.run(
            &work_request,
            &server,
            &self.spool,
            &self.operator,
            &ending.abort,
        );
        let Some(ended) = self.unless_starved(id, ending, &server, run).await else {
            return After::Listen;
        };
        // The delivery may be large, and take long.
        memory::give_back();
        match ended {
            Ok(entry) => {
                self.operator.ended(id, entry.report());
                self.deliver_last(entry, ending).await
            }
            Err(error) => {
                tracing::error!("work request {id}: {error}");
                After::Ask
            }
        }
    }

    async fn deliver_last(&self, entry: Entry, ending: &Ending) -> After {
        match self.deliver(entry, ending).await {
            Told::Nothing => After::Ask,
            Told::Everything | Told::Something => After::Listen,
        }
    }
}

impl Present<'_> {
    fn is_over(&self) -> bool {
        match self.stop {
            Stop::No => false,
            Stop::Drain | Stop::Abort => self.work.is_none(),
            Stop::Now => true,
        }
    }
}

/// The end of a job; never, if there is none.
async fn next<T>(job: &mut Job<'_, T>) -> T {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
