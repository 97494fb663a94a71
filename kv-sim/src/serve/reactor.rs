//! The thread that moves bytes between sockets and the simulated servers.
//!
//! ```text
//!            ┌── listeners, sockets, waker ──► poll ◄── the next timeout of servers and faults
//!            │                                  │
//!            │        accept, read a chunk of each that has one, handle timeouts      (one lock
//!            │                                  │                                      around it)
//!            └────────── write, close ◄─────────┘
//! ```
//!
//! Invariants: it holds the lock only while it is awake, and never waits for a client; no client gets more
//! than one chunk read before all others had their turn.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kv_proto::Instant;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::config::ServeConfig;
use super::error::ServeError;
use super::socket::{Heard, Socket};
use super::state::{Shared, State};
use crate::server::{ConnId, ServerId};

/// How much is read of one client at a time, in bytes.
const CHUNK: usize = 64 * 1024;
/// How many notices are taken at a time.
const NOTICES: usize = 256;
/// How long nobody is accepted after the system had no descriptor left.
const BREATH: Duration = Duration::from_millis(100);
const WAKER: Token = Token(usize::MAX);

#[derive(Debug)]
pub(super) struct Reactor {
    shared: Arc<Shared>,
    poll: Poll,
    listeners: Vec<TcpListener>,
    sockets: BTreeMap<ConnId, Socket>,
    /// Those that may have something to read.
    ready: BTreeSet<ConnId>,
    /// Listeners that may have somebody to accept, and when they may be asked.
    waiting: BTreeMap<usize, Instant>,
    max_pending: usize,
}

impl Reactor {
    /// Listens, and returns where.
    pub(super) fn bind(
        config: ServeConfig,
    ) -> Result<(Self, Arc<Shared>, Vec<SocketAddr>), ServeError> {
        let poll = Poll::new().map_err(ServeError::Start)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(ServeError::Start)?;
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for server in 0..config.cluster.servers {
            let address = nth_address(config.listen, server);
            let failed = |error| ServeError::Listen { address, error };
            let mut listener = TcpListener::bind(address).map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            poll.registry()
                .register(&mut listener, Token(server), Interest::READABLE)
                .map_err(ServeError::Start)?;
            listeners.push(listener);
        }
        let mut cluster = config.cluster;
        cluster.addresses.clone_from(&addresses);
        let max_pending = cluster.max_pending;
        let shared = Shared::new(cluster, config.seed, &config.faults, waker);
        let reactor = Self {
            shared: Arc::clone(&shared),
            poll,
            listeners,
            sockets: BTreeMap::new(),
            ready: BTreeSet::new(),
            waiting: BTreeMap::new(),
            max_pending,
        };
        Ok((reactor, shared, addresses))
    }

