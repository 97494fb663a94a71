//! What 2.12 and later check before a message is stored or proposed, against what is stored, what is under way
//! and what is staged of the same batch.

use bytes::Bytes;

use super::admission::{MAX_HEADERS, Refusal, Rollup, sequence};
use super::batch::Staged;
use super::config::Discard;
use super::{Inbound, Stream};
use crate::server::error::ApiError;
use crate::server::header;
use crate::server::version::Version;

impl Stream {
    /// Checks a message after those that are staged of the same batch.
    pub(super) fn check_ahead(
        &self,
        inbound: &Inbound,
        id: Option<&str>,
        staged: &mut Staged,
        version: Version,
    ) -> Result<Option<Bytes>, Refusal> {
        let headers = &inbound.headers;
        if headers.len() > MAX_HEADERS {
            return Err(ApiError::HEADER_TOO_LARGE.into());
        }
        if header::text(headers, "Nats-Incr").is_some() {
            return Err(ApiError::INCR_DISABLED.into());
        }
        self.check_expected_stream(headers)?;
        self.check_ttl(headers)?;
        if id.is_some_and(|id| staged.ids.contains(id)) {
            return Err(ApiError::BATCH_DUPLICATE.into());
        }
        self.check_id(id)?;
        if version.refuses_source_header() && header::text(headers, "Nats-Stream-Source").is_some()
        {
            return Err(ApiError::SOURCE_HEADER.into());
        }
        let last = self.last_seq + self.proposals.len() as u64 + staged.messages();
        if let Some(expected) = header::text(headers, "Nats-Expected-Last-Sequence") {
            if sequence(&expected) != Some(last) {
                return Err(ApiError::wrong_last_sequence(last).into());
            }
            if !staged.is_empty() {
                return Err(ApiError::WRONG_LAST_SEQUENCE_IN_FLIGHT.into());
            }
        }
        let condition = self.check_subject(inbound, staged, version)?;
        if let Some(rollup) = self.check_rollup(headers, version)? {
            let why = match rollup {
                Rollup::Subject if staged.of_subject(&inbound.subject) > 0 => "sub",
                Rollup::All if !staged.is_empty() => "all",
                Rollup::Subject | Rollup::All => "",
            };
            if !why.is_empty() {
                let why = format!("batch rollup {why} invalid");
                return Err(ApiError::rollup_failed(why).into());
            }
        }
        self.check_room_ahead(inbound, staged, version)?;
        Ok(condition)
    }

    /// With discard new, room must be left by what is under way too; replacing makes no room here.
    pub(super) fn check_room_ahead(
        &self,
        inbound: &Inbound,
        staged: &Staged,
        version: Version,
    ) -> Result<(), Refusal> {
        if !version.checks_proposals_once() || self.config.discard != Discard::New {
            return Ok(());
        }
        let ahead = || {
            self.proposals
                .iter()
                .map(|one| &one.inbound)
                .chain([inbound])
        };
        let limit = |value: i64| u64::try_from(value).ok().filter(|max| *max > 0);
        let messages = self.store.len() + ahead().count() as u64 + staged.messages();
        if limit(self.config.max_msgs).is_some_and(|max| messages > max) {
            return Err(ApiError::store_failed("maximum messages exceeded").into());
        }
        let size = |one: &Inbound| self.store.size(&one.subject, &one.headers, &one.payload);
        let bytes = self.store.bytes() + ahead().map(size).sum::<u64>() + staged.bytes();
        if limit(self.config.max_bytes).is_some_and(|max| bytes > max) {
            return Err(ApiError::store_failed("maximum bytes exceeded").into());
        }
        let rolls_up =
            version >= Version::V2_14 && header::text(&inbound.headers, "Nats-Rollup").is_some();
        if self.config.discard_new_per_subject && !rolls_up {
            let same = ahead().filter(|one| one.subject == inbound.subject);
            let stored = self.store.of_subject(&inbound.subject);
            let count = stored.map_or(0, |seqs| seqs.len()) + same.count();
            let count = count as u64 + staged.of_subject(&inbound.subject);
            let max = limit(self.config.max_msgs_per_subject);
            if max.is_some_and(|max| count > max) {
                let why = "maximum messages per subject exceeded";
                return Err(ApiError::store_failed(why).into());
            }
        }
        Ok(())
    }
}
