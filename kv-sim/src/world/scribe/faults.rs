//! Whom a fault befalls, and for how long.

use std::time::Duration;

use kv_proto::Instant;

use crate::fault::{Fault, Way};
use crate::picture::{LaneId, On, Strike};

/// Whom a fault is about, by the scenario's numbers.
enum Whom {
    All,
    Client(u8),
    Link(u8),
    Server(u8),
}

pub(super) fn strike(now: Instant, fault: Fault, clients: &[LaneId], servers: &[LaneId]) -> Strike {
    let (whom, more, ms) = about(fault);
    let one = |lanes: &[LaneId], at: u8| lanes.get(usize::from(at)).copied();
    let (on, name) = match whom {
        Whom::All => (On::All, String::new()),
        Whom::Client(at) => (
            one(clients, at).map_or(On::All, On::One),
            format!(", client {at}"),
        ),
        Whom::Link(at) => (
            one(clients, at).map_or(On::All, On::LinksOf),
            format!(", client {at}"),
        ),
        Whom::Server(at) => (
            one(servers, at).map_or(On::All, On::One),
            format!(", sim-{at}"),
        ),
    };
    let time = if ms > 0 {
        format!(", {ms} ms")
    } else {
        String::new()
    };
    Strike {
        on,
        title: format!("{}{more}{name}{time}", fault.name()),
        detail: format!("{fault:?}"),
        until: (ms > 0).then(|| now + Duration::from_millis(u64::from(ms))),
    }
}

/// Whom it is about, what else there is to say, and how long it lasts, in milliseconds.
fn about(fault: Fault) -> (Whom, &'static str, u16) {
    match fault {
        Fault::Clog { client, way, ms } => (Whom::Link(client), arrow(way), ms),
        Fault::Cut { client, way, .. }
        | Fault::HalfOpen { client, way }
        | Fault::Garble { client, way, .. } => (Whom::Link(client), arrow(way), 0),
        Fault::Stall { client, ms } => (Whom::Link(client), "", ms),
        Fault::Connect { server, ms, .. }
        | Fault::Restart { server, ms, .. }
        | Fault::LameDuck { server, ms }
        | Fault::Lag { server, ms } => (Whom::Server(server), "", ms),
        Fault::Recreate { ms }
        | Fault::MaxPayload { ms, .. }
        | Fault::NoJetStream { ms }
        | Fault::Logins { ms }
        | Fault::KillHost { ms, .. } => (Whom::All, "", ms),
        Fault::Elect { leaderless_ms, .. } => (Whom::All, "", leaderless_ms),
        Fault::Stray { client }
        | Fault::Infos { client, .. }
        | Fault::Urls { client }
        | Fault::Pings { client, .. }
        | Fault::Err { client, .. }
        | Fault::Deny { client, .. } => (Whom::Link(client), "", 0),
        Fault::Freeze { client, ms } | Fault::PolledLate { client, ms } => {
            (Whom::Client(client), "", ms)
        }
        Fault::Jump { client, .. }
        | Fault::Wake { client, .. }
        | Fault::Cancel { client, .. }
        | Fault::Drop { client }
        | Fault::Close { client } => (Whom::Client(client), "", 0),
        Fault::Rewind { .. }
        | Fault::RecreateBehind { .. }
        | Fault::AnsweredBy { .. }
        | Fault::Reply { .. }
        | Fault::Refuse { .. }
        | Fault::DropConsumers { .. }
        | Fault::ApiReply { .. }
        | Fault::ApiRefuse { .. }
        | Fault::Heartbeat { .. }
        | Fault::Beat
        | Fault::Flow { .. }
        | Fault::Delivery { .. }
        | Fault::Count { .. }
        | Fault::Poison { .. }
        | Fault::Foreign { .. }
        | Fault::PurgeKey { .. }
        | Fault::PurgeAll
        | Fault::Erase { .. } => (Whom::All, "", 0),
    }
}

const fn arrow(way: Way) -> &'static str {
    match way {
        Way::Up => " →",
        Way::Down => " ←",
    }
}
