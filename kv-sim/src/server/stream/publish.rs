//! What happens to a message that is published to a stream.
//!
//! The order of the checks is the server's, and differs: up to 2.11 a duplicate id is found before a
//! condition fails, later after it.

use std::fmt::Write as _;

use bytes::Bytes;
use kv_proto::Timestamp;

use super::admission::{Admitted, Refusal, Rollup};
use super::batch::Part;
use super::store::Message;
use super::{Now, Outbox, Outgoing, Stream};
use crate::mutant::{self, Mutant};
use crate::server::consumer::Notice;
use crate::server::error::ApiError;
use crate::server::header;
use crate::server::journal::Removal;
use crate::server::json::{Writer, go_time};
use crate::server::peers::Peers;
use crate::server::version::Version;

const SECOND: i64 = 1_000_000_000;

/// A message on its way into a stream.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    pub(crate) subject: Bytes,
    pub(crate) reply: Bytes,
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
}

impl Stream {
    /// Takes what a client published; `elsewhere` is how many batches other streams have open.
    pub(crate) fn publish(
        &mut self,
        mut inbound: Inbound,
        elsewhere: usize,
        now: Now,
        peers: &mut Peers,
        out: &mut Outbox,
    ) {
        if now.version.strips_status() {
            inbound.headers = header::ingested(&inbound.headers);
        }
        if let Some(part) = Part::of(&inbound.headers, now.version) {
            return self.take_part(part, inbound, elsewhere, now, peers, out);
        }
        inbound.subject = self.mappings.stored(inbound.subject);
        if self.group.is_replicated() {
            return self.propose(inbound, now, peers, out);
        }
        self.store_at_once(inbound, now, out);
    }

    /// Checks, stores and answers a message.
    fn store_at_once(&mut self, inbound: Inbound, now: Now, out: &mut Outbox) {
        let reply = inbound.reply.clone();
        let result = self.store_checked(inbound, false, now, out);
        self.answer(&reply, result, None, now.version, out);
    }

    /// Tells a publisher what became of its message, or of its batch with the last message.
    pub(super) fn answer(
        &self,
        reply: &Bytes,
        result: Result<u64, Refusal>,
        part: Option<&Part>,
        version: Version,
        out: &mut Outbox,
    ) {
        let answer = match result {
            Ok(seq) if mutant::strikes(Mutant::RefusedAndStored, seq) => {
                self.refusal(&ApiError::TOO_LARGE)
            }
            Ok(seq) => match part {
                None => self.acknowledgement(seq, version) + "}",
                Some(Part { id, number }) => format!(
                    "{},\"batch\":{id:?},\"count\":{number}}}",
                    self.acknowledgement(seq, version)
                ),
            },
            Err(Refusal::Duplicate(seq)) => {
                self.acknowledgement(seq, version) + ",\"duplicate\": true}"
            }
            Err(Refusal::Error(error)) => self.refusal(&error),
            Err(Refusal::Silent) => return,
        };
        if !reply.is_empty() && !self.config.no_ack {
            out.push_back(Outgoing::answer(reply, answer));
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
        self.store_at_once(inbound, now, out);
    }

    /// Checks and stores a message of a client, or one that comes from another stream.
    pub(super) fn store_checked(
        &mut self,
        inbound: Inbound,
        sourced: bool,
        now: Now,
        out: &mut Outbox,
    ) -> Result<u64, Refusal> {
        let version = now.version;
        self.forget_msg_ids(now.time);
        let named = |name| header::text(&inbound.headers, name).is_some();
        if named("Nats-Msg-Id") || named("Nats-Expected-Last-Msg-Id") {
            self.read_msg_ids(now);
        }
        self.check_size_of_record(&inbound, version)?;
        if self.config.sealed {
            return Err(ApiError::SEALED.into());
        }
        if version.checks_size_first() {
            self.check_size(&inbound)?;
        }
        let admitted = self.check_headers(&inbound, sourced, version)?;
        self.check_size(&inbound)?;
        if self.drops_next(&inbound.subject) {
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

    /// What is not kept is counted all the same.
    pub(super) fn skip(&mut self, admitted: Admitted, time: Timestamp) -> u64 {
        let seq = self.store.skip(time);
        self.last_seq = seq;
        self.last_msg_id = admitted.msg_id.clone().unwrap_or_default();
        if let Some(id) = admitted.msg_id {
            self.remember_msg_id(id, seq, time);
        }
        seq
    }

    pub(super) fn store_admitted(
        &mut self,
        mut inbound: Inbound,
        admitted: Admitted,
        lifetime: Option<i64>,
        now: Now,
        out: &mut Outbox,
    ) -> u64 {
        let before = self.store.last_seq();
        assert!(!mutant::strikes(Mutant::Panic, before), "planted");
        if mutant::strikes(Mutant::StoredElsewhere, before) {
            inbound.subject = Bytes::from_static(b"$KV.b.k3");
        }
        let previous = self
            .store
            .last_for(&inbound.subject)
            .map_or(0, |last| last.seq);
        let time = self.next_time(now.time);
        let expires = lifetime.filter(|seconds| *seconds > 0).map(|seconds| {
            let nanos = seconds.saturating_mul(SECOND);
            Timestamp::from_unix_nanos(time.as_unix_nanos().saturating_add(nanos))
        });
        let message = Message {
            seq: 0,
            subject: inbound.subject.clone(),
            headers: inbound.headers.clone(),
            payload: inbound.payload.clone(),
            time,
            expires: expires.filter(|_| self.config.allow_msg_ttl),
            never_expires: lifetime.is_some_and(|seconds| seconds < 0) && self.config.allow_msg_ttl,
        };
        if mutant::strikes(Mutant::StoredTwice, before) {
            self.store.append(message.clone());
        }
        let seq = self.store.append(message);
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
        self.notify(Notice::Stored(seq, inbound.subject.clone()));
        match admitted.rollup {
            None => {}
            Some(Rollup::Subject) => {
                let subject = String::from_utf8_lossy(&inbound.subject).into_owned();
                self.purge_by(&subject, 0, 1, now.version, Removal::RolledUp);
            }
            Some(Rollup::All) => {
                self.purge_by("", 0, 1, now.version, Removal::RolledUp);
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
        let Some(subject) = self.mappings.republished(&inbound.subject) else {
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
        let mut out = out.unfinished();
        if let Some(domain) = &self.domain {
            let _ = write!(out, ",{blank}\"domain\":{domain:?}"); // a String takes it
        }
        let _ = write!(out, ",{blank}\"seq\":{seq}"); // a String takes it
        out
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
