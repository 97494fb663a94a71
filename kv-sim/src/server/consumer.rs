//! A push consumer: a position in a stream that moves while somebody listens.
//!
//! ```text
//!                 message, heartbeat tick, interest, flow-control answer
//!          ┌───────────────────────── wake ───────────────────────────┐
//!          ▼                                                          │
//!     delivering ──end, nobody listens, stalled, entry vanished──► waiting
//! ```
//!
//! Being *woken* matters: when an entry of the initial snapshot has vanished, the real server goes to
//! sleep although more entries are due, and only the next event moves it on.

mod check;
pub(crate) mod config;
mod delivery;
mod info;
mod place;
mod start;

use std::time::Duration;

use bytes::Bytes;
use kv_proto::{Instant, Timestamp};

use self::config::{ConsumerConfig, DeliverPolicy};
use self::delivery::FlowControl;
pub(crate) use self::delivery::addressee;
pub(crate) use self::place::{Habits, Site};
use super::json::Writer;
use super::rng::Rng;
use super::stream::config::StreamConfig;
use super::stream::store::{Store, is_match};
use super::stream::{Now, Outbox, Outgoing};

/// How long an ephemeral consumer without listeners lives, if nothing else was asked for.
const DEFAULT_INACTIVE: i64 = 5_000_000_000;

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

/// What a consumer learns about the messages of the replica it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Stored(u64, Bytes),
    /// The sequence, and the subject it is said to have been on.
    Removed(u64, Bytes),
    /// Many messages went at once.
    Recounted,
    /// All that a filter matches went; what is left begins here. Whether only those are moved whose
    /// filters are all covered.
    Purged(String, u64, bool),
}

