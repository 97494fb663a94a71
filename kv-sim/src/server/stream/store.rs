//! The messages of one replica of a stream: a plain, deterministic data structure without time.
//!
//! What is done to it is also noted, as a [`Step`], so that a second replica becomes equal by repeating
//! the same steps later.

mod step;

mod intersect;
mod seek;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use kv_proto::Timestamp;

pub(crate) use self::step::Step;
use super::config::Storage;
use crate::server::journal::Removal;
use crate::server::subject;
use crate::server::version::Version;

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) seq: u64,
    pub(crate) subject: Bytes,
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) time: Timestamp,
    /// When its own time to live ends.
    pub(crate) expires: Option<Timestamp>,
    /// Exempt from `max_age`.
    pub(crate) never_expires: bool,
}

/// The messages, by sequence and by subject.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    storage: Storage,
    messages: BTreeMap<u64, Message>,
    subjects: BTreeMap<Bytes, BTreeSet<u64>>,
    expiries: BTreeSet<(Timestamp, u64)>,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    last_time: Option<Timestamp>,
    /// Whether anybody asks for the steps.
    noted: bool,
    steps: Vec<Step>,
}

impl Store {
    pub(crate) fn new(storage: Storage, first_seq: u64) -> Self {
        Self {
            storage,
            messages: BTreeMap::new(),
            subjects: BTreeMap::new(),
            expiries: BTreeSet::new(),
            bytes: 0,
            first_seq,
            last_seq: first_seq.saturating_sub(1),
            last_time: None,
            noted: false,
            steps: Vec::new(),
        }
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        self.storage == Storage::File
    }

