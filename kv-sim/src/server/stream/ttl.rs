//! Messages that end by themselves: `max_age`, `Nats-TTL`, and the delete markers left behind.

use std::time::Duration;

use kv_proto::{Instant, Timestamp};

use super::group::Standing;
use super::{Now, Outbox, Stream, nanos_between};
use crate::server::header;
use crate::server::journal::Removal;

/// The real server looks no more often.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
const SECOND: i64 = 1_000_000_000;

impl Stream {
    /// When a message ends, on the embedder's clock.
    pub(super) fn next_expiry(&self, now: Now) -> Option<Instant> {
        let own = self.store.next_expiry().map(|(time, _)| time);
        let oldest = self.store.iter().find(|message| !message.never_expires);
        let aged = oldest.filter(|_| self.config.max_age > 0).map(|message| {
            let nanos = message
                .time
                .as_unix_nanos()
                .saturating_add(self.config.max_age);
            Timestamp::from_unix_nanos(nanos)
        });
        let time = match (own, aged) {
            (Some(own), Some(aged)) => own.min(aged),
            (own, aged) => own.or(aged)?,
        };
        let wait = u64::try_from(nanos_between(now.time, time)).unwrap_or(0);
        let due = now.instant + Duration::from_nanos(wait);
        Some(due.max(self.swept + SWEEP_INTERVAL))
    }

    /// Removes what has ended, if there is a leader to say so.
    pub(crate) fn handle_timeout(&mut self, now: Now, out: &mut Outbox) {
        let led = self.group.standing() == Standing::Led;
        if led {
            self.abandon_batches(now, out);
        }
        if led && self.next_expiry(now).is_some_and(|due| due <= now.instant) {
            self.swept = now.instant;
            self.sweep(now, out);
        }
    }

    /// Removes at once what a new configuration makes too old.
    pub(super) fn expire(&mut self, now: Now) {
        let mut unsent = Outbox::new();
        if self.config.delete_marker_ttl == 0 {
            self.sweep(now, &mut unsent);
        }
    }

    fn sweep(&mut self, now: Now, out: &mut Outbox) {
        let mut ended = Vec::new();
        if self.config.max_age > 0 {
            let aged = |time: Timestamp| nanos_between(time, now.time) >= self.config.max_age;
            let all = self.store.iter().take_while(|message| aged(message.time));
            ended.extend(
                all.filter(|message| !message.never_expires)
                    .map(|message| message.seq),
            );
        }
        ended.extend(self.store.expired(now.time));
        for seq in ended {
            self.end(seq, now, out);
        }
    }

    /// Ends one message: if it was the last of its subject, a marker takes its place.
    fn end(&mut self, seq: u64, now: Now, out: &mut Outbox) {
        let Some(message) = self.store.get(seq) else {
            return;
        };
        let subject = message.subject.clone();
        let is_last = self
            .store
            .of_subject(&subject)
            .is_some_and(|seqs| seqs.len() == 1);
        let is_marker = header::text(&message.headers, "Nats-Marker-Reason").is_some()
            || header::value(&message.headers, "KV-Operation") == Some(b"PURGE");
        let marker_ttl = self.config.delete_marker_ttl / SECOND;
        if marker_ttl == 0 || !is_last || is_marker {
            self.remove(seq, Removal::Expired);
            return;
        }
        if self.is_under_way(&subject) {
            return; // a marker waits for what was accepted before it
        }
        let headers = format!(
            "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: {}\r\nNats-Rollup: sub\r\n\r\n",
            go_seconds(marker_ttl)
        );
        self.publish_marker(subject, headers.into_bytes(), now, out);
    }
}

/// A whole number of seconds as Go prints a duration.
pub(crate) fn go_seconds(seconds: i64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}
