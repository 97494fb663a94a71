//! The configuration of a consumer: read and printed.

use std::collections::BTreeMap;

use kv_proto::Timestamp;

use crate::server::decode::Decoder;
use crate::server::json::{Json, Writer, go_time};
use crate::server::stream::config::{LEVEL, REQUIRED_LEVEL, SERVER_VERSION, shown_metadata, word};
use crate::server::version::Version;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DeliverPolicy {
    #[default]
    All,
    Last,
    New,
    ByStartSequence,
    ByStartTime,
    LastPerSubject,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AckPolicy {
    #[default]
    None,
    All,
    Explicit,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReplayPolicy {
    #[default]
    Instant,
    Original,
}

/// What a create request may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Action {
    #[default]
    CreateOrUpdate,
    Update,
    Create,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConsumerConfig {
    pub(crate) durable: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) deliver_policy: DeliverPolicy,
    pub(crate) start_seq: u64,
    pub(crate) start_time: Option<Timestamp>,
    pub(crate) ack_policy: AckPolicy,
    pub(crate) ack_wait: i64,
    pub(crate) max_deliver: i64,
    pub(crate) backoff: Vec<i64>,
    pub(crate) filter_subject: String,
    pub(crate) filter_subjects: Vec<String>,
    pub(crate) replay_policy: ReplayPolicy,
    pub(crate) rate_limit: u64,
    pub(crate) sample_frequency: String,
    pub(crate) max_waiting: i64,
    pub(crate) max_ack_pending: i64,
    pub(crate) flow_control: bool,
    pub(crate) headers_only: bool,
    pub(crate) max_batch: i64,
    pub(crate) max_expires: i64,
    pub(crate) max_request_bytes: i64,
    pub(crate) deliver_subject: String,
    pub(crate) deliver_group: String,
    pub(crate) heartbeat: i64,
    pub(crate) inactive_threshold: i64,
    pub(crate) replicas: i64,
    pub(crate) memory: bool,
    pub(crate) direct: bool,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) pause_until: Option<Timestamp>,
    /// It asks for a priority policy, which is not simulated.
    pub(crate) has_priorities: bool,
}

/// The body of CONSUMER.CREATE.
#[derive(Clone, Debug, Default)]
pub(crate) struct CreateRequest {
    pub(crate) stream: String,
    pub(crate) config: ConsumerConfig,
    pub(crate) action: Action,
    pub(crate) pedantic: bool,
}

impl CreateRequest {
    pub(crate) fn member(
        &mut self,
        name: &str,
        json: &Json,
        read: &mut Decoder,
        v: Version,
    ) -> bool {
        match name {
            "stream_name" => read.text(json, &mut self.stream),
            "config" => {
                read.object(
                    json,
                    "server.ConsumerConfig",
                    &mut self.config,
                    |out, name, json, read| out.member(name, json, read, v),
                );
                true
            }
            "action" => read.word(json, &ACTIONS, &mut self.action),
            "pedantic" if v.has_level_1() => read.bool(json, &mut self.pedantic),
            _ => false,
        }
    }
}

impl ConsumerConfig {
    fn member(&mut self, name: &str, json: &Json, read: &mut Decoder, v: Version) -> bool {
        match name {
            "durable_name" => read.text(json, &mut self.durable),
            "name" => read.text(json, &mut self.name),
            "description" => read.text(json, &mut self.description),
            "deliver_policy" => read.word(json, &DELIVER_POLICIES, &mut self.deliver_policy),
            "opt_start_seq" => read.number(json, &mut self.start_seq),
            "opt_start_time" => read.time(json, &mut self.start_time),
            "ack_policy" => read.word(json, &ACK_POLICIES, &mut self.ack_policy),
            "ack_wait" => read.number(json, &mut self.ack_wait),
            "max_deliver" => read.number(json, &mut self.max_deliver),
            "backoff" => self.read_backoff(json, read),
            "filter_subject" => read.text(json, &mut self.filter_subject),
            "filter_subjects" => read.texts(json, &mut self.filter_subjects),
            "replay_policy" => read.word(json, &REPLAY_POLICIES, &mut self.replay_policy),
            "rate_limit_bps" => read.number(json, &mut self.rate_limit),
            "sample_freq" => read.text(json, &mut self.sample_frequency),
            "max_waiting" => read.number(json, &mut self.max_waiting),
            "max_ack_pending" => read.number(json, &mut self.max_ack_pending),
            "flow_control" => read.bool(json, &mut self.flow_control),
            "headers_only" => read.bool(json, &mut self.headers_only),
            "max_batch" => read.number(json, &mut self.max_batch),
            "max_expires" => read.number(json, &mut self.max_expires),
            "max_bytes" => read.number(json, &mut self.max_request_bytes),
            "deliver_subject" => read.text(json, &mut self.deliver_subject),
            "deliver_group" => read.text(json, &mut self.deliver_group),
            "idle_heartbeat" => read.number(json, &mut self.heartbeat),
            "inactive_threshold" => read.number(json, &mut self.inactive_threshold),
            "num_replicas" => read.number(json, &mut self.replicas),
            "mem_storage" => read.bool(json, &mut self.memory),
            "direct" => read.bool(json, &mut self.direct),
            "metadata" => read.map(json, &mut self.metadata),
            "pause_until" if v.has_level_1() => read.time(json, &mut self.pause_until),
            "priority_policy" if v.has_level_1() => {
                let none = Json::Text("none".to_owned());
                self.has_priorities = ![none, Json::Null].contains(json);
                true
            }
            "priority_groups" | "priority_timeout" if v.has_level_1() => true,
            "sourcing" if v.has_level_4() => true,
            _ => false,
        }
    }

