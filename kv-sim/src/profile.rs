//! What a run is like before anything happens in it: servers, bucket, network, clients, all drawn from the
//! seed.

use crate::server::Version;
use crate::server::rng::Rng;

/// Which faults a run may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mix {
    /// A random part of all kinds but the hostile ones.
    #[default]
    Swarm,
    /// None at all.
    Quiet,
    /// Those of the network.
    Network,
    /// Those of the servers.
    Servers,
    /// Those of clients and clocks.
    Clients,
    /// Those that show only where somebody watches.
    Watches,
    /// All, and bytes are damaged: nothing is promised then but that clients survive it.
    Hostile,
}

impl Mix {
    /// Every mix with its name.
    pub const ALL: [(&'static str, Self); 7] = [
        ("swarm", Self::Swarm),
        ("quiet", Self::Quiet),
        ("network", Self::Network),
        ("servers", Self::Servers),
        ("clients", Self::Clients),
        ("watches", Self::Watches),
        ("hostile", Self::Hostile),
    ];
}

/// The bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "part of scenarios, which are literals"
)]
pub struct Bucket {
    /// Revisions kept of each key.
    pub history: u8,
    /// The servers on which it lives.
    pub replicas: u8,
    /// The age at which values end, in milliseconds; 0 for never.
    pub max_age_ms: u32,
    /// Whether keys can have a time to live, and leave markers.
    pub markers: bool,
    /// The largest size in bytes; 0 for any.
    pub max_bytes: u32,
    /// Whether any replica may answer reads.
    pub direct: bool,
    /// Whether it is kept in memory.
    pub memory: bool,
}

/// The network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "part of scenarios, which are literals"
)]
pub struct Net {
    /// The mean time for one way, in microseconds.
    pub latency_us: u32,
    /// The largest piece in which bytes arrive; long writes come in larger ones, unless it is 0: then
    /// everything arrives byte by byte.
    pub max_chunk: u32,
    /// Bytes that can be on their way before the writer has to wait.
    pub window: u32,
    /// Times are multiples of this, in microseconds, so that things happen at the same instant; 0 for no
    /// such thing.
    pub quantum_us: u32,
}

/// What the servers make of push consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "part of scenarios, which are literals"
)]
pub struct Consumers {
    /// The widest window of flow control, in bytes, of which the first is a sixteenth; 0 for the servers' own,
    /// which short runs never fill.
    pub flow_limit: u32,
    /// Whether reply subjects are of the longer form, as they can be from 2.14 on.
    pub wide_replies: bool,
}

/// What is the same for all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "part of scenarios, which are literals"
)]
pub struct Clients {
    /// How many there are.
    pub count: u8,
    /// The deadline of operations that have none of their own.
    pub request_ms: u32,
    /// How long a connection may be silent.
    pub ping_ms: u32,
    /// The deadline of a handshake.
    pub connect_ms: u32,
    /// The first window of reconnection.
    pub reconnect_ms: u32,
    /// The widest one.
    pub reconnect_max_ms: u32,
    /// By how much the embedder puts off its rounds at most, in microseconds.
    pub lazy_us: u32,
    /// Whether it looks at hints, or asks for every result all the time.
    pub hints: bool,
    /// Whether it names all servers, or finds the others out.
    pub all_urls: bool,
    /// Whether the limits are so small that they are met.
    pub small_limits: bool,
    /// Whether each draws an order of the servers, or keeps the given one.
    pub shuffle: bool,
    /// How many attempts in a row may fail before one ends; 0 for any number.
    pub max_reconnects: u8,
    /// How often a server may refuse the credentials before one ends; 0 for any number.
    pub auth_failures: u8,
    /// Whether they remember of only a few keys how far they have come.
    pub few_floors: bool,
    /// F-C9: whether all of them, and those that take their place, draw the same numbers, so that the names of
    /// writes, of replies and of consumers are not their own. Nothing is promised then but that they survive it.
    pub twins: bool,
}

