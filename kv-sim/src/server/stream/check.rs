//! Which stream configurations a server takes, and what it makes of what they leave out.

mod sources;
mod subjects;

use std::collections::BTreeMap;

use super::Stream;
use super::config::{
    Discard, MAX_DESCRIPTION, MAX_METADATA, MAX_NAME, Placement, Retention, Storage, StreamConfig,
};
use crate::server::error::ApiError;
use crate::server::subject;
use crate::server::version::Version;

const DEFAULT_DUPLICATE_WINDOW: i64 = 120_000_000_000;
const MIN_AGE: i64 = 100_000_000;
const MAX_REPLICAS: i64 = 5;
const SECOND: i64 = 1_000_000_000;

impl StreamConfig {
    /// Fills in defaults and refuses what no stream can be beside those that there are.
    pub(crate) fn checked(
        mut self,
        streams: &BTreeMap<String, Stream>,
        v: Version,
    ) -> Result<Self, ApiError> {
        let invalid = ApiError::invalid_config;
        if !is_stream_name(&self.name, v) {
            return Err(invalid(if v.forbids_slashes_in_streams() {
                r"stream name is required and can not contain '.', '*', '>', '\', '/'"
            } else {
                "stream name is required and can not contain '.', '*', '>'"
            }));
        }
        if self.name.len() > MAX_NAME {
            return Err(invalid("stream name is too long, maximum allowed is 255"));
        }
        if self.description.len() > MAX_DESCRIPTION {
            return Err(invalid(
                "stream description is too long, maximum allowed is 4096",
            ));
        }
        let metadata = self.metadata.iter().map(|(k, v)| k.len() + v.len());
        if metadata.sum::<usize>() > MAX_METADATA {
            return Err(invalid(
                "stream metadata exceeds maximum size of 131072 bytes",
            ));
        }
        self.fill_limits(v)?;
        self.check_ages(v)?;
        self.check_kinds()?;
        self.check_persistence()?;
        self.check_origins(streams, v)?;
        self.check_subjects()?;
        self.check_transform(v)?;
        self.check_republish(v)?;
        if v.has_level_1() {
            self.check_placement()?;
        }
        Ok(self)
    }

    fn check_placement(&mut self) -> Result<(), ApiError> {
        self.placement.take_if(|one| *one == Placement::default());
        let preferred = self
            .placement
            .as_ref()
            .is_some_and(|one| !one.preferred.is_empty());
        if preferred {
            return Err(ApiError::invalid_config(
                "preferred server not permitted in placement",
            ));
        }
        Ok(())
    }

    fn fill_limits(&mut self, v: Version) -> Result<(), ApiError> {
        if self.replicas == 0 {
            self.replicas = 1;
        }
        if self.replicas > MAX_REPLICAS {
            return Err(ApiError::invalid_config("maximum replicas is 5"));
        }
        if self.replicas < 0 {
            return Err(ApiError::REPLICAS_NEGATIVE);
        }
        let clamps = v >= Version::V2_12;
        let unlimited = |value: &mut i64| {
            if *value == 0 || (clamps && *value < -1) {
                *value = -1;
            }
        };
        unlimited(&mut self.max_msgs);
        unlimited(&mut self.max_msgs_per_subject);
        unlimited(&mut self.max_bytes);
        unlimited(&mut self.max_consumers);
        if self.max_msg_size == 0 || (clamps && self.max_msg_size < -1) {
            self.max_msg_size = -1;
        }
        Ok(())
    }

    fn check_ages(&mut self, v: Version) -> Result<(), ApiError> {
        let invalid = |why| Err(ApiError::invalid_config(why));
        if v >= Version::V2_14 && self.max_age < 0 {
            return invalid("max age can not be negative");
        }
        let own_ids = self.mirror.is_none() && (self.sources.is_empty() || !v.needs_no_window());
        if self.duplicate_window == 0 && own_ids {
            self.duplicate_window = DEFAULT_DUPLICATE_WINDOW;
            if self.max_age != 0 && self.max_age < DEFAULT_DUPLICATE_WINDOW {
                self.duplicate_window = self.max_age;
            }
        }
        if self.max_age > 0 && self.max_age < MIN_AGE {
            return invalid("max age needs to be >= 100ms");
        }
        if self.duplicate_window < 0 {
            return invalid("duplicates window can not be negative");
        }
        if self.max_age != 0 && self.duplicate_window > self.max_age {
            return invalid("duplicates window can not be larger then max age");
        }
        if self.duplicate_window > 0 && self.duplicate_window < MIN_AGE {
            return invalid("duplicates window needs to be >= 100ms");
        }
        if self.deny_purge && self.allow_rollup {
            return invalid("roll-ups require the purge permission");
        }
        Ok(())
    }