    fn read_backoff(&mut self, json: &Json, read: &mut Decoder) -> bool {
        if let Json::Array(values) = json {
            for value in values {
                let mut nanos = 0;
                read.number(value, &mut nanos);
                self.backoff.push(nanos);
            }
        }
        true
    }

    pub(crate) fn is_durable(&self) -> bool {
        !self.durable.is_empty()
    }

    pub(crate) fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// All filters; none means everything.
    pub(crate) fn filters(&self) -> Vec<&[u8]> {
        let one = std::iter::once(&self.filter_subject).filter(|one| !one.is_empty());
        one.chain(&self.filter_subjects)
            .map(String::as_bytes)
            .collect()
    }

    /// Puts in the keys that a server keeps about a configuration.
    pub(crate) fn stamp(&mut self, v: Version) {
        if !v.has_level_1() {
            return;
        }
        self.metadata.remove(SERVER_VERSION);
        self.metadata.remove(LEVEL);
        let level = u32::from(self.pause_until.is_some());
        self.metadata
            .insert(REQUIRED_LEVEL.to_owned(), level.to_string());
    }

    pub(crate) fn json(&self, v: Version, shown: bool) -> String {
        let mut out = Writer::object();
        out.some_text("durable_name", &self.durable)
            .some_text("name", &self.name)
            .some_text("description", &self.description)
            .text(
                "deliver_policy",
                word(&DELIVER_POLICIES, self.deliver_policy),
            )
            .some_number("opt_start_seq", self.start_seq);
        if let Some(time) = self.start_time {
            out.text("opt_start_time", &go_time(time));
        }
        out.text("ack_policy", word(&ACK_POLICIES, self.ack_policy))
            .some_number("ack_wait", self.ack_wait)
            .some_number("max_deliver", self.max_deliver);
        if !self.backoff.is_empty() {
            let nanos: Vec<String> = self.backoff.iter().map(i64::to_string).collect();
            out.raw("backoff", &format!("[{}]", nanos.join(",")));
        }
        out.some_text("filter_subject", &self.filter_subject)
            .some_texts("filter_subjects", &self.filter_subjects)
            .text("replay_policy", word(&REPLAY_POLICIES, self.replay_policy))
            .some_number("rate_limit_bps", self.rate_limit)
            .some_text("sample_freq", &self.sample_frequency)
            .some_number("max_waiting", self.max_waiting)
            .some_number("max_ack_pending", self.max_ack_pending);
        if v == Version::V2_10 {
            out.some_number("idle_heartbeat", self.heartbeat);
        }
        out.some_bool("flow_control", self.flow_control)
            .some_bool("headers_only", self.headers_only)
            .some_number("max_batch", self.max_batch)
            .some_number("max_expires", self.max_expires)
            .some_number("max_bytes", self.max_request_bytes)
            .some_text("deliver_subject", &self.deliver_subject)
            .some_text("deliver_group", &self.deliver_group);
        if v > Version::V2_10 {
            out.some_number("idle_heartbeat", self.heartbeat);
        }
        out.some_number("inactive_threshold", self.inactive_threshold)
            .number("num_replicas", self.replicas)
            .some_bool("mem_storage", self.memory)
            .some_bool("direct", self.direct)
            .some_map("metadata", &shown_metadata(&self.metadata, v, shown));
        if let Some(time) = self.pause_until {
            out.text("pause_until", &go_time(time));
        }
        out.end()
    }
}

const DELIVER_POLICIES: [(&str, DeliverPolicy); 7] = [
    ("all", DeliverPolicy::All),
    ("", DeliverPolicy::All),
    ("last", DeliverPolicy::Last),
    ("new", DeliverPolicy::New),
    ("by_start_sequence", DeliverPolicy::ByStartSequence),
    ("by_start_time", DeliverPolicy::ByStartTime),
    ("last_per_subject", DeliverPolicy::LastPerSubject),
];
const ACK_POLICIES: [(&str, AckPolicy); 3] = [
    ("none", AckPolicy::None),
    ("all", AckPolicy::All),
    ("explicit", AckPolicy::Explicit),
];
const REPLAY_POLICIES: [(&str, ReplayPolicy); 2] = [
    ("instant", ReplayPolicy::Instant),
    ("original", ReplayPolicy::Original),
];
const ACTIONS: [(&str, Action); 3] = [
    ("", Action::CreateOrUpdate),
    ("create", Action::Create),
    ("update", Action::Update),
];