/// What a run is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "part of scenarios, which are literals"
)]
pub struct Profile {
    /// The behaviour of the servers.
    pub version: Version,
    /// How many servers there are.
    pub servers: u8,
    /// Whether they want credentials.
    pub auth: bool,
    /// How long a change takes to be committed by several servers, in microseconds.
    pub commit_us: u32,
    /// By how much other replicas are behind, in microseconds.
    pub lag_us: u32,
    /// The bucket.
    pub bucket: Bucket,
    /// The network.
    pub net: Net,
    /// The clients.
    pub clients: Clients,
    /// The consumers.
    pub consumers: Consumers,
    /// How many keys there are; few are hot.
    pub keys: u8,
    /// Whether the network is hostile: then only survival is judged.
    pub hostile: bool,
    /// How long the storm lasts, in milliseconds.
    pub storm_ms: u32,
}

impl Profile {
    /// Draws a profile.
    pub(crate) fn draw(rng: &mut Rng, mix: Mix) -> Self {
        let version = rng.pick(&Version::ALL);
        let servers = rng.pick(&[1, 1, 1, 2, 3, 3]);
        let replicas = if servers >= 3 && rng.chance(70) { 3 } else { 1 };
        let level_1 = version >= Version::V2_11;
        let markers = level_1 && rng.chance(35);
        let max_age_ms = if rng.chance(20) {
            rng.pick(&[1_000, 2_000, 10_000])
        } else {
            0
        };
        let latency_us = rng.pick(&[50, 300, 300, 2_000, 30_000]);
        let lazy_us = rng.pick(&[0, 0, 0, 500, 20_000]);
        // What is slow twice takes so long for a value that the other side seems dead.
        let quantum_us = rng.pick(&[0, 0, 0, 1_000, 10_000]);
        let slow = latency_us > 300 || lazy_us > 1_000 || quantum_us > 1_000;
        let narrow = if slow { 4_000 } else { 80 };
        let storm_ms = rng.pick(&[400, 1_500, 4_000, 8_000]);
        let mut profile = Self {
            version,
            servers,
            auth: rng.chance(30),
            commit_us: if replicas > 1 {
                rng.pick(&[0, 300, 5_000, 60_000])
            } else {
                0
            },
            lag_us: if replicas > 1 {
                rng.pick(&[0, 1_000, 50_000, 400_000])
            } else {
                0
            },
            bucket: Bucket {
                history: rng.pick(&[1, 1, 1, 2, 5, 64]),
                replicas,
                max_age_ms,
                markers,
                max_bytes: if rng.chance(10) {
                    rng.pick(&[1_500, 6_000])
                } else {
                    0
                },
                direct: rng.chance(90),
                memory: rng.chance(15),
            },
            net: Net {
                latency_us,
                max_chunk: rng.pick(&[1, 16, 64, 256, 512, 512, 1_024, 1_024, 4_096, 4_096]),
                window: rng.pick(&[narrow, 8_000, 65_536, 65_536, 65_536, 65_536]),
                quantum_us,
            },
            clients: Clients {
                count: rng.pick(&[1, 2, 3, 3, 3, 3, 4]),
                request_ms: rng.pick(&[60, 300, 1_500, 5_000]),
                ping_ms: rng.pick(&[200, 1_000, 5_000]),
                connect_ms: rng.pick(&[300, 1_000, 5_000]),
                reconnect_ms: rng.pick(&[10, 100, 2_000]),
                reconnect_max_ms: rng.pick(&[200, 1_000, 10_000]),
                lazy_us,
                hints: rng.chance(70),
                all_urls: rng.chance(60),
                small_limits: rng.chance(10),
                shuffle: true,
                max_reconnects: 0,
                auth_failures: 0,
                few_floors: false,
                twins: false,
            },
            keys: rng.pick(&[1, 2, 5, 20]),
            hostile: mix == Mix::Hostile,
            storm_ms,
            consumers: Consumers {
                flow_limit: rng.pick(&[0, 0, 4_096, 16_384, 65_536]),
                wide_replies: version >= Version::V2_14 && rng.chance(30),
            },
        };
        let clients = &mut profile.clients;
        clients.shuffle = rng.chance(70);
        if rng.chance(15) {
            clients.max_reconnects = rng.pick(&[1, 2, 3, 8]);
        }
        if rng.chance(15) {
            clients.auth_failures = rng.pick(&[1, 2, 3]);
        }
        profile.clients.few_floors = rng.chance(25);
        profile.clients.twins = mix == Mix::Hostile && rng.chance(25);
        profile
    }
}
