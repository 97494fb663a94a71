//! Everything that can go wrong, as data: each fault is one step of a scenario.
//!
//! The families are those of the network (`F-N`), of servers (`F-S`), and of clients and clocks (`F-C`).
//! Two of them are no steps but run all the time: chunking (`F-N1`), and equal instants (`F-C4`, by coarse
//! clocks). Every fault is total: where it makes no sense it does nothing, so that any subset of a
//! scenario's steps is a scenario.

use crate::server::{
    ApiCall, ApiRefusal, CountFault, DeliveryFault, FlowFault, HeartbeatFault, Refusal,
};

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are two")]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Ending {
    /// What is on its way down is lost, what is on its way up arrives up to some byte.
    Reset,
    /// What is on its way down still arrives, then the end of the stream.
    Finished,
    /// The client's next write fails, after a part of what was offered had left.
    WriteFails,
}

/// What a server does with those who dial it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Reception {
    /// It refuses them.
    Refuses,
    /// Nothing ever answers.
    BlackHole,
    /// It accepts and says nothing.
    Silent,
    /// It accepts and closes at once.
    Hangs,
    /// Its name cannot be resolved.
    Nameless,
}

/// What happens to bytes in a hostile network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Damage {
    /// A bit is flipped.
    Flip,
    /// A piece comes twice.
    Double,
    /// A piece is missing.
    Gap,
    /// Something foreign comes between.
    Noise,
}

/// What becomes of the next reply to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Reply {
    /// It never comes.
    Lost,
    /// It comes later.
    Late,
    /// It comes twice.
    Twice,
    /// Something comes instead that is no reply.
    Garbage,
}

/// A subject that a client may suddenly not publish to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Denied {
    /// All keys of the bucket.
    Keys,
    /// Direct gets.
    DirectGet,
    /// The leader's reads.
    MessageGet,
    /// `STREAM.INFO`.
    StreamInfo,
    /// `CONSUMER.CREATE`: it is not answered, and no consumer is made.
    CreateConsumer,
    /// `CONSUMER.DELETE`: the consumer stays until it expires.
    DeleteConsumer,
    /// Subscribing where consumers deliver: the consumer is made, and delivers nothing.
    Inbox,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
