//! Which consumer configurations a server takes, and what it makes of what they leave out.

use super::config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use crate::server::duration;
use crate::server::error::ApiError;
use crate::server::stream::config::{MAX_DESCRIPTION, MAX_METADATA, Retention, StreamConfig};
use crate::server::subject;
use crate::server::version::Version;

const MIN_HEARTBEAT: i64 = 100_000_000;
const DEFAULT_ACK_WAIT: i64 = 30_000_000_000;
const DEFAULT_MAX_ACK_PENDING: i64 = 1000;
const DEFAULT_MAX_WAITING: i64 = 512;
const MILLISECOND: i64 = 1_000_000;

impl ConsumerConfig {
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
        let kept = stream.retention != Retention::Limits;
        if kept && self.replicas != 0 && self.replicas != stream.replicas {
            return Err(ApiError::REPLICAS_SHOULD_MATCH);
        }
        if v >= Version::V2_12 && self.backoff.iter().any(|wait| *wait < 0) {
            return Err(ApiError::BACKOFF_NEGATIVE);
        }
        if v >= Version::V2_12 && self.ack_wait < 0 {
            return Err(ApiError::ACK_WAIT_NEGATIVE);
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
            self.check_pull(stream, v)?;
        }
        let limit = stream.consumer_max_ack_pending;
        if limit > 0 && self.max_ack_pending > limit {
            return Err(ApiError::max_ack_pending(limit));
        }
        let limit = stream.consumer_inactive_threshold;
        if limit > 0 && self.inactive_threshold > limit {
            return Err(ApiError::inactive_threshold(&duration::print(limit)));
        }
        if self.direct && !self.is_push() {
            return Err(ApiError::DIRECT_NEEDS_PUSH);
        }
        if self.direct && self.is_durable() {
            return Err(ApiError::DIRECT_NEEDS_EPHEMERAL);
        }
        self.check_filters(v)?;
        self.check_start()?;
        self.check_sampling()?;
        if self.flow_control && self.heartbeat == 0 {
            return Err(ApiError::FLOW_CONTROL_NEEDS_HEARTBEAT);
        }
        if self.is_durable() && !self.name.is_empty() && self.name != self.durable {
            return Err(ApiError::NAME_MISMATCH);
        }
        if self.has_priorities {
            let why = "kv-sim: priority policies are not simulated";
            return Err(ApiError::consumer_create(why));
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

    fn check_pull(&self, stream: &StreamConfig, v: Version) -> Result<(), ApiError> {
        if self.ack_policy == AckPolicy::None && stream.retention == Retention::WorkQueue {
            return Err(if v == Version::V2_10 {
                ApiError::PULL_NEEDS_ACK_2_10
            } else {
                ApiError::PULL_NEEDS_ACK
            });
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

    fn check_sampling(&self) -> Result<(), ApiError> {
        let text = &self.sample_frequency;
        let text = text.strip_suffix('%').unwrap_or(text);
        if self.sample_frequency.is_empty() {
            return Ok(());
        }
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let numeric = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(0..) => Ok(()),
            Err(_) if numeric => Err(ApiError::invalid_sampling(text, "value out of range")),
            Ok(_) | Err(_) => Err(ApiError::invalid_sampling(text, "invalid syntax")),
        }
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
}
