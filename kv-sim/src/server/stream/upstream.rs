//! How a mirror, or a stream with sources, stands with a stream that it takes messages from.
//!
//! ```text
//! Waiting ──connected──► Open ──origin deleted──► Waiting
//! ```
//!
//! The real server does this with a consumer of its own at the origin, over which it learns of every message but
//! of no removal. What is simulated is what shows of that: when it connects, how it finds where it left off, what
//! it skips, and that what the origin has is not here yet.

use std::time::Duration;

use kv_proto::{Instant, Timestamp};

use super::config::{External, Mapping, Source};
use super::follow::identity_text;
use super::store::{Message, Store};
use super::transform::Transform;
use crate::server::error::ApiError;
use crate::server::header;
use crate::server::json::Writer;
use crate::server::version::Version;

/// How long it takes to connect.
const CONNECTS_IN: Duration = Duration::from_millis(150);
/// It does not ask more often.
const RETRY: Duration = Duration::from_millis(2150);
/// And for each time it failed, so much more seldom.
const BACKOFF: Duration = Duration::from_secs(10);
const MAX_BACKOFF: Duration = Duration::from_secs(120);
/// It hears of an origin that says nothing, and misses that.
const HEARTBEAT: Duration = Duration::from_secs(1);
const MISSED_AFTER: Duration = Duration::from_secs(15);
/// How many messages are taken in one go.
const AT_ONCE: usize = 1000;
/// A mirror with more to come does not answer for its origin.
const CAUGHT_UP: u64 = 10;

#[derive(Debug)]
enum Link {
    /// It will ask for messages then.
    Waiting(Instant),
    Open {
        since: Instant,
        /// When messages that are on their way arrive.
        due: Option<Instant>,
        /// Where the origin ended when there was nothing more for it.
        looked: Option<u64>,
    },
}

/// One stream that messages are taken from.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) origin: String,
    /// The name that messages carry of it.
    index: String,
    start_seq: u64,
    start_time: Option<Timestamp>,
    filter: String,
    filters: Vec<String>,
    mappings: Vec<Mapping>,
    transforms: Vec<Transform>,
    external: Option<External>,
    link: Link,
    /// Everything of the origin up to here was taken, or was not for it.
    seq: u64,
    /// The last one that it got.
    taken: u64,
    lag: u64,
    heard: Option<Instant>,
    error: Option<ApiError>,
    failures: u32,
    /// It has a consumer at its origin, if it uses it or not.
    has_consumer: bool,
    /// A mirror shows its filter once it has asked.
    asked: bool,
    /// It was nearly up to date once, so that it answers for its origin.
    pub(crate) caught_up: bool,
    /// It takes nothing before.
    pub(crate) held_until: Instant,
    /// Which stream of that name it was.
    pub(super) identity: Option<Timestamp>,
}

/// What comes from an origin in one go.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) messages: Vec<Message>,
    /// How many there are after the last of them.
    pub(crate) left: u64,
}

impl Upstream {
    pub(crate) fn new(source: &Source, now: Instant, v: Version) -> Self {
        let mappings = source.transforms.iter();
        let transforms = mappings.filter_map(|one| {
            let made = Transform::new(&one.source, &one.destination, v);
            made.ok().flatten()
        });
        Self {
            origin: source.name.clone(),
            index: source.index_name(),
            start_seq: source.start_seq,
            start_time: source.start_time,
            filter: source.filter.clone(),
            filters: source.filters(),
            transforms: transforms.collect(),
            mappings: source.transforms.clone(),
            external: source.external.clone(),
            link: Link::Waiting(now + CONNECTS_IN),
            seq: 0,
            taken: 0,
            lag: 0,
            heard: None,
            error: None,
            failures: 0,
            has_consumer: false,
            asked: false,
            caught_up: false,
            held_until: Instant::ORIGIN,
            identity: None,
        }
    }

    pub(crate) fn index(&self) -> &str {
        &self.index
    }

    /// How far it got, and in which stream, if it got anywhere since it was set up.
    pub(crate) fn position(&self) -> Option<(u64, Option<String>)> {
        let identity = self.identity.map(identity_text);
        (self.seq > 0).then_some((self.seq, identity))
    }

    /// Whether it has a consumer at its origin.
    pub(crate) fn has_consumer(&self) -> bool {
        self.has_consumer
    }

    /// Whether it is time to ask the origin, which nobody answers for if it is elsewhere.
    pub(crate) fn connects(&self, now: Instant) -> bool {
        match self.link {
            Link::Waiting(at) => at <= now && self.external.is_none(),
            Link::Open { .. } => false,
        }
    }

