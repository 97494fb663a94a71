//! Between a consumer and its store: what is written there, and what is made of it after a restart.

use super::redelivery::{Redelivery, Unacked};
use super::saved::{Delivered, Saved};
use super::{Consumer, Pair, ticks};
use crate::server::stream::Now;

const SECOND: i64 = 1_000_000_000;

impl Consumer {
    /// Goes on with what its store knows; times are kept there in whole seconds of the wall clock.
    pub(super) fn restore_unacked(&mut self, saved: &Saved, first_seq: u64, now: Now) {
        let floor = self.ack_floor.stream;
        let offset = now.time.as_unix_nanos().saturating_sub(ticks(now.instant));
        let restored = saved.unacked.iter().map(|(seq, known)| {
            let wall = known.since.saturating_add(offset);
            let since = wall.div_euclid(SECOND) * SECOND - offset;
            (*seq, Unacked { since, ..*known })
        });
        let counts = saved.redelivered.iter().filter(|(seq, _)| **seq > floor);
        self.redelivery = Redelivery {
            unacked: restored.collect(),
            counts: counts.map(|(seq, count)| (*seq, *count)).collect(),
            ..Redelivery::default()
        };
        if !self.redelivery.unacked.is_empty() {
            self.redelivery.check_at = Some(now.instant);
            self.check_unacked(first_seq, now);
        }
    }

    /// Drops what lies beyond the end of its stream after that lost its tail.
    pub(super) fn reconcile(&mut self, last_seq: u64) {
        if self.ack_floor.stream > last_seq {
            self.ack_floor = Pair {
                consumer: self.next_consumer_seq - 1,
                stream: last_seq,
            };
            self.redelivery = Redelivery::default();
        }
        self.redelivery.unacked.retain(|seq, _| *seq <= last_seq);
        self.redelivery.counts.retain(|seq, _| *seq <= last_seq);
        let unacked = &self.redelivery.unacked;
        let newest = unacked.last_key_value().map(|(seq, _)| *seq);
        let highest = unacked.values().map(|known| known.consumer_seq).max();
        self.next_stream_seq = newest.unwrap_or(self.ack_floor.stream) + 1;
        self.next_consumer_seq = highest.unwrap_or(self.ack_floor.consumer) + 1;
    }

    pub(super) fn save_delivered(&mut self, delivery: Delivered, now: Now) {
        let saved = self.saved.get_or_insert_default();
        saved.note_delivered(&self.config, delivery);
        self.last_delivered = Some(now.time);
    }

    pub(super) fn save_acked(&mut self, at: Pair, now: Now) {
        let policy = self.config.ack_policy;
        if let Some(saved) = &mut self.saved {
            saved.note_acked(policy, at, now.version);
        }
        self.last_acked = Some(now.time);
    }

    /// Writes all it knows to its store.
    pub(super) fn save_all(&mut self) {
        let state = Saved {
            delivered: self.position(),
            floor: self.ack_floor,
            unacked: self.redelivery.unacked.clone(),
            redelivered: self.redelivery.counts.clone(),
        };
        self.saved.get_or_insert_default().replace(state);
    }
}