    pub(crate) fn len(&self) -> u64 {
        self.messages.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn first_seq(&self) -> u64 {
        self.first_seq
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    pub(crate) fn first_time(&self) -> Option<Timestamp> {
        self.messages.values().next().map(|message| message.time)
    }

    pub(crate) fn last_time(&self) -> Option<Timestamp> {
        self.last_time
    }

    pub(crate) fn subject_count(&self) -> usize {
        self.subjects.len()
    }

    /// The sequences missing between the first and the last message.
    pub(crate) fn deleted(&self) -> Vec<u64> {
        let mut out = Vec::new();
        let mut expected = self.first_seq;
        for seq in self.messages.keys() {
            out.extend(expected..*seq);
            expected = seq + 1;
        }
        if !self.messages.is_empty() {
            out.extend(expected..=self.last_seq);
        }
        out
    }

    pub(crate) fn deleted_count(&self) -> u64 {
        if self.messages.is_empty() {
            return 0;
        }
        (self.last_seq + 1 - self.first_seq).saturating_sub(self.len())
    }

    /// What a message counts for in `max_bytes`.
    pub(crate) fn size(&self, subject: &[u8], headers: &[u8], payload: &[u8]) -> u64 {
        let bytes = subject.len() + headers.len() + payload.len();
        (match self.storage {
            Storage::Memory => 16 + bytes,
            Storage::File if headers.is_empty() => 30 + bytes,
            Storage::File => 34 + bytes,
        }) as u64
    }

    pub(crate) fn size_of(&self, message: &Message) -> u64 {
        self.size(&message.subject, &message.headers, &message.payload)
    }

    /// Adds a message behind the last one; `message.seq` is set here.
    pub(crate) fn append(&mut self, mut message: Message) -> u64 {
        let seq = self.last_seq + 1;
        message.seq = seq;
        if self.messages.is_empty() {
            self.first_seq = seq;
        }
        self.last_seq = seq;
        self.last_time = Some(message.time);
        self.bytes += self.size_of(&message);
        self.subjects
            .entry(message.subject.clone())
            .or_default()
            .insert(seq);
        if let Some(expires) = message.expires {
            self.expiries.insert((expires, seq));
        }
        if self.noted {
            self.steps.push(Step::Stored(message.clone()));
        }
        self.messages.insert(seq, message);
        seq
    }

    /// Uses up a sequence without a message.
    pub(crate) fn skip(&mut self, time: Timestamp) -> u64 {
        self.skip_to(self.last_seq + 1, Some(time));
        self.last_seq
    }

    /// Uses up all sequences up to `last` without messages.
    pub(crate) fn skip_to(&mut self, last: u64, time: Option<Timestamp>) {
        self.last_seq = last;
        self.last_time = time.or(self.last_time);
        if self.messages.is_empty() {
            self.first_seq = last + 1;
        }
        self.note(Step::Skipped(last, time));
    }

    pub(crate) fn remove(&mut self, seq: u64, why: Removal) -> Option<Message> {
        let removed = self.take_out(seq)?;
        self.note(Step::Removed(seq, why));
        Some(removed)
    }

    fn take_out(&mut self, seq: u64) -> Option<Message> {
        let message = self.messages.remove(&seq)?;
        self.bytes = self.bytes.saturating_sub(self.size_of(&message));
        if let Some(of_subject) = self.subjects.get_mut(&message.subject) {
            of_subject.remove(&seq);
            if of_subject.is_empty() {
                self.subjects.remove(&message.subject);
            }
        }
        if let Some(expires) = message.expires {
            self.expiries.remove(&(expires, seq));
        }
        let first = self.messages.keys().next();
        self.first_seq = first.copied().unwrap_or(self.last_seq + 1);
        Some(message)
    }

    /// Removes all below `seq`, which may lie beyond the end.
    pub(crate) fn compact(&mut self, seq: u64, why: Removal) -> u64 {
        let below: Vec<u64> = self.messages.range(..seq).map(|(seq, _)| *seq).collect();
        for seq in &below {
            self.remove(*seq, why);
        }
        if seq > self.last_seq {
            self.jump(seq);
        }
        below.len() as u64
    }

    fn jump(&mut self, first: u64) {
        (self.first_seq, self.last_seq) = (first, first.saturating_sub(1));
        self.note(Step::Jumped(first));
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self, why: Removal) -> u64 {
        let purged = self.len();
        if self.noted {
            let all = self.messages.keys().map(|seq| Step::Removed(*seq, why));
            self.steps.extend(all);
        }
        self.messages.clear();
        self.subjects.clear();
        self.expiries.clear();
        self.bytes = 0;
        if self.first_seq != self.last_seq + 1 {
            self.first_seq = self.last_seq + 1;
            self.note(Step::Jumped(self.first_seq)); // it may have been empty, at another place
        }
        purged
    }

    /// Reads itself from disk again. A first sequence that is configured is enforced then, by emptying a
    /// store that begins before it.
    pub(crate) fn reopen(&mut self, configured_first: u64, version: Version) {
        if self.last_seq == 0 {
            self.first_seq = 0;
        }
        let before = if version == Version::V2_10 {
            self.first_seq <= configured_first
        } else {
            self.first_seq < configured_first
        };
        if configured_first > 0 && before {
            self.clear(Removal::Purged);
            if configured_first > self.first_seq {
                self.jump(configured_first);
            }
        }
    }

    /// Forgets the newest messages, as a crash without sync does: sequences will be used again.
    pub(crate) fn rewind(&mut self, count: u64) {
        let doomed = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_sub(1));
        let newest_first = self.messages.keys().rev();
        let Some(nth) = doomed.filter(|_| !self.messages.is_empty()) else {
            return;
        };
        let oldest = self.messages.keys().next().copied();
        if let Some(oldest) = newest_first.copied().nth(nth).or(oldest) {
            self.cut(oldest.saturating_sub(1));
        }
    }

    /// Forgets all above a sequence.
    pub(crate) fn cut(&mut self, last: u64) {
        let above: Vec<u64> = self
            .messages
            .range(last + 1..)
            .map(|(seq, _)| *seq)
            .collect();
        for seq in above {
            self.take_out(seq);
        }
        self.last_seq = last;
        let newest = self.messages.values().next_back();
        self.last_time = newest.map(|message| message.time);
        if self.messages.is_empty() {
            self.first_seq = if last == 0 { 0 } else { last + 1 };
        }
        self.note(Step::Rewound(last));
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Message> {
        self.messages.get(&seq)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.messages.values()
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Message> {
        self.messages.values().rev()
    }

    pub(crate) fn oldest(&self) -> Option<&Message> {
        self.messages.values().next()
    }

    /// The messages on exactly that subject, oldest first.
    pub(crate) fn of_subject(&self, subject: &[u8]) -> Option<&BTreeSet<u64>> {
        self.subjects.get(subject)
    }

    /// The newest message on a subject, or on any subject that matches the pattern.
    pub(crate) fn last_for(&self, pattern: &[u8]) -> Option<&Message> {
        if pattern.is_empty() || pattern == b">" {
            return self.messages.values().next_back();
        }
        if !subject::has_wildcard(pattern) {
            let last = self.subjects.get(pattern)?.last()?;
            return self.messages.get(last);
        }
        let last = self
            .matching(pattern)
            .filter_map(|(_, seqs)| seqs.last())
            .max()?;
        self.messages.get(last)
    }

    /// The first message at or after `from` that matches one of the patterns; none given means any.
    pub(crate) fn next_for(&self, patterns: &[&[u8]], from: u64) -> Option<&Message> {
        if let [literal] = patterns
            && !literal.is_empty()
            && !subject::has_wildcard(literal)
        {
            let next = self.subjects.get(*literal)?.range(from..).next()?;
            return self.messages.get(next);
        }
        let mut after = self.messages.range(from..).map(|(_, message)| message);
        after.find(|message| is_match(&message.subject, patterns))
    }

    /// How many messages at or after `from` match; with `last_only`, how many subjects whose newest
    /// message is there.
    pub(crate) fn count(&self, patterns: &[&[u8]], from: u64, last_only: bool) -> u64 {
        let matching = self
            .subjects
            .iter()
            .filter(|(subject, _)| is_match(subject, patterns));
        if last_only {
            let reached = |seqs: &BTreeSet<u64>| seqs.last().is_some_and(|last| *last >= from);
            return matching.filter(|(_, seqs)| reached(seqs)).count() as u64;
        }
        matching
            .map(|(_, seqs)| seqs.range(from..).count() as u64)
            .sum()
    }

    /// First and last sequence of the messages that match, and how many.
    pub(crate) fn extent(&self, pattern: &[u8]) -> Option<(u64, u64, u64)> {
        let mut out: Option<(u64, u64, u64)> = None;
        let all = self.subjects.iter();
        for (_, seqs) in all.filter(|(subject, _)| is_match(subject, &[pattern])) {
            let (Some(first), Some(last)) = (seqs.first(), seqs.last()) else {
                continue;
            };
            let count = seqs.len() as u64;
            out = Some(out.map_or((*first, *last, count), |(f, l, n)| {
                (f.min(*first), l.max(*last), n + count)
            }));
        }
        out
    }

    /// The newest sequence, not above `up_to`, of each subject that matches, in ascending order.
    pub(crate) fn last_seqs(&self, patterns: &[&[u8]], up_to: u64) -> Vec<u64> {
        let all = self.subjects.iter();
        let last = all
            .filter(|(subject, _)| is_match(subject, patterns))
            .filter_map(|(_, seqs)| seqs.range(..=up_to).next_back());
        let sorted: BTreeSet<u64> = last.copied().collect();
        sorted.into_iter().collect()
    }

    /// How many messages each matching subject has.
    pub(crate) fn totals(&self, pattern: &[u8]) -> BTreeMap<Bytes, u64> {
        self.matching(pattern)
            .map(|(subject, seqs)| (subject.clone(), seqs.len() as u64))
            .collect()
    }

    /// The first message whose own time to live ends.
    pub(crate) fn next_expiry(&self) -> Option<(Timestamp, u64)> {
        self.expiries.first().copied()
    }

    /// Sequences whose time to live has ended, ascending.
    pub(crate) fn expired(&self, now: Timestamp) -> Vec<u64> {
        let range = (Bound::Unbounded, Bound::Included((now, u64::MAX)));
        let due: BTreeSet<u64> = self.expiries.range(range).map(|(_, seq)| *seq).collect();
        due.into_iter().collect()
    }

    fn matching<'a>(
        &'a self,
        pattern: &'a [u8],
    ) -> impl Iterator<Item = (&'a Bytes, &'a BTreeSet<u64>)> {
        let all = self.subjects.iter();
        all.filter(move |(subject, _)| is_match(subject, &[pattern]))
    }
}

/// Whether a subject matches one of the patterns; none given means any.
pub(crate) fn is_match(subject: &[u8], patterns: &[&[u8]]) -> bool {
    patterns.is_empty()
        || patterns.iter().any(|pattern| {
            pattern.is_empty() || *pattern == b">" || subject::matches(subject, pattern)
        })
}
