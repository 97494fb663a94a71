//! The configuration of a stream: read and printed.

mod parts;
mod source;

use std::collections::BTreeMap;

pub(crate) use self::parts::{Placement, Republish};
pub(crate) use self::source::{External, Mapping, Source};
use crate::server::decode::Decoder;
use crate::server::json::{Json, Writer};
use crate::server::version::Version;

/// The longest name of a stream or consumer.
pub(crate) const MAX_NAME: usize = 255;
/// The longest description.
pub(crate) const MAX_DESCRIPTION: usize = 4 * 1024;
/// All keys and values of a metadata map together.
pub(crate) const MAX_METADATA: usize = 128 * 1024;

pub(crate) const LEVEL: &str = "_nats.level";
pub(crate) const REQUIRED_LEVEL: &str = "_nats.req.level";
pub(crate) const SERVER_VERSION: &str = "_nats.ver";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Retention {
    #[default]
    Limits,
    Interest,
    WorkQueue,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Discard {
    #[default]
    Old,
    New,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Storage {
    #[default]
    File,
    Memory,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Compression {
    #[default]
    None,
    S2,
}

/// What a client asked for, and then what the stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) subjects: Vec<String>,
    pub(crate) retention: Retention,
    pub(crate) max_consumers: i64,
    pub(crate) max_msgs: i64,
    pub(crate) max_bytes: i64,
    pub(crate) max_age: i64,
    pub(crate) max_msgs_per_subject: i64,
    pub(crate) max_msg_size: i32,
    pub(crate) discard: Discard,
    pub(crate) storage: Storage,
    pub(crate) replicas: i64,
    pub(crate) no_ack: bool,
    pub(crate) duplicate_window: i64,
    pub(crate) compression: Compression,
    pub(crate) first_seq: u64,
    pub(crate) republish: Option<Republish>,
    pub(crate) placement: Option<Placement>,
    pub(crate) mirror: Option<Source>,
    pub(crate) sources: Vec<Source>,
    pub(crate) subject_transform: Option<Mapping>,
    pub(crate) allow_direct: bool,
    pub(crate) mirror_direct: bool,
    pub(crate) discard_new_per_subject: bool,
    pub(crate) sealed: bool,
    pub(crate) deny_delete: bool,
    pub(crate) deny_purge: bool,
    pub(crate) allow_rollup: bool,
    pub(crate) consumer_inactive_threshold: i64,
    pub(crate) consumer_max_ack_pending: i64,
    pub(crate) allow_msg_ttl: bool,
    pub(crate) delete_marker_ttl: i64,
    pub(crate) allow_counter: bool,
    pub(crate) allow_atomic: bool,
    pub(crate) allow_schedules: bool,
    pub(crate) persist_async: bool,
    pub(crate) allow_batched: bool,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) pedantic: bool,
}

impl StreamConfig {
    /// Takes one member of a request.
    pub(crate) fn member(
        &mut self,
        name: &str,
        json: &Json,
        read: &mut Decoder,
        v: Version,
    ) -> bool {
        match name {
            "name" => read.text(json, &mut self.name),
            "description" => read.text(json, &mut self.description),
            "subjects" => read.texts(json, &mut self.subjects),
            "retention" => read.word(json, &RETENTIONS, &mut self.retention),
            "max_consumers" => read.number(json, &mut self.max_consumers),
            "max_msgs" => read.number(json, &mut self.max_msgs),
            "max_bytes" => read.number(json, &mut self.max_bytes),
            "max_age" => read.number(json, &mut self.max_age),
            "max_msgs_per_subject" => read.number(json, &mut self.max_msgs_per_subject),
            "max_msg_size" => read.number(json, &mut self.max_msg_size),
            "discard" => read.word(json, &DISCARDS, &mut self.discard),
            "storage" => read.word(json, &STORAGES, &mut self.storage),
            "num_replicas" => read.number(json, &mut self.replicas),
            "no_ack" => read.bool(json, &mut self.no_ack),
            "duplicate_window" => read.number(json, &mut self.duplicate_window),
            "compression" => read.word(json, &COMPRESSIONS, &mut self.compression),
            "first_seq" => read.number(json, &mut self.first_seq),
            "republish" => some(&mut self.republish, json, |out| out.read(json, read)),
            "allow_direct" => read.bool(json, &mut self.allow_direct),
            "mirror_direct" => read.bool(json, &mut self.mirror_direct),
            "discard_new_per_subject" => read.bool(json, &mut self.discard_new_per_subject),
            "sealed" => read.bool(json, &mut self.sealed),
            "deny_delete" => read.bool(json, &mut self.deny_delete),
            "deny_purge" => read.bool(json, &mut self.deny_purge),
            "allow_rollup_hdrs" => read.bool(json, &mut self.allow_rollup),
            "consumer_limits" => self.read_consumer_limits(json, read),
            "metadata" => read.map(json, &mut self.metadata),
            "placement" => some(&mut self.placement, json, |out| out.read(json, read, v)),
            "mirror" => some(&mut self.mirror, json, |out| out.read(json, read, v)),
            "sources" => read.list(json, &mut self.sources, |out, json, read| {
                out.read(json, read, v);
            }),
            "subject_transform" => some(&mut self.subject_transform, json, |out| {
                out.read(json, read);
            }),
            "template_owner" if v == Version::V2_10 => true,
            _ => self.newer_member(name, json, read, v),
        }
    }

    fn newer_member(&mut self, name: &str, json: &Json, read: &mut Decoder, v: Version) -> bool {
        match name {
            "allow_msg_ttl" if v.has_level_1() => read.bool(json, &mut self.allow_msg_ttl),
            "subject_delete_marker_ttl" if v.has_level_1() => {
                read.number(json, &mut self.delete_marker_ttl)
            }
            "pedantic" if v.has_level_1() => read.bool(json, &mut self.pedantic),
            "allow_msg_counter" if v.has_level_2() => read.bool(json, &mut self.allow_counter),
            "allow_atomic" if v.has_level_2() => read.bool(json, &mut self.allow_atomic),
            "allow_msg_schedules" if v.has_level_2() => read.bool(json, &mut self.allow_schedules),
            "persist_mode" if v.has_level_2() => {
                read.word(json, &PERSIST_MODES, &mut self.persist_async)
            }
            "allow_batched" if v.has_level_4() => read.bool(json, &mut self.allow_batched),
            _ => false,
        }
    }

    fn read_consumer_limits(&mut self, json: &Json, read: &mut Decoder) -> bool {
        read.object(
            json,
            "server.StreamConsumerLimits",
            self,
            |out, name, json, read| match name {
                "inactive_threshold" => read.number(json, &mut out.consumer_inactive_threshold),
                "max_ack_pending" => read.number(json, &mut out.consumer_max_ack_pending),
                _ => false,
            },
        );
        true
    }

    /// Puts in the keys that a server keeps about a configuration, and takes out those it only shows.
    pub(crate) fn stamp(&mut self, v: Version) {
        if !v.has_level_1() {
            return;
        }
        self.metadata.remove(SERVER_VERSION);
        self.metadata.remove(LEVEL);
        let level = if self.allow_batched {
            4
        } else if self.allow_counter
            || self.allow_atomic
            || self.allow_schedules
            || self.persist_async
        {
            2
        } else {
            u32::from(self.allow_msg_ttl || self.delete_marker_ttl > 0)
        };
        self.metadata
            .insert(REQUIRED_LEVEL.to_owned(), level.to_string());
    }

    /// Prints it; `shown` adds the keys about the answering server.
    pub(crate) fn json(&self, v: Version, shown: bool) -> String {
        let mut out = Writer::object();
        out.text("name", &self.name)
            .some_text("description", &self.description)
            .some_texts("subjects", &self.subjects)
            .text("retention", word(&RETENTIONS, self.retention))
            .number("max_consumers", self.max_consumers)
            .number("max_msgs", self.max_msgs)
            .number("max_bytes", self.max_bytes)
            .number("max_age", self.max_age)
            .number("max_msgs_per_subject", self.max_msgs_per_subject)
            .some_number("max_msg_size", self.max_msg_size)
            .text("discard", word(&DISCARDS, self.discard))
            .text("storage", word(&STORAGES, self.storage))
            .number("num_replicas", self.replicas)
            .some_bool("no_ack", self.no_ack)
            .some_number("duplicate_window", self.duplicate_window);
        if let Some(placement) = &self.placement {
            out.raw("placement", &placement.json());
        }
        if let Some(mirror) = &self.mirror {
            out.raw("mirror", &mirror.json());
        }
        out.some_list("sources", self.sources.iter().map(Source::json));
        out.text("compression", word(&COMPRESSIONS, self.compression))
            .some_number("first_seq", self.first_seq);
        if let Some(transform) = &self.subject_transform {
            out.raw("subject_transform", &transform.json());
        }
        if let Some(republish) = &self.republish {
            out.raw("republish", &republish.json());
        }
        out.bool("allow_direct", self.allow_direct)
            .bool("mirror_direct", self.mirror_direct)
            .some_bool("discard_new_per_subject", self.discard_new_per_subject)
            .bool("sealed", self.sealed)
            .bool("deny_delete", self.deny_delete)
            .bool("deny_purge", self.deny_purge)
            .bool("allow_rollup_hdrs", self.allow_rollup);
        let mut limits = Writer::object();
        limits
            .some_number("inactive_threshold", self.consumer_inactive_threshold)
            .some_number("max_ack_pending", self.consumer_max_ack_pending);
        out.raw("consumer_limits", &limits.end());
        if v.has_level_1() {
            out.bool("allow_msg_ttl", self.allow_msg_ttl)
                .some_number("subject_delete_marker_ttl", self.delete_marker_ttl)
                .some_bool("allow_atomic", self.allow_atomic);
            if self.persist_async {
                out.text("persist_mode", "async");
            }
        }
        out.some_map("metadata", &shown_metadata(&self.metadata, v, shown));
        out.end()
    }
}

/// Reads a member that may be absent.
fn some<T: Default>(out: &mut Option<T>, json: &Json, read: impl FnOnce(&mut T)) -> bool {
    if *json == Json::Null {
        *out = None;
    } else {
        read(out.get_or_insert_default());
    }
    true
}

/// The metadata of an answer: with the answering server's own level and version, if `shown`.
pub(crate) fn shown_metadata(
    metadata: &BTreeMap<String, String>,
    v: Version,
    shown: bool,
) -> BTreeMap<String, String> {
    let mut out = metadata.clone();
    if let Some(level) = v.api_level().filter(|_| shown) {
        out.insert(SERVER_VERSION.to_owned(), v.number().to_owned());
        out.insert(LEVEL.to_owned(), level.to_string());
    }
    out
}

pub(crate) fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words
        .iter()
        .find(|(_, v)| *v == value)
        .map_or("", |(word, _)| word)
}

const RETENTIONS: [(&str, Retention); 3] = [
    ("limits", Retention::Limits),
    ("interest", Retention::Interest),
    ("workqueue", Retention::WorkQueue),
];
const DISCARDS: [(&str, Discard); 2] = [("old", Discard::Old), ("new", Discard::New)];
const STORAGES: [(&str, Storage); 2] = [("file", Storage::File), ("memory", Storage::Memory)];
const COMPRESSIONS: [(&str, Compression); 2] =
    [("none", Compression::None), ("s2", Compression::S2)];
const PERSIST_MODES: [(&str, bool); 3] = [("", false), ("default", false), ("async", true)];
