//! What can be done to the servers beside what clients do: the menu of a fault plan.
//!
//! Every method is total: what makes no sense at the moment does nothing. Faults of single replies are
//! queued and meet the next message to a reply inbox, or the next publish that a stream would store. Those of
//! what consumers send, and of the calls that make them, are queued apart; which of them met something is told
//! by [`Cluster::poll_met`].

mod answerers;
mod api;
mod delivery;
mod late;
mod menu;
mod recurring;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use kv_proto::Instant;

use super::error::ApiError;
use super::router::Key;
use super::stream::group::Standing;
use super::stream::{Inbound, Outgoing};
use super::{Cluster, ConnId};

use self::api::Refused;

pub use self::answerers::Answerer;
pub use self::api::{ApiCall, ApiRefusal};
pub use self::menu::{CountFault, DeliveryFault, FlowFault, HeartbeatFault};
use self::recurring::Recurrences;
pub use self::recurring::Recurring;

/// Where replies go that clients wait for.
const INBOX: &[u8] = b"_INBOX.";

/// What becomes of the next reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyFault {
    /// It never comes.
    Lost,
    /// It comes later.
    Late(Duration),
    /// It comes now, and once more later.
    Twice(Duration),
    /// Something comes instead that is no reply at all.
    Garbage,
}

/// An error that a publish is answered with although nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// 10163: conditions cannot be checked just now.
    NotReady,
    /// 10167: the stream's queue is full.
    TooMany,
    /// 10158: the first message of that id is still on its way.
    InProcess,
    /// 10023: the server lacks resources.
    Resources,
    /// 10077 with a text that tells nothing.
    StoreFailed,
    /// A code that no client knows.
    Novel,
    /// 503: nobody listens.
    Nobody,
}

impl Refusal {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::NotReady,
        Self::TooMany,
        Self::InProcess,
        Self::Resources,
        Self::StoreFailed,
        Self::Novel,
        Self::Nobody,
    ];

    /// Whether a real server can have stored the message all the same: the error comes after the commit, or
    /// tells of an earlier attempt.
    #[must_use]
    pub const fn may_be_stored(self) -> bool {
        match self {
            Self::InProcess | Self::StoreFailed | Self::Novel => true,
            Self::NotReady | Self::TooMany | Self::Resources | Self::Nobody => false,
        }
    }

    fn error(self) -> Option<ApiError> {
        let (code, err_code, text) = match self {
            Self::NotReady => (
                503,
                10_163,
                "expected last sequence check temporarily unavailable",
            ),
            Self::TooMany => (429, 10_167, "too many requests"),
            Self::InProcess => (409, 10_158, "duplicate message id is in process"),
            Self::Resources => (503, 10_023, "insufficient resources"),
            Self::StoreFailed => (503, 10_077, "error opening msg block file"),
            Self::Novel => (500, 19_999, "something new"),
            Self::Nobody => return None,
        };
        Some(ApiError::new(code, err_code, text))
    }
}

/// A client's bytes that the server could not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breach {
    /// They are no operation, or a malformed one.
    Malformed,
    /// An operation that is larger than the server allows.
    TooLarge,
}

/// What a message that leaves the servers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// What a consumer delivers.
    Delivery,
    Heartbeat,
    FlowRequest,
    /// The answer to a call that watches live on.
    Answer(ApiCall),
    Other,
}

impl Kind {
    fn of(message: &Outgoing) -> Self {
        if message.reply.starts_with(b"$JS.ACK.") {
            Self::Delivery
        } else if message.reply.starts_with(b"$JS.FC.") {
            Self::FlowRequest
        } else if message.headers.starts_with(b"NATS/1.0 100 Idle") {
            Self::Heartbeat
        } else {
            ApiCall::of_answer(&message.payload).map_or(Self::Other, Self::Answer)
        }
    }
}

