//! How faults meet the messages of push consumers on their way to whoever listens.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use kv_proto::Instant;

use super::menu::{CountFault, DeliveryFault, FlowFault, HeartbeatFault};
use super::recurring::Recurring;
use super::{ApiCall, Disturbances, Kind};
use crate::server::Cluster;
use crate::server::stream::Outgoing;

/// How long a message waits for the one that overtakes it.
const OVERTAKEN: Duration = Duration::from_millis(30);

impl Disturbances {
    /// Decides what becomes of a message of a consumer; returns what is delivered now.
    pub(super) fn meet_delivery(&mut self, message: Outgoing, now: Instant) -> Option<Outgoing> {
        let message = self.miscount(message);
        if self.heartbeats.contains(&HeartbeatFault::Early) {
            self.beat_before(&message);
        }
        let overtaken = self.overtaken.remove(&message.to);
        let queued = self.deliveries.pop_front();
        let fault = queued.or_else(|| self.recurring.delivery());
        if let Some(fault) = fault {
            self.note(fault.name());
        }
        let (mut first, mut then) = (Some(message), None);
        match fault {
            None => {}
            Some(DeliveryFault::Dropped) => first = None,
            Some(DeliveryFault::Doubled) => then = first.clone(),
            Some(DeliveryFault::Overtaken) => {
                if let Some(message) = first.take() {
                    let due = now + OVERTAKEN;
                    self.overtaken.insert(message.to.clone(), (due, message));
                }
            }
            Some(DeliveryFault::Delayed { ms }) => {
                let due = now + Duration::from_millis(u64::from(ms));
                self.echoes
                    .extend(first.take().map(|message| (due, message)));
            }
            Some(DeliveryFault::Echoed { ms }) => {
                let due = now + Duration::from_millis(u64::from(ms));
                self.echoes
                    .extend(first.clone().map(|message| (due, message)));
            }
            Some(DeliveryFault::Widened { tokens }) => first = first.map(|one| widen(one, tokens)),
            Some(DeliveryFault::Unreadable { form }) => first = first.map(|one| garble(one, form)),
            Some(DeliveryFault::Orphaned) => {
                self.orphaned.extend(first.take().map(|message| message.to));
            }
        }
        self.ready.extend(first);
        self.ready.extend(then);
        self.ready.extend(overtaken.map(|(_, message)| message));
        self.ready.pop_front()
    }

    /// Decides what becomes of a heartbeat.
    pub(super) fn meet_heartbeat(&mut self, message: Outgoing, now: Instant) -> Option<Outgoing> {
        if now < self.no_heartbeats_until {
            self.note("F-S6 heartbeats missing");
            return None;
        }
        if self.recurring.strikes(Recurring::LostHeartbeat) {
            return None;
        }
        let meets = |fault: &HeartbeatFault| *fault != HeartbeatFault::Early;
        let Some(fault) = take_first(&mut self.heartbeats, meets) else {
            return Some(message);
        };
        self.note(fault.name());
        match fault {
            HeartbeatFault::Missing { .. } | HeartbeatFault::Early => Some(message),
            HeartbeatFault::Tardy { ms } => {
                let due = now + Duration::from_millis(u64::from(ms));
                self.late.entry(due).or_default().push(message);
                None
            }
            HeartbeatFault::Ahead { by } => Some(raised(message, "Nats-Last-Consumer: ", by)),
            HeartbeatFault::Elsewhere { by } => Some(raised(message, "Nats-Last-Stream: ", by)),
        }
    }

    /// Decides what becomes of a request of flow control.
    pub(super) fn meet_flow_request(&mut self, message: Outgoing) -> Option<Outgoing> {
        match take_first(&mut self.flow, |one| *one == FlowFault::RequestLost) {
            None => Some(message),
            Some(fault) => {
                self.note(fault.name());
                None
            }
        }
    }

    /// Whether the answer that is about to reach a consumer is lost.
    pub(in crate::server) fn loses_flow_answer(&mut self) -> bool {
        let met = take_first(&mut self.flow, |one| *one == FlowFault::AnswerLost);
        if let Some(fault) = met {
            self.note(fault.name());
        }
        met.is_some()
    }

    /// Makes the count of a message wrong.
    fn miscount(&mut self, message: Outgoing) -> Outgoing {
        let Some(fault) = take_first(&mut self.counts, |one| one.meets_messages()) else {
            return message;
        };
        let Some((rest, pending)) = last_token(&message.reply) else {
            return message;
        };
        let said = match fault {
            CountFault::More { by } => pending + u64::from(by),
            CountFault::Fewer { by } => pending.saturating_sub(u64::from(by)).max(1).min(pending),
            CountFault::Nothing | CountFault::AtFirst { .. } | CountFault::Asked { .. } => 0,
        };
        if said != pending {
            self.note(fault.name());
        }
        let reply = Bytes::from(format!("{rest}.{said}"));
        Outgoing { reply, ..message }
    }

