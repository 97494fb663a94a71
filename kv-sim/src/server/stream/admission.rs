//! The checks before a message is stored, in the order of each server version.

use bytes::Bytes;

use super::config::Storage;
use super::{Inbound, Stream};
use crate::mutant::{self, Mutant};
use crate::server::duration;
use crate::server::error::ApiError;
use crate::server::header;
use crate::server::version::Version;

pub(super) const MAX_HEADERS: usize = 65_535;
/// The file store's largest record.
const MAX_RECORD: u64 = 32 * 1024 * 1024;
const SECOND: i64 = 1_000_000_000;

/// Why a message was not stored.
#[derive(Debug)]
pub(super) enum Refusal {
    Error(ApiError),
    Duplicate(u64),
    /// Up to 2.10 some refusals are not answered.
    Silent,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rollup {
    Subject,
    All,
}

/// What the checks found out.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    pub(super) msg_id: Option<String>,
    pub(super) rollup: Option<Rollup>,
}

impl Stream {
    pub(super) fn check_size(&self, inbound: &Inbound) -> Result<(), Refusal> {
        let size = inbound.headers.len() + inbound.payload.len();
        if usize::try_from(self.config.max_msg_size).is_ok_and(|max| size > max) {
            return Err(ApiError::TOO_LARGE.into());
        }
        if inbound.headers.len() > MAX_HEADERS {
            return Err(ApiError::HEADER_TOO_LARGE.into());
        }
        Ok(())
    }

    pub(super) fn check_size_of_record(
        &self,
        inbound: &Inbound,
        version: Version,
    ) -> Result<(), Refusal> {
        let size = self
            .store
            .size(&inbound.subject, &inbound.headers, &inbound.payload);
        if version >= Version::V2_14 && self.config.storage == Storage::File && size > MAX_RECORD {
            return Err(ApiError::store_failed("message too large").into());
        }
        Ok(())
    }

    /// Checks what headers ask for; what is sourced was asked for elsewhere.
    pub(super) fn check_headers(
        &self,
        inbound: &Inbound,
        sourced: bool,
        version: Version,
    ) -> Result<Admitted, Refusal> {
        let headers = &inbound.headers;
        if headers.is_empty() {
            return Ok(Admitted::default());
        }
        if version.has_level_2() && !sourced {
            self.check_newer_kinds(headers)?;
        }
        let expected = header::text(headers, "Nats-Expected-Stream");
        if expected.is_some_and(|expected| expected != self.config.name) {
            return Err(ApiError::EXPECTED_STREAM.into());
        }
        let ttl = header::text(headers, "Nats-TTL").filter(|_| version.has_level_1());
        let lives = ttl.is_some_and(|ttl| parse_ttl(&ttl).is_ok_and(|seconds| seconds != 0));
        if lives && !self.config.allow_msg_ttl && !sourced {
            return Err(ApiError::TTL_DISABLED.into());
        }
        let msg_id = header::text(headers, "Nats-Msg-Id").map(|id| id.into_owned());
        if version.checks_conditions_before_duplicates() {
            self.check_conditions(inbound, version)?;
            if version.refuses_source_header()
                && !sourced
                && header::text(headers, "Nats-Stream-Source").is_some()
            {
                return Err(ApiError::SOURCE_HEADER.into());
            }
            self.check_duplicate(msg_id.as_deref())?;
        } else {
            self.check_duplicate(msg_id.as_deref())?;
            self.check_conditions(inbound, version)?;
        }
        let expected = header::text(headers, "Nats-Expected-Last-Msg-Id");
        if expected.is_some_and(|expected| expected != self.last_msg_id) {
            return Err(ApiError::wrong_last_msg_id(&self.last_msg_id).into());
        }
        let rollup = if sourced {
            self.rollup_taken(headers, version)?
        } else {
            self.check_rollup(headers, version)?
        };
        Ok(Admitted { msg_id, rollup })
    }

    pub(super) fn check_newer_kinds(&self, headers: &[u8]) -> Result<(), Refusal> {
        if header::text(headers, "Nats-Incr").is_some() {
            return Err(ApiError::INCR_DISABLED.into());
        }
        Ok(())
    }

