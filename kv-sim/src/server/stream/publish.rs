//! What happens to a message that is published to a stream.
//!
//! The order of the checks is the server's, and differs: up to 2.11 a duplicate id is found before a
//! condition fails, later after it.

use std::fmt::Write as _;

use bytes::Bytes;
use kv_proto::Timestamp;

use super::config::{Retention, Storage};
use super::republish::transform;
use super::store::Message;
use super::{Now, Outbox, Outgoing, Stream};
use crate::server::error::ApiError;
use crate::server::header;
use crate::server::json::{Writer, go_time};
use crate::server::version::Version;

const MAX_HEADERS: usize = 65_535;
/// The file store's largest record.
const MAX_RECORD: u64 = 32 * 1024 * 1024;
const SECOND: i64 = 1_000_000_000;

/// A message on its way into a stream.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    pub(crate) subject: Bytes,
    pub(crate) reply: Bytes,
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
}

/// Why a message was not stored.
#[derive(Debug)]
enum Refusal {
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
enum Rollup {
    Subject,
    All,
}

/// What the checks found out.
#[derive(Debug, Default)]
struct Admitted {
    msg_id: Option<String>,
    rollup: Option<Rollup>,
}

impl Stream {
    /// Checks, stores and answers a message.
    pub(crate) fn publish(&mut self, mut inbound: Inbound, now: Now, out: &mut Outbox) {
        inbound.headers = header::ingested(&inbound.headers);
        let reply = inbound.reply.clone();
        let answer = match self.store_checked(inbound, now, out) {
            Ok(seq) => self.acknowledgement(seq, now.version) + "}",
            Err(Refusal::Duplicate(seq)) => {
                self.acknowledgement(seq, now.version) + ",\"duplicate\": true}"
            }
            Err(Refusal::Error(error)) => self.refusal(&error),
            Err(Refusal::Silent) => return,
        };
        if !reply.is_empty() && !self.config.no_ack {
            out.push_back(Outgoing::answer(&reply, answer));
        }
    }

    /// Stores what the server itself writes, such as a delete marker.
    pub(super) fn publish_marker(
        &mut self,
        subject: Bytes,
        headers: Vec<u8>,
        now: Now,
        out: &mut Outbox,
    ) {
        let inbound = Inbound {
            subject,
            reply: Bytes::new(),
            headers: headers.into(),
            payload: Bytes::new(),
        };
        self.publish(inbound, now, out);
    }

    fn store_checked(
        &mut self,
        inbound: Inbound,
        now: Now,
        out: &mut Outbox,
    ) -> Result<u64, Refusal> {
        let version = now.version;
        self.forget_msg_ids(now.time);
        self.check_size_of_record(&inbound, version)?;
        if self.config.sealed {
            return Err(ApiError::SEALED.into());
        }
        if version.checks_size_first() {
            self.check_size(&inbound)?;
        }
        let admitted = self.check_headers(&inbound, version)?;
        self.check_size(&inbound)?;
        if self.config.retention == Retention::Interest && self.consumers.is_empty() {
            return Ok(self.skip(admitted, now.time));
        }
        let lifetime = self.lifetime(&inbound, version);
        if version == Version::V2_11 && lifetime.is_err() {
            // This server advances before it reads the TTL, and stays ahead.
            self.last_seq += 1;
            self.last_msg_id = admitted.msg_id.unwrap_or_default();
            return Err(ApiError::TTL_INVALID.into());
        }
        let (lifetime, headers) = lifetime?;
        let inbound = Inbound { headers, ..inbound };
        if let Err(error) = self.check_room(&inbound, version) {
            if version <= Version::V2_11 {
                self.last_seq = self.store.last_seq();
            }
            return Err(error.into());
        }
        Ok(self.store_admitted(inbound, admitted, lifetime, now, out))
    }

