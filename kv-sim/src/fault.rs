//! Everything that can go wrong, as data: each fault is one step of a scenario.
//!
//! The families are those of the network (`F-N`), of servers (`F-S`), and of clients and clocks (`F-C`).
//! Two of them are no steps but run all the time: chunking (`F-N1`), and equal instants (`F-C4`, by coarse
//! clocks). Every fault is total: where it makes no sense it does nothing, so that any subset of a
//! scenario's steps is a scenario.

mod names;

use crate::server::{
    Answerer, ApiCall, ApiRefusal, CountFault, DeliveryFault, FlowFault, HeartbeatFault, Refusal,
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
    /// F-S3: the bucket is deleted and made again as soon as the next such call was answered: what the answer
    /// tells is over when it comes.
    RecreateBehind { call: ApiCall },
    /// F-S4: another leader is elected.
    Elect {
        leaderless_ms: u16,
        lost: bool,
        old_leader_ms: u16,
    },
    /// F-S10: a server's replicas stand still for a while.
    Lag { server: u8, ms: u16 },
    /// F-S10: the next so many direct gets that find something are answered by another stream.
    AnsweredBy { who: Answerer, count: u8 },
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
