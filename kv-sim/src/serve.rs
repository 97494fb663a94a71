//! The simulated servers on real sockets: for any NATS client, in any language.
//!
//! [`serve`](fn@serve) takes a [`ServeConfig`], listens, and returns a [`Server`]; dropping that ends it. One
//! thread does all the work, and sleeps until a socket, a timer or a handle wants something. Time is real: the
//! monotonic clock since the start, and the wall clock. Nothing is kept on a disk.
//!
//! Faults come in two ways. A [`Fault`] is standing: one in so many messages is met, or every so often something
//! happens to a server. With [`Server::with_cluster`] a test does exactly one thing at exactly one moment, from
//! the whole menu that [`Cluster`] has.
//!
//! ```
//! use std::io::{BufRead, BufReader};
//! use std::net::TcpStream;
//!
//! use kv_sim::ServeConfig;
//! use kv_sim::server::{ReplyFault, Version};
//!
//! let server = kv_sim::serve(ServeConfig::new(Version::V2_15))?;
//! // A client connects to `server.url()`; here, a bare one:
//! let client = TcpStream::connect(server.addresses()[0])?;
//! let mut info = String::new();
//! BufReader::new(client).read_line(&mut info)?;
//! assert!(info.starts_with("INFO {") && info.contains("\"version\":\"2.15.1\""));
//!
//! server.with_cluster(|cluster, _now| cluster.disturb_reply(ReplyFault::Lost));
//! server.shutdown();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Bounds
//!
//! A client that does not read what it asked for is disconnected when more than
//! [`max_pending`](ServeConfig::max_pending) waits for it, as the real server does it, and at most as much again
//! is on its way to the socket. What is read from a socket is at most a message that is not complete
//! ([`max_payload`](ServeConfig::max_payload)) and one chunk. The number of clients is bounded
//! by [`max_connections`](ServeConfig::max_connections). What buckets hold is bounded by their configuration
//! alone.

mod clock;
mod config;
mod error;
mod fault;
mod reactor;
mod schedule;
mod socket;
mod state;

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use kv_proto::Instant;

pub use self::config::ServeConfig;
pub use self::error::{FaultError, ServeError};
pub use self::fault::{Calamity, Fault};

use self::reactor::Reactor;
use self::state::Shared;
use crate::server::{Cluster, ServerId};

/// Starts simulated servers on sockets; when it returns they accept.
///
/// # Errors
///
/// [`ServeError::Listen`] if an address is taken, not this machine's, or not allowed, and
/// [`ServeError::Start`] if the system lacks threads or descriptors.
pub fn serve(config: ServeConfig) -> Result<Server, ServeError> {
    let (reactor, shared, addresses) = Reactor::bind(config)?;
    let thread = thread::Builder::new()
        .name("kv-sim".into())
        .spawn(move || reactor.run())
        .map_err(ServeError::Start)?;
    Ok(Server {
        shared,
        addresses,
        thread: Some(thread),
    })
}

/// Simulated servers that listen; dropping it ends them, and every connection to them.
#[derive(Debug)]
#[must_use = "the servers end when this is dropped"]
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Returns the URLs of all servers, with commas between them, as clients take them.
    #[must_use]
    pub fn url(&self) -> String {
        let urls = self.addresses.iter();
        let urls: Vec<_> = urls.map(|address| format!("nats://{address}")).collect();
        urls.join(",")
    }

    /// Returns where each server listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops a server and starts it again at once: connections end, consumers in its memory vanish, and so does
    /// a bucket in the memory of a lone server.
    pub fn restart(&self, server: ServerId) {
        self.with_cluster(|cluster, now| cluster.restart(now, server, false));
    }

    /// Stops a server. Whoever connects to it is disconnected at once, until it is
    /// [restarted](Self::restart).
    pub fn stop(&self, server: ServerId) {
        self.with_cluster(|cluster, now| cluster.stop(now, server));
    }

    /// Ends all connections without a word.
    pub fn disconnect_all(&self) {
        self.with_cluster(schedule::disconnect_all);
    }

    /// Sets the faults that come again and again, in place of those of before; none if there are none.
    pub fn set_faults(&self, faults: &[Fault]) {
        self.shared.act(|state, now| state.set_faults(faults, now));
    }

    /// Returns the faults that come again and again.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.act(|state, _| state.faults().to_vec())
    }

    /// Returns how many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.with_cluster(|cluster, _| cluster.connections())
    }

    /// Does something to the servers at this moment, between two messages; the time is to be passed on to
    /// the methods that want it. Clients wait meanwhile.
    pub fn with_cluster<T>(&self, action: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        self.shared
            .act(|state, now| action(&mut state.cluster, now))
    }

    /// Waits until the servers end by themselves, which they do only if the system lets them wait for sockets no
    /// more.
    pub fn join(mut self) {
        self.await_end();
    }

    /// Ends the servers and waits until all sockets are closed, as dropping does.
    pub fn shutdown(self) {}

    fn await_end(&mut self) {
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(panic)) = ended
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.end();
        self.await_end();
    }
}
