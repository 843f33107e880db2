//! A Debusine server in a thread of the test: small, quick, and able to play faults that a real one seldom has.
//!
//! It keeps the rules of the protocol that workers depend on: one work request at a time, a lost one is handed out again under another
//! number, uploads by question and answer, ranges with both ends.

mod artifacts;
mod http;
mod websocket;

use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use artifacts::{FakeArtifact, FakeFile};
pub use http::{Recorded, Reply};
pub use websocket::Order;

/// The token of the worker that the server knows.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// This is answered, and nothing is done.
    Answer(u16, &'static str),
    /// It is done, and the connection ends before the answer.
    Lost,
    /// Nothing is done, and the connection ends.
    Cut,
    /// Nothing is done or said.
    Silence,
    /// It is done after this time.
    Late(Duration),
    /// It is done; of the body of the answer come this many bytes, then the connection ends.
    Short(usize),
    /// It is done; each piece of the body takes this long.
    Slow(Duration),
    /// It is done; the body of the answer is another one.
    Body(&'static [u8]),
    /// Nothing is done, and the answer to an upload is that of success: nothing is there.
    Forgotten,
}

/// A trouble that waits for its request.
#[derive(Debug)]
struct Fault {
    method: &'static str,
    /// A part of the path.
    path: &'static str,
    trouble: Trouble,
    /// How often.
    times: u32,
}

/// What the server knows.
#[derive(Default)]
pub struct State {
    /// Requests so far.
    pub requests: Vec<Recorded>,
    /// Artifacts by their numbers.
    pub artifacts: BTreeMap<u64, FakeArtifact>,
    /// Content by its SHA-256.
    pub contents: HashMap<String, Vec<u8>>,
    /// Relations, as they were posted.
    pub relations: Vec<Value>,
    /// Reports: number, document.
    pub completed: Vec<(u64, Value)>,
    /// Work for the worker.
    pub queue: VecDeque<Value>,
    /// The work request that it has.
    pub running: Option<Value>,
    /// The metadata that came last.
    pub metadata: Option<Value>,
    /// The token that registered last.
    pub registered: Option<String>,
    /// How many websockets were accepted.
    pub connections: usize,
    uploads: HashMap<(u64, String), Vec<u8>>,
    /// How many times more it will find a file damaged when it has all of it.
    pub damages: u32,
    /// The longest body that a proxy in front of it lets through, in bytes.
    pub longest_body: Option<usize>,
    /// How many times more it will have lost half of what it had of a file when more of that comes.
    pub losses: u32,
    /// How many uploads that are whole are only told to have come, and not to be complete.
    pub unverified: u32,
    /// How many times more it will be ended when it has all of a file, before it has verified and kept it.
    pub deaths_before_verification: u32,
    faults: Vec<Fault>,
    sockets: Vec<mpsc::UnboundedSender<Order>>,
    disabled: bool,
    next_id: u64,
    address: Option<SocketAddr>,
}

/// A running server. It ends when it is dropped.
pub struct FakeServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    serving: Option<tokio::task::JoinHandle<()>>,
    /// While it is down: so that nobody else gets the port.
    reserved: Option<TcpSocket>,
}

impl FakeServer {
    /// Starts on a port of its own.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut server = Self {
            address: listener.local_addr()?,
            state: Arc::default(),
            serving: None,
            reserved: None,
        };
        server.state().address = Some(server.address);
        server.serve(listener);
        Ok(server)
    }

    /// The address of its interface.
    pub fn api_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it knows.
    pub fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// The next request of this method, with this in its path, has trouble; so have those after it, as often as told.
    pub fn fault(&self, method: &'static str, path: &'static str, trouble: Trouble, times: u32) {
        self.state().faults.push(Fault {
            method,
            path,
            trouble,
            times,
        });
    }

    /// Ends all connections and accepts no more, like a server that is restarted. Afterwards nobody listens there.
    pub async fn go_down(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // It has been told; the listener is closed when it is gone.
            let _ = serving.await;
            self.reserved = reserved(self.address).ok();
        }
        self.state().sockets.clear();
    }

    /// Comes back on the same port.
    pub async fn come_back(&mut self) -> std::io::Result<()> {
        let socket = match self.reserved.take() {
            Some(socket) => socket,
            None => reserved(self.address)?,
        };
        self.serve(socket.listen(64)?);
        Ok(())
    }

    /// Gives the worker work.
    pub fn hand_out(&self, work_request: Value) {
        let mut state = self.state();
        state.queue.push_back(work_request);
        state.order(Order::announcement());
    }

    /// Lets the worker work, or does not any more; then what it had is handed out again.
    pub fn enable(&self, enabled: bool) {
        let mut state = self.state();
        state.disabled = !enabled;
        if !enabled {
            state.order(Order::disabled());
            state.order(Order::Close);
            if let Some(running) = state.running.take() {
                state.queue.push_front(running);
            }
        }
    }

    /// Tells all websockets.
    pub fn order(&self, order: Order) {
        self.state().order(order);
    }

    /// Waits until something is so; after two minutes it never will be. The first worker of all compiles its tasks meanwhile.
    pub async fn wait_until(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        for _ in 0..12_000 {
            if is_so(&self.state()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let state = self.state();
        let requests: Vec<_> = state.requests.iter().map(Recorded::line).collect();
        panic!("{what}: not within two minutes; requests: {requests:#?}");
    }

    fn serve(&mut self, listener: TcpListener) {
        let state = Arc::clone(&self.state);
        self.serving = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(attend(stream, Arc::clone(&state)));
            }
        }));
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
        self.state().sockets.clear();
    }
}