    /// A stream by interest counts what nobody waits for, and keeps nothing.
    fn skip(&mut self, admitted: Admitted, time: Timestamp) -> u64 {
        let seq = self.store.skip();
        self.last_seq = seq;
        self.last_msg_id = admitted.msg_id.clone().unwrap_or_default();
        if let Some(id) = admitted.msg_id {
            self.remember_msg_id(id, seq, time);
        }
        seq
    }

    fn store_admitted(
        &mut self,
        inbound: Inbound,
        admitted: Admitted,
        lifetime: Option<i64>,
        now: Now,
        out: &mut Outbox,
    ) -> u64 {
        let previous = self
            .store
            .last_for(&inbound.subject)
            .map_or(0, |last| last.seq);
        let time = self.next_time(now.time);
        let expires = lifetime.filter(|seconds| *seconds > 0).map(|seconds| {
            let nanos = seconds.saturating_mul(SECOND);
            Timestamp::from_unix_nanos(time.as_unix_nanos().saturating_add(nanos))
        });
        let seq = self.store.append(Message {
            seq: 0,
            subject: inbound.subject.clone(),
            headers: inbound.headers.clone(),
            payload: inbound.payload.clone(),
            time,
            expires: expires.filter(|_| self.config.allow_msg_ttl),
            never_expires: lifetime.is_some_and(|seconds| seconds < 0) && self.config.allow_msg_ttl,
        });
        self.last_seq = if now.version == Version::V2_11 {
            self.last_seq + 1
        } else {
            seq
        };
        self.last_msg_id = admitted.msg_id.clone().unwrap_or_default();
        if let Some(id) = admitted.msg_id {
            self.remember_msg_id(id, seq, time);
        }
        self.enforce_after(&inbound.subject);
        for consumer in self.consumers.values_mut() {
            consumer.message_stored(seq, &inbound.subject);
        }
        match admitted.rollup {
            None => {}
            Some(Rollup::Subject) => {
                let subject = String::from_utf8_lossy(&inbound.subject).into_owned();
                self.purge(&subject, 0, 1, now.version);
            }
            Some(Rollup::All) => {
                self.purge("", 0, 1, now.version);
            }
        }
        self.republish(&inbound, seq, previous, time, out);
        seq
    }

    /// Later than every stored message, as two messages never have the same time.
    fn next_time(&self, now: Timestamp) -> Timestamp {
        let after = self
            .store
            .last_time()
            .map_or(i64::MIN, |last| last.as_unix_nanos() + 1);
        Timestamp::from_unix_nanos(now.as_unix_nanos().max(after))
    }

    fn check_size(&self, inbound: &Inbound) -> Result<(), Refusal> {
        let size = inbound.headers.len() + inbound.payload.len();
        if usize::try_from(self.config.max_msg_size).is_ok_and(|max| size > max) {
            return Err(ApiError::TOO_LARGE.into());
        }
        if inbound.headers.len() > MAX_HEADERS {
            return Err(ApiError::HEADER_TOO_LARGE.into());
        }
        Ok(())
    }

    fn check_size_of_record(&self, inbound: &Inbound, version: Version) -> Result<(), Refusal> {
        let size = self
            .store
            .size(&inbound.subject, &inbound.headers, &inbound.payload);
        if version >= Version::V2_14 && self.config.storage == Storage::File && size > MAX_RECORD {
            return Err(ApiError::store_failed("message too large").into());
        }
        Ok(())
    }