#[allow(
    missing_docs,
    reason = "the variants are explained; their fields are who, how much, how long"
)]
pub enum Fault {
    /// F-N2: nothing arrives for a while.
    Clog { client: u8, way: Way, ms: u16 },
    /// F-N3: the connection ends after some more bytes.
    Cut {
        client: u8,
        way: Way,
        after: u16,
        how: Ending,
    },
    /// F-N4: one direction swallows everything from now on.
    HalfOpen { client: u8, way: Way },
    /// F-N5: the client's socket takes nothing for a while.
    Stall { client: u8, ms: u16 },
    /// F-N6: a server is not reached as it should for a while.
    Connect { server: u8, how: Reception, ms: u16 },
    /// F-N8: bytes are damaged. Only for the hostile profile.
    Garble { client: u8, way: Way, how: Damage },
    /// F-S1: a server goes down for a while, perhaps without its memory.
    Restart {
        server: u8,
        ms: u16,
        keep_memory: bool,
    },
    /// F-S2: all servers restart without the bucket's newest messages.
    Rewind { count: u8 },
    /// F-S3: the bucket is deleted, and made again after a while.
    Recreate { ms: u16 },
    /// F-S4: another leader is elected.
    Elect {
        leaderless_ms: u16,
        lost: bool,
        old_leader_ms: u16,
    },
    /// F-S10: a server's replicas stand still for a while.
    Lag { server: u8, ms: u16 },
    /// F-S9: something becomes of the next reply.
    Reply { how: Reply, ms: u16 },
    /// F-S9: the next publish is answered with an error, stored or not.
    Refuse { error: Refusal, stored: bool },
    /// F-S9: a message that nobody asked for.
    Stray { client: u8 },
    /// F-S11: INFO again and again.
    Infos { client: u8, count: u8 },
    /// F-S11: a server announces others, none of which can be reached.
    Urls { client: u8 },
    /// F-S11: a server announces that it goes, goes, and comes back.
    LameDuck { server: u8, ms: u16 },
    /// F-S11: the servers take only smaller messages for a while.
    MaxPayload { bytes: u32, ms: u16 },
    /// F-S11: there is no JetStream for a while.
    NoJetStream { ms: u16 },
    /// F-S12: the server says an error, and closes where the real one does.
    Err { client: u8, text: u8 },
    /// F-S12: nobody's credentials are good for a while.
    Logins { ms: u16 },
    /// F-S13: PING again and again.
    Pings { client: u8, count: u8 },
    /// F-S5: an administrator deletes a consumer, or all of them, and tells no client. Whoever watches misses
    /// heartbeats, and begins anew.
    DropConsumers { nth: Option<u8> },
    /// F-S5: the server that has a consumer in memory goes down for a while, and the consumer with it.
    /// Clients that are connected elsewhere see nothing of it but missing heartbeats.
    KillHost { nth: u8, ms: u16 },
    /// F-S5: something becomes of the answer to the next such call. What was asked for is done; a client that
    /// asks again asks for the same consumer, or leaves one that expires.
    ApiReply { call: ApiCall, how: Reply, ms: u16 },
    /// F-S5: the next such call is answered with an error, done or not. A client that watches asks again,
    /// later and later, unless the error is about its rights.
    ApiRefuse {
        call: ApiCall,
        error: ApiRefusal,
        done: bool,
    },
    /// F-S6: something becomes of heartbeats.
    Heartbeat { how: HeartbeatFault },
    /// F-S6: all consumers tell where they are, at once.
    Beat,
    /// F-S6: something becomes of flow control.
    Flow { how: FlowFault },
    /// F-S7: something becomes of the next so many messages that consumers deliver.
    Delivery { how: DeliveryFault, count: u8 },
    /// F-S8: the next so many counts of what is to come are wrong.
    Count { how: CountFault, count: u8 },
    /// F-S16: a permission is taken away until the client connects again.
    Deny { client: u8, what: Denied },
    /// S-1: somebody stores an entry with broken headers.
    Poison { key: u8 },
    /// Somebody else writes to a key.
    Foreign { key: u8, tombstone: bool },
    /// F-S15: an administrator purges a key's messages.
    PurgeKey { key: u8 },
    /// F-S15: an administrator purges the whole bucket.
    PurgeAll,
    /// F-S15: a key's newest message is removed without a trace; the one before is the newest again.
    Erase { key: u8 },
    /// F-C1: a clock jumps, forwards or back.
    Jump { client: u8, ms: i32 },
    /// F-C1: a clock stands still for a while.
    Freeze { client: u8, ms: u16 },
    /// F-C2: a client is polled late, by up to 50 ms, for a while.
    PolledLate { client: u8, ms: u16 },
    /// F-C3: a client is polled with nothing to do.
    Wake { client: u8, count: u8 },
    /// F-C5: one of a client's operations is cancelled.
    Cancel { client: u8, nth: u8 },
    /// F-C6: a client is dropped without a word, and another one takes its place.
    Drop { client: u8 },
    /// F-C6: a client is closed, and another one takes its place.
    Close { client: u8 },
}