    /// Serves until it is told to end; sockets close with it.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut events = Events::with_capacity(NOTICES);
        let mut buffer = vec![0; CHUNK];
        let mut due = None;
        loop {
            let wait = self.time_until(due);
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != ErrorKind::Interrupted
            {
                return; // nobody can be served without
            }
            let mut state = shared.lock();
            if state.ended {
                return;
            }
            self.take_notices(&events);
            self.accept(&mut state);
            self.hear(&mut state, &mut buffer);
            state.handle_timeout(shared.now());
            self.send(&mut state);
            self.close(&mut state);
            due = state.next_timeout();
        }
    }

    /// How long to wait for sockets: not at all if some are known to have something.
    fn time_until(&self, due: Option<Instant>) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = self.waiting.values().copied().chain(due).min()?;
        Some(due.saturating_duration_since(self.shared.now()))
    }

    fn take_notices(&mut self, events: &Events) {
        for event in events {
            let token = event.token();
            if token == WAKER {
                continue;
            }
            let Some(conn) = self.conn_of(token) else {
                self.waiting.insert(token.0, Instant::ORIGIN);
                continue;
            };
            if event.is_readable() || event.is_error() {
                self.ready.insert(conn);
            }
            if event.is_writable()
                && let Some(socket) = self.sockets.get_mut(&conn)
            {
                socket.unblock();
            }
        }
    }

    fn accept(&mut self, state: &mut State) {
        let now = self.shared.now();
        let waiting = std::mem::take(&mut self.waiting);
        for (server, from) in waiting {
            let again = if from > now {
                Some(from)
            } else {
                self.accept_all(state, server)
            };
            if let Some(from) = again {
                self.waiting.insert(server, from);
            }
        }
    }

    /// Accepts all who wait at a server; returns when to try again if that failed.
    fn accept_all(&mut self, state: &mut State, server: usize) -> Option<Instant> {
        loop {
            let accepted = self.listeners.get(server)?.accept();
            let error = match accepted {
                Ok((stream, _)) => {
                    self.welcome(state, server, stream).ok(); // else it is closed
                    continue;
                }
                Err(error) => error.kind(),
            };
            if error == ErrorKind::WouldBlock {
                return None;
            }
            if !matches!(error, ErrorKind::Interrupted | ErrorKind::ConnectionAborted) {
                return Some(self.shared.now() + BREATH);
            }
        }
    }

    /// Introduces a client to its server; a server that is down has its connection closed.
    fn welcome(&mut self, state: &mut State, server: usize, stream: TcpStream) -> io::Result<()> {
        let now = self.shared.now();
        let mut socket = Socket::new(stream);
        let Some(conn) = state.cluster.accept(now, ServerId(server)) else {
            return Ok(());
        };
        let token = self.token_of(conn);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry
            .register(&mut socket.stream, token, interest)
            .inspect_err(|_| state.cluster.handle_closed(now, conn))?;
        self.sockets.insert(conn, socket);
        Ok(())
    }

    /// Reads one chunk of everybody who has one.
    fn hear(&mut self, state: &mut State, buffer: &mut [u8]) {
        for conn in std::mem::take(&mut self.ready) {
            let Some(socket) = self.sockets.get_mut(&conn) else {
                continue;
            };
            let now = self.shared.now();
            match socket.read(buffer) {
                Heard::NothingYet => {}
                Heard::Gone => {
                    self.sockets.remove(&conn);
                    state.cluster.handle_closed(now, conn);
                }
                Heard::Bytes(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    state.cluster.handle_input(now, conn, bytes);
                    self.ready.insert(conn);
                }
            }
        }
    }

    /// Sends all that waits, and disconnects who lets too much wait.
    fn send(&mut self, state: &mut State) {
        let now = self.shared.now();
        let cluster = &mut state.cluster;
        let mut gone = Vec::new();
        for (conn, socket) in &mut self.sockets {
            let Some(waiting) = cluster.output(*conn) else {
                continue;
            };
            socket.send(waiting);
            if waiting.len() > self.max_pending {
                waiting.clear();
                cluster.disconnect(now, *conn, None);
            } else if socket.is_broken() {
                gone.push(*conn);
            }
        }
        for conn in gone {
            self.sockets.remove(&conn);
            cluster.handle_closed(now, conn);
        }
    }

    /// Closes what the servers have closed, after a last attempt to send what they said.
    fn close(&mut self, state: &mut State) {
        let now = self.shared.now();
        while let Some(conn) = state.cluster.poll_closed() {
            self.ready.remove(&conn);
            if let Some(mut socket) = self.sockets.remove(&conn) {
                if let Some(waiting) = state.cluster.output(conn) {
                    socket.send(waiting);
                }
                socket.close();
            }
            state.cluster.handle_closed(now, conn);
        }
    }

    fn token_of(&self, conn: ConnId) -> Token {
        let id = usize::try_from(conn.0).unwrap_or(usize::MAX);
        Token(self.listeners.len().saturating_add(id))
    }

    fn conn_of(&self, token: Token) -> Option<ConnId> {
        let id = token.0.checked_sub(self.listeners.len())?;
        Some(ConnId(u64::try_from(id).unwrap_or(u64::MAX)))
    }
}

fn nth_address(first: SocketAddr, server: usize) -> SocketAddr {
    let offset = u16::try_from(server).unwrap_or(u16::MAX);
    let port = match first.port() {
        0 => 0,
        port => port.saturating_add(offset),
    };
    SocketAddr::new(first.ip(), port)
}
