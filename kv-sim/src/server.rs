//! The simulated servers: [`Cluster`], a value that is a whole NATS cluster.
//!
//! It is sans-IO and has four kinds of methods. What happened goes in: [`accept`](Cluster::accept),
//! [`handle_input`](Cluster::handle_input), [`handle_closed`](Cluster::handle_closed),
//! [`handle_timeout`](Cluster::handle_timeout). What to do comes out:
//! [`take_output`](Cluster::take_output), [`poll_timeout`](Cluster::poll_timeout),
//! [`poll_closed`](Cluster::poll_closed). Faults are plain methods: [`restart`](Cluster::restart),
//! [`elect`](Cluster::elect), [`lag`](Cluster::lag), [`rewind`](Cluster::rewind),
//! [`lame_duck`](Cluster::lame_duck). What really happened is in the [`journal`](Cluster::journal).
//!
//! ```text
//! bytes ─► parser ─► dispatch ─► router ──► connections ─► bytes
//!                        │          ▲
//!                        └► api, stream, consumer (an outbox in between)
//! ```
//!
//! Invariants: no bytes of a client can panic it; the same seed and the same calls give the same bytes;
//! it knows nothing of the client's code but time. Everything between two calls is settled: what a
//! message causes has happened when the call returns.

mod api;
mod auth;
mod connection;
mod consumer;
mod decode;
mod dispatch;
mod disturb;
mod domain;
mod duration;
mod error;
mod fault;
mod header;
mod info;
mod journal;
mod json;
mod look;
mod parser;
mod peers;
mod replication;
pub(crate) mod rng;
mod router;
mod stream;
mod subject;
mod user_info;
mod version;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use kv_proto::{Instant, Timestamp};

pub use self::auth::{Auth, Permissions, Subjects, User};
pub use self::connection::ConnId;
pub use self::disturb::{
    Answerer, ApiCall, ApiRefusal, Breach, CountFault, DeliveryFault, FlowFault, HeartbeatFault,
    Recurring, Refusal, ReplyFault,
};
pub(crate) use self::info::FIRST_PORT;
pub use self::journal::{Change, Event, Removal};
pub use self::look::{MadeConsumer, SeenConsumer};
pub use self::replication::{Election, InFlight, Replication};
pub use self::stream::batch::BatchLimits;
pub use self::version::Version;

use self::api::JetStream;
use self::connection::{Connection, Tick};
use self::consumer::Habits;
use self::disturb::Disturbances;
use self::journal::Journal;
use self::peers::Peers;
use self::rng::Rng;
use self::router::Router;
use self::stream::group::Standing;
use self::stream::{Now, Outbox};

/// 2026-01-01T00:00:00Z: where the servers' wall clock stands at [`Instant::ORIGIN`], unless told otherwise.
const EPOCH: Timestamp = Timestamp::from_unix_nanos(1_767_225_600_000_000_000);

/// How old a message is at some moment, by the servers' clock.
pub(crate) fn age(stored: Timestamp, at: Instant) -> Duration {
    let now = EPOCH.as_unix_nanos().saturating_add_unsigned(at.as_nanos());
    Timestamp::from_unix_nanos(now).saturating_duration_since(stored)
}

/// Sets the randomness of replication apart from the rest.
const REPLICATION: u64 = 0x7265_706c_6963_6173;

/// Names one server of a cluster, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub usize);

/// What a cluster is to be like. The defaults are nats-server's own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Which release the servers behave like.
    pub version: Version,
    /// How many servers there are; one is a server without a cluster.
    pub servers: usize,
    /// Where each server says that it listens; those without an address, at 127.0.0.1:4222 and up.
    pub addresses: Vec<SocketAddr>,
    /// The wall clock at [`Instant::ORIGIN`].
    pub epoch: Timestamp,
    /// Who may connect.
    pub auth: Auth,
    /// How long a client may take to prove who it is.
    pub auth_timeout: Duration,
    /// The largest payload, headers included, in bytes.
    pub max_payload: usize,
    /// The longest list of arguments, in bytes.
    pub max_control_line: usize,
    /// How many clients each server takes.
    pub max_connections: usize,
    /// How many subscriptions each client may have; 0 is no limit.
    pub max_subscriptions: usize,
    /// How much may wait for a client that does not read, in bytes.
    pub max_pending: usize,
    /// How often silent clients are asked whether they live.
    pub ping_interval: Duration,
    /// How many such questions may stay unanswered.
    pub ping_max: u32,
    /// Whether there is JetStream.
    pub jetstream: bool,
    /// Its domain: clients may name it, and answers do.
    pub domain: Option<String>,
    /// The most that flow control lets be under way to a consumer's listeners, in bytes; it begins with a
    /// sixteenth.
    pub flow_limit: u64,
    /// Whether the reply subjects of consumers name the domain and the account, as 2.14 and later do if
    /// `js_ack_fc_v2` is among their feature flags.
    pub wide_replies: bool,
    /// How slow replication between the servers is.
    pub replication: Replication,
    /// How many atomic batches there may be.
    pub batches: BatchLimits,
    /// Whether [`Cluster::journal`] is written.
    pub journal: bool,
}

