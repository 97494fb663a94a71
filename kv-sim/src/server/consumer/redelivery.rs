//! What was delivered and is not acknowledged, and when it is delivered again.
//!
//! ```text
//! delivered ─► unacked ──ack_wait, back-off or NAK──► queue ──► delivered, counted once more
//!                 └──acknowledged, terminated, removed, delivered often enough──► gone
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use kv_proto::Instant;

use super::config::{AckPolicy, ConsumerConfig};
use super::saved::{Delivered, floor_above};
use super::{Consumer, Pair, ticks};
use crate::server::stream::Now;
use crate::server::stream::store::Store;

/// The real server gives everything a little longer, so that bursts end together; in nanoseconds.
const GRACE: i64 = 1_000_000;
/// How soon after a changed `ack_wait`, and after a NAK with a delay, it looks again.
const AFTER_UPDATE: Duration = Duration::from_millis(100);
const AFTER_NAK: Duration = Duration::from_millis(10);

/// A message that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unacked {
    /// The consumer sequence of its first delivery.
    pub(super) consumer_seq: u64,
    /// From when on its time runs, in nanoseconds of the embedder's clock; a NAK can put it into the past.
    pub(super) since: i64,
}

/// Sequences in the order they are delivered again, each once.
#[derive(Debug, Default)]
pub(super) struct Queue {
    order: VecDeque<u64>,
    known: BTreeSet<u64>,
}

impl Queue {
    pub(super) fn push(&mut self, seq: u64) {
        if self.known.insert(seq) {
            self.order.push_back(seq);
        }
    }

    fn pop(&mut self) -> Option<u64> {
        let seq = self.order.pop_front()?;
        self.known.remove(&seq);
        Some(seq)
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        self.known.contains(&seq)
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if self.known.remove(&seq) {
            self.order.retain(|other| *other != seq);
        }
    }

    pub(super) fn retain(&mut self, keeps: impl Fn(u64) -> bool) {
        self.order.retain(|seq| keeps(*seq));
        self.known.retain(|seq| keeps(*seq));
    }

