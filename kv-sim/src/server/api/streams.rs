//! STREAM.CREATE, UPDATE, INFO, DELETE, PURGE, NAMES and LIST.

use bytes::Bytes;

use super::{Answer, JetStream, Request, begin, page};
use crate::server::decode::{Decoder, is_empty, is_structured, request as decode};
use crate::server::error::ApiError;
use crate::server::journal::Change;
use crate::server::json::{Json, Writer, texts};
use crate::server::stream::Outbox;
use crate::server::stream::Stream;
use crate::server::stream::config::{Storage, StreamConfig};
use crate::server::subject;
use crate::server::version::Version;

const NAMES_LIMIT: usize = 1024;
const LIST_LIMIT: usize = 256;
const SUBJECTS_LIMIT: usize = 100_000;

/// A page of a list.
#[derive(Debug, Default)]
pub(super) struct PageRequest {
    pub(super) offset: i64,
    subject: String,
    subjects_filter: String,
    deleted_details: bool,
}

impl PageRequest {
    /// Reads one; a body that is no object or array is ignored.
    pub(super) fn read(request: &Request<'_>, members: &[&str]) -> Result<Self, ApiError> {
        let version = request.now.version;
        let ignored = if version == Version::V2_10 {
            is_empty(request.body)
        } else {
            !is_structured(request.body)
        };
        if ignored {
            return Ok(Self::default());
        }
        decode(
            version,
            request.body,
            "request",
            |out: &mut Self, name, json, read| {
                members.contains(&name) && out.member(name, json, read)
            },
        )
    }

    fn member(&mut self, name: &str, json: &Json, read: &mut Decoder) -> bool {
        match name {
            "offset" => read.number(json, &mut self.offset),
            "subject" => read.text(json, &mut self.subject),
            "subjects_filter" => read.text(json, &mut self.subjects_filter),
            "deleted_details" => read.bool(json, &mut self.deleted_details),
            _ => false,
        }
    }

    /// The offset, at most `total`.
    pub(super) fn start(&self, total: usize) -> usize {
        usize::try_from(self.offset).unwrap_or(0).min(total)
    }
}

#[derive(Debug, Default)]
struct PurgeRequest {
    seq: u64,
    filter: String,
    keep: u64,
}

impl Stream {
    pub(crate) fn is_in_memory(&self) -> bool {
        self.config.storage == Storage::Memory
    }

    /// Refuses limits for consumers that one there exceeds; up to 2.12, no limit is one of 0.
    fn check_consumer_limits(&self, config: &StreamConfig, v: Version) -> Result<(), ApiError> {
        let limits = |config: &StreamConfig| {
            [
                config.consumer_inactive_threshold,
                config.consumer_max_ack_pending,
            ]
        };
        let (old, new) = (limits(&self.config), limits(config));
        let limits = |limit: i64| limit > 0 || !v.knows_no_limit();
        if !old
            .iter()
            .zip(new)
            .any(|(old, new)| *old != new && limits(new))
        {
            return Ok(());
        }
        let exceeding = self.consumers.values().filter(|one| {
            let has = [one.config.inactive_threshold, one.config.max_ack_pending];
            has.iter()
                .zip(new)
                .any(|(has, limit)| *has > limit && limits(limit))
        });
        let names: Vec<&str> = exceeding.map(|one| one.name.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(ApiError::limits_violate_consumers(&names))
    }

    /// Adds what an answer tells about a stream.
    fn describe(&self, out: &mut Writer, request: &Request<'_>, shown: bool, state: &str) {
        out.raw("config", &self.config.json(request.now.version, shown))
            .time("created", Some(self.created))
            .raw("state", state);
    }
}

impl JetStream {
    fn read_config(request: &Request<'_>) -> Result<StreamConfig, ApiError> {
        let version = request.now.version;
        decode(
            version,
            request.body,
            "server.StreamConfigRequest",
            |out: &mut StreamConfig, name, json, read| out.member(name, json, read, version),
        )
    }

