//! Atomic batches: messages that are staged one by one and stored together, or not at all.
//!
//! ```text
//! sequence 1, 2, 3 … ──staged, acknowledged with nothing──► commit ──checks──► stored, one acknowledgement
//! ```
//!
//! Nothing is seen of a batch before its commit. What is checked when a message arrives is little; all
//! conditions are checked at the commit, against what was stored before the batch and what is staged of it.

mod commit;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kv_proto::Instant;

use super::admission::sequence;
use super::{Inbound, Now, Outbox, Outgoing, Stream};
use crate::server::error::ApiError;
use crate::server::header;
use crate::server::json::Writer;
use crate::server::peers::Peers;
use crate::server::version::Version;

const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";
const REQUIRED_LEVEL: &str = "Nats-Required-Api-Level";
/// The longest name of a batch.
const MAX_ID: usize = 64;

/// How many atomic batches there may be, and how long and old they may become. The defaults are nats-server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLimits {
    /// How many batches may be open in a stream.
    pub open_per_stream: usize,
    /// How many batches may be open in all streams.
    pub open_in_all: usize,
    /// How many messages a batch may have.
    pub messages: u64,
    /// How long a batch may wait for its next message; with 2.12, for its commit.
    pub timeout: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            open_per_stream: 50,
            open_in_all: 1000,
            messages: 1000,
            timeout: Duration::from_secs(10),
        }
    }
}

/// Batches that are not committed yet, by name.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    pub(crate) limits: BatchLimits,
    open: BTreeMap<String, Batch>,
    /// How many ends were told of.
    told: u64,
}

#[derive(Debug)]
struct Batch {
    messages: Vec<Inbound>,
    abandoned_at: Instant,
}

/// What messages of a batch that were checked will have done when the next is stored.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// How many messages each subject gets, and their bytes.
    pub(super) subjects: BTreeMap<Bytes, (u64, u64)>,
    /// The sequences that conditions found.
    pub(super) conditions: BTreeMap<Bytes, u64>,
    pub(super) ids: BTreeSet<String>,
}

/// Name and number of a message's batch, as its headers have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) id: String,
    pub(crate) number: u64,
}

impl Part {
    /// What headers say, if their stream can have batches.
    pub(crate) fn of(headers: &[u8], version: Version) -> Option<Self> {
        if !version.has_level_2() || headers.is_empty() {
            return None;
        }
        let id = header::text(headers, BATCH_ID)?.into_owned();
        let number = header::text(headers, BATCH_SEQUENCE);
        let bad = if version.takes_bad_batch_numbers() {
            u64::MAX
        } else {
            0
        };
        let number = number.map_or(0, |text| sequence(&text).unwrap_or(bad));
        Some(Self { id, number })
    }
}

/// How a message ends its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commit {
    /// It is the last.
    Last,
    /// The one before it was.
    Bare,
}

/// Why a batch ended without a commit, as advisories tell it; none is told of some.
type Abandoned = Option<&'static str>;

impl Batches {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Forgets all, as whoever staged them is no longer the leader.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }

    /// When the first is abandoned.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.open.values().map(|batch| batch.abandoned_at).min()
    }
}

impl Staged {
    fn add(&mut self, subject: &Bytes, size: u64) {
        let entry = self.subjects.entry(subject.clone()).or_default();
        entry.0 += 1;
        entry.1 += size;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    pub(super) fn messages(&self) -> u64 {
        self.subjects.values().map(|(count, _)| count).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.subjects.values().map(|(_, bytes)| bytes).sum()
    }

    pub(super) fn of_subject(&self, subject: &[u8]) -> u64 {
        self.subjects.get(subject).map_or(0, |(count, _)| *count)
    }
}

impl Stream {
    /// Takes a message of a batch; `elsewhere` is how many batches other streams have open.
    pub(super) fn take_part(
        &mut self,
        part: Part,
        inbound: Inbound,
        elsewhere: usize,
        now: Now,
        peers: &mut Peers,
        out: &mut Outbox,
    ) {
        let reply = inbound.reply.clone();
        match self.stage(&part, inbound, elsewhere, now) {
            Ok(None) => {
                if !reply.is_empty() && !self.config.no_ack {
                    out.push_back(Outgoing::answer(&reply, Bytes::new()));
                }
            }
            Ok(Some(messages)) => self.commit_batch(&part.id, messages, &reply, now, peers, out),
            Err((error, abandoned)) => {
                if let Some(why) = abandoned {
                    self.tell_abandoned(&part.id, why, now, out);
                }
                self.answer(&reply, Err(error.into()), None, now.version, out);
            }
        }
    }