    pub(super) fn clear(&mut self) {
        self.order.clear();
        self.known.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

/// A consumer's account of unacknowledged messages.
#[derive(Debug, Default)]
pub(super) struct Redelivery {
    pub(super) unacked: BTreeMap<u64, Unacked>,
    /// How often messages were delivered again; it wraps, as in the real server, where a delivery failed that
    /// was none.
    pub(super) counts: BTreeMap<u64, u64>,
    pub(super) queue: Queue,
    /// When it looks whose time has run out.
    pub(super) check_at: Option<Instant>,
    /// Removed from the stream, and to be ended as soon as the consumer moves.
    pub(super) vanished: Vec<Pair>,
}

impl Redelivery {
    /// How often a message was delivered so far, at least.
    fn count(&self, seq: u64) -> u64 {
        self.counts.get(&seq).copied().unwrap_or(0).max(1)
    }

    fn increase(&mut self, seq: u64) -> u64 {
        let count = self.counts.entry(seq).or_default();
        *count = count.wrapping_add(1);
        count.wrapping_add(1)
    }

    pub(super) fn decrease(&mut self, seq: u64) {
        let count = self.counts.entry(seq).or_default();
        *count = count.wrapping_sub(1);
    }

    pub(super) fn forget(&mut self, seq: u64) {
        self.unacked.remove(&seq);
        self.counts.remove(&seq);
        self.queue.remove(seq);
    }

    pub(super) fn forget_through(&mut self, seq: u64) {
        self.unacked.retain(|other, _| *other > seq);
        self.counts.retain(|other, _| *other > seq);
        self.queue.retain(|other| other > seq);
    }
}

impl Consumer {
    /// Whether it must not deliver anything new before something is acknowledged.
    pub(super) fn is_full(&self) -> bool {
        let max = usize::try_from(self.config.max_ack_pending).unwrap_or(0);
        max > 0 && self.redelivery.unacked.len() >= max
    }

    /// Takes the next message to be delivered again, and the how-manieth time it is.
    pub(super) fn next_redelivery(
        &mut self,
        store: &Store,
        now: Now,
    ) -> Option<(super::Message, u64)> {
        while let Some(seq) = self.redelivery.queue.pop() {
            let count = self.redelivery.increase(seq);
            if self.max_deliver().is_some_and(|max| count > max) {
                if let Some(known) = self.redelivery.unacked.remove(&seq) {
                    self.give_up(seq, known, count, now);
                }
                continue;
            }
            if let Some(message) = store.get(seq) {
                return Some((message.clone(), count));
            }
            self.redelivery.decrease(seq);
            let known = self.redelivery.unacked.get(&seq).copied();
            if let Some(known) = known.filter(|_| now.version.ends_vanished_redeliveries()) {
                self.acknowledge(seq, known.consumer_seq, now);
            }
        }
        None
    }

    /// Remembers that a message was delivered and waits for its acknowledgement.
    pub(super) fn await_ack(&mut self, at: Pair, now: Now) {
        let since = ticks(now.instant);
        let fresh = Unacked {
            consumer_seq: at.consumer,
            since,
        };
        let known = self.redelivery.unacked.entry(at.stream).or_insert(fresh);
        known.since = since;
        let delay = match self.config.backoff.as_slice() {
            [] => self.config.ack_wait,
            backoff => {
                let count = self.redelivery.counts.get(&at.stream).copied();
                nth_or_last(backoff, count.unwrap_or(0))
            }
        };
        let delay = if delay > 0 {
            delay
        } else {
            self.config.ack_wait
        };
        let due = now.instant + wait(delay.saturating_add(GRACE));
        if self.redelivery.check_at.is_none_or(|at| at > due) {
            self.redelivery.check_at = Some(due);
        }
    }

    /// Looks whose time has run out, and when to look again.
    pub(super) fn check_unacked(&mut self, first_seq: u64, now: Now) {
        if self.redelivery.check_at.is_none() {
            return;
        }
        let grace = self.config.ack_wait.saturating_add(GRACE);
        let backoff = self.config.backoff.clone();
        let mut next = backoff.last().copied().unwrap_or(grace);
        let (mut expired, mut dropped) = (Vec::new(), false);
        let at = ticks(now.instant);
        let all: Vec<(u64, Unacked)> = self
            .redelivery
            .unacked
            .iter()
            .map(|(seq, known)| (*seq, *known))
            .collect();
        for (seq, known) in all {
            if seq < first_seq || seq <= self.ack_floor.stream {
                self.redelivery.forget(seq);
                dropped = true;
                self.ack_floor.stream = self.ack_floor.stream.max(seq);
                self.ack_floor.consumer = self.ack_floor.consumer.max(known.consumer_seq);
                continue;
            }
            let (elapsed, mut deadline) = (at.saturating_sub(known.since), self.config.ack_wait);
            if !backoff.is_empty() {
                let count = self.redelivery.counts.get(&seq).copied().unwrap_or(0);
                let count = if count > i64::MAX as u64 { 0 } else { count };
                deadline = nth_or_last(&backoff, count);
                next = next.min(nth_or_last(&backoff, count.saturating_add(1)));
            }
            if elapsed < deadline {
                next = next.min(deadline - elapsed);
            } else if !self.redelivery.queue.contains(seq) && !self.is_exhausted(seq, now) {
                expired.push(seq);
            }
        }
        self.expire(&expired, at);
        if self.redelivery.unacked.is_empty() {
            self.redelivery.check_at = None;
            self.redelivery.queue.clear();
            self.ack_floor = self.position();
        } else {
            self.redelivery.check_at = Some(now.instant + wait(next.max(GRACE)));
        }
        if dropped {
            self.save_all();
        }
    }

    /// Lets all that is not acknowledged be delivered again, as they went to a subject that is given up.
    pub(super) fn expire_all(&mut self, now: Now) {
        let seqs: Vec<u64> = self.redelivery.unacked.keys().copied().collect();
        let mut expired = Vec::new();
        for seq in seqs {
            if !self.redelivery.queue.contains(seq) && !self.is_exhausted(seq, now) {
                expired.push(seq);
            }
        }
        if !expired.is_empty() {
            self.expire(&expired, ticks(now.instant));
            let grace = self.config.ack_wait.saturating_add(GRACE);
            self.redelivery.check_at = Some(now.instant + wait(grace));
        }
        self.asleep = false;
    }

    fn expire(&mut self, expired: &[u64], at: i64) {
        let unacked = &mut self.redelivery.unacked;
        let Some(first) = expired.first().and_then(|seq| unacked.get(seq)) else {
            return;
        };
        let late = at.saturating_sub(first.since);
        for seq in expired {
            self.redelivery.queue.push(*seq);
            if let Some(known) = unacked.get_mut(seq) {
                known.since = known.since.saturating_add(late);
            }
        }
        self.asleep = false;
    }

    /// Whether a message was delivered often enough, which ends it.
    fn is_exhausted(&mut self, seq: u64, now: Now) -> bool {
        let count = self.redelivery.count(seq);
        if self.max_deliver().is_none_or(|max| count < max) {
            return false;
        }
        if self.is_full() {
            self.asleep = false;
        }
        if let Some(known) = self.redelivery.unacked.remove(&seq) {
            let more = u64::from(now.version.moves_floor_over_exhausted());
            self.give_up(seq, known, count.saturating_add(more), now);
        }
        self.redelivery.counts.insert(seq, count);
        true
    }

    fn give_up(&mut self, seq: u64, known: Unacked, count: u64, now: Now) {
        let at = Pair {
            consumer: known.consumer_seq,
            stream: seq,
        };
        let since = known.since;
        self.save_delivered(Delivered { at, count, since }, now);
        if now.version.moves_floor_over_exhausted() {
            self.move_floor(at);
        }
    }

    /// Moves the floor up if nothing below a message waits any more.
    pub(super) fn move_floor(&mut self, at: Pair) {
        let unacked = &self.redelivery.unacked;
        if unacked.is_empty() {
            self.ack_floor = self.position();
        } else if at.consumer == self.ack_floor.consumer + 1 {
            self.ack_floor = floor_above(at, unacked, self.next_stream_seq);
        }
    }

    fn max_deliver(&self) -> Option<u64> {
        u64::try_from(self.config.max_deliver)
            .ok()
            .filter(|max| *max > 0)
    }

    /// A NAK asks for a message after so many nanoseconds.
    pub(super) fn postpone(&mut self, seq: u64, delay: i64, count: u64, now: Now) {
        self.redelivery.queue.remove(seq);
        let since = ticks(now.instant)
            .saturating_sub(self.config.ack_wait)
            .saturating_add(delay);
        let Some(known) = self.redelivery.unacked.get_mut(&seq) else {
            return;
        };
        known.since = since;
        let at = Pair {
            consumer: known.consumer_seq,
            stream: seq,
        };
        self.save_delivered(Delivered { at, count, since }, now);
        if self.redelivery.check_at.is_some() {
            self.redelivery.check_at = Some(now.instant + AFTER_NAK);
        }
    }

    /// Looks again soon, as `ack_wait` was changed.
    pub(super) fn recheck(&mut self, now: Instant) {
        if self.redelivery.check_at.is_some() {
            self.redelivery.check_at = Some(now + AFTER_UPDATE);
        }
    }

    /// How long at the latest something may still be acknowledged, and then be idle; in nanoseconds.
    pub(super) fn last_ack_due(&self, now: Now) -> Option<Duration> {
        let ends = self.redelivery.unacked.iter().map(|(seq, known)| {
            let wait = match self.config.backoff.as_slice() {
                [] => self.config.ack_wait,
                backoff => {
                    let key = if now.version.counts_by_stream_seq() {
                        *seq
                    } else {
                        known.consumer_seq
                    };
                    nth_or_last(
                        backoff,
                        self.redelivery.counts.get(&key).copied().unwrap_or(0),
                    )
                }
            };
            let end = known.since.saturating_add(wait).saturating_add(GRACE);
            end.saturating_add(self.inactive_after)
        });
        let left = ends.max()?.saturating_sub(ticks(now.instant));
        (left > 0).then(|| wait(left))
    }

    /// How many it says were delivered again.
    pub(super) fn redelivered(&self, now: Now) -> usize {
        if self.config.max_deliver == 1 && now.version.hides_counts_of_single_deliveries() {
            return 0;
        }
        self.redelivery.counts.len()
    }
}

impl ConsumerConfig {
    pub(super) fn wants_acks(&self) -> bool {
        self.ack_policy != AckPolicy::None
    }
}

fn nth_or_last(backoff: &[i64], at: u64) -> i64 {
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let last = backoff.len().saturating_sub(1);
    // A count that has wrapped is a negative one in the real server.
    let at = if at > usize::MAX / 2 { 0 } else { at };
    backoff.get(at.min(last)).copied().unwrap_or(0)
}

fn wait(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