    pub(super) fn create_stream(&mut self, name: &str, request: &Request<'_>) -> Answer {
        let version = request.now.version;
        let mut config = Self::read_config(request)?;
        if config.name != name {
            return Err(ApiError::STREAM_MISMATCH);
        }
        if name.contains(['\\', '/']) {
            return Err(ApiError::STREAM_NAME_SEPARATORS);
        }
        if config.sealed {
            let why = "stream configuration for create can not be sealed";
            return Err(ApiError::invalid_config(why));
        }
        if config.mirror_direct && config.mirror.is_none() {
            let why = "stream has no mirror but does have mirror direct";
            return Err(ApiError::invalid_config(why));
        }
        config.stamp(version);
        let config = config.checked(&self.streams, version)?;
        if config.replicas > 1 && !self.peers.is_cluster() {
            return Err(ApiError::REPLICAS_STANDALONE);
        }
        if let Some(existing) = self.streams.get(name) {
            let mut stamped = config.clone();
            stamped.pedantic = existing.config.pedantic;
            stamped.stamp(version);
            if stamped != existing.config {
                return Err(ApiError::STREAM_NAME_IN_USE);
            }
        } else {
            config.check_made(version)?;
            self.check_overlap(&config)?;
            let servers = self.peers.place(config.replicas)?;
            let noted = self.journal.is_wanted();
            let mut stream = Stream::new(config, &servers, noted, request.now);
            let at = request.now.instant;
            self.journal.note(at, &stream.name, Change::Created);
            stream.batches.limits = self.batch_limits;
            stream.domain = self.domain.clone();
            self.streams.insert(name.to_owned(), stream);
            self.note_follower(name);
        }
        let stream = self.found(name)?;
        let mut out = begin("stream_create");
        stream.describe(&mut out, request, true, &stream.state_json(false, None));
        if self.peers.is_cluster() {
            out.raw("cluster", &self.cluster_json(stream, request));
        }
        stream.describe_origins(&mut out, request.now);
        out.time("ts", Some(request.now.time))
            .bool("did_create", true);
        Ok(out)
    }

    fn check_overlap(&self, config: &StreamConfig) -> Result<(), ApiError> {
        let others = self
            .streams
            .values()
            .filter(|other| other.config.name != config.name);
        let mut taken = others.flat_map(|other| &other.config.subjects);
        let clash = taken.any(|taken| {
            let mut own = config.subjects.iter();
            own.any(|own| subject::overlap(own.as_bytes(), taken.as_bytes()))
        });
        if clash {
            Err(ApiError::SUBJECTS_OVERLAP)
        } else {
            Ok(())
        }
    }

    pub(super) fn update_stream(&mut self, name: &str, request: &Request<'_>) -> Answer {
        let version = request.now.version;
        let config = Self::read_config(request)?.checked(&self.streams, version)?;
        if config.name != name {
            return Err(ApiError::STREAM_MISMATCH);
        }
        let clustered = self.peers.is_cluster();
        let config = config.checked_update(&self.found(name)?.config, clustered, version)?;
        if let Err(why) = config.check_transform_made(version) {
            return Err(ApiError::update_failed(format!(
                "stream configuration for {why}"
            )));
        }
        self.check_overlap(&config)?;
        self.found(name)?.check_consumer_limits(&config, version)?;
        let added = config.check_sources_added(&self.found(name)?.config, version);
        added.map_err(ApiError::update_failed)?;
        if clustered {
            let group = &self.found(name)?.group;
            let (old, leader) = (group.servers(), group.leader());
            let servers = self.peers.place_again(&old, leader, config.replicas)?;
            self.stream(name)?.resize(&servers);
        }
        self.stream(name)?.update(config, request.now);
        self.note_follower(name);
        let stream = self.found(name)?;
        let mut out = begin("stream_update");
        stream.describe(&mut out, request, true, &stream.state_json(false, None));
        if clustered {
            out.raw("cluster", &self.cluster_json(stream, request));
        } else {
            out.some_text("domain", self.domain());
        }
        stream.describe_origins(&mut out, request.now);
        out.time("ts", Some(request.now.time));
        Ok(out)
    }

    pub(super) fn stream_info(&mut self, name: &str, request: &Request<'_>) -> Answer {
        let asked = PageRequest::read(request, &["offset", "deleted_details", "subjects_filter"])?;
        let stream = self.found(name)?;
        let mut out = begin("stream_info");
        let mut subjects = None;
        if asked.subjects_filter.is_empty() {
            page(&mut out, 0, 0, 0);
        } else {
            let totals: Vec<(Bytes, u64)> = stream
                .store
                .totals(asked.subjects_filter.as_bytes())
                .into_iter()
                .collect();
            let offset = usize::try_from(asked.offset).unwrap_or(0);
            if totals.is_empty() {
                page(&mut out, 0, 0, 0);
            } else {
                page(&mut out, totals.len(), offset, SUBJECTS_LIMIT);
                let mut map = Writer::object();
                let shown = totals.iter().skip(offset).take(SUBJECTS_LIMIT);
                let mut any = false;
                for (subject, count) in shown {
                    any = true;
                    map.number(&String::from_utf8_lossy(subject), count);
                }
                subjects = any.then(|| map.end());
            }
        }
        let state = stream.state_json(asked.deleted_details, subjects.as_deref());
        stream.describe(&mut out, request, true, &state);
        out.some_text("domain", self.domain());
        out.raw("cluster", &self.cluster_json(stream, request));
        stream.describe_origins(&mut out, request.now);
        out.time("ts", Some(request.now.time));
        Ok(out)
    }