impl Fault {
    /// The names of all faults that a swarm can have.
    pub const NAMES: [&'static str; 74] = [
        "F-N2 clog",
        "F-N3 cut: reset",
        "F-N3 cut: finished",
        "F-N3 cut: write fails",
        "F-N4 half-open",
        "F-N5 stall",
        "F-N6 refused",
        "F-N6 black hole",
        "F-N6 silent",
        "F-N6 hangs up",
        "F-N6 no name",
        "F-S1 restart",
        "F-S1 restart, memory lost",
        "F-S2 rewind",
        "F-S3 re-created",
        "F-S4 election",
        "F-S10 lagging replica",
        "F-S9 reply lost",
        "F-S9 reply late",
        "F-S9 reply twice",
        "F-S9 reply garbage",
        "F-S9 error, stored",
        "F-S9 error, not stored",
        "F-S9 stray message",
        "F-S11 INFO storm",
        "F-S11 unreachable servers",
        "F-S11 lame duck",
        "F-S11 max_payload",
        "F-S11 no JetStream",
        "F-S12 -ERR",
        "F-S12 logins refused",
        "F-S13 PING flood",
        "F-S16 denied",
        "F-S16 denied: consumers",
        "F-S16 denied: inbox",
        "F-S5 API reply lost",
        "F-S5 API reply late",
        "F-S5 API reply twice",
        "F-S5 API reply garbage",
        "F-S5 API error",
        "F-S5 API error, done",
        "F-S5 consumer deleted in delivery",
        "F-S6 heartbeats missing",
        "F-S6 heartbeat late",
        "F-S6 heartbeat early",
        "F-S6 heartbeat: last consumer sequence too large",
        "F-S6 heartbeat: last stream sequence too large",
        "F-S6 flow-control request lost",
        "F-S6 flow-control answer lost",
        "F-S7 delivery: lost",
        "F-S7 delivery: twice",
        "F-S7 delivery: overtaken",
        "F-S7 delivery: late, to an old id",
        "F-S7 delivery: again, to an old id",
        "F-S7 delivery: longer reply subject",
        "F-S7 delivery: unreadable reply subject",
        "F-S8 pending: too large",
        "F-S8 pending: too small",
        "F-S8 pending: zero early",
        "F-S8 pending: too large at creation",
        "F-S8 pending: too large in CONSUMER.INFO",
        "S-1 poison",
        "foreign write",
        "F-S15 purge",
        "F-S15 purge of everything",
        "F-S15 erased",
        "F-C1 clock back",
        "F-C1 clock forward",
        "F-C1 clock stands",
        "F-C2 polled late",
        "F-C3 spurious wake-up",
        "F-C5 cancel",
        "F-C6 dropped",
        "F-C6 closed",
    ];
    /// The names of the faults that strike only where somebody watches.
    pub const OF_WATCHES: [&'static str; 4] = [
        "F-S5 consumer deleted",
        "F-S5 all consumers deleted",
        "F-S5 host lost",
        "F-S6 heartbeats at once",
    ];
    /// The name of the fault that only the hostile profile has.
    pub const HOSTILE: &'static str = "F-N8 garbled";

