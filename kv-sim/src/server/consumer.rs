//! A consumer: a position in a stream that moves while somebody listens, or pulls.
//!
//! ```text
//!           message, heartbeat tick, interest, flow-control answer, pull, acknowledgement
//!          ┌──────────────────────────────── wake ────────────────────────────────┐
//!          ▼                                                                      │
//!     delivering ──end, nobody listens or pulls, stalled, full, entry vanished──► asleep
//! ```
//!
//! Being *woken* matters: when an entry of the initial snapshot has vanished, the real server goes to
//! sleep although more entries are due, and only the next event moves it on.
//!
//! Not simulated, and refused: priority policies, `ack_policy` flow_control. Not simulated, and taken without
//! effect: `replay_policy` original, `rate_limit_bps`, `sample_freq`, `pedantic`. No advisories are sent.

mod acks;
mod check;
pub(crate) mod config;
mod delivery;
mod idle;
mod info;
mod notice;
mod place;
mod pull;
mod recovery;
mod redelivery;
mod saved;
mod start;

use std::time::Duration;

use kv_proto::{Instant, Timestamp};

pub(crate) use self::acks::AckSubject;
use self::config::ConsumerConfig;
use self::delivery::FlowControl;
pub(crate) use self::delivery::addressee;
use self::idle::inactive_after;
pub(crate) use self::notice::Notice;
pub(crate) use self::place::{Habits, Site};
use self::pull::Requests;
use self::redelivery::Redelivery;
use self::saved::Saved;
use super::json::Writer;
use super::rng::Rng;
use super::stream::config::{Retention, StreamConfig};
use super::stream::store::{Message, Store};
use super::stream::{Now, nanos_between};
use super::version::Version;

/// Consumer and stream sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    consumer: u64,
    stream: u64,
}

/// The newest message of each subject at creation, still to be delivered.
#[derive(Debug)]
struct Snapshot {
    seqs: std::collections::VecDeque<u64>,
    resume: u64,
}

/// One consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) config: ConsumerConfig,
    pub(crate) name: String,
    /// The server that has it in memory.
    pub(crate) home: usize,
    habits: Habits,
    version: Version,
    stream: String,
    created: Timestamp,
    next_stream_seq: u64,
    next_consumer_seq: u64,
    ack_floor: Pair,
    redelivery: Redelivery,
    /// What its stream need not keep for it any longer, if that keeps nothing else.
    pub(crate) done: Vec<u64>,
    retention: Retention,
    /// Something was as good as acknowledged, at a time that is still to be told.
    acked_now: bool,
    last_acked: Option<Timestamp>,
    /// What the consumer's own store knows; nothing before it was written.
    saved: Option<Saved>,
    snapshot: Option<Snapshot>,
    pending: i64,
    pending_through: u64,
    /// Its servers agree on every delivery before it is sent.
    agreed: bool,
    /// It lost its filters, with which the real server forgets to tell it of messages.
    deaf: bool,
    /// The queue group whose members count as listeners.
    group: String,
    active: bool,
    requests: Requests,
    asleep: bool,
    /// Woken once more than it knows: the real server tells of interest over two channels at once.
    woken_twice: bool,
    heartbeat_at: Option<Instant>,
    inactive_at: Option<Instant>,
    inactive_after: i64,
    /// When its pause ends.
    resumes_at: Option<Instant>,
    flow: Option<FlowControl>,
    last_delivered: Option<Timestamp>,
    /// What it was when its server read it from disk; the first create request is answered with that.
    recovered: Option<Writer>,
}

impl Consumer {
    /// Makes a consumer of a checked configuration at its starting position.
    pub(crate) fn new(
        mut config: ConsumerConfig,
        name: String,
        site: Site<'_>,
        interest: bool,
        now: Now,
        rng: &mut Rng,
    ) -> Self {
        let Site {
            stream,
            store,
            habits,
        } = site;
        let durable = config.is_durable();
        let (inactive, stamped) =
            inactive_after(config.inactive_threshold, durable, config.is_push(), rng);
        config.inactive_threshold = stamped;
        let mut out = Self {
            name,
            home: 0,
            habits: habits.clone(),
            version: now.version,
            stream: stream.name.clone(),
            created: now.time,
            next_stream_seq: 1,
            next_consumer_seq: 1,
            ack_floor: Pair::default(),
            redelivery: Redelivery::default(),
            done: Vec::new(),
            retention: stream.retention,
            acked_now: false,
            last_acked: None,
            saved: None,
            snapshot: None,
            pending: 0,
            pending_through: 0,
            agreed: false,
            deaf: false,
            group: config.deliver_group.clone(),
            active: interest,
            requests: Requests::default(),
            asleep: false,
            woken_twice: false,
            heartbeat_at: None,
            inactive_at: None,
            inactive_after: inactive,
            resumes_at: None,
            flow: config
                .flow_control
                .then(|| FlowControl::new(habits.flow_limit)),
            last_delivered: None,
            recovered: None,
            config,
        };
        let shared = stream.replicas > 1 && out.is_replicated() && !habits.alone;
        out.agreed = shared && out.wants_acks() && !out.config.flow_control;
        out.choose_start(stream, store, now.version);
        out.recount(store);
        out.heartbeat_at = out.next_heartbeat(now.instant);
        out.set_interest(interest, now.instant);
        out.note_pause(now);
        out
    }