    /// When something happens by itself.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.link {
            Link::Waiting(_) if self.external.is_some() => None,
            Link::Waiting(at) => Some(at),
            Link::Open { due, .. } => due.map(|due| due.max(self.held_until)),
        }
    }

    /// There is no such origin.
    pub(crate) fn fail(&mut self, error: ApiError, now: Instant) {
        self.failures += 1;
        self.error = Some(error);
        self.asked = true;
        let backoff = (BACKOFF * self.failures).min(MAX_BACKOFF);
        self.link = Link::Waiting(now + RETRY + backoff);
    }

    /// A message before which `seq` is and after which `left` wait could not be stored, and will come again.
    pub(crate) fn retry_after(&mut self, seq: u64, left: u64, now: Instant) {
        (self.seq, self.lag) = (seq, left.saturating_sub(1));
        self.link = Link::Waiting(now + RETRY);
    }

    /// The origin was deleted, which shows only after a while.
    pub(crate) fn lose(&mut self, now: Instant) {
        if self.has_consumer {
            self.has_consumer = false;
            self.link = Link::Waiting(now + MISSED_AFTER);
        }
    }

    /// Begins to get what comes after `seq`.
    pub(crate) fn open(&mut self, seq: u64, now: Instant) {
        self.seq = seq;
        (self.failures, self.error, self.asked) = (0, None, true);
        self.has_consumer = true;
        self.link = Link::Open {
            since: now,
            due: None,
            looked: None,
        };
    }

    /// Where the origin begins for it, if it has nothing yet.
    pub(crate) fn configured_start(&self, origin: &Store, v: Version) -> u64 {
        let first = origin.first_seq().max(1);
        let from = match self.start_time {
            _ if self.start_seq > 0 && v.takes_beyond_end() => self.start_seq,
            _ if self.start_seq > 0 => self.start_seq.min(origin.last_seq() + 1),
            Some(time) => self.start_at(origin, time, v),
            None => first,
        };
        from.max(first).saturating_sub(1)
    }

    /// The sequence before the first message at that time or later.
    pub(crate) fn start_before(&self, origin: &Store, time: Timestamp, v: Version) -> u64 {
        let from = self.start_at(origin, time, v).max(origin.first_seq());
        from.saturating_sub(1)
    }

    fn start_at(&self, origin: &Store, time: Timestamp, v: Version) -> u64 {
        let found = origin.seq_from_time(time, v);
        found.min(origin.last_seq() + 1)
    }

    /// Whether it is configured to begin at some time, and which.
    pub(crate) fn start_time(&self) -> Option<Timestamp> {
        self.start_time.filter(|_| self.start_seq == 0)
    }

    pub(crate) fn starts_at_seq(&self) -> bool {
        self.start_seq > 0
    }

    /// What arrives now, if anything does; `delay` is how long it is on its way.
    pub(crate) fn arrive(
        &mut self,
        origin: &Store,
        now: Instant,
        delay: impl FnOnce() -> Duration,
    ) -> Option<Arrival> {
        let Link::Open { due, looked, .. } = &mut self.link else {
            return None;
        };
        let patterns: Vec<&[u8]> = self.filters.iter().map(String::as_bytes).collect();
        if due.is_none() {
            if *looked == Some(origin.last_seq()) {
                return None;
            }
            if origin.next_for(&patterns, self.seq + 1).is_none() {
                *looked = Some(origin.last_seq());
                return None;
            }
            *due = Some(now + delay());
        }
        if due.is_none_or(|due| due.max(self.held_until) > now) {
            return None;
        }
        *due = None;
        let mut messages = Vec::new();
        let mut from = self.seq + 1;
        while let Some(message) = origin.next_for(&patterns, from)
            && messages.len() < AT_ONCE
        {
            from = message.seq + 1;
            messages.push(message.clone());
        }
        let left = origin.count(&patterns, from, false);
        self.heard = Some(now);
        Some(Arrival { messages, left })
    }

    /// Notes that a message was taken after which `left` wait.
    pub(crate) fn took(&mut self, seq: u64, left: u64) {
        (self.seq, self.taken) = (seq, seq);
        self.lag = left.saturating_sub(1); // the server does not count the next one
        self.caught_up |= left < CAUGHT_UP;
    }

    /// The subject that a message gets here.
    pub(crate) fn map(&self, subject: &[u8]) -> Option<Vec<u8>> {
        self.transforms.iter().find_map(|one| one.apply(subject))
    }

    /// What an answer tells about it.
    pub(crate) fn json(&self, is_mirror: bool, now: Instant, v: Version) -> String {
        let mut out = Writer::object();
        out.text("name", &self.origin);
        if let Some(external) = &self.external {
            out.raw("external", &external.json());
        }
        out.number("lag", self.lag);
        if v.identifies_origins() && !is_mirror {
            out.some_number("seq", self.taken);
        }
        let quiet = match (self.heard, &self.link) {
            (heard, Link::Open { since, .. }) => {
                let beats = now.saturating_duration_since(*since).as_secs();
                let beat = (beats > 0)
                    .then(|| *since + HEARTBEAT * u32::try_from(beats).unwrap_or(u32::MAX));
                heard.max(beat)
            }
            (heard, Link::Waiting(_)) => heard,
        };
        match quiet {
            None => out.number("active", -1),
            Some(heard) => out.number("active", now.saturating_duration_since(heard).as_nanos()),
        };
        if let Some(error) = &self.error {
            out.raw("error", &error.json());
        }
        if self.asked || !is_mirror {
            out.some_text("filter_subject", &self.filter);
        }
        out.some_list(
            "subject_transforms",
            self.mappings.iter().map(Mapping::json),
        );
        out.end()
    }
}

/// The newest sequence of an origin that a stream has taken, by what its messages say.
pub(crate) fn taken_before(store: &Store, index: &str) -> Option<(u64, Option<String>)> {
    store.newest_first().find_map(|message| {
        let value = header::text(&message.headers, "Nats-Stream-Source")?;
        let fields: Vec<&str> = value.split(' ').collect();
        let [stream, seq, filter, mapping, rest @ ..] = fields.as_slice() else {
            return None;
        };
        if format!("{stream} {filter} {mapping}") != index {
            return None;
        }
        let identity = rest.get(1).map(|text| (*text).to_owned());
        Some((seq.parse().unwrap_or(0), identity))
    })
}