    /// The family and name, as tables show it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Clog { .. } => "F-N2 clog",
            Self::Cut { how, .. } => match how {
                Ending::Reset => "F-N3 cut: reset",
                Ending::Finished => "F-N3 cut: finished",
                Ending::WriteFails => "F-N3 cut: write fails",
            },
            Self::HalfOpen { .. } => "F-N4 half-open",
            Self::Stall { .. } => "F-N5 stall",
            Self::Connect { how, .. } => match how {
                Reception::Refuses => "F-N6 refused",
                Reception::BlackHole => "F-N6 black hole",
                Reception::Silent => "F-N6 silent",
                Reception::Hangs => "F-N6 hangs up",
                Reception::Nameless => "F-N6 no name",
            },
            Self::Garble { .. } => Self::HOSTILE,
            Self::Restart {
                keep_memory: true, ..
            } => "F-S1 restart",
            Self::Restart {
                keep_memory: false, ..
            } => "F-S1 restart, memory lost",
            Self::Rewind { .. } => "F-S2 rewind",
            Self::Recreate { .. } => "F-S3 re-created",
            Self::Elect { .. } => "F-S4 election",
            Self::Lag { .. } => "F-S10 lagging replica",
            Self::Reply { how, .. } => match how {
                Reply::Lost => "F-S9 reply lost",
                Reply::Late => "F-S9 reply late",
                Reply::Twice => "F-S9 reply twice",
                Reply::Garbage => "F-S9 reply garbage",
            },
            Self::Refuse { stored: true, .. } => "F-S9 error, stored",
            Self::Refuse { stored: false, .. } => "F-S9 error, not stored",
            Self::Stray { .. } => "F-S9 stray message",
            Self::Infos { .. } => "F-S11 INFO storm",
            Self::Urls { .. } => "F-S11 unreachable servers",
            Self::LameDuck { .. } => "F-S11 lame duck",
            Self::MaxPayload { .. } => "F-S11 max_payload",
            Self::NoJetStream { .. } => "F-S11 no JetStream",
            Self::Err { .. } => "F-S12 -ERR",
            Self::Logins { .. } => "F-S12 logins refused",
            Self::Pings { .. } => "F-S13 PING flood",
            Self::DropConsumers { nth: Some(_) } => "F-S5 consumer deleted",
            Self::DropConsumers { nth: None } => "F-S5 all consumers deleted",
            Self::KillHost { .. } => "F-S5 host lost",
            Self::ApiReply { how, .. } => match how {
                Reply::Lost => "F-S5 API reply lost",
                Reply::Late => "F-S5 API reply late",
                Reply::Twice => "F-S5 API reply twice",
                Reply::Garbage => "F-S5 API reply garbage",
            },
            Self::ApiRefuse { done: true, .. } => "F-S5 API error, done",
            Self::ApiRefuse { done: false, .. } => "F-S5 API error",
            Self::Heartbeat { how } => how.name(),
            Self::Beat => "F-S6 heartbeats at once",
            Self::Flow { how } => how.name(),
            Self::Delivery { how, .. } => how.name(),
            Self::Count { how, .. } => how.name(),
            Self::Deny { what, .. } => match what {
                Denied::Keys | Denied::DirectGet | Denied::MessageGet | Denied::StreamInfo => {
                    "F-S16 denied"
                }
                Denied::CreateConsumer | Denied::DeleteConsumer => "F-S16 denied: consumers",
                Denied::Inbox => "F-S16 denied: inbox",
            },
            Self::Poison { .. } => "S-1 poison",
            Self::Foreign { .. } => "foreign write",
            Self::PurgeKey { .. } => "F-S15 purge",
            Self::PurgeAll => "F-S15 purge of everything",
            Self::Erase { .. } => "F-S15 erased",
            Self::Jump { ms, .. } => {
                if *ms < 0 {
                    "F-C1 clock back"
                } else {
                    "F-C1 clock forward"
                }
            }
            Self::Freeze { .. } => "F-C1 clock stands",
            Self::PolledLate { .. } => "F-C2 polled late",
            Self::Wake { .. } => "F-C3 spurious wake-up",
            Self::Cancel { .. } => "F-C5 cancel",
            Self::Drop { .. } => "F-C6 dropped",
            Self::Close { .. } => "F-C6 closed",
        }
    }
}

/// What a server may say in `-ERR`, and whether it closes the connection then.
pub(crate) const ERRORS: [(&str, bool); 20] = [
    ("-ERR 'Stale Connection'\r\n", true),
    ("-ERR 'Slow Consumer'\r\n", true),
    ("-ERR 'Unknown Protocol Operation'\r\n", true),
    ("-ERR 'Parser Error'\r\n", true),
    ("-ERR 'Maximum Payload Violation'\r\n", true),
    ("-ERR 'maximum control line exceeded'\r\n", true),
    ("-ERR 'maximum connections exceeded'\r\n", true),
    (
        "-ERR 'maximum account active connections exceeded'\r\n",
        true,
    ),
    (
        "-ERR 'Connection throttling is active. Please try again later.'\r\n",
        true,
    ),
    ("-ERR 'Server Shutdown'\r\n", true),
    ("-ERR 'User Authentication Expired'\r\n", true),
    ("-ERR 'User Authentication Revoked'\r\n", true),
    ("-ERR 'Account Authentication Expired'\r\n", true),
    ("-ERR 'Authentication Timeout'\r\n", true),
    ("-ERR 'Secure Connection - TLS Required'\r\n", true),
    ("-ERR 'maximum subscriptions exceeded'\r\n", false),
    ("-ERR 'Invalid Subject'\r\n", false),
    (
        "-ERR 'Permissions Violation for Subscription to \"elsewhere\"'\r\n",
        false,
    ),
    ("-ERR 'something that nobody has heard of'\r\n", false),
    ("-ERR\r\n", false),
];