    fn check_headers(&self, inbound: &Inbound, version: Version) -> Result<Admitted, Refusal> {
        let headers = &inbound.headers;
        if headers.is_empty() {
            return Ok(Admitted::default());
        }
        if version.has_level_2() {
            self.check_newer_kinds(headers)?;
        }
        let expected = header::text(headers, "Nats-Expected-Stream");
        if expected.is_some_and(|expected| expected != self.config.name) {
            return Err(ApiError::EXPECTED_STREAM.into());
        }
        let ttl = header::text(headers, "Nats-TTL").filter(|_| version.has_level_1());
        let lives = ttl.is_some_and(|ttl| parse_ttl(&ttl).is_ok_and(|seconds| seconds != 0));
        if lives && !self.config.allow_msg_ttl {
            return Err(ApiError::TTL_DISABLED.into());
        }
        let msg_id = header::text(headers, "Nats-Msg-Id").map(|id| id.into_owned());
        if version.checks_conditions_before_duplicates() {
            self.check_conditions(inbound, version)?;
            if version.refuses_source_header()
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
        let rollup = self.check_rollup(headers, version)?;
        Ok(Admitted { msg_id, rollup })
    }

    fn check_newer_kinds(&self, headers: &[u8]) -> Result<(), Refusal> {
        if header::text(headers, "Nats-Batch-Id").is_some() && !self.config.allow_atomic {
            return Err(ApiError::ATOMIC_DISABLED.into());
        }
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
            if sequence(&expected) != Some(actual) {
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

    fn check_rollup(&self, headers: &[u8], version: Version) -> Result<Option<Rollup>, Refusal> {
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
    fn lifetime(
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

    fn republish(
        &self,
        inbound: &Inbound,
        seq: u64,
        previous: u64,
        time: Timestamp,
        out: &mut Outbox,
    ) {
        let Some(republish) = &self.config.republish else {
            return;
        };
        let mapped = transform(&inbound.subject, &republish.source, &republish.destination);
        let Some(subject) = mapped.map(Bytes::from) else {
            return;
        };
        let mut added = format!(
            "Nats-Stream: {}\r\nNats-Subject: {}\r\nNats-Sequence: {seq}\r\nNats-Time-Stamp: {}\r\nNats-Last-Sequence: {previous}\r\n",
            self.config.name,
            String::from_utf8_lossy(&inbound.subject),
            go_time(time),
        );
        if republish.headers_only {
            let _ = write!(added, "Nats-Msg-Size: {}\r\n", inbound.payload.len()); // a String takes it
        }
        out.push_back(Outgoing {
            to: subject.clone(),
            subject,
            reply: Bytes::new(),
            headers: extended(&inbound.headers, &added),
            payload: if republish.headers_only {
                Bytes::new()
            } else {
                inbound.payload.clone()
            },
        });
    }

    fn acknowledgement(&self, seq: u64, version: Version) -> String {
        let mut out = Writer::object();
        out.text("stream", &self.config.name);
        let blank = if version.spaces_acknowledgements() {
            " "
        } else {
            ""
        };
        let open = out.end();
        let open = open.trim_end_matches('}');
        format!("{open},{blank}\"seq\":{seq}")
    }

    fn refusal(&self, error: &ApiError) -> String {
        let mut out = Writer::object();
        out.raw("error", &error.json())
            .text("stream", &self.config.name)
            .number("seq", 0);
        out.end()
    }
}

/// Puts header lines before the end of a block, as the server does without looking.
pub(crate) fn extended(block: &[u8], lines: &str) -> Bytes {
    let start = match block.len().checked_sub(2) {
        Some(end) if !block.is_empty() => block.get(..end).unwrap_or_default(),
        _ => header::EMPTY_LINE,
    };
    [start, lines.as_bytes(), b"\r\n"].concat().into()
}

/// A sequence in a header; anything else never matches.
fn sequence(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Seconds to live: an integer, a Go duration of at least a second, or `never` as -1.
pub(super) fn parse_ttl(text: &str) -> Result<i64, ()> {
    if text.eq_ignore_ascii_case("never") {
        return Ok(-1);
    }
    match go_duration(text) {
        Some(nanos) if nanos < SECOND => Err(()),
        Some(nanos) => Ok(nanos / SECOND),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().map_err(|_| ()),
        None => Err(()),
    }
}

/// A duration such as `1h30m` or `1500ms`, in nanoseconds.
fn go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest.get(..number)?.parse().ok()?;
        rest = rest.get(number..)?;
        let length = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match rest.get(..length)? {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += value * unit;
        rest = rest.get(length..)?;
    }
    let nanos = total as i64;
    Some(if negative { -nanos } else { nanos })
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