    /// Adds a message to its batch; returns all of them if it is the commit.
    fn stage(
        &mut self,
        part: &Part,
        mut inbound: Inbound,
        elsewhere: usize,
        now: Now,
    ) -> Result<Option<Vec<Inbound>>, (ApiError, Abandoned)> {
        let refused = |error| Err((error, None));
        if self.config.sealed {
            return refused(ApiError::SEALED);
        }
        let size = inbound.headers.len() + inbound.payload.len();
        if usize::try_from(self.config.max_msg_size).is_ok_and(|max| size > max) {
            return refused(ApiError::TOO_LARGE);
        }
        if !self.config.allow_atomic {
            return refused(ApiError::ATOMIC_DISABLED);
        }
        if part.id.len() > MAX_ID {
            return refused(ApiError::BATCH_ID_INVALID);
        }
        let number = header::text(&inbound.headers, BATCH_SEQUENCE);
        let takes_any = now.version.takes_bad_batch_numbers();
        if number.is_none_or(|text| !takes_any && sequence(&text).is_none()) {
            return refused(ApiError::BATCH_SEQUENCE_MISSING);
        }
        let commit = commit_of(&inbound.headers, now.version);
        let bare = commit == Some(Ok(Commit::Bare));
        let length = part.number - u64::from(bare && part.number > 0);
        let limits = self.batches.limits;
        self.open_batch(part, length, elsewhere, now)?;
        if commit == Some(Err(())) {
            self.batches.open.remove(&part.id);
            return refused(ApiError::BATCH_COMMIT_INVALID);
        }
        if let Some(level) = header::text(&inbound.headers, REQUIRED_LEVEL) {
            if !has_level(&level, now.version) {
                self.batches.open.remove(&part.id);
                let told = now.version.ends_batches_bare().then_some("unsupported");
                return Err((ApiError::REQUIRED_API_LEVEL, told));
            }
            let rest = header::without(&inbound.headers, REQUIRED_LEVEL).unwrap_or_default();
            inbound.headers = rest.into();
        }
        let Some(batch) = self.batches.open.get_mut(&part.id) else {
            return refused(ApiError::BATCH_INCOMPLETE);
        };
        if now.version.extends_batches() {
            batch.abandoned_at = now.instant + limits.timeout;
        }
        let expected = batch.messages.len() as u64 + 1;
        if part.number != expected || (bare && part.number == 1) {
            self.batches.open.remove(&part.id);
            return Err((ApiError::BATCH_INCOMPLETE, Some("incomplete")));
        }
        if length > limits.messages {
            self.batches.open.remove(&part.id);
            return Err((ApiError::batch_too_large(limits.messages), Some("large")));
        }
        if !bare {
            batch.messages.push(inbound);
        }
        if commit.is_none() {
            return Ok(None);
        }
        let batch = self.batches.open.remove(&part.id);
        let mut messages = batch.map(|batch| batch.messages).unwrap_or_default();
        if let Some(last) = messages.last_mut().filter(|_| bare) {
            last.headers = header::with(&last.headers, BATCH_COMMIT, "1").into();
        }
        Ok(Some(messages))
    }

    /// Makes a batch with its first message.
    fn open_batch(
        &mut self,
        part: &Part,
        length: u64,
        elsewhere: usize,
        now: Now,
    ) -> Result<(), (ApiError, Abandoned)> {
        if self.batches.open.contains_key(&part.id) {
            return Ok(());
        }
        let limits = self.batches.limits;
        if part.number != 1 {
            let error = if length > limits.messages {
                ApiError::batch_too_large(limits.messages)
            } else {
                ApiError::BATCH_INCOMPLETE
            };
            return Err((error, None));
        }
        let own = self.batches.len() + 1;
        if own > limits.open_per_stream || own + elsewhere > limits.open_in_all {
            let error = if now.version.ends_batches_bare() {
                ApiError::BATCHES_TOO_MANY
            } else {
                ApiError::BATCH_INCOMPLETE
            };
            return Err((error, None));
        }
        let batch = Batch {
            messages: Vec::new(),
            abandoned_at: now.instant + limits.timeout,
        };
        self.batches.open.insert(part.id.clone(), batch);
        Ok(())
    }

    /// Gives up batches that wait for too long.
    pub(super) fn abandon_batches(&mut self, now: Now, out: &mut Outbox) {
        let open = self.batches.open.iter();
        let late = open.filter(|(_, batch)| batch.abandoned_at <= now.instant);
        let late: Vec<String> = late.map(|(id, _)| id.clone()).collect();
        for id in late {
            self.batches.open.remove(&id);
            self.tell_abandoned(&id, "timeout", now, out);
        }
    }

    fn tell_abandoned(&mut self, id: &str, why: &str, now: Now, out: &mut Outbox) {
        self.batches.told += 1;
        let stream = &self.config.name;
        let made = format!("{:010}{:012}", self.batches.told, now.instant.as_nanos());
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.{stream}");
        let mut body = Writer::object();
        body.text(
            "type",
            "io.nats.jetstream.advisory.v1.stream_batch_abandoned",
        )
        .text("id", &made)
        .time("timestamp", Some(now.time))
        .text("stream", stream)
        .text("batch", id)
        .text("reason", why);
        let subject = Bytes::from(subject);
        out.push_back(Outgoing::answer(&subject, body.end()));
    }
}

/// Whether headers end a batch, and how; an error is a value that no server knows.
fn commit_of(headers: &[u8], version: Version) -> Option<Result<Commit, ()>> {
    Some(match header::value(headers, BATCH_COMMIT)? {
        b"1" => Ok(Commit::Last),
        b"eob" if version.ends_batches_bare() => Ok(Commit::Bare),
        _ => Err(()),
    })
}

fn has_level(asked: &str, version: Version) -> bool {
    let level = version.api_level().unwrap_or(0);
    asked.parse::<u32>().is_ok_and(|asked| asked <= level)
}
