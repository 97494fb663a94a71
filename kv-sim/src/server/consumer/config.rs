//! The configuration of a consumer: read, filled with defaults, checked, printed.

use std::collections::BTreeMap;

use kv_proto::Timestamp;

use crate::server::decode::Decoder;
use crate::server::error::ApiError;
use crate::server::json::{Json, Writer, go_time};
use crate::server::stream::config::{
    LEVEL, MAX_DESCRIPTION, MAX_METADATA, REQUIRED_LEVEL, Retention, SERVER_VERSION, StreamConfig,
    shown_metadata, word,
};
use crate::server::subject;
use crate::server::version::Version;

const MIN_HEARTBEAT: i64 = 100_000_000;
const DEFAULT_ACK_WAIT: i64 = 30_000_000_000;
const DEFAULT_MAX_ACK_PENDING: i64 = 1000;
const DEFAULT_MAX_WAITING: i64 = 512;
const MILLISECOND: i64 = 1_000_000;

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
            "priority_groups" | "priority_policy" | "priority_timeout" if v.has_level_1() => true,
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

    pub(crate) fn fill(&mut self, stream: &StreamConfig, v: Version) {
        let clamps = v >= Version::V2_12;
        if self.max_deliver == 0 || (clamps && self.max_deliver < -1) {
            self.max_deliver = -1;
        }
        if clamps {
            self.max_waiting = self.max_waiting.max(0);
            self.max_ack_pending = self.max_ack_pending.max(-1);
            self.max_batch = self.max_batch.max(0);
            self.max_expires = self.max_expires.max(0);
            self.max_request_bytes = self.max_request_bytes.max(0);
            self.heartbeat = self.heartbeat.max(0);
            self.inactive_threshold = self.inactive_threshold.max(0);
        }
        if !self.is_push() && self.max_waiting == 0 {
            self.max_waiting = DEFAULT_MAX_WAITING;
        }
        if self.ack_wait == 0 && self.ack_policy != AckPolicy::None {
            self.ack_wait = DEFAULT_ACK_WAIT;
        }
        if let Some(first) = self.backoff.first() {
            self.ack_wait = *first;
        }
        if self.max_ack_pending == 0 {
            self.max_ack_pending = stream.consumer_max_ack_pending;
        }
        if self.inactive_threshold == 0 {
            self.inactive_threshold = stream.consumer_inactive_threshold;
        }
        if self.max_ack_pending == 0 && self.ack_policy != AckPolicy::None {
            self.max_ack_pending = DEFAULT_MAX_ACK_PENDING;
        }
    }

    pub(crate) fn check(&self, stream: &StreamConfig, v: Version) -> Result<(), ApiError> {
        if v >= Version::V2_12 {
            self.check_names()?;
        }
        if self.replicas > 0 && self.replicas > stream.replicas {
            return Err(ApiError::CONSUMER_REPLICAS);
        }
        if self.replicas < 0 {
            return Err(ApiError::REPLICAS_NEGATIVE);
        }
        let backoffs = i64::try_from(self.backoff.len()).unwrap_or(i64::MAX);
        if backoffs > 0 && self.max_deliver != -1 && backoffs > self.max_deliver {
            return Err(ApiError::MAX_DELIVER_BACKOFF);
        }
        if self.description.len() > MAX_DESCRIPTION {
            return Err(ApiError::description_too_long(MAX_DESCRIPTION));
        }
        if self.is_push() {
            self.check_push(stream)?;
        } else {
            self.check_pull(stream)?;
        }
        let limit = stream.consumer_max_ack_pending;
        if limit > 0 && self.max_ack_pending > limit {
            return Err(ApiError::max_ack_pending(limit));
        }
        if self.direct && !self.is_push() {
            return Err(ApiError::DIRECT_NEEDS_PUSH);
        }
        self.check_filters(v)?;
        self.check_start()?;
        if self.flow_control && self.heartbeat == 0 {
            return Err(ApiError::FLOW_CONTROL_NEEDS_HEARTBEAT);
        }
        if self.is_durable() && !self.name.is_empty() && self.name != self.durable {
            return Err(ApiError::NAME_MISMATCH);
        }
        let metadata = self
            .metadata
            .iter()
            .map(|(key, value)| key.len() + value.len());
        if metadata.sum::<usize>() > MAX_METADATA {
            return Err(ApiError::metadata_length());
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), ApiError> {
        if !self.name.is_empty() && !subject::is_asset_name(&self.name) {
            let why = r"consumer name can not contain '.', '*', '>', '\', '/'";
            return Err(ApiError::invalid_config(why));
        }
        if self.is_durable() && !subject::is_asset_name(&self.durable) {
            let why = r"consumer durable name can not contain '.', '*', '>', '\', '/'";
            return Err(ApiError::invalid_config(why));
        }
        Ok(())
    }

    fn check_push(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        let deliver = self.deliver_subject.as_bytes();
        if subject::has_wildcard(deliver) {
            return Err(ApiError::DELIVER_WILDCARD);
        }
        if !subject::is_valid(deliver) {
            return Err(ApiError::BAD_DELIVER_SUBJECT);
        }
        if stream
            .subjects
            .iter()
            .any(|one| subject::matches(deliver, one.as_bytes()))
        {
            return Err(ApiError::DELIVER_CYCLE);
        }
        if self.max_waiting != 0 {
            return Err(ApiError::PUSH_MAX_WAITING);
        }
        if self.max_ack_pending > 0 && self.ack_policy == AckPolicy::None {
            return Err(ApiError::MAX_PENDING_ACK_POLICY);
        }
        if self.heartbeat > 0 && self.heartbeat < MIN_HEARTBEAT {
            return Err(ApiError::SMALL_HEARTBEAT);
        }
        Ok(())
    }

    fn check_pull(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if self.ack_policy == AckPolicy::None && stream.retention == Retention::WorkQueue {
            return Err(ApiError::PULL_NEEDS_ACK);
        }
        if self.rate_limit > 0 {
            return Err(ApiError::PULL_RATE_LIMIT);
        }
        if self.max_waiting < 0 {
            return Err(ApiError::PULL_MAX_WAITING);
        }
        if self.heartbeat > 0 {
            return Err(ApiError::HEARTBEAT_NEEDS_PUSH);
        }
        if self.flow_control {
            return Err(ApiError::FLOW_CONTROL_NEEDS_PUSH);
        }
        if self.max_batch < 0 {
            return Err(ApiError::MAX_BATCH_NEGATIVE);
        }
        if self.max_expires != 0 && self.max_expires < MILLISECOND {
            return Err(ApiError::MAX_EXPIRES_SMALL);
        }
        Ok(())
    }

    fn check_filters(&self, v: Version) -> Result<(), ApiError> {
        if !self.filter_subject.is_empty() && !self.filter_subjects.is_empty() {
            return Err(ApiError::BOTH_FILTERS);
        }
        let bad = || ApiError::invalid_config("nats: invalid subject");
        if !self.filter_subject.is_empty() && !subject::is_valid(self.filter_subject.as_bytes()) {
            return Err(bad());
        }
        if self.filter_subjects.iter().any(String::is_empty) {
            return Err(ApiError::FILTER_EMPTY);
        }
        let filters = self.filters();
        for (at, filter) in filters.iter().enumerate() {
            if v >= Version::V2_12 && !subject::is_valid(filter) {
                return Err(bad());
            }
            let others = filters.iter().enumerate().filter(|(other, _)| *other != at);
            let mut others = others.map(|(_, other)| other);
            let clash = others.any(|other| {
                if v == Version::V2_10 {
                    subject::overlap(filter, other)
                } else {
                    subject::matches(filter, other)
                }
            });
            if clash {
                return Err(ApiError::FILTERS_OVERLAP);
            }
        }
        Ok(())
    }

    fn check_start(&self) -> Result<(), ApiError> {
        let set = |policy, start| {
            let why = format!(
                "consumer delivery policy is deliver {policy}, but optional start {start} is also set"
            );
            Err(ApiError::invalid_policy(why))
        };
        let missing = |policy, what| {
            let why = format!(
                "consumer delivery policy is deliver {policy}, but optional {what} is not set"
            );
            Err(ApiError::invalid_policy(why))
        };
        let (has_seq, has_time) = (self.start_seq > 0, self.start_time.is_some());
        let policy = match self.deliver_policy {
            DeliverPolicy::All => "all",
            DeliverPolicy::Last => "last",
            DeliverPolicy::LastPerSubject => "last per subject",
            DeliverPolicy::New => "new",
            DeliverPolicy::ByStartSequence if !has_seq => {
                return missing("by start sequence", "start sequence");
            }
            DeliverPolicy::ByStartSequence if has_time => return set("by start sequence", "time"),
            DeliverPolicy::ByStartTime if !has_time => {
                return missing("by start time", "start time");
            }
            DeliverPolicy::ByStartTime if has_seq => return set("by start time", "start sequence"),
            DeliverPolicy::ByStartSequence | DeliverPolicy::ByStartTime => return Ok(()),
        };
        if has_seq {
            return set(policy, "sequence");
        }
        if has_time {
            return set(policy, "time");
        }
        if self.deliver_policy == DeliverPolicy::LastPerSubject && self.filters().is_empty() {
            return missing(policy, "filter subject");
        }
        Ok(())
    }

    /// Whether an existing consumer may become this.
    pub(crate) fn check_update(
        &self,
        old: &Self,
        interest: bool,
        v: Version,
    ) -> Result<(), ApiError> {
        let moved = self.memory != old.memory && v.fixes_consumer_storage();
        if self == old {
            return Ok(());
        }
        for (changed, why) in [
            (
                self.deliver_policy != old.deliver_policy,
                "deliver policy can not be updated",
            ),
            (moved, "storage type can not be updated"),
            (
                self.start_seq != old.start_seq,
                "start sequence can not be updated",
            ),
            (
                self.start_time != old.start_time,
                "start time can not be updated",
            ),
            (
                self.ack_policy != old.ack_policy,
                "ack policy can not be updated",
            ),
            (
                self.replay_policy != old.replay_policy,
                "replay policy can not be updated",
            ),
            (
                self.heartbeat != old.heartbeat,
                "heart beats can not be updated",
            ),
            (
                self.flow_control != old.flow_control,
                "flow control can not be updated",
            ),
        ] {
            if changed {
                return Err(ApiError::consumer_create(why));
            }
        }
        if self.deliver_subject != old.deliver_subject {
            if !old.is_push() {
                return Err(ApiError::consumer_create(
                    "can not update pull consumer to push based",
                ));
            }
            if !self.is_push() {
                return Err(ApiError::consumer_create(
                    "can not update push consumer to pull based",
                ));
            }
            if interest {
                return Err(ApiError::CONSUMER_NAME_IN_USE);
            }
        }
        if self.max_waiting != old.max_waiting {
            return Err(ApiError::consumer_create("max waiting can not be updated"));
        }
        Ok(())
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
