//! What servers on sockets are to be like.

use std::net::{Ipv4Addr, SocketAddr};

use super::clock::wall_clock;
use super::fault::Fault;
use crate::server::{Auth, Config, Replication, Version};

/// How many clients each server takes unless told otherwise: less than the descriptors that systems usually
/// allow a process.
const MAX_CONNECTIONS: usize = 512;

/// What servers on sockets are to be like: unless told otherwise one, open to all, at a free port of this machine
/// alone, without faults.
///
/// ```
/// use kv_sim::ServeConfig;
/// use kv_sim::serve::Fault;
/// use kv_sim::server::Version;
///
/// let bad = Fault::parse_list("lost-ack=10,restart=30s")?;
/// let server = kv_sim::serve(ServeConfig::new(Version::V2_12).servers(3).faults(bad))?;
/// assert_eq!(server.addresses().len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServeConfig {
    pub(super) cluster: Config,
    pub(super) listen: SocketAddr,
    pub(super) seed: u64,
    pub(super) faults: Vec<Fault>,
}

impl ServeConfig {
    /// The defaults, for servers of that version.
    #[must_use]
    pub fn new(version: Version) -> Self {
        let mut cluster = Config::new(version);
        cluster.max_connections = MAX_CONNECTIONS;
        cluster.epoch = wall_clock();
        Self {
            cluster,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            seed: 0,
            faults: Vec::new(),
        }
    }

    /// Where the first server listens; port 0 is any that is free. The others have the next ports, or any.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// How many servers there are; more than one are a cluster, whose members tell clients of one another.
    #[must_use]
    pub fn servers(mut self, servers: usize) -> Self {
        self.cluster.servers = servers.max(1);
        self
    }

    /// Where identifiers and other choices of the servers come from.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What goes wrong again and again, from the start.
    #[must_use]
    pub fn faults(mut self, faults: Vec<Fault>) -> Self {
        self.faults = faults;
        self
    }

    /// Who may connect.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.cluster.auth = auth;
        self
    }

    /// How slow replication between the servers is.
    #[must_use]
    pub fn replication(mut self, replication: Replication) -> Self {
        self.cluster.replication = replication;
        self
    }

    /// The largest payload, headers included, in bytes; 1 MiB unless told otherwise.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.cluster.max_payload = bytes;
        self
    }

    /// How many clients each server takes; 512 unless told otherwise.
    #[must_use]
    pub fn max_connections(mut self, clients: usize) -> Self {
        self.cluster.max_connections = clients;
        self
    }

    /// How much may wait for a client that does not read, in bytes; 64 MiB unless told otherwise.
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.cluster.max_pending = bytes;
        self
    }
}