    /// Makes the count of an answer too large.
    pub(super) fn miscount_answer(&mut self, message: Outgoing) -> Outgoing {
        let Kind::Answer(call) = Kind::of(&message) else {
            return message;
        };
        let meets = |fault: &CountFault| match fault {
            CountFault::AtFirst { .. } => call == ApiCall::CreateCall,
            CountFault::Asked { .. } => call == ApiCall::InfoCall,
            CountFault::More { .. } | CountFault::Fewer { .. } | CountFault::Nothing => false,
        };
        let text = String::from_utf8_lossy(&message.payload);
        let name = "\"num_pending\":";
        let Some((before, rest)) = text.split_once(name) else {
            return message; // an error
        };
        let Some(fault) = take_first(&mut self.counts, meets) else {
            return message;
        };
        self.note(fault.name());
        let end = rest.find(|c: char| !c.is_ascii_digit());
        let (count, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let said = count.parse::<u64>().unwrap_or(0) + fault.excess();
        let payload = Bytes::from(format!("{before}{name}{said}{rest}"));
        Outgoing { payload, ..message }
    }

    /// A heartbeat comes before a message, as if the server had slept there.
    fn beat_before(&mut self, message: &Outgoing) {
        let text = String::from_utf8_lossy(&message.reply);
        let mut tokens = text.rsplit('.').skip(2);
        let place = |token: Option<&str>| token?.parse::<u64>().ok()?.checked_sub(1);
        let (Some(consumer), Some(stream)) = (place(tokens.next()), place(tokens.next())) else {
            return;
        };
        take_first(&mut self.heartbeats, |one| *one == HeartbeatFault::Early);
        self.note(HeartbeatFault::Early.name());
        let headers = format!(
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: {consumer}\r\nNats-Last-Stream: {stream}\r\n\r\n"
        );
        self.ready.push_back(Outgoing::status(&message.to, headers));
    }
}

/// Takes the first of those that wait which can meet what there is.
pub(super) fn take_first<T>(queue: &mut VecDeque<T>, meets: impl Fn(&T) -> bool) -> Option<T> {
    let at = queue.iter().position(meets)?;
    queue.remove(at)
}

/// A reply subject, and the number that is its last token.
fn last_token(reply: &[u8]) -> Option<(&str, u64)> {
    let (rest, last) = std::str::from_utf8(reply).ok()?.rsplit_once('.')?;
    Some((rest, last.parse().ok()?))
}

/// Gives a message the longer form of its reply subject.
fn widen(message: Outgoing, tokens: u8) -> Outgoing {
    let text = String::from_utf8_lossy(&message.reply);
    let narrow = text.split('.').count() == 9;
    let mut reply = match text.strip_prefix("$JS.ACK.").filter(|_| narrow) {
        Some(rest) => format!("$JS.ACK.hub.0a1B2c3D.{rest}"),
        None => text.into_owned(),
    };
    if tokens > 11 {
        reply += ".x7Y8z9";
    }
    let reply = Bytes::from(reply);
    Outgoing { reply, ..message }
}

/// Gives a message a reply subject that nobody can read.
fn garble(message: Outgoing, form: u8) -> Outgoing {
    let text = String::from_utf8_lossy(&message.reply);
    let last = text.rsplit_once('.').map_or("", |(rest, _)| rest);
    let reply = match form {
        0 => String::new(),
        2 if text.split('.').count() == 9 => text.replacen("$JS.ACK.", "$JS.ACK.one.", 1),
        1 | 2 => last.to_owned(),
        3 => format!("{last}.-1"),
        4 => format!("{last}.99999999999999999999999"),
        _ => "$JS.ACK.....1.x.".to_owned(),
    };
    let reply = Bytes::from(reply);
    Outgoing { reply, ..message }
}

/// Raises the number behind a header's name.
fn raised(message: Outgoing, name: &str, by: u8) -> Outgoing {
    let text = String::from_utf8_lossy(&message.headers);
    let Some((before, rest)) = text.split_once(name) else {
        return message;
    };
    let end = rest.find('\r').unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    let number = number.parse::<u64>().unwrap_or(0) + u64::from(by);
    let headers = Bytes::from(format!("{before}{name}{number}{rest}"));
    Outgoing { headers, ..message }
}

impl Cluster {
    /// Lets a fault meet the next message that a consumer delivers to anybody.
    pub fn disturb_delivery(&mut self, fault: DeliveryFault) {
        self.disturbances.deliveries.push_back(fault);
    }

    /// Lets a fault meet the next heartbeat, or all for a while.
    pub fn disturb_heartbeat(&mut self, now: Instant, fault: HeartbeatFault) {
        let now = self.advance(now);
        let disturbances = &mut self.disturbances;
        if let HeartbeatFault::Missing { ms } = fault {
            let until = now + Duration::from_millis(u64::from(ms));
            disturbances.no_heartbeats_until = disturbances.no_heartbeats_until.max(until);
        } else {
            disturbances.heartbeats.push_back(fault);
        }
    }

    /// Lets a fault meet the next request or answer of flow control.
    pub fn disturb_flow(&mut self, fault: FlowFault) {
        self.disturbances.flow.push_back(fault);
    }

    /// Lets a fault meet the next count that it can meet.
    pub fn disturb_count(&mut self, fault: CountFault) {
        self.disturbances.counts.push_back(fault);
    }
}
