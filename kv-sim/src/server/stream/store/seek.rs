//! From a time to a sequence, which took the real stores some releases to get right.

use kv_proto::Timestamp;

use super::Store;
use crate::server::stream::config::Storage;
use crate::server::version::Version;

impl Store {
    /// The sequence of the first message not older than `time`, or the next one to come.
    pub(crate) fn seq_from_time(&self, time: Timestamp, version: Version) -> u64 {
        match (version, self.storage) {
            (Version::V2_10 | Version::V2_11, Storage::Memory) => {
                self.seek_in_memory(time, version)
            }
            (Version::V2_11, Storage::File) => self.seek_in_file(time),
            (Version::V2_10, Storage::File)
            | (Version::V2_12 | Version::V2_14 | Version::V2_15, _) => {
                let found = self.messages.values().find(|message| message.time >= time);
                found.map_or(self.last_seq + 1, |message| message.seq)
            }
        }
    }

    fn seek_in_memory(&self, time: Timestamp, version: Version) -> u64 {
        let Some(first) = self.oldest() else {
            return self.last_seq + 1;
        };
        if time <= first.time {
            return self.first_seq;
        }
        let last = self.messages.values().next_back();
        match last.filter(|last| last.seq > first.seq) {
            None if version == Version::V2_10 => self.first_seq,
            None => self.last_seq + 1,
            Some(last) if time == last.time => self.last_seq,
            Some(last) if time > last.time => self.last_seq + 1,
            Some(_) => self.first_seq + self.search(self.len(), time),
        }
    }

    fn seek_in_file(&self, time: Timestamp) -> u64 {
        if self.last_time.is_none_or(|last| time > last) {
            return self.last_seq + 1;
        }
        let count = (self.last_seq + 1).saturating_sub(self.first_seq);
        let at = self.search(count, time);
        if at < count { self.first_seq + at } else { 0 }
    }

    /// A binary search that takes gaps for messages that are too old.
    fn search(&self, count: u64, time: Timestamp) -> u64 {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            let message = self.messages.get(&(self.first_seq + middle));
            if message.is_some_and(|message| message.time >= time) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}
