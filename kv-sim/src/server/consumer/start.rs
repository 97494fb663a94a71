//! Where a new consumer begins.

use super::config::DeliverPolicy;
use super::saved::Saved;
use super::{Consumer, Pair, Snapshot};
use crate::server::stream::config::{Storage, StreamConfig};
use crate::server::stream::store::Store;
use crate::server::version::Version;

impl Consumer {
    /// Chooses the first message to deliver.
    pub(super) fn choose_start(&mut self, stream: &StreamConfig, store: &Store, version: Version) {
        let (first, last) = (store.first_seq(), store.last_seq());
        let filters = self.config.filters();
        let mut seq = match self.config.deliver_policy {
            DeliverPolicy::All => first,
            DeliverPolicy::Last if filters.is_empty() => last,
            DeliverPolicy::Last => {
                let ends = filters.iter().filter_map(|filter| store.extent(filter));
                ends.map(|(_, last, _)| last).max().unwrap_or(0)
            }
            DeliverPolicy::LastPerSubject if stream.max_msgs_per_subject == 1 => first,
            DeliverPolicy::LastPerSubject => {
                let seqs = store.last_seqs(&filters, u64::MAX);
                let start = seqs.first().copied().unwrap_or(last);
                // One that begins with the newest message of all is no snapshot.
                self.snapshot = (start < last).then(|| Snapshot {
                    seqs: seqs.into(),
                    resume: last,
                });
                start
            }
            DeliverPolicy::ByStartTime => self.start_by_time(store, version),
            DeliverPolicy::New => last + 1,
            DeliverPolicy::ByStartSequence => self.config.start_seq,
        };
        let last_of_all = self.config.deliver_policy == DeliverPolicy::Last && filters.is_empty();
        if last_of_all && version == Version::V2_10 {
            self.next_stream_seq = last.max(1); // 2.10 does not look whether there is such a message
            return;
        }
        let literal = version.starts_beyond_end() && self.config.start_seq > 0;
        if first == 0 && !literal {
            seq = 1;
        } else if version.starts_beyond_end() {
            if seq > last && !literal {
                seq = last + 1;
            } else if seq < first {
                seq = first;
            }
        } else if seq < first {
            seq = first;
        } else if seq > last {
            seq = last + 1;
        }
        self.next_stream_seq = seq;
        let shared = stream.replicas > 1 && self.is_replicated();
        if shared && self.habits.alone {
            // Nobody is there to agree with on where it begins, so that it forgets.
            if version > Version::V2_10 {
                self.next_stream_seq = 1;
            }
            return;
        }
        let on_disk = !self.config.memory && stream.storage == Storage::File;
        if seq > 1 || on_disk {
            let start = Pair {
                consumer: 0,
                stream: seq.saturating_sub(1),
            };
            // Servers that share a consumer tell each other where it begins, and the floor if it needs none.
            let told = shared && !self.config.wants_acks();
            let floor = if told || (version.saves_starting_floor() && !shared) {
                start
            } else {
                Pair::default()
            };
            let leads = shared && version > Version::V2_10;
            self.ack_floor = if leads { start } else { floor };
            self.saved = Some(Saved::starting(start, floor));
        }
    }

    fn start_by_time(&self, store: &Store, version: Version) -> u64 {
        let Some(time) = self.config.start_time else {
            return 1;
        };
        let seq = store.seq_from_time(time, version);
        let filters = self.config.filters();
        let extents = filters
            .iter()
            .map(|filter| store.extent(filter).map_or(0, |(first, ..)| first));
        let nearest = extents.filter(|first| *first >= seq).min();
        match nearest {
            Some(nearest) if nearest > seq && nearest < store.last_seq() => nearest,
            _ => seq,
        }
    }
}