/// One consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) config: ConsumerConfig,
    pub(crate) name: String,
    /// The server that has it in memory.
    pub(crate) home: usize,
    habits: Habits,
    stream: String,
    created: Timestamp,
    next_stream_seq: u64,
    next_consumer_seq: u64,
    ack_floor: Pair,
    /// What the consumer's own store knows; nothing before it was written.
    saved: Option<(Pair, Pair)>,
    snapshot: Option<Snapshot>,
    pending: i64,
    pending_through: u64,
    /// The queue group whose members count as listeners.
    group: String,
    active: bool,
    waiting: bool,
    /// Woken once more than it knows: the real server tells of interest over two channels at once.
    woken_twice: bool,
    heartbeat_at: Option<Instant>,
    inactive_at: Option<Instant>,
    inactive_after: i64,
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
        let (inactive, stamped) = inactive_after(config.inactive_threshold, durable, rng);
        config.inactive_threshold = stamped;
        let mut out = Self {
            name,
            home: 0,
            habits,
            stream: stream.name.clone(),
            created: now.time,
            next_stream_seq: 1,
            next_consumer_seq: 1,
            ack_floor: Pair::default(),
            saved: None,
            snapshot: None,
            pending: 0,
            pending_through: 0,
            group: config.deliver_group.clone(),
            active: interest,
            waiting: false,
            woken_twice: false,
            heartbeat_at: None,
            inactive_at: None,
            inactive_after: inactive,
            flow: config
                .flow_control
                .then(|| FlowControl::new(habits.flow_limit)),
            last_delivered: None,
            recovered: None,
            config,
        };
        out.choose_start(stream, store, now.version);
        out.recount(store);
        out.heartbeat_at = out.next_heartbeat(now.instant);
        out.set_interest(interest, now.instant);
        out
    }

    /// Begins anew where its own store says it was, or where its configuration says.
    pub(crate) fn restart(&mut self, stream: &StreamConfig, store: &Store, now: Now) {
        self.snapshot = None;
        self.ack_floor = Pair::default();
        self.next_consumer_seq = 1;
        match self.saved {
            Some((delivered, floor)) => {
                self.next_stream_seq = delivered.stream + 1;
                self.next_consumer_seq = delivered.consumer + 1;
                self.ack_floor = floor;
            }
            None => self.choose_start(stream, store, now.version),
        }
        if now.version.reconciles_consumers() && store.last_seq() + 1 < self.next_stream_seq {
            self.ack_floor = Pair {
                consumer: self.next_consumer_seq - 1,
                stream: store.last_seq(),
            };
            self.next_stream_seq = store.last_seq() + 1;
            self.saved = Some((self.ack_floor, self.ack_floor));
        }
        self.recount(store);
        self.group.clone_from(&self.config.deliver_group);
        self.last_delivered = None;
        let limit = self.habits.flow_limit;
        self.flow = self.config.flow_control.then(|| FlowControl::new(limit));
        self.heartbeat_at = self.next_heartbeat(now.instant);
        (self.active, self.waiting, self.woken_twice) = (false, false, false);
        self.inactive_at = None;
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
        }
        let refiltered = config.filters() != self.config.filters();
        if config.inactive_threshold != self.config.inactive_threshold {
            // Whether it is durable is asked of what it was.
            let durable = self.config.is_durable();
            let (inactive, stamped) = inactive_after(config.inactive_threshold, durable, rng);
            (self.inactive_after, config.inactive_threshold) = (inactive, stamped);
            self.inactive_at = None;
            if inactive > 0 && !self.active {
                self.inactive_at = Some(now.instant + nanos(inactive));
            }
        }
        self.config = config;
        // A snapshot stays as it is, although it was made for other subjects.
        if refiltered {
            self.recount(store);
        }
    }

    /// Tells whether somebody subscribes to exactly the deliver subject.
    pub(crate) fn set_interest(&mut self, interest: bool, now: Instant) {
        if interest && !self.active {
            self.waiting = false;
            self.woken_twice = true;
        }
        self.active = interest;
        if interest || self.inactive_after <= 0 {
            self.inactive_at = None;
        } else if self.inactive_at.is_none() {
            self.inactive_at = Some(now + nanos(self.inactive_after));
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

    /// Something happened to the replica it reads.
    pub(crate) fn notice(&mut self, notice: &Notice, store: &Store) {
        match notice {
            Notice::Stored(seq, subject) => self.message_stored(*seq, subject),
            Notice::Removed(seq, subject) => self.message_removed(*seq, subject),
            Notice::Recounted => self.recount(store),
            Notice::Purged(filter, first, covered_only) => {
                self.purged(filter, *first, *covered_only, store);
            }
        }
    }

    /// The replica it reads is another one, or has changed at once.
    pub(crate) fn restart_count(&mut self, store: &Store) {
        self.recount(store);
        self.waiting = false;
    }

    /// A message was appended to the stream.
    fn message_stored(&mut self, seq: u64, subject: &[u8]) {
        if !self.wants(subject) {
            return;
        }
        if seq > self.pending_through {
            self.pending += 1;
        }
        if seq >= self.next_stream_seq && self.active {
            self.waiting = false;
        }
    }

    /// One message was removed from the stream.
    fn message_removed(&mut self, seq: u64, subject: &[u8]) {
        if seq >= self.next_stream_seq && self.wants(subject) {
            self.pending -= 1;
        }
    }

    /// Counts afresh what is still to come.
    fn recount(&mut self, store: &Store) {
        let last_only = self.config.deliver_policy == DeliverPolicy::LastPerSubject;
        let count = store.count(&self.config.filters(), self.next_stream_seq, last_only);
        self.pending = i64::try_from(count).unwrap_or(i64::MAX);
        self.pending_through = store.last_seq();
    }

    /// The stream was purged by `filter`, whose first message is now `first` (0: none is left).
    fn purged(&mut self, filter: &str, first: u64, covered_only: bool, store: &Store) {
        let filters = self.config.filters();
        let filter = filter.as_bytes();
        let inside = |own: &&[u8]| *own == filter || super::subject::matches(own, filter);
        let touches = |own: &&[u8]| super::subject::overlap(own, filter);
        let (covered, touched) = if covered_only {
            let all = !filters.is_empty() && filters.iter().all(inside);
            (all, filters.iter().any(touches))
        } else {
            (filters.iter().any(inside), is_match(filter, &filters))
        };
        let start = if filter.is_empty() || covered {
            if first == 0 {
                store.last_seq() + 1
            } else {
                first
            }
        } else if filters.is_empty() || touched {
            store.first_seq()
        } else {
            return;
        };
        self.next_stream_seq = self.next_stream_seq.max(start);
        let floor = Pair {
            consumer: self.next_consumer_seq - 1,
            stream: self.next_stream_seq.saturating_sub(1),
        };
        self.ack_floor = floor;
        self.saved = Some((floor, floor));
    }

    fn next_heartbeat(&self, now: Instant) -> Option<Instant> {
        (self.config.heartbeat > 0).then(|| now + nanos(self.config.heartbeat))
    }

    /// When it acts by itself.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match (self.heartbeat_at, self.inactive_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Sends a heartbeat that is due; returns false when the consumer's life is over.
    pub(crate) fn handle_timeout(&mut self, now: Now, out: &mut Outbox) -> bool {
        if self.inactive_at.is_some_and(|due| due <= now.instant) {
            return false;
        }
        if self.heartbeat_at.is_some_and(|due| due <= now.instant) {
            if self.active {
                self.send_heartbeat(out);
            }
            self.waiting = false;
            self.heartbeat_at = self.next_heartbeat(now.instant);
        }
        true
    }

    /// Tells where it is, to whoever listens.
    pub(crate) fn send_heartbeat(&self, out: &mut Outbox) {
        let mut headers = format!(
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: {}\r\nNats-Last-Stream: {}\r\n",
            self.next_consumer_seq - 1,
            self.next_stream_seq.saturating_sub(1),
        );
        let asked = self.flow.as_ref().and_then(|flow| flow.asked.as_ref());
        if let Some((reply, _)) = asked {
            headers += &format!(
                "Nats-Consumer-Stalled: {}\r\n",
                String::from_utf8_lossy(reply)
            );
        }
        headers += "\r\n";
        let to = Bytes::from(self.config.deliver_subject.clone());
        out.push_back(Outgoing::status(&to, headers));
    }

    fn wants(&self, subject: &[u8]) -> bool {
        is_match(subject, &self.config.filters())
    }
}

/// How long it lives without listeners, and what its configuration says about it.
fn inactive_after(asked: i64, durable: bool, rng: &mut Rng) -> (i64, i64) {
    if !durable && asked <= 0 {
        let jitter = 100 + i64::try_from(rng.below(900)).unwrap_or(0);
        return (DEFAULT_INACTIVE + jitter * 1_000_000, DEFAULT_INACTIVE);
    }
    (asked.max(0), asked)
}

fn nanos(value: i64) -> Duration {
    Duration::from_nanos(u64::try_from(value).unwrap_or(0))
}
