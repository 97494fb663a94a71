//! The faults of what push consumers send: F-S6 of their heartbeats and of flow control, F-S7 of deliveries,
//! F-S8 of counts.
//!
//! A client that watches survives all of it. It knows where it is from the consumer sequence alone: what does
//! not come next in it is dropped if it is older, and begins the consumer anew if it is newer; so does a
//! heartbeat that tells of more than was received, or none in time. Counts of what is pending are hints.

/// What becomes of the next messages that a consumer delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
#[allow(
    missing_docs,
    reason = "the variants are explained; their fields are how much"
)]
pub enum DeliveryFault {
    /// It is lost: a gap in the consumer sequence. The client begins the consumer anew, at the next message or
    /// heartbeat.
    Dropped,
    /// It comes twice. The client drops the second one.
    Doubled,
    /// The next one overtakes it. The client sees a gap and begins anew; what was overtaken is then a message
    /// of an earlier consumer.
    Overtaken,
    /// It comes late, to the subscription of that time, even if that is over. The client has begun anew by
    /// then, and drops what comes to an id of before.
    Delayed { ms: u16 },
    /// It comes, and once more late, like that. The client drops it, whether it still listens there or not.
    Echoed { ms: u16 },
    /// Its reply subject has another number of tokens, 11 or 12: that of servers with `js_ack_fc_v2`, and
    /// perhaps a token more. It means the same.
    Widened { tokens: u8 },
    /// Its reply subject cannot be read; `form` tells why. The client cannot place it, and does as if it had
    /// not come.
    Unreadable { form: u8 },
    /// Its consumer is deleted before it comes, without a word. The client misses heartbeats, and begins anew.
    Orphaned,
}

impl DeliveryFault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dropped => "F-S7 delivery: lost",
            Self::Doubled => "F-S7 delivery: twice",
            Self::Overtaken => "F-S7 delivery: overtaken",
            Self::Delayed { .. } => "F-S7 delivery: late, to an old id",
            Self::Echoed { .. } => "F-S7 delivery: again, to an old id",
            Self::Widened { .. } => "F-S7 delivery: longer reply subject",
            Self::Unreadable { .. } => "F-S7 delivery: unreadable reply subject",
            Self::Orphaned => "F-S5 consumer deleted in delivery",
        }
    }
}

/// What becomes of heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
#[allow(
    missing_docs,
    reason = "the variants are explained; their fields are how much"
)]
pub enum HeartbeatFault {
    /// None come for a while. The client begins anew though nothing was lost; nothing comes twice or is left
    /// out.
    Missing { ms: u16 },
    /// The next one comes late, perhaps behind messages that it does not tell of. The client takes it as a sign
    /// of life, or has begun anew.
    Tardy { ms: u16 },
    /// One comes before the next message, and tells the truth. It does not mean that all is told.
    Early,
    /// The next one tells of messages that there were not: its `Nats-Last-Consumer` is too large. The client
    /// begins anew, once.
    Ahead { by: u8 },
    /// The next one has a `Nats-Last-Stream` that is too large. The client does not care.
    Elsewhere { by: u8 },
}

impl HeartbeatFault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Missing { .. } => "F-S6 heartbeats missing",
            Self::Tardy { .. } => "F-S6 heartbeat late",
            Self::Early => "F-S6 heartbeat early",
            Self::Ahead { .. } => "F-S6 heartbeat: last consumer sequence too large",
            Self::Elsewhere { .. } => "F-S6 heartbeat: last stream sequence too large",
        }
    }
}

/// What becomes of flow control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum FlowFault {
    /// The next request is lost. Heartbeats tell what it asked for, and the client answers that.
    RequestLost,
    /// The next answer is lost on its way to the consumer, which stalls when its window is full. Heartbeats
    /// tell the client so, which answers again.
    AnswerLost,
}

impl FlowFault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RequestLost => "F-S6 flow-control request lost",
            Self::AnswerLost => "F-S6 flow-control answer lost",
        }
    }
}

/// What becomes of counts of what is still to come.
///
/// There is no fault that makes the count in the answer to the creation too small, or that in the answer to
/// `CONSUMER.INFO`: no client can know better. Whatever else is wrong, "all is told" comes once, after all
/// that was there at the creation, and it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
#[allow(
    missing_docs,
    reason = "the variants are explained; their field is how much"
)]
pub enum CountFault {
    /// The next message says that more is to come than is. If that is said for ever, the client knows from the
    /// number of messages, or asks at a heartbeat.
    More { by: u16 },
    /// The next message says that less is to come than is, but something.
    Fewer { by: u16 },
    /// The next message says that nothing more is to come. The client counts, or asks.
    Nothing,
    /// The answer to the next creation of a consumer says that more is to come than is. So many messages never
    /// come; the client asks, at a message that nothing follows or at a heartbeat.
    AtFirst { by: u16 },
    /// The answer to the next `CONSUMER.INFO` says that more is to come than is. The client asks again, not
    /// without end.
    Asked { by: u16 },
}

impl CountFault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::More { .. } => "F-S8 pending: too large",
            Self::Fewer { .. } => "F-S8 pending: too small",
            Self::Nothing => "F-S8 pending: zero early",
            Self::AtFirst { .. } => "F-S8 pending: too large at creation",
            Self::Asked { .. } => "F-S8 pending: too large in CONSUMER.INFO",
        }
    }

    /// By how much a count in an answer is too large.
    pub(super) const fn excess(self) -> u64 {
        match self {
            Self::AtFirst { by } | Self::Asked { by } => by as u64,
            Self::More { .. } | Self::Fewer { .. } | Self::Nothing => 0,
        }
    }

    pub(super) const fn meets_messages(self) -> bool {
        matches!(self, Self::More { .. } | Self::Fewer { .. } | Self::Nothing)
    }
}