    fn check_duplicate(&self, id: Option<&str>) -> Result<(), Refusal> {
        match id.and_then(|id| self.msg_ids.get(id)) {
            Some((seq, _)) => Err(Refusal::Duplicate(*seq)),
            None => Ok(()),
        }
    }

    fn check_conditions(&self, inbound: &Inbound, version: Version) -> Result<(), Refusal> {
        let headers = &inbound.headers;
        let other = header::value(headers, "Nats-Expected-Last-Subject-Sequence-Subject")
            .filter(|other| !other.is_empty() && version.has_level_1());
        if let Some(expected) = header::text(headers, "Nats-Expected-Last-Subject-Sequence") {
            let subject = other.unwrap_or(&inbound.subject);
            let actual = self.store.last_for(subject).map_or(0, |last| last.seq);
            if sequence(&expected) != Some(actual) && !mutant::is(Mutant::ConditionNotChecked) {
                return Err(ApiError::wrong_last_sequence(actual).into());
            }
        } else if other.is_some() && version.has_level_2() {
            return Err(ApiError::CAS_SUBJECT_ALONE.into());
        }
        if let Some(expected) = header::text(headers, "Nats-Expected-Last-Sequence")
            && sequence(&expected) != Some(self.last_seq)
        {
            return Err(ApiError::wrong_last_sequence(self.last_seq).into());
        }
        Ok(())
    }

    pub(super) fn check_rollup(
        &self,
        headers: &[u8],
        version: Version,
    ) -> Result<Option<Rollup>, Refusal> {
        let Some(value) = header::text(headers, "Nats-Rollup") else {
            return Ok(None);
        };
        if !self.config.allow_rollup || self.config.deny_purge {
            return Err(ApiError::rollup_failed("rollup not permitted").into());
        }
        match value.as_ref() {
            "sub" => Ok(Some(Rollup::Subject)),
            "all" => Ok(Some(Rollup::All)),
            _ if !version.answers_bad_rollup() => Err(Refusal::Silent),
            bad => Err(ApiError::rollup_failed(format!("rollup value invalid: {bad:?}")).into()),
        }
    }

    /// The time to live in seconds, negative for ever, and the headers with it.
    pub(super) fn lifetime(
        &self,
        inbound: &Inbound,
        version: Version,
    ) -> Result<(Option<i64>, Bytes), Refusal> {
        let same = inbound.headers.clone();
        if !version.has_level_1() {
            return Ok((None, same));
        }
        let Some(ttl) = header::text(&inbound.headers, "Nats-TTL") else {
            return Ok((None, same));
        };
        let Ok(seconds) = parse_ttl(&ttl) else {
            return Err(ApiError::TTL_INVALID.into());
        };
        let least = self.config.delete_marker_ttl / SECOND;
        if seconds > 0 && seconds < least && self.config.max_msgs_per_subject != 1 {
            let cut = header::without(&inbound.headers, "Nats-TTL").unwrap_or_default();
            let raised = header::with(&cut, "Nats-TTL", &least.to_string());
            return Ok((Some(least), raised.into()));
        }
        Ok((Some(seconds), same))
    }
}

/// A sequence in a header; anything else never matches.
pub(super) fn sequence(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Seconds to live: an integer, a Go duration of at least a second, or `never` as -1.
pub(super) fn parse_ttl(text: &str) -> Result<i64, ()> {
    if text.eq_ignore_ascii_case("never") {
        return Ok(-1);
    }
    match duration::parse(text) {
        Some(nanos) if nanos < SECOND => Err(()),
        Some(nanos) => Ok(nanos / SECOND),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_err(|_| ()),
        None => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_values() {
        for (text, expected) in [
            ("1", Ok(1)),
            ("1500ms", Ok(1)),
            ("1h30m", Ok(5400)),
            ("never", Ok(-1)),
            ("NEVER", Ok(-1)),
            ("0", Err(())),
            ("500ms", Err(())),
            ("-1", Err(())),
            ("abc", Err(())),
            ("1d", Err(())),
        ] {
            assert_eq!(parse_ttl(text), expected, "{text}");
        }
    }
}