    fn check_kinds(&mut self) -> Result<(), ApiError> {
        let invalid = |why| Err(ApiError::invalid_config(why));
        if self.allow_counter && self.discard == Discard::New {
            return invalid("counter stream cannot use discard new");
        }
        if self.allow_counter && self.allow_msg_ttl {
            return invalid("counter stream cannot use message TTLs");
        }
        if self.discard_new_per_subject && self.discard != Discard::New {
            return invalid("discard new per subject requires discard new policy to be set");
        }
        if self.discard_new_per_subject && self.max_msgs_per_subject <= 0 {
            return invalid("discard new per subject requires max msgs per subject > 0");
        }
        if self.delete_marker_ttl < 0 {
            return invalid("subject delete marker TTL must not be negative");
        }
        if self.delete_marker_ttl > 0 {
            if self.delete_marker_ttl < SECOND {
                return invalid("subject delete marker TTL must be at least 1 second");
            }
            if self.pedantic && !self.allow_msg_ttl {
                return invalid("subject delete marker cannot be set if message TTLs are disabled");
            }
            if self.pedantic && !self.allow_rollup {
                return invalid("subject delete marker cannot be set if roll-ups are disabled");
            }
            self.allow_msg_ttl = true;
            if !self.allow_rollup {
                (self.allow_rollup, self.deny_purge) = (true, false);
            }
        }
        if self.allow_counter || self.allow_schedules || self.allow_batched {
            return invalid("kv-sim: counters, schedules and fast ingest are not simulated");
        }
        Ok(())
    }

    fn check_persistence(&self) -> Result<(), ApiError> {
        let invalid = |why| Err(ApiError::invalid_config(why));
        if !self.persist_async {
            return Ok(());
        }
        if self.storage != Storage::File {
            return invalid("async persist mode is only supported on file storage");
        }
        if self.replicas > 1 {
            return invalid("async persist mode is not supported on replicated streams");
        }
        if self.allow_atomic {
            return invalid("async persist mode is not supported with atomic batch publish");
        }
        Ok(())
    }

    /// Checks a change of an existing stream.
    pub(crate) fn checked_update(
        mut self,
        old: &Self,
        clustered: bool,
        v: Version,
    ) -> Result<Self, ApiError> {
        let invalid = |why| Err(ApiError::invalid_config(why));
        if self.name != old.name {
            return invalid("stream configuration name must match original");
        }
        if self.max_consumers != old.max_consumers && !v.updates_max_consumers() {
            return invalid("stream configuration update can not change MaxConsumers");
        }
        if self.replicas > 1 && !clustered && v.checks_replicas_of_updates() {
            return Err(ApiError::REPLICAS_STANDALONE);
        }
        if self.storage != old.storage {
            return invalid("stream configuration update can not change storage type");
        }
        let queue = |config: &Self| config.retention == Retention::WorkQueue;
        if self.retention != old.retention && (queue(&self) || queue(old)) {
            return invalid(
                "stream configuration update can not change retention policy to/from workqueue",
            );
        }
        if old.sealed && !self.sealed {
            return invalid("stream configuration update can not unseal a sealed stream");
        }
        if old.deny_delete && !self.deny_delete {
            return invalid("stream configuration update can not cancel deny message deletes");
        }
        if old.deny_purge && !self.deny_purge {
            return invalid("stream configuration update can not cancel deny purge");
        }
        let promotes = self.mirror.is_none() && v.promotes_mirrors();
        if self.mirror != old.mirror && !promotes {
            return Err(ApiError::MIRROR_NOT_UPDATABLE);
        }
        if old.allow_msg_ttl && !self.allow_msg_ttl {
            return invalid("message TTL status can not be disabled");
        }
        if old.persist_async != self.persist_async {
            return invalid("stream configuration update can not change persist mode");
        }
        if self.sealed {
            self.max_age = 0;
            self.discard = Discard::New;
            (self.deny_delete, self.deny_purge, self.allow_rollup) = (true, true, false);
        }
        Ok(self)
    }
}

fn is_stream_name(name: &str, v: Version) -> bool {
    if !v.forbids_slashes_in_streams() {
        return !name.is_empty() && !name.contains([' ', '\t', '\r', '\n', '\x0c', '.', '*', '>']);
    }
    subject::is_asset_name(name)
}
