//! What a pull asks for: nothing, a number, or an object.

use crate::server::consumer::config::ConsumerConfig;
use crate::server::decode::plain;
use crate::server::duration;
use crate::server::version::Version;

/// The body of a pull.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) batch: i64,
    /// In nanoseconds, as all durations here.
    pub(super) expires: Option<i64>,
    pub(super) max_bytes: i64,
    pub(super) no_wait: bool,
    pub(super) heartbeat: i64,
    min_pending: i64,
    min_ack_pending: i64,
    id: String,
    group: String,
    priority: i64,
}

impl Asked {
    /// Reads a body; what is neither empty, a number nor an object asks for one message.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in the server's words.
    pub(super) fn read(body: &[u8], version: Version) -> Result<Self, String> {
        let body = body.trim_ascii();
        if !body.starts_with(b"{") {
            let number = std::str::from_utf8(body).ok();
            let number = number.and_then(|text| text.parse().ok());
            return Ok(Self {
                batch: number.unwrap_or(1),
                ..Self::default()
            });
        }
        let mut expires = 0_i64;
        let has_priority = version.has_level_1();
        let asked = plain(body, |out: &mut Self, name, json, read| match name {
            "expires" => read.number(json, &mut expires),
            "batch" => read.number(json, &mut out.batch),
            "max_bytes" => read.number(json, &mut out.max_bytes),
            "no_wait" => read.bool(json, &mut out.no_wait),
            "idle_heartbeat" => read.number(json, &mut out.heartbeat),
            "min_pending" if has_priority => read.number(json, &mut out.min_pending),
            "min_ack_pending" if has_priority => read.number(json, &mut out.min_ack_pending),
            "id" if has_priority => read.text(json, &mut out.id),
            "group" if has_priority => read.text(json, &mut out.group),
            "priority" if version.has_level_2() => read.number(json, &mut out.priority),
            _ => false,
        })?;
        if asked.heartbeat > 0 && asked.heartbeat.saturating_mul(2) > expires {
            return Err("heartbeat value too large".to_owned());
        }
        let expires = Some(expires).filter(|nanos| *nanos != 0);
        Ok(Self { expires, ..asked })
    }

    /// The status that refuses what is more than the consumer's configuration allows.
    pub(super) fn exceeds(&self, config: &ConsumerConfig) -> Option<String> {
        let over = |asked: i64, max: i64| max > 0 && asked > max;
        if over(self.batch, config.max_batch) {
            return Some(format!(
                "409 Exceeded MaxRequestBatch of {}",
                config.max_batch
            ));
        }
        if over(self.expires.unwrap_or(0), config.max_expires) {
            let max = duration::print(config.max_expires);
            return Some(format!("409 Exceeded MaxRequestExpires of {max}"));
        }
        if over(self.max_bytes, config.max_request_bytes) {
            let max = config.max_request_bytes;
            return Some(format!("409 Exceeded MaxRequestMaxBytes of {max}"));
        }
        None
    }

    /// Why it cannot be what it asks for: no consumer here has a priority policy.
    pub(super) fn wants_priority(&self, version: Version) -> Option<&'static str> {
        if self.min_pending != 0 || self.min_ack_pending != 0 {
            return Some("Not a Overflow Priority consumer");
        }
        if !self.id.is_empty() {
            return Some("Not a Pinned Client Priority consumer");
        }
        let in_range = (0..=9).contains(&self.priority);
        (version.has_level_2() && !in_range).then_some("Priority must be between 0 and 9")
    }
}
