//! What a consumer learns about the messages of the replica it reads.

use bytes::Bytes;

use super::config::DeliverPolicy;
use super::{Consumer, Pair};
use crate::server::stream::store::{Store, is_match};
use crate::server::subject;

/// One thing to learn.
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

impl Consumer {
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
        self.asleep = false;
    }

    /// A message was appended to the stream.
    fn message_stored(&mut self, seq: u64, subject: &[u8]) {
        if !self.wants(subject) {
            return;
        }
        if seq > self.pending_through {
            self.pending += 1;
        }
        if seq >= self.next_stream_seq && (self.active || !self.requests.is_empty()) {
            self.asleep = false;
        }
    }

    /// One message was removed from the stream.
    fn message_removed(&mut self, seq: u64, subject: &[u8]) {
        if !self.wants(subject) {
            return;
        }
        if seq >= self.next_stream_seq {
            self.pending -= 1;
        }
        if let Some(known) = self.redelivery.unacked.get(&seq) {
            let consumer = known.consumer_seq;
            let stream = seq;
            self.redelivery.vanished.push(Pair { consumer, stream });
        } else if self.version.moves_floor_over_exhausted()
            && self.redelivery.counts.remove(&seq).is_some()
        {
            let nothing = Pair {
                consumer: 0,
                stream: seq,
            };
            self.acked_unseen(nothing);
        }
    }

    /// Counts afresh what is still to come.
    pub(super) fn recount(&mut self, store: &Store) {
        let last_only = self.config.deliver_policy == DeliverPolicy::LastPerSubject;
        let count = store.count(&self.config.filters(), self.next_stream_seq, last_only);
        self.pending = i64::try_from(count).unwrap_or(i64::MAX);
        self.pending_through = store.last_seq();
    }

    /// The stream was purged by `filter`, whose first message is now `first` (0: none is left).
    fn purged(&mut self, filter: &str, first: u64, covered_only: bool, store: &Store) {
        let filters = self.config.filters();
        let filter = filter.as_bytes();
        let inside = |own: &&[u8]| *own == filter || subject::matches(own, filter);
        let touches = |own: &&[u8]| subject::overlap(own, filter);
        let (covered, touched) = if covered_only {
            let all = !filters.is_empty() && filters.iter().all(inside);
            (all, filters.iter().any(touches))
        } else {
            (filters.iter().any(inside), is_match(filter, &filters))
        };
        let (start, wider) = if filter.is_empty() || covered {
            let start = if first == 0 {
                store.last_seq() + 1
            } else {
                first
            };
            (start, false)
        } else if filters.is_empty() || touched {
            (store.first_seq(), true)
        } else {
            return;
        };
        self.next_stream_seq = self.next_stream_seq.max(start);
        if self.ack_floor.stream < start {
            self.drop_purged(start, wider.then_some(store));
        }
        if self.redelivery.unacked.is_empty() {
            self.redelivery.counts.clear();
            self.ack_floor = self.position();
        }
        let next = self.next_stream_seq;
        self.redelivery.queue.retain(|seq| seq >= next);
        self.save_all();
        if self.version.moves_floor_over_exhausted() {
            self.forget_counts_below(store.first_seq());
        }
    }

    /// Forgets what was purged below `start`, and what is not in the store if that is to be looked at.
    fn drop_purged(&mut self, start: u64, left: Option<&Store>) {
        self.ack_floor.stream = start - 1;
        let waiting: Vec<_> = self
            .redelivery
            .unacked
            .iter()
            .map(|(seq, known)| (*seq, known.consumer_seq))
            .collect();
        for (seq, consumer) in waiting {
            let gone = seq < start || left.is_some_and(|store| store.get(seq).is_none());
            if !gone {
                continue;
            }
            if consumer > self.ack_floor.consumer {
                self.ack_floor.consumer = consumer;
                self.next_consumer_seq = self.next_consumer_seq.max(consumer);
            }
            self.redelivery.unacked.remove(&seq);
            self.redelivery.counts.remove(&seq);
            if self.version.moves_floor_over_exhausted() {
                let stream = seq;
                self.acked_unseen(Pair { consumer, stream });
            }
        }
    }

    /// Tells its store of what is as good as acknowledged.
    fn acked_unseen(&mut self, at: Pair) {
        if let Some(saved) = &mut self.saved {
            saved.note_acked(self.config.ack_policy, at, self.version);
        }
        self.acked_now = true;
    }

    fn forget_counts_below(&mut self, first_seq: u64) {
        self.redelivery.counts.retain(|seq, _| *seq >= first_seq);
        if let Some(saved) = &mut self.saved {
            saved.redelivered.retain(|seq, _| *seq >= first_seq);
        }
    }

    /// Whether it is told of messages on that subject.
    pub(crate) fn wants(&self, subject: &[u8]) -> bool {
        !self.deaf && is_match(subject, &self.config.filters())
    }
}
