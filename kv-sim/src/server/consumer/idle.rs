//! What a consumer does by itself as time goes by: heartbeats, redeliveries, the end of its life.

use std::time::Duration;

use bytes::Bytes;
use kv_proto::Instant;

use super::{Consumer, nanos};
use crate::server::rng::Rng;
use crate::server::router::Router;
use crate::server::stream::store::Store;
use crate::server::stream::{Now, Outbox, Outgoing};
use crate::server::version::Version;

/// How long an ephemeral consumer without listeners lives, if nothing else was asked for.
const DEFAULT_INACTIVE: i64 = 5_000_000_000;
const MILLISECOND: i64 = 1_000_000;

impl Consumer {
    /// Tells whether somebody subscribes to exactly the deliver subject.
    pub(crate) fn set_interest(&mut self, interest: bool, now: Instant) {
        if interest && !self.active {
            self.asleep = false;
            self.woken_twice = true;
        }
        self.active = interest;
        if interest || self.inactive_after <= 0 {
            self.inactive_at = None;
        } else if self.inactive_at.is_none() {
            self.inactive_at = Some(now + nanos(self.inactive_after));
        }
    }

    /// Somebody acknowledges: it is of use, whoever listens or pulls.
    pub(super) fn put_off_end(&mut self, now: Now) {
        if self.config.inactive_threshold <= 0 || self.inactive_after <= 0 {
            return;
        }
        let end = now.instant + nanos(self.inactive_after);
        if self.config.is_push() {
            self.inactive_at = self.inactive_at.map(|_| end);
        } else {
            self.requests.active = Some(now.instant);
            if now.version > Version::V2_10 {
                self.inactive_at = self.inactive_at.map(|_| end);
            }
        }
    }

    pub(super) fn next_heartbeat(&self, now: Instant) -> Option<Instant> {
        (self.config.heartbeat > 0).then(|| now + nanos(self.config.heartbeat))
    }

    /// When it acts by itself.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let dues = [
            self.heartbeat_at,
            self.inactive_at,
            self.redelivery.check_at,
            self.resumes_at,
            self.requests.next_timeout(),
        ];
        dues.into_iter().flatten().min()
    }

    /// Does what is due; returns false when the consumer's life is over.
    pub(crate) fn handle_timeout(
        &mut self,
        store: &Store,
        now: Now,
        router: &Router,
        out: &mut Outbox,
    ) -> bool {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now.instant);
        if is_due(self.inactive_at) && self.is_over(now, router, out) {
            return false;
        }
        if is_due(self.heartbeat_at) {
            if self.active {
                self.send_heartbeat(out);
            }
            self.asleep = false;
            self.heartbeat_at = self.next_heartbeat(now.instant);
        }
        if is_due(self.redelivery.check_at) {
            self.check_unacked(store.first_seq(), now);
        }
        if is_due(self.resumes_at) {
            self.resumes_at = None;
            self.asleep = false;
        }
        if is_due(self.requests.next_timeout()) {
            self.process_requests(true, now, router, out);
            self.asleep = false;
        }
        true
    }

    /// Whether nobody has had a use for it for long enough. A pull consumer is looked at again and again.
    fn is_over(&mut self, now: Now, router: &Router, out: &mut Outbox) -> bool {
        if self.config.is_push() {
            return true;
        }
        let whole = nanos(self.inactive_after);
        let lives = if now.version == Version::V2_10 {
            nanos(self.config.inactive_threshold)
        } else {
            whole
        };
        let idle = self.requests.active;
        let idle = idle.map(|active| now.instant.saturating_duration_since(active));
        let young = idle.filter(|idle| *idle < lives);
        let more = if let Some(idle) = young {
            Some(whole.saturating_sub(idle))
        } else {
            self.process_requests(true, now, router, out);
            if !self.requests.is_empty() {
                Some(whole)
            } else if now.version > Version::V2_10 {
                self.last_ack_due(now)
            } else {
                None
            }
        };
        self.inactive_at = more.map(|more| now.instant + more.max(Duration::from_nanos(1)));
        more.is_none()
    }

    /// Tells where it is, to whoever listens.
    pub(crate) fn send_heartbeat(&self, out: &mut Outbox) {
        let to = Bytes::from(self.config.deliver_subject.clone());
        self.send_heartbeat_to(&to, out);
    }

    pub(super) fn send_heartbeat_to(&self, to: &Bytes, out: &mut Outbox) {
        let mut headers = format!(
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: {}\r\nNats-Last-Stream: {}\r\n",
            self.next_consumer_seq - 1,
            self.next_stream_seq.saturating_sub(1),
        );
        let asked = self.flow.as_ref().and_then(|flow| flow.asked.as_ref());
        if let Some((reply, _)) = asked {
            headers += &format!(
                "Nats-Consumer-Stalled: {}\r\n",
                String::from_utf8_lossy(reply)
            );
        }
        headers += "\r\n";
        out.push_back(Outgoing::status(to, headers));
    }
}

/// How long it lives without listeners, and what its configuration says about it.
pub(super) fn inactive_after(asked: i64, durable: bool, push: bool, rng: &mut Rng) -> (i64, i64) {
    let mut jitter = || (100 + i64::try_from(rng.below(900)).unwrap_or(0)) * MILLISECOND;
    if !durable && asked <= 0 {
        return (DEFAULT_INACTIVE + jitter(), DEFAULT_INACTIVE);
    }
    if asked > 0 && !push {
        return (asked.saturating_add(jitter()), asked);
    }
    (asked.max(0), asked)
}