/// Faults that wait for their moment.
#[derive(Debug, Default)]
pub(super) struct Disturbances {
    replies: VecDeque<ReplyFault>,
    answerers: VecDeque<Answerer>,
    refusals: VecDeque<(Refusal, bool)>,
    late: BTreeMap<Instant, Vec<Outgoing>>,
    answers: VecDeque<(ApiCall, ReplyFault)>,
    refused_calls: VecDeque<Refused>,
    deliveries: VecDeque<DeliveryFault>,
    heartbeats: VecDeque<HeartbeatFault>,
    no_heartbeats_until: Instant,
    flow: VecDeque<FlowFault>,
    counts: VecDeque<CountFault>,
    /// Behind the next such call something happens, or is to happen now.
    ambush: Option<ApiCall>,
    sprung: bool,
    /// To be delivered before anything else is.
    ready: VecDeque<Outgoing>,
    /// The messages that wait for the next one to the same subject, but not for ever.
    overtaken: BTreeMap<Bytes, (Instant, Outgoing)>,
    /// What comes later to the subscriptions of now.
    echoes: Vec<(Instant, Outgoing)>,
    late_to: BTreeMap<Instant, Vec<(Key, Outgoing)>>,
    /// Where consumers delivered that are to be deleted.
    orphaned: Vec<Bytes>,
    met: VecDeque<&'static str>,
    logins_refused: bool,
    recurring: Recurrences,
    /// Whoever waits for a reply there is disconnected.
    severed: Vec<Bytes>,
    pub(super) breaches: VecDeque<(ConnId, Breach)>,
}

impl Disturbances {
    pub(super) fn refuses_logins(&self) -> bool {
        self.logins_refused
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let late = self.late.first_key_value().map(|(at, _)| *at);
        let old = self.late_to.first_key_value().map(|(at, _)| *at);
        let overtaken = self.overtaken.values().map(|(at, _)| *at);
        overtaken.chain(late).chain(old).min()
    }

    pub(super) fn forget_notes(&mut self) {
        self.met.clear();
        self.breaches.clear();
    }

    /// A fault of a message has met one.
    fn note(&mut self, name: &'static str) {
        self.met.push_back(name);
    }

    /// What is to be delivered before anything else.
    pub(super) fn next_ready(&mut self) -> Option<Outgoing> {
        self.ready.pop_front()
    }

    /// Decides what becomes of a message that is about to be delivered; returns what is delivered now.
    pub(super) fn meet(&mut self, message: Outgoing, now: Instant) -> Option<Outgoing> {
        match Kind::of(&message) {
            Kind::Delivery => return self.meet_delivery(message, now),
            Kind::Heartbeat => return self.meet_heartbeat(message, now),
            Kind::FlowRequest => return self.meet_flow_request(message),
            Kind::Answer(_) | Kind::Other => {}
        }
        let message = self.meet_acknowledgement(message)?;
        if !message.to.starts_with(INBOX) {
            return Some(message);
        }
        if let Kind::Answer(call) = Kind::of(&message)
            && self.ambush == Some(call)
        {
            (self.ambush, self.sprung) = (None, true);
        }
        let message = self.meet_direct_answer(message);
        let message = self.miscount_answer(message);
        let fault = self.meet_answer(&message);
        match fault.or_else(|| self.replies.pop_front()) {
            None => Some(message),
            Some(ReplyFault::Lost) => None,
            Some(ReplyFault::Late(by)) => {
                self.late.entry(now + by).or_default().push(message);
                None
            }
            Some(ReplyFault::Twice(by)) => {
                self.late.entry(now + by).or_default().push(message.clone());
                Some(message)
            }
            Some(ReplyFault::Garbage) => Some(Outgoing {
                headers: Bytes::new(),
                payload: Bytes::from_static(b"{\"stream\":"),
                ..message
            }),
        }
    }

    /// The error that meets this publish, and whether it is stored before.
    pub(super) fn refuse(&mut self, message: &Inbound) -> Option<(Refusal, bool)> {
        if message.reply.is_empty() {
            return None;
        }
        let queued = self.refusals.pop_front();
        queued.or_else(|| self.recurring.refusal())
    }
}

impl Cluster {
    /// Lets a fault meet the next reply to any client.
    pub fn disturb_reply(&mut self, fault: ReplyFault) {
        self.disturbances.replies.push_back(fault);
    }

    /// Answers the next publish with an error; `stored` tells whether it has its effect all the same, which
    /// counts only where [`Refusal::may_be_stored`].
    pub fn refuse_publish(&mut self, refusal: Refusal, stored: bool) {
        let stored = stored && refusal.may_be_stored();
        self.disturbances.refusals.push_back((refusal, stored));
    }

