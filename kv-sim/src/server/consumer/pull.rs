//! Pulls: requests for messages that wait until they are served, in turns.
//!
//! ```text
//! request ──refused──► status
//!    └──► queue ──► messages, one for each request in turn ──► all delivered, or a status that ends it
//!             └──nobody listens to its reply subject──► gone without a word
//! ```
//!
//! Whether anybody listens is asked only when the queue is looked at, as the real server does.

mod body;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use kv_proto::Instant;

use self::body::Asked;
use super::Consumer;
use crate::server::router::Router;
use crate::server::stream::{Now, Outbox, Outgoing};
use crate::server::version::Version;

/// A full queue is cleared of dead requests no more often.
const LOOKS_APART: Duration = Duration::from_secs(1);
/// The real server's timer fires no sooner.
const SHORTEST: Duration = Duration::from_millis(1);

/// One request that waits.
#[derive(Debug)]
struct Request {
    reply: Bytes,
    /// How many messages it still wants; may be negative for one that asks for none.
    left: i64,
    /// How many it got.
    got: u64,
    /// How many bytes it still takes; 0 is no limit.
    bytes: i64,
    expires: Option<Instant>,
    /// The interval of its heartbeats and when the next one is due.
    heartbeat: Option<(Duration, Instant)>,
    no_wait: bool,
    received: Instant,
}

/// The requests of a consumer that wait.
#[derive(Debug, Default)]
pub(super) struct Requests {
    queue: VecDeque<Request>,
    /// When it was last of use to anybody.
    pub(super) active: Option<Instant>,
    looked: Option<Instant>,
}

/// A message's way to somebody who asked for it.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) reply: Bytes,
    /// What the request has left after this message.
    left: i64,
    bytes: i64,
}

impl Requests {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// When one ends or has its heartbeat.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let beats = |one: &Request| one.heartbeat.map(|(_, due)| due);
        let dues = self.queue.iter().flat_map(|one| [one.expires, beats(one)]);
        let due = dues.flatten().min()?;
        Some(self.looked.map_or(due, |looked| due.max(looked + SHORTEST)))
    }

    /// Forgets those whose reply subject nobody listens to.
    fn look(&mut self, router: &Router, now: Instant) {
        if !self.queue.is_empty() {
            self.looked = Some(now);
            self.queue.retain(|one| router.has_interest(&one.reply));
        }
    }

    fn wanted(&self) -> i64 {
        let left = self.queue.iter().map(|one| one.left);
        left.fold(0, i64::saturating_add)
    }

    /// Counts a message for the first request, which goes behind the others or is done.
    fn take_turn(&mut self, now: Instant) -> Option<Turn> {
        let mut request = self.queue.pop_front()?;
        request.got += 1;
        request.left = request.left.saturating_sub(1);
        let turn = Turn {
            reply: request.reply.clone(),
            left: request.left,
            bytes: request.bytes,
        };
        if request.left > 0 {
            if !self.queue.is_empty() {
                self.active = Some(request.received);
            }
            if let Some((interval, due)) = &mut request.heartbeat {
                *due = now + *interval;
            }
            self.queue.push_back(request);
        }
        Some(turn)
    }
}

impl Turn {
    /// What is said behind the last message of a request that has bytes to spare.
    pub(super) fn completion(&self) -> Option<Outgoing> {
        let spare = self.left <= 0 && self.bytes > 0;
        spare.then(|| ended(&self.reply, "409 Batch Completed", self.left, self.bytes))
    }
}

impl Consumer {
    /// Somebody asks for messages.
    pub(crate) fn pulled(
        &mut self,
        body: &[u8],
        reply: &Bytes,
        now: Now,
        router: &Router,
        out: &mut Outbox,
    ) {
        if reply.is_empty() {
            return;
        }
        let refuse = |out: &mut Outbox, status: &str| {
            let headers = format!("NATS/1.0 {status}\r\n\r\n");
            out.push_back(Outgoing::status(reply, headers));
        };
        if self.config.is_push() {
            return refuse(out, "409 Consumer is push based");
        }
        let asked = match Asked::read(body, now.version) {
            Ok(asked) => asked,
            Err(why) => return refuse(out, &format!("400 Bad Request - {why}")),
        };
        if let Some(status) = asked.exceeds(&self.config) {
            return refuse(out, &status);
        }
        if let Some(why) = asked.wants_priority(now.version) {
            refuse(out, &format!("400 Bad Request - {why}"));
            if now.version.refuses_priority() || why.starts_with("Priority must") {
                return;
            }
        }
        let max = usize::try_from(self.config.max_waiting).unwrap_or(0);
        let looked = self.requests.looked;
        let rested = looked.is_none_or(|at| now.instant >= at + LOOKS_APART);
        if self.requests.len() >= max && rested {
            self.process_requests(false, now, router, out);
        }
        if asked.no_wait {
            let queued = i64::try_from(self.redelivery.queue.len()).unwrap_or(i64::MAX);
            let pending = self.pending.max(0).saturating_add(queued);
            if pending == 0 && asked.expires.is_none() {
                self.requests.active = Some(now.instant);
                return refuse(out, "404 No Messages");
            }
            if pending > 0 {
                self.process_requests(false, now, router, out);
                // Compared without a sign, in which a negative one is the largest.
                if pending.cast_unsigned() < self.requests.wanted().cast_unsigned() {
                    self.requests.active = Some(now.instant);
                    return refuse(out, "408 Requests Pending");
                }
            }
        }
        if self.requests.len() >= max {
            if asked.heartbeat == 0 || !now.version.hushes_full_queues() {
                refuse(out, "409 Exceeded MaxWaiting");
            }
            return;
        }
        let heartbeat = u64::try_from(asked.heartbeat).ok().filter(|hb| *hb > 0);
        let heartbeat = heartbeat.map(Duration::from_nanos);
        self.requests.active = Some(now.instant);
        self.requests.queue.push_back(Request {
            reply: reply.clone(),
            left: asked.batch,
            got: 0,
            bytes: asked.max_bytes,
            expires: asked.expires.map(|nanos| {
                let nanos = u64::try_from(nanos).unwrap_or(0);
                now.instant + Duration::from_nanos(nanos)
            }),
            heartbeat: heartbeat.map(|interval| (interval, now.instant + interval)),
            no_wait: asked.no_wait,
            received: now.instant,
        });
        self.asleep = false;
    }