impl Config {
    /// The defaults, for servers of that version.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self {
            version,
            servers: 1,
            addresses: Vec::new(),
            epoch: EPOCH,
            auth: Auth::Open,
            auth_timeout: Duration::from_secs(2),
            max_payload: 1024 * 1024,
            max_control_line: 4096,
            max_connections: 64 * 1024,
            max_subscriptions: 0,
            max_pending: 64 * 1024 * 1024,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            jetstream: true,
            domain: None,
            flow_limit: 32 * 1024 * 1024,
            wide_replies: false,
            replication: Replication::default(),
            batches: BatchLimits::default(),
            journal: false,
        }
    }
}

/// One server process.
#[derive(Debug)]
struct Server {
    id: String,
    name: String,
    up: bool,
    lame_duck: bool,
    next_client_id: u64,
}

/// Simulated NATS servers with one account and its JetStream.
///
/// ```
/// use kv_proto::Instant;
/// use kv_sim::server::{Cluster, Config, ServerId, Version};
///
/// let now = Instant::ORIGIN;
/// let mut cluster = Cluster::new(Config::new(Version::V2_15), 1);
/// let conn = cluster.accept(now, ServerId(0)).ok_or("down")?;
/// cluster.handle_input(now, conn, b"CONNECT {}\r\nPING\r\n");
/// let output = cluster.take_output(conn);
/// assert!(output.starts_with(b"INFO {") && output.ends_with(b"PONG\r\n"));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug)]
pub struct Cluster {
    config: Config,
    servers: Vec<Server>,
    connections: BTreeMap<ConnId, Connection>,
    closed: VecDeque<ConnId>,
    next_conn: u64,
    router: Router,
    jetstream: JetStream,
    outbox: Outbox,
    disturbances: Disturbances,
    rng: Rng,
    /// How often a client was told about itself.
    told_users: u64,
    /// The largest time seen; it never runs backwards.
    now: Instant,
    /// Something may have happened since [`take_changed`](Self::take_changed).
    changed: bool,
}