    /// Forgets the faults that have not met anything yet.
    pub fn calm(&mut self, now: Instant) {
        let now = self.advance(now);
        let disturbances = &mut self.disturbances;
        disturbances.replies.clear();
        disturbances.answerers.clear();
        disturbances.refusals.clear();
        disturbances.answers.clear();
        disturbances.refused_calls.clear();
        disturbances.deliveries.clear();
        disturbances.heartbeats.clear();
        disturbances.no_heartbeats_until = now;
        disturbances.flow.clear();
        disturbances.counts.clear();
        disturbances.ambush = None;
        disturbances.logins_refused = false;
        disturbances.recurring = Recurrences::default();
    }

    /// Returns the name of a fault that has met a message of a consumer, or a call that watches live on.
    pub fn poll_met(&mut self) -> Option<&'static str> {
        self.disturbances.met.pop_front()
    }

    /// Has [`take_sprung`](Self::take_sprung) tell when the next such call of any client was answered.
    pub fn ambush(&mut self, call: ApiCall) {
        self.disturbances.ambush = Some(call);
    }

    /// Whether a call was just answered that was waited for.
    pub fn take_sprung(&mut self) -> bool {
        std::mem::take(&mut self.disturbances.sprung)
    }

    /// Refuses everybody's credentials, or takes them again.
    pub fn refuse_logins(&mut self, now: Instant, refused: bool) {
        self.advance(now);
        self.disturbances.logins_refused = refused;
    }

    /// Switches JetStream off for all clients, or on again, and tells them.
    pub fn set_jetstream(&mut self, now: Instant, on: bool) {
        self.advance(now);
        if self.config.jetstream != on {
            self.config.jetstream = on;
            self.send_info_to_all();
        }
    }

    /// Denies a client that is connected to publish to subjects that match, until it connects again.
    pub fn deny(&mut self, now: Instant, conn: ConnId, pattern: &str) {
        self.advance(now);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.permissions.publish.deny.push(pattern.to_owned());
        }
    }

    /// Denies a client that is connected to subscribe to subjects that match, until it connects again. What
    /// it has subscribed to stays.
    pub fn deny_subscribing(&mut self, now: Instant, conn: ConnId, pattern: &str) {
        self.advance(now);
        if let Some(connection) = self.connections.get_mut(&conn) {
            let subscribe = &mut connection.permissions.subscribe;
            subscribe.deny.push(pattern.to_owned());
        }
    }

    /// Makes all consumers tell where they are, as if their heartbeats were due; false if none has a listener.
    pub fn beat(&mut self, now: Instant) -> bool {
        self.advance(now);
        let peers = &self.jetstream.peers;
        let mut any = false;
        for stream in self.jetstream.streams.values() {
            let offline = stream.group.standing() == Standing::Offline;
            let all = stream.consumers.values().filter(|_| !offline);
            for one in all.filter(|one| one.beats() && one.is_active() && one.runs(peers)) {
                one.send_heartbeat(&mut self.outbox);
                any = true;
            }
        }
        self.settle();
        any
    }

    /// Sends bytes to a client between two frames, whatever they mean.
    pub fn inject(&mut self, now: Instant, conn: ConnId, bytes: &[u8]) {
        self.advance(now);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.send(bytes);
        }
    }

    /// Sends a client its server's INFO.
    pub fn inform(&mut self, now: Instant, conn: ConnId) {
        self.advance(now);
        self.send_info(conn, false);
    }

    /// Sends a client its server's INFO, with other servers than there are.
    pub fn inform_of(&mut self, now: Instant, conn: ConnId, servers: &[&str]) {
        self.advance(now);
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        let servers: Vec<String> = servers.iter().map(|one| (*one).to_owned()).collect();
        let line = self.info_naming(connection.server, connection.client_id, false, &servers);
        self.inject(now, conn, &line);
    }

    /// Returns the next operation that a client should not have sent.
    pub fn poll_breach(&mut self) -> Option<(ConnId, Breach)> {
        self.disturbances.breaches.pop_front()
    }

    /// Answers a publish with an error that is not its own.
    pub(super) fn answer_refused(&mut self, conn: ConnId, message: &Inbound, refusal: Refusal) {
        match refusal.error() {
            None => self.send_no_responders(conn, message),
            Some(error) => {
                let payload = format!("{{\"error\":{},\"stream\":\"\",\"seq\":0}}", error.json());
                self.outbox
                    .push_back(Outgoing::answer(&message.reply, payload));
            }
        }
    }
}
