//! STREAM.MSG.GET and STREAM.MSG.DELETE: what the leader of a stream answers.

use kv_proto::Timestamp;

use super::{Answer, JetStream, Request, begin};
use crate::mutant::{self, Mutant};
use crate::server::decode::{Decoder, is_empty, request as decode};
use crate::server::error::ApiError;
use crate::server::json::{Json, Writer};
use crate::server::stream::config::Storage;
use crate::server::stream::store::{Message, Store};
use crate::server::version::Version;

/// Which message is asked for; the same members serve direct gets.
#[derive(Clone, Debug, Default)]
pub(super) struct GetRequest {
    pub(super) seq: u64,
    pub(super) last_for: String,
    pub(super) next_for: String,
    pub(super) batch: i64,
    pub(super) max_bytes: i64,
    pub(super) start_time: Option<Timestamp>,
    pub(super) multi_last: Vec<String>,
    pub(super) up_to_seq: u64,
    pub(super) up_to_time: Option<Timestamp>,
    pub(super) no_headers: bool,
}

impl GetRequest {
    pub(super) fn member(
        &mut self,
        name: &str,
        json: &Json,
        read: &mut Decoder,
        v: Version,
    ) -> bool {
        let newer = v.has_level_1();
        match name {
            "seq" => read.number(json, &mut self.seq),
            "last_by_subj" => read.text(json, &mut self.last_for),
            "next_by_subj" => read.text(json, &mut self.next_for),
            "batch" if newer => read.number(json, &mut self.batch),
            "max_bytes" if newer => read.number(json, &mut self.max_bytes),
            "start_time" if newer => read.time(json, &mut self.start_time),
            "multi_last" if newer => read.texts(json, &mut self.multi_last),
            "up_to_seq" if newer => read.number(json, &mut self.up_to_seq),
            "up_to_time" if newer => read.time(json, &mut self.up_to_time),
            "no_hdr" if v.has_level_2() => read.bool(json, &mut self.no_headers),
            _ => false,
        }
    }

    /// Whether it asks for nothing, or for two things at once.
    pub(super) fn is_contradictory(&self) -> bool {
        let (seq, last, next) = (
            self.seq > 0,
            !self.last_for.is_empty(),
            !self.next_for.is_empty(),
        );
        let time = self.start_time.is_some();
        (seq && (last || time)) || (last && (time || next))
    }

    /// Whether a store found no sequence for a time: then the last one is asked for, and that was deleted.
    pub(super) fn misses_time(&self, seq: u64) -> bool {
        seq == 0 && self.start_time.is_some() && self.next_for.is_empty()
    }

    /// The one message, if it exists.
    pub(super) fn find<'a>(&self, store: &'a Store, v: Version) -> Option<&'a Message> {
        let seq = self
            .start_time
            .map_or(self.seq, |time| store.seq_from_time(time, v));
        if !self.next_for.is_empty() {
            return store.next_for(&[self.next_for.as_bytes()], seq);
        }
        if seq > 0 {
            return store.get(seq);
        }
        if self.misses_time(seq) {
            return None;
        }
        store.last_for(self.last_for.as_bytes())
    }

    /// What the leader finds: the same, unless a bug is planted.
    fn find_as_leader<'a>(&self, store: &'a Store, v: Version) -> Option<&'a Message> {
        let found = self.find(store, v)?;
        let same_key = store.of_subject(&found.subject);
        let before = same_key.and_then(|seqs| seqs.range(..found.seq).next_back());
        before
            .filter(|_| mutant::is(Mutant::StaleLeaderRead) && self.seq == 0)
            .map_or(Some(found), |before| store.get(*before))
    }
}

#[derive(Debug, Default)]
struct DeleteRequest {
    seq: u64,
    no_erase: bool,
}

impl JetStream {
    pub(super) fn get_message(&mut self, name: &str, request: &Request<'_>) -> Answer {
        if is_empty(request.body) {
            return Err(ApiError::BAD_REQUEST);
        }
        let version = request.now.version;
        let asked = decode(
            version,
            request.body,
            "server.JSApiMsgGetRequest",
            |out: &mut GetRequest, name, json, read| out.member(name, json, read, version),
        )?;
        let nothing = asked.seq == 0
            && asked.last_for.is_empty()
            && asked.next_for.is_empty()
            && asked.start_time.is_none();
        if asked.batch > 0 || asked.max_bytes > 0 || nothing || asked.is_contradictory() {
            return Err(ApiError::BAD_REQUEST);
        }
        if mutant::strikes(Mutant::BucketHidden, self.requests) {
            return Err(ApiError::STREAM_NOT_FOUND);
        }
        let stream = self.found(name)?;
        let message = asked
            .find_as_leader(stream.leader_store(request.now.instant), version)
            .ok_or(ApiError::NO_MESSAGE_FOUND)?;
        let mut stored = Writer::object();
        stored
            .text("subject", &String::from_utf8_lossy(&message.subject))
            .number("seq", message.seq);
        if !asked.no_headers {
            stored.some_base64("hdrs", &message.headers);
        }
        stored
            .some_base64("data", &message.payload)
            .time("time", Some(message.time));
        let mut out = begin("stream_msg_get");
        out.raw("message", &stored.end());
        Ok(out)
    }

    pub(super) fn delete_message(&mut self, name: &str, request: &Request<'_>) -> Answer {
        if is_empty(request.body) {
            return Err(ApiError::BAD_REQUEST);
        }
        let version = request.now.version;
        let asked = decode(
            version,
            request.body,
            "server.JSApiMsgDeleteRequest",
            |out: &mut DeleteRequest, name, json, read| match name {
                "seq" => read.number(json, &mut out.seq),
                "no_erase" => read.bool(json, &mut out.no_erase),
                _ => false,
            },
        )?;
        let stream = self.stream(name)?;
        if stream.config.sealed {
            return Err(ApiError::SEALED);
        }
        if stream.config.deny_delete {
            return Err(ApiError::msg_delete_failed("message delete not permitted"));
        }
        let (first, last) = (stream.store.first_seq(), stream.store.last_seq());
        if stream.erase(asked.seq, !asked.no_erase, version).is_none() {
            return Err(match stream.config.storage {
                Storage::File if asked.seq > last => {
                    ApiError::msg_delete_failed("stream store EOF")
                }
                Storage::File if asked.seq < first.max(1) => {
                    ApiError::msg_delete_failed("no message found")
                }
                Storage::File | Storage::Memory => ApiError::sequence_not_found(asked.seq),
            });
        }
        let mut out = begin("stream_msg_delete");
        out.bool("success", true);
        Ok(out)
    }
}