    pub(super) fn delete_stream(
        &mut self,
        name: &str,
        request: &Request<'_>,
        out: &mut Outbox,
    ) -> Answer {
        if !is_empty(request.body) {
            return Err(ApiError::NOT_EMPTY_REQUEST);
        }
        let Some(mut stream) = self.streams.remove(name) else {
            return Err(ApiError::STREAM_NOT_FOUND);
        };
        for consumer in stream.consumers.values_mut() {
            consumer.release(out);
        }
        self.journal
            .note(request.now.instant, &stream.name, Change::Deleted);
        self.lose_origin(name, request.now);
        let mut out = begin("stream_delete");
        out.bool("success", true);
        Ok(out)
    }

    pub(super) fn purge_stream(&mut self, name: &str, request: &Request<'_>) -> Answer {
        let version = request.now.version;
        let ignored = if version == Version::V2_10 {
            is_empty(request.body)
        } else {
            !is_structured(request.body)
        };
        let asked = if ignored {
            PurgeRequest::default()
        } else {
            decode(
                version,
                request.body,
                "server.JSApiStreamPurgeRequest",
                |out: &mut PurgeRequest, name, json, read| match name {
                    "seq" => read.number(json, &mut out.seq),
                    "filter" => read.text(json, &mut out.filter),
                    "keep" => read.number(json, &mut out.keep),
                    _ => false,
                },
            )?
        };
        if asked.seq > 0 && asked.keep > 0 {
            return Err(ApiError::BAD_REQUEST);
        }
        let stream = self.stream(name)?;
        if stream.config.sealed {
            return Err(ApiError::SEALED);
        }
        if stream.config.deny_purge {
            return Err(ApiError::purge_failed("stream purge not permitted"));
        }
        let seq = if stream.group.is_replicated() && asked.seq == 0 && asked.keep == 0 {
            stream.store.last_seq() + 1 // what is stored later is not meant, on any replica
        } else {
            asked.seq
        };
        let purged = stream.purge(&asked.filter, seq, asked.keep, version);
        let mut out = begin("stream_purge");
        out.bool("success", true).number("purged", purged);
        Ok(out)
    }

    pub(super) fn stream_names(&mut self, request: &Request<'_>) -> Answer {
        let asked = PageRequest::read(request, &["offset", "subject"])?;
        let names: Vec<String> = self
            .selected(&asked)
            .map(|stream| stream.config.name.clone())
            .collect();
        let start = asked.start(names.len());
        let shown: Vec<String> = names
            .iter()
            .skip(start)
            .take(NAMES_LIMIT)
            .cloned()
            .collect();
        let mut out = begin("stream_names");
        page(&mut out, names.len(), start, NAMES_LIMIT);
        let nothing = names.is_empty() || !self.peers.is_cluster();
        if shown.is_empty() && nothing {
            out.raw("streams", "null");
        } else {
            out.raw("streams", &texts(&shown));
        }
        Ok(out)
    }

    pub(super) fn stream_list(&mut self, request: &Request<'_>) -> Answer {
        let asked = PageRequest::read(request, &["offset", "subject"])?;
        let total = self.selected(&asked).count();
        let start = asked.start(total);
        let shown: Vec<String> = self
            .selected(&asked)
            .skip(start)
            .take(LIST_LIMIT)
            .map(|stream| {
                let mut one = Writer::object();
                stream.describe(&mut one, request, false, &stream.state_json(false, None));
                if self.peers.is_cluster() {
                    one.raw("cluster", &self.cluster_json(stream, request));
                } else {
                    one.some_text("domain", self.domain());
                }
                stream.describe_origins(&mut one, request.now);
                one.time("ts", Some(request.now.time));
                one.end()
            })
            .collect();
        let mut out = begin("stream_list");
        let total = if shown.is_empty() && self.peers.is_cluster() {
            0
        } else {
            total
        };
        page(&mut out, total, start, LIST_LIMIT).raw("streams", &format!("[{}]", shown.join(",")));
        Ok(out)
    }

    fn selected<'a>(&'a self, asked: &'a PageRequest) -> impl Iterator<Item = &'a Stream> {
        let filter = asked.subject.as_bytes();
        self.streams.values().filter(move |stream| {
            let mut subjects = stream.config.subjects.iter();
            filter.is_empty() || subjects.any(|one| subject::overlap(one.as_bytes(), filter))
        })
    }
}
