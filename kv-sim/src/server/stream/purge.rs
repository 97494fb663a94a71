//! STREAM.PURGE and roll-ups: the same request removes different messages in different stores and
//! versions, and consumers are told in different ways.

use bytes::Bytes;

use super::Stream;
use super::config::Storage;
use crate::server::consumer::Notice;
use crate::server::journal::Removal;
use crate::server::version::Version;

impl Stream {
    /// Removes what matches: below `seq` if that is not 0, all but the newest `keep` if that is not 0.
    pub(crate) fn purge(&mut self, filter: &str, seq: u64, keep: u64, version: Version) -> u64 {
        self.purge_by(filter, seq, keep, version, Removal::Purged)
    }

    pub(super) fn purge_by(
        &mut self,
        filter: &str,
        seq: u64,
        keep: u64,
        version: Version,
        why: Removal,
    ) -> u64 {
        let purged = self.purge_store(filter, seq, keep, version, why);
        self.last_seq = self.last_seq.max(self.store.last_seq());
        let first = if filter.is_empty() {
            self.store.first_seq()
        } else {
            let left = self.store.extent(filter.as_bytes());
            left.map_or(0, |(first, _, _)| first)
        };
        let covered_only = version.moves_covered_consumers_only();
        self.notify(Notice::Purged(filter.to_owned(), first, covered_only));
        purged
    }

    fn purge_store(
        &mut self,
        filter: &str,
        seq: u64,
        keep: u64,
        version: Version,
        why: Removal,
    ) -> u64 {
        let old_memory = self.config.storage == Storage::Memory && !version.purges_alike();
        if seq == 1 && version.purges_alike() {
            return 0;
        }
        if filter.is_empty() || filter == ">" {
            if seq == 0 && keep == 0 {
                let purged = self.store.clear(why);
                return self.recounted(purged);
            }
            if seq > 1 {
                return self.compact(seq, why);
            }
            if old_memory {
                let all = keep == 0 || keep >= self.store.len();
                return if all {
                    0
                } else {
                    self.compact(self.store.last_seq() - keep + 1, why)
                };
            }
        }
        let doomed = self.doomed(filter, seq, keep);
        if old_memory {
            for seq in &doomed {
                self.remove(*seq, why);
            }
            return doomed.len() as u64;
        }
        let removed: Vec<_> = doomed
            .iter()
            .filter_map(|seq| self.store.remove(*seq, why))
            .collect();
        match removed.as_slice() {
            [only] if self.config.storage == Storage::Memory || version >= Version::V2_11 => {
                // The file store tells consumers the filter in place of the subject.
                let told = match self.config.storage {
                    Storage::File => Bytes::copy_from_slice(filter.as_bytes()),
                    Storage::Memory => only.subject.clone(),
                };
                self.notify(Notice::Removed(only.seq, told));
                1
            }
            many => self.recounted(many.len() as u64),
        }
    }

    /// The sequences that a purge of a filter removes.
    fn doomed(&self, filter: &str, seq: u64, keep: u64) -> Vec<u64> {
        let mut out = Vec::new();
        let Some((first, last, count)) = self.store.extent(filter.as_bytes()) else {
            return out;
        };
        if keep >= count {
            return out;
        }
        let limit = if keep > 0 { count - keep } else { u64::MAX };
        let last = if seq > 1 { seq - 1 } else { last };
        let mut from = first;
        while let Some(message) = self.store.next_for(&[filter.as_bytes()], from) {
            if message.seq > last || out.len() as u64 >= limit {
                break;
            }
            from = message.seq + 1;
            out.push(message.seq);
        }
        out
    }

    fn compact(&mut self, seq: u64, why: Removal) -> u64 {
        let purged = self.store.compact(seq, why);
        self.recounted(purged)
    }

    /// Lets consumers count afresh after many messages went at once.
    fn recounted(&mut self, purged: u64) -> u64 {
        if purged > 0 {
            self.notify(Notice::Recounted);
        }
        purged
    }
}
