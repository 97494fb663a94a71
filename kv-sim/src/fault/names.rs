//! The families and names of faults, as tables show them.

use super::{Denied, Ending, Fault, Reception, Reply};

impl Fault {
    /// The names of all faults that a swarm can have.
    pub const NAMES: [&'static str; 78] = [
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
        "F-S3 re-created behind a call",
        "F-S4 election",
        "F-S10 lagging replica",
        "F-S10 answered by a mirror",
        "F-S10 answered by a stranger",
        "F-S10 answered by a stream that is gone",
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
    /// The name of what is no step: that clients draw the same numbers, in the hostile profile too.
    pub const TWINS: &'static str = "F-C9 twins";

    /// Whether it is set and strikes later, when it meets something; then that is told.
    #[must_use]
    pub const fn waits(&self) -> bool {
        matches!(
            self,
            Self::RecreateBehind { .. }
                | Self::ApiReply { .. }
                | Self::ApiRefuse { .. }
                | Self::Heartbeat { .. }
                | Self::Flow { .. }
                | Self::Delivery { .. }
                | Self::Count { .. }
        )
    }

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
            Self::RecreateBehind { .. } => "F-S3 re-created behind a call",
            Self::Elect { .. } => "F-S4 election",
            Self::Lag { .. } => "F-S10 lagging replica",
            Self::AnsweredBy { who, .. } => who.name(),
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
                Denied::CreateConsumer | Denied::DeleteConsumer | Denied::FlowControl => {
                    "F-S16 denied: consumers"
                }
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
