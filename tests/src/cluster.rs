//! Three nats-servers that are one JetStream cluster.
//!
//! Each is a [`Server`] of its own, with its own process, directory and guard; they find each other by
//! routes on ports of their own. The cluster is ready when every server knows the metadata leader and a
//! stream with a replica on each of them can be created.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Admin, Port, Server, Version};

const SIZE: usize = 3;

/// An election may take several rounds of up to nine seconds, and longer when the machine is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a cluster that is not yet as it shall be.
const PAUSE: Duration = Duration::from_millis(50);

/// Seen once in thirty starts: three servers that never elected anybody.
const ATTEMPTS: usize = 3;

/// A real cluster; its servers end when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
    _routes: Vec<Port>,
}

impl Cluster {
    /// Starts three servers of that version and waits until they can replicate.
    ///
    /// # Panics
    ///
    /// When they do not come so far; the message ends with their logs.
    #[track_caller]
    pub fn start(version: Version) -> Self {
        let mut logs = String::new();
        for _ in 0..ATTEMPTS {
            let cluster = Self::launch(version);
            if cluster.is_ready_in_time() {
                return cluster;
            }
            logs = cluster.servers.iter().map(Server::log).collect();
        }
        panic!("{ATTEMPTS} times no cluster within {PATIENCE:?}; the last one's logs:\n{logs}");
    }

    #[track_caller]
    fn launch(version: Version) -> Self {
        let routes: Vec<Port> = (0..SIZE).map(|_| Port::reserve()).collect();
        let urls: Vec<String> = routes
            .iter()
            .map(|port| format!("nats-route://127.0.0.1:{}", port.number()))
            .collect();
        let name = crate::unique("cluster");
        let servers = routes.iter().map(|port| {
            let listen = format!("127.0.0.1:{}", port.number());
            let extra = format!(
                "cluster {{ name: {name:?}, listen: {listen:?}, routes: [{}] }}\n",
                urls.join(", ")
            );
            Server::builder()
                .version(version)
                .config_extra(&extra)
                .start()
        });
        Self {
            servers: servers.collect(),
            _routes: routes,
        }
    }

    /// The servers, in the order they were started.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// One server.
    ///
    /// # Panics
    ///
    /// When there is none of that number.
    #[track_caller]
    pub fn server(&self, number: usize) -> &Server {
        let server = self.servers.get(number);
        server.unwrap_or_else(|| panic!("a cluster has no server {number}"))
    }

    /// The number of the server that leads a stream; `None` while none does, or none can be asked.
    pub fn leader(&self, stream: &str) -> Option<usize> {
        let info = self.info(stream)?;
        let leader = info["cluster"]["leader"].as_str()?;
        self.servers
            .iter()
            .position(|server| server.name() == leader)
    }

    /// Waits until some server leads a stream, and returns its number.
    ///
    /// # Panics
    ///
    /// Here and in what follows: when it takes longer than two elections.
    #[track_caller]
    pub fn await_leader(&self, stream: &str) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(leader) = self.leader(stream) {
                return leader;
            }
            assert!(
                Instant::now() < deadline,
                "{stream} has no leader in {PATIENCE:?}"
            );
            thread::sleep(PAUSE);
        }
    }

    /// Waits until a stream has a leader and its other replicas are up to date: any one server can be lost.
    #[track_caller]
    pub fn await_whole(&self, stream: &str) {
        let whole = || {
            let info = self.info(stream)?;
            let replicas = info["cluster"]["replicas"].as_array()?;
            let current = |replica: &&Value| {
                replica["current"] == true && replica["lag"].as_u64().unwrap_or(0) == 0
            };
            let led = info["cluster"]["leader"]
                .as_str()
                .is_some_and(|name| !name.is_empty());
            Some(led && replicas.iter().filter(current).count() == SIZE - 1)
        };
        let deadline = Instant::now() + PATIENCE;
        while whole() != Some(true) {
            let late = Instant::now() >= deadline;
            assert!(
                !late,
                "{stream} is not whole in {PATIENCE:?}: {:?}",
                self.info(stream)
            );
            thread::sleep(PAUSE);
        }
    }

    /// Asks the leader of a stream to step down; false if nobody said that it will.
    pub fn step_down(&self, stream: &str) -> bool {
        let answer = self.ask(&format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}"), b"");
        answer.is_some_and(|answer| answer["success"] == true)
    }

    /// Makes a server the leader of a stream that has a replica there (nats-server 2.11 and newer).
    #[track_caller]
    pub fn lead(&self, stream: &str, number: usize) {
        let wish = json!({"placement": {"preferred": self.server(number).name()}}).to_string();
        let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}");
        let deadline = Instant::now() + PATIENCE;
        while self.await_leader(stream) != number {
            let late = Instant::now() >= deadline;
            assert!(
                !late,
                "{stream} does not get another leader in {PATIENCE:?}"
            );
            self.ask(&subject, wish.as_bytes());
            thread::sleep(PAUSE);
        }
    }

    /// What a stream's leader says of it.
    fn info(&self, stream: &str) -> Option<Value> {
        let info = self.ask(&format!("$JS.API.STREAM.INFO.{stream}"), b"")?;
        info["error"].is_null().then_some(info)
    }

    /// What the first server that can be reached hands on as an answer.
    fn ask(&self, subject: &str, payload: &[u8]) -> Option<Value> {
        let mut admin = self.servers.iter().find_map(Admin::try_connect)?;
        admin.try_request(subject, payload, Duration::from_secs(2))
    }

    /// Waits for a metadata leader that all know, and then for a stream with a replica on each.
    #[track_caller]
    fn is_ready_in_time(&self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let wait = |holds: &mut dyn FnMut() -> bool| {
            while !holds() {
                if Instant::now() >= deadline {
                    return false;
                }
                thread::sleep(Duration::from_millis(20));
            }
            true
        };
        let led = |server: &Server| server.log().contains("metadata leader");
        if !wait(&mut || self.servers.iter().all(led)) {
            return false;
        }
        let probe = json!({"name": "kv-tests-probe", "num_replicas": SIZE, "storage": "memory"});
        let body = probe.to_string();
        let created = wait(&mut || {
            let answer = self.ask("$JS.API.STREAM.CREATE.kv-tests-probe", body.as_bytes());
            answer.is_some_and(|answer| answer["error"].is_null())
        });
        if created {
            Admin::connect(self.server(0)).delete_stream("kv-tests-probe");
        }
        created
    }
}