    /// Begins anew where its own store says it was, or where its configuration says.
    pub(crate) fn restart(&mut self, stream: &StreamConfig, store: &Store, now: Now) {
        self.snapshot = None;
        self.ack_floor = Pair::default();
        self.next_consumer_seq = 1;
        self.redelivery = Redelivery::default();
        match self.saved.clone() {
            Some(saved) => {
                self.next_stream_seq = saved.delivered.stream + 1;
                self.next_consumer_seq = saved.delivered.consumer + 1;
                self.ack_floor = saved.floor;
                self.restore_unacked(&saved, store.first_seq(), now);
            }
            None => self.choose_start(stream, store, now.version),
        }
        if now.version.reconciles_consumers() && store.last_seq() + 1 < self.next_stream_seq {
            self.reconcile(store.last_seq());
            self.saved = None;
            self.save_all();
        }
        self.recount(store);
        self.group.clone_from(&self.config.deliver_group);
        self.last_delivered = None;
        let limit = self.habits.flow_limit;
        self.flow = self.config.flow_control.then(|| FlowControl::new(limit));
        self.heartbeat_at = self.next_heartbeat(now.instant);
        (self.active, self.asleep, self.woken_twice) = (false, false, false);
        self.requests = Requests::default();
        self.deaf = false;
        (self.last_acked, self.acked_now) = (None, false);
        self.inactive_at = None;
        self.note_pause(now);
        self.set_interest(false, now.instant);
        // For that moment every consumer is a durable one.
        let durable = std::mem::replace(&mut self.config.durable, self.name.clone());
        self.recovered = Some(self.info_json(store, now, true, None));
        self.config.durable = durable;
    }

    /// The answer to a request that created or changed it.
    pub(crate) fn created_json(
        &mut self,
        store: &Store,
        now: Now,
        cluster: Option<&str>,
    ) -> Writer {
        let recovered = self.recovered.take();
        recovered.unwrap_or_else(|| self.info_json(store, now, true, cluster))
    }

    /// Takes a changed configuration that was checked.
    pub(crate) fn update(
        &mut self,
        mut config: ConsumerConfig,
        store: &Store,
        now: Now,
        rng: &mut Rng,
    ) {
        if config.deliver_subject != self.config.deliver_subject {
            self.group.clone_from(&self.config.deliver_group); // not yet the new one
            if !self.redelivery.unacked.is_empty() {
                self.expire_all(now);
            }
        }
        self.asleep &= config.max_ack_pending == self.config.max_ack_pending;
        if config.ack_wait != self.config.ack_wait {
            self.recheck(now.instant);
        }
        let refiltered = config.filters() != self.config.filters();
        if config.inactive_threshold != self.config.inactive_threshold {
            // Whether it is durable is asked of what it was.
            let durable = self.config.is_durable();
            let push = config.is_push();
            let (inactive, stamped) = inactive_after(config.inactive_threshold, durable, push, rng);
            (self.inactive_after, config.inactive_threshold) = (inactive, stamped);
            self.inactive_at = None;
            if inactive > 0 && !self.active {
                self.inactive_at = Some(now.instant + nanos(inactive));
            }
        }
        self.config = config;
        if refiltered {
            self.deaf = self.config.filters().is_empty();
        }
        self.note_pause(now);
        // A snapshot stays as it is, although it was made for other subjects.
        if refiltered || now.version.recounts_on_updates() {
            self.recount(store);
        }
    }

    /// Notes when its pause ends.
    fn note_pause(&mut self, now: Now) {
        let left = self
            .config
            .pause_until
            .map(|end| nanos_between(now.time, end));
        let left = left.filter(|left| *left > 0);
        self.resumes_at = left.map(|left| now.instant + nanos(left));
    }

    fn is_paused(&self, now: Timestamp) -> bool {
        self.config.pause_until.is_some_and(|end| now < end)
    }

    /// The last message it delivered, and how far it has looked.
    fn position(&self) -> Pair {
        Pair {
            consumer: self.next_consumer_seq - 1,
            stream: self.next_stream_seq.max(1) - 1,
        }
    }

    pub(crate) fn has_flow_control(&self) -> bool {
        self.flow.is_some()
    }

    /// Which subscriptions, and of which queue group, it takes for listeners.
    pub(crate) fn listeners(&self) -> (&[u8], &str) {
        (self.config.deliver_subject.as_bytes(), &self.group)
    }

    /// How many messages it has sent.
    pub(crate) fn delivered(&self) -> u64 {
        self.next_consumer_seq - 1
    }

    /// Whether it has heartbeats.
    pub(crate) fn beats(&self) -> bool {
        self.config.heartbeat > 0
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }
}

/// A moment in nanoseconds of the embedder's clock.
fn ticks(at: Instant) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}

fn nanos(value: i64) -> Duration {
    Duration::from_nanos(u64::try_from(value).unwrap_or(0))
}