    /// Ends requests whose time is over, or that wait for nothing at the end of what there is; forgets those
    /// that nobody listens to, and sends heartbeats to the others.
    pub(super) fn process_requests(
        &mut self,
        at_end: bool,
        now: Now,
        router: &Router,
        out: &mut Outbox,
    ) {
        if self.requests.is_empty() {
            return;
        }
        self.requests.looked = Some(now.instant);
        let all = std::mem::take(&mut self.requests.queue);
        for mut one in all {
            if let Some(status) = one.end(at_end, self.agreed, now) {
                out.push_back(status);
                continue;
            }
            if !router.has_interest(&one.reply) {
                continue;
            }
            if let Some((interval, due)) = &mut one.heartbeat
                && *due <= now.instant
            {
                *due = now.instant + *interval;
                self.send_heartbeat_to(&one.reply, out);
            }
            self.requests.queue.push_back(one);
        }
    }

    /// Finds out whose turn it is to get a message of that size.
    pub(super) fn next_turn(
        &mut self,
        size: usize,
        now: Now,
        router: &Router,
        out: &mut Outbox,
    ) -> Option<Turn> {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        while let Some(first) = self.requests.queue.front_mut() {
            if first.bytes > 0 && size > first.bytes {
                let text = "409 Message Size Exceeds MaxBytes";
                out.push_back(ended(&first.reply, text, first.left, first.bytes));
            } else if first.expires.is_some_and(|due| due <= now.instant) {
                out.extend(first.end(false, self.agreed, now));
            } else if router.has_interest(&first.reply) {
                if first.bytes > 0 {
                    first.bytes -= size;
                    if first.bytes == 0 {
                        first.left = 1;
                    }
                }
                return self.requests.take_turn(now.instant);
            }
            self.requests.queue.pop_front();
        }
        None
    }

    /// A message that was sent for a request has reached nobody.
    pub(crate) fn did_not_deliver(
        &mut self,
        seq: u64,
        reply: &[u8],
        now: Now,
        router: &Router,
        out: &mut Outbox,
    ) {
        if self.config.is_push() {
            return;
        }
        self.redelivery.decrease(seq);
        if !self.redelivery.unacked.contains_key(&seq) {
            return;
        }
        self.process_requests(false, now, router, out);
        let mut waiting = self.requests.queue.iter_mut();
        if let Some(request) = waiting.find(|one| one.reply == reply) {
            request.left += 1;
            request.got = request.got.saturating_sub(1);
        }
        if !self.redelivery.queue.contains(seq) {
            self.redelivery.queue.push(seq);
            self.asleep &= self.requests.is_empty();
        }
    }

    /// Looks who still waits, before it tells how many do.
    pub(crate) fn look_at_requests(&mut self, router: &Router, now: Instant) {
        self.requests.look(router, now);
    }

    /// Tells all who wait that the consumer is gone.
    pub(crate) fn release(&mut self, out: &mut Outbox) {
        self.dismiss("409 Consumer Deleted", out);
    }

    /// Tells all who wait that another server leads the consumer now.
    pub(crate) fn hand_over(&mut self, out: &mut Outbox) {
        self.dismiss("409 Leadership Change", out);
    }

    fn dismiss(&mut self, status: &str, out: &mut Outbox) {
        for one in std::mem::take(&mut self.requests.queue) {
            let headers = format!("NATS/1.0 {status}\r\n\r\n");
            out.push_back(Outgoing::status(&one.reply, headers));
        }
    }

    /// Tells all who wait that the server is about to go.
    pub(crate) fn warn_of_shutdown(&self, out: &mut Outbox) {
        for one in &self.requests.queue {
            out.push_back(ended(
                &one.reply,
                "409 Server Shutdown",
                one.left,
                one.bytes,
            ));
        }
    }
}

impl Request {
    /// The status that ends it at this moment, if one does. While servers agree on what was delivered, it is
    /// always the same one.
    fn end(&self, at_end: bool, agreed: bool, now: Now) -> Option<Outgoing> {
        let timeout = || ended(&self.reply, "408 Request Timeout", self.left, self.bytes);
        if self.expires.is_some_and(|due| due <= now.instant) {
            return Some(timeout());
        }
        if !at_end || !self.no_wait {
            return None;
        }
        if now.version == Version::V2_10 {
            return (self.got > 0).then(timeout);
        }
        if agreed && self.got > 0 {
            return Some(timeout());
        }
        let nothing = || Outgoing::status(&self.reply, &b"NATS/1.0 404 No Messages\r\n\r\n"[..]);
        (self.expires.is_none() || self.got > 0).then(nothing)
    }
}

/// A status that tells what a request has left.
fn ended(reply: &Bytes, status: &str, messages: i64, bytes: i64) -> Outgoing {
    let headers = format!(
        "NATS/1.0 {status}\r\nNats-Pending-Messages: {messages}\r\nNats-Pending-Bytes: {bytes}\r\n\r\n"
    );
    Outgoing::status(reply, headers)
}