impl Cluster {
    /// Makes servers that are up and empty.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let child = Rng::new(rng.next());
        let servers: Vec<Server> = (0..config.servers.max(1))
            .map(|at| Server {
                id: format!("N{}", rng.name(55).to_ascii_uppercase()),
                name: format!("sim-{at}"),
                up: true,
                lame_duck: false,
                next_client_id: 5,
            })
            .collect();
        let names = servers.iter().map(|server| server.name.clone()).collect();
        let peers = Peers::new(names, config.replication, Rng::new(seed ^ REPLICATION));
        let habits = Habits {
            flow_limit: config.flow_limit,
            wide_place: config
                .wide_replies
                .then(|| domain::place(config.domain.as_deref()).into()),
            alone: config.servers <= 1,
        };
        let jetstream = JetStream::new(
            child,
            peers,
            Journal::new(config.journal),
            habits,
            config.batches,
            config.domain.as_deref(),
        );
        Self {
            servers,
            connections: BTreeMap::new(),
            closed: VecDeque::new(),
            next_conn: 1,
            router: Router::default(),
            jetstream,
            outbox: Outbox::new(),
            disturbances: Disturbances::default(),
            rng,
            told_users: 0,
            now: Instant::ORIGIN,
            changed: true,
            config,
        }
    }

    /// Accepts a client at a server; `None` when that server is down, or about to go.
    pub fn accept(&mut self, now: Instant, server: ServerId) -> Option<ConnId> {
        let now = self.advance(now);
        let crowd = self
            .connections
            .values()
            .filter(|conn| conn.server == server.0 && !conn.closed);
        let full = crowd.count() >= self.config.max_connections;
        let open = self.config.auth.is_open();
        let timeout = (!open).then_some(self.config.auth_timeout);
        let at = self
            .servers
            .get_mut(server.0)
            .filter(|at| at.up && !at.lame_duck)?;
        let client_id = at.next_client_id;
        at.next_client_id += 1;
        let interval = self.config.ping_interval;
        let mut connection =
            Connection::new(server.0, client_id, now, timeout, interval, &mut self.rng);
        connection.send(&self.info_line(server.0, client_id, false));
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.connections.insert(conn, connection);
        if full {
            self.fail(conn, Some("maximum connections exceeded"));
        }
        Some(conn)
    }

    /// Takes bytes that a client sent.
    pub fn handle_input(&mut self, now: Instant, conn: ConnId, bytes: &[u8]) {
        // Most pieces of a frame change nothing.
        self.now = self.now.max(now);
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&conn).filter(|conn| !conn.closed) else {
            return;
        };
        connection.hear(now);
        connection.parser.push(bytes);
        self.settle();
        self.run(conn);
    }

    /// Takes note that a client closed its connection.
    pub fn handle_closed(&mut self, now: Instant, conn: ConnId) {
        self.advance(now);
        self.router.remove_connection(conn);
        self.connections.remove(&conn);
        self.settle();
    }

    /// Does what is due at that time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        let conns: Vec<ConnId> = self.connections.keys().copied().collect();
        for conn in conns {
            let Some(connection) = self.connections.get_mut(&conn) else {
                continue;
            };
            match connection.tick(now, self.config.ping_interval, self.config.ping_max) {
                Tick::Nothing => {}
                Tick::Ping => connection.send(b"PING\r\n"),
                Tick::AuthTimeout => self.fail(conn, Some("Authentication Timeout")),
                Tick::Stale => self.fail(conn, Some("Stale Connection")),
            }
        }
        self.send_late(now);
        let moment = self.moment();
        self.jetstream.replicate(moment, &mut self.outbox);
        let peers = &self.jetstream.peers;
        for stream in self.jetstream.streams.values_mut() {
            stream.handle_timeout(moment, &mut self.outbox);
            if stream.group.standing() == Standing::Offline {
                continue;
            }
            let (outbox, expired) = (&mut self.outbox, &mut self.jetstream.expired);
            let (group, store, router) = (&stream.group, &stream.store, &self.router);
            stream.consumers.retain(|name, one| {
                let read = group.store_at(one.home, store);
                let lives = !one.runs(peers) || one.handle_timeout(read, moment, router, outbox);
                if !lives {
                    expired.push_back(name.clone());
                }
                lives
            });
        }
        self.settle();
    }

    /// Takes all bytes that are ready for a client.
    pub fn take_output(&mut self, conn: ConnId) -> Vec<u8> {
        let connection = self.connections.get_mut(&conn);
        connection
            .map(|conn| std::mem::take(&mut conn.output))
            .unwrap_or_default()
    }

    /// The bytes that are ready for a client, to be taken out by whoever delivers them.
    pub(crate) fn output(&mut self, conn: ConnId) -> Option<&mut Vec<u8>> {
        let connection = self.connections.get_mut(&conn)?;
        Some(&mut connection.output)
    }

    /// Moves all bytes that are ready for a client to the end of a buffer.
    pub fn drain_output(&mut self, conn: ConnId, into: &mut Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            into.append(&mut connection.output);
        }
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let moment = self.moment();
        let connections = self
            .connections
            .values()
            .filter_map(Connection::next_timeout);
        let (streams, peers) = (self.jetstream.streams.values(), &self.jetstream.peers);
        connections
            .chain(streams.filter_map(|stream| stream.next_timeout(moment, peers)))
            .chain(self.disturbances.next_timeout())
            .min()
    }

    /// Returns a connection that a server closed; its last output can still be taken, until
    /// [`handle_closed`](Self::handle_closed) forgets it.
    pub fn poll_closed(&mut self) -> Option<ConnId> {
        self.closed.pop_front()
    }

    /// Changes the largest payload, and tells all clients. A real server that reloads its configuration
    /// enforces the new limit at once, but tells of it only with the next INFO that it has a reason for.
    pub fn set_max_payload(&mut self, now: Instant, bytes: usize) {
        self.advance(now);
        self.config.max_payload = bytes;
        self.send_info_to_all();
    }

    /// Closes a client's connection, without a word or with an error's text.
    pub fn disconnect(&mut self, now: Instant, conn: ConnId, error: Option<&str>) {
        self.advance(now);
        self.fail(conn, error);
        self.settle();
    }

    /// Whether there may be output, another timeout or something closed or written down since this was last
    /// asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.changed = true;
        self.now = self.now.max(now);
        self.now
    }

    fn moment(&self) -> Now {
        let nanos = i64::try_from(self.now.as_nanos()).unwrap_or(i64::MAX);
        let epoch = self.config.epoch.as_unix_nanos();
        Now {
            instant: self.now,
            time: Timestamp::from_unix_nanos(epoch.saturating_add(nanos)),
            version: self.config.version,
        }
    }
}
