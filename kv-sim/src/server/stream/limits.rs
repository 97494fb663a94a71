//! `max_msgs`, `max_bytes`, `max_msgs_per_subject`, and what happens when they are reached.

use super::config::{Discard, Storage};
use super::{Inbound, Stream};
use crate::server::error::ApiError;
use crate::server::header;
use crate::server::journal::Removal;
use crate::server::version::Version;

impl Stream {
    /// With discard new: whether there is room for one more message.
    pub(super) fn check_room(&self, inbound: &Inbound, version: Version) -> Result<(), ApiError> {
        if self.config.discard != Discard::New {
            return Ok(());
        }
        let of_subject = self.store.of_subject(&inbound.subject);
        let per_subject = u64::try_from(self.config.max_msgs_per_subject).unwrap_or(0);
        let count = of_subject.map_or(0, |seqs| seqs.len() as u64);
        let replaces = per_subject > 0 && count >= per_subject;
        let rolls_up =
            version >= Version::V2_14 && header::text(&inbound.headers, "Nats-Rollup").is_some();
        if replaces && self.config.discard_new_per_subject && !rolls_up {
            return Err(ApiError::store_failed(
                "maximum messages per subject exceeded",
            ));
        }
        let max_msgs = u64::try_from(self.config.max_msgs).unwrap_or(0);
        if max_msgs > 0 && self.store.len() >= max_msgs && !replaces {
            return Err(ApiError::store_failed("maximum messages exceeded"));
        }
        let max_bytes = u64::try_from(self.config.max_bytes).unwrap_or(0);
        let size = self
            .store
            .size(&inbound.subject, &inbound.headers, &inbound.payload);
        let total = self.store.bytes() + size;
        let fills = version.fills_max_bytes();
        let over = if fills {
            total > max_bytes
        } else {
            total >= max_bytes
        };
        if max_bytes == 0 || !over {
            return Ok(());
        }
        let first = of_subject.and_then(|seqs| seqs.first());
        let replaced = first.and_then(|seq| self.store.get(*seq));
        let replaced = replaced.map_or(0, |message| self.store.size_of(message));
        let fits = match self.config.storage {
            Storage::File if !fills => replaced > size,
            Storage::File | Storage::Memory => replaced >= size,
        };
        if replaces && fits {
            return Ok(());
        }
        Err(ApiError::store_failed("maximum bytes exceeded"))
    }

    /// After a message was stored: drops what is too much.
    pub(super) fn enforce_after(&mut self, subject: &[u8]) {
        self.enforce_per_subject(subject);
        self.enforce_totals();
    }

    /// After the limits changed: drops what is too much anywhere.
    pub(super) fn enforce_limits(&mut self, old_per_subject: i64, version: Version) {
        self.enforce_totals();
        let per_subject = self.config.max_msgs_per_subject;
        let first = old_per_subject <= 0 && version.enforces_first_limit();
        if first || per_subject < old_per_subject {
            let all = self.store.totals(b">");
            for subject in all.keys() {
                self.enforce_per_subject(subject);
            }
        }
    }

    fn enforce_per_subject(&mut self, subject: &[u8]) {
        let Some(max) = usize::try_from(self.config.max_msgs_per_subject)
            .ok()
            .filter(|n| *n > 0)
        else {
            return;
        };
        while let Some(seqs) = self.store.of_subject(subject) {
            let Some(oldest) = seqs.first().copied().filter(|_| seqs.len() > max) else {
                return;
            };
            self.remove(oldest, Removal::Limit);
        }
    }

    fn enforce_totals(&mut self) {
        if self.config.discard != Discard::Old {
            return;
        }
        let max_msgs = u64::try_from(self.config.max_msgs).ok().filter(|n| *n > 0);
        let max_bytes = u64::try_from(self.config.max_bytes).ok().filter(|n| *n > 0);
        while max_msgs.is_some_and(|max| self.store.len() > max)
            || max_bytes.is_some_and(|max| self.store.bytes() > max)
        {
            let Some(oldest) = self.store.oldest().map(|message| message.seq) else {
                return;
            };
            self.remove(oldest, Removal::Limit);
        }
    }
}
