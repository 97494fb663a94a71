//! What a consumer's own store knows: a second book beside the consumer's, kept a little differently.
//!
//! Answers show it, a restart begins with it, and in some corners it disagrees with what the consumer has in
//! memory, as in the real server.

use std::collections::BTreeMap;

use super::Pair;
use super::config::{AckPolicy, ConsumerConfig};
use super::redelivery::Unacked;
use crate::server::version::Version;

/// One delivery, as the store is told of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivered {
    pub(super) at: Pair,
    /// The how-manieth time it is.
    pub(super) count: u64,
    pub(super) since: i64,
}

/// The state of a consumer's store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) delivered: Pair,
    pub(super) floor: Pair,
    pub(super) unacked: BTreeMap<u64, Unacked>,
    /// How often a message was delivered again.
    pub(super) redelivered: BTreeMap<u64, u64>,
}

impl Saved {
    pub(super) fn starting(delivered: Pair, floor: Pair) -> Self {
        Self {
            delivered,
            floor,
            ..Self::default()
        }
    }

    pub(super) fn note_delivered(&mut self, config: &ConsumerConfig, delivery: Delivered) {
        let Delivered { at, count, since } = delivery;
        let unconfirmed = config.ack_policy == AckPolicy::None;
        if (unconfirmed && count != 1) || at.consumer <= self.floor.consumer {
            return;
        }
        if !unconfirmed {
            if at.stream > self.delivered.stream {
                let fresh = Unacked {
                    consumer_seq: at.consumer,
                    since,
                };
                self.unacked.insert(at.stream, fresh);
            } else if let Some(known) = self.unacked.get_mut(&at.stream) {
                known.since = since;
            }
        }
        self.delivered.consumer = self.delivered.consumer.max(at.consumer);
        self.delivered.stream = self.delivered.stream.max(at.stream);
        if unconfirmed {
            self.floor.consumer = self.floor.consumer.max(at.consumer);
            self.floor.stream = self.floor.stream.max(at.stream);
        } else if count > 1 {
            if u64::try_from(config.max_deliver).is_ok_and(|max| max > 0 && count > max) {
                self.unacked.remove(&at.stream);
            }
            let known = self.redelivered.entry(at.stream).or_default();
            *known = (*known).max(count - 1);
        }
    }

    pub(super) fn note_acked(&mut self, policy: AckPolicy, at: Pair, version: Version) {
        if policy == AckPolicy::None {
            return;
        }
        if version.forgets_counts_first() {
            self.redelivered.remove(&at.stream);
        }
        if at.consumer <= self.floor.consumer {
            return;
        }
        if version == Version::V2_10 && at.stream > self.delivered.stream {
            self.delivered.stream = at.stream + 1;
        }
        let Some(known) = self.unacked.get(&at.stream).copied() else {
            self.redelivered.remove(&at.stream);
            return;
        };
        if policy == AckPolicy::All {
            self.floor = at;
            self.unacked.retain(|seq, _| *seq > at.stream);
            self.redelivered.retain(|seq, _| *seq > at.stream);
            return;
        }
        self.unacked.remove(&at.stream);
        self.redelivered.remove(&at.stream);
        let consumer = if known.consumer_seq > 0 {
            at.consumer.min(known.consumer_seq)
        } else {
            at.consumer
        };
        if self.unacked.is_empty() {
            self.floor = self.delivered;
        } else if consumer == self.floor.consumer + 1 {
            let acked = Pair {
                consumer,
                stream: at.stream,
            };
            self.floor = acked;
            if self.delivered.consumer > consumer {
                self.floor = floor_above(acked, &self.unacked, self.delivered.stream + 1);
            }
        }
    }

    /// Takes another state in its place, unless that is inconsistent or older.
    pub(super) fn replace(&mut self, state: Self) {
        let Self {
            delivered, floor, ..
        } = state;
        let in_range = |seq: &u64| (floor.stream + 1..=delivered.stream).contains(seq);
        let consistent = floor.consumer <= delivered.consumer
            && floor.stream <= delivered.stream
            && state.unacked.keys().all(in_range);
        let older =
            delivered.consumer < self.delivered.consumer || floor.stream < self.floor.stream;
        if consistent && !older {
            *self = state;
        }
    }
}

/// Where the floor comes to lie after the message above it was acknowledged: below the next one before `end`
/// that is not.
pub(super) fn floor_above(acked: Pair, unacked: &BTreeMap<u64, Unacked>, end: u64) -> Pair {
    let above = acked.stream + 1;
    let next = unacked.range(above..end.max(above)).next();
    match next {
        Some((seq, known)) if known.consumer_seq > 0 => Pair {
            consumer: known.consumer_seq - 1,
            stream: seq - 1,
        },
        Some(_) | None => acked,
    }
}