/// A socket that has this address and does not listen: whoever connects to it is refused.
fn reserved(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A test that fails elsewhere must not hide its reason behind a second panic.
fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whatever ends a connection is its client's business.
async fn attend(stream: TcpStream, state: Arc<Mutex<State>>) {
    let _ = stream.set_nodelay(true);
    let _ = http::attend(stream, state).await;
}

impl State {
    fn order(&mut self, order: Order) {
        self.sockets
            .retain(|socket| socket.send(order.clone()).is_ok());
    }

    /// The trouble that this request has, if any.
    fn trouble(&mut self, method: &str, path: &str) -> Option<Trouble> {
        let is_due =
            |fault: &Fault| fault.times > 0 && fault.method == method && path.contains(fault.path);
        let fault = self.faults.iter_mut().find(|fault| is_due(fault))?;
        fault.times -= 1;
        Some(fault.trouble.clone())
    }

    /// From now on nothing has trouble any more.
    pub fn forgive(&mut self) {
        self.faults.clear();
    }

    /// How often a request was made.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let requests = self.requests.iter();
        requests
            .filter(|it| it.method == method && it.path.contains(path))
            .count()
    }

    /// Answers a request to the REST interface, or for a download.
    fn answer(&mut self, request: &Recorded) -> Reply {
        let path = request.path.as_str();
        let is_known = request.header("token") == Some(TOKEN) && !self.disabled;
        let Some(call) = path.strip_prefix("/api/1.0") else {
            return self.download(request);
        };
        match (request.method.as_str(), call) {
            ("GET", "/whoami/") => {
                let whoami =
                    json!({"user": "<anonymous>", "auth": is_known, "worker_token": is_known});
                return Reply::json(200, &whoami);
            }
            ("POST", "/worker/register/") => {
                self.registered = request.json()["token"].as_str().map(str::to_owned);
                return Reply::empty(201);
            }
            _ if !is_known => return Reply::forbidden(),
            ("PUT", "/worker/dynamic-metadata/") => {
                self.metadata = Some(request.json());
                return Reply::empty(204);
            }
            ("GET", "/work-request/get-next-for-worker/") => return self.next_work_request(),
            ("POST", "/artifact/") => return self.create(request),
            ("POST", "/artifact-relation/") => return self.relate(request),
            _ => {}
        }
        let parts: Vec<&str> = call.split('/').filter(|part| !part.is_empty()).collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["artifact", id]) => self.information(id),
            ("PUT", ["artifact", id, "files", name @ ..]) => {
                self.receive(id, &name.join("/"), request)
            }
            ("GET", ["work-request", id]) => self.progress(id),
            ("PUT", ["work-request", id, "completed"]) => self.complete(id, request),
            _ => Reply::html(404),
        }
    }

    /// Whatever runs is lost, and comes again under another number.
    fn next_work_request(&mut self) -> Reply {
        if let Some(mut lost) = self.running.take() {
            lost["id"] = json!(lost["id"].as_u64().unwrap_or_default() + 1000);
            lost["workflow_data"] = json!({"retry_count": 1});
            self.queue.push_front(lost);
            self.order(Order::announcement());
            return Reply::empty(204);
        }
        let Some(next) = self.queue.pop_front() else {
            return Reply::empty(204);
        };
        self.running = Some(next.clone());
        Reply::json(200, &next)
    }

    fn progress(&self, id: &str) -> Reply {
        let id = id.parse::<u64>().ok();
        let made = self.artifacts.iter();
        let made = made.filter(|(_, artifact)| artifact.work_request == id);
        let ids: Vec<u64> = made.map(|(id, _)| *id).collect();
        Reply::json(200, &json!({"id": id, "artifacts": ids}))
    }

    fn complete(&mut self, id: &str, request: &Recorded) -> Reply {
        let Ok(id) = id.parse::<u64>() else {
            return Reply::html(404);
        };
        let is_waiting = |it: &Value| it["id"] == id;
        if self.queue.iter().any(is_waiting) {
            return Reply::problem(401, "Invalid worker to update the work request");
        }
        self.completed.push((id, request.json()));
        if self.running.as_ref().is_some_and(is_waiting) {
            self.running = None;
        }
        if !self.queue.is_empty() {
            self.order(Order::announcement());
        }
        Reply::empty(200)
    }
}

/// A work request as the server hands it out.
pub fn work_request(id: u64, task: &str, data: Value) -> Value {
    json!({
        "id": id, "task_name": task, "task_type": "Worker", "task_data": data, "dynamic_task_data": {},
        "created_at": "2026-11-22T14:59:14.102199Z", "created_by": 2, "started_at": null, "completed_at": null,
        "duration": null, "worker": 2, "priority_base": 0, "priority_adjustment": 0, "workflow_data": {},
        "event_reactions": {}, "status": "pending", "result": "", "artifacts": [], "workspace": "System",
    })
}
