//! Delivery: which message is next, what is sent for it, and the window of flow control.

use bytes::Bytes;

use super::saved::Delivered;
use super::{Consumer, Pair, ticks};
use crate::server::rng::Rng;
use crate::server::router::Router;
use crate::server::stream::store::{Message, Store};
use crate::server::stream::{Now, Outbox, Outgoing, extended, nanos_between};
use crate::server::version::Version;

/// The first window is this part of the widest.
const FIRST_WINDOW: u64 = 16;

/// Why nothing is delivered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// There is nothing, or nobody to take it.
    Idle,
    /// Something must be acknowledged first.
    Full,
}

#[derive(Debug)]
pub(super) struct FlowControl {
    window: u64,
    /// The most that is ever under way.
    limit: u64,
    in_flight: u64,
    /// The reply that is waited for, and how much it will acknowledge.
    pub(super) asked: Option<(Bytes, u64)>,
}

impl FlowControl {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            window: (limit / FIRST_WINDOW).max(1),
            limit,
            in_flight: 0,
            asked: None,
        }
    }
}

/// The stream and the consumer that a flow-control subject names, in either form.
pub(crate) fn addressee(subject: &str) -> Option<(&str, &str)> {
    let mut parts = subject.strip_prefix("$JS.FC.")?.split('.');
    if parts.clone().count() > 3 {
        parts.nth(1);
    }
    Some((parts.next()?, parts.next().unwrap_or("")))
}

impl Consumer {
    /// A message came on a flow-control subject.
    pub(crate) fn flow_answered(&mut self, subject: &[u8]) {
        let Some(flow) = &mut self.flow else {
            return;
        };
        match flow.asked.take() {
            Some((asked, bytes)) if asked == subject => {
                flow.window = (flow.window * 2).min(flow.limit);
                flow.in_flight = flow.in_flight.saturating_sub(bytes);
                self.asleep = false;
            }
            other => flow.asked = other,
        }
    }

    /// Delivers all that can be delivered now.
    pub(crate) fn deliver(
        &mut self,
        store: &Store,
        now: Now,
        router: &Router,
        rng: &mut Rng,
        out: &mut Outbox,
    ) {
        self.end_vanished(now);
        while !self.asleep {
            self.asleep = !std::mem::take(&mut self.woken_twice);
            let rest = loop {
                if let Err(rest) = self.deliver_next(store, now, router, rng, out) {
                    break rest;
                }
            };
            self.process_requests(rest != Rest::Full, now, router, out);
        }
    }

    /// Takes what was removed from the stream for acknowledged.
    fn end_vanished(&mut self, now: Now) {
        for at in std::mem::take(&mut self.redelivery.vanished) {
            self.acknowledge(at.stream, at.consumer, now);
        }
        if std::mem::take(&mut self.acked_now) {
            self.last_acked = Some(now.time);
        }
    }

    /// Delivers one message, if there is one and somebody to take it.
    fn deliver_next(
        &mut self,
        store: &Store,
        now: Now,
        router: &Router,
        rng: &mut Rng,
        out: &mut Outbox,
    ) -> Result<(), Rest> {
        if self.is_paused(now.time) || !self.has_takers() {
            return Err(Rest::Idle);
        }
        let (message, count) = match self.next_redelivery(store, now) {
            Some(again) => again,
            None if self.is_full() => return Err(Rest::Full),
            None => (self.take_next(store, now.version).ok_or(Rest::Idle)?, 1),
        };
        if count == 1 {
            self.pending -= 1;
        }
        let delivery = self.prepared(&message, count);
        let size = message.subject.len()
            + delivery.reply.len()
            + delivery.headers.len()
            + delivery.payload.len();
        if self.config.is_push() {
            self.send(delivery, &message, count, now, rng, out);
            return Ok(());
        }
        let Some(turn) = self.next_turn(size, now, router, out) else {
            self.put_back(&message, count);
            return Err(Rest::Idle);
        };
        let delivery = Outgoing {
            to: turn.reply.clone(),
            ..delivery
        };
        self.send(delivery, &message, count, now, rng, out);
        if self.inactive_after > 0 {
            self.requests.active = Some(now.instant);
        }
        out.extend(turn.completion());
        Ok(())
    }

    /// Whether anybody could be sent something now.
    fn has_takers(&self) -> bool {
        if !self.config.is_push() {
            return !self.requests.is_empty();
        }
        let flow = self.flow.as_ref();
        self.active && flow.is_none_or(|flow| flow.in_flight <= flow.window)
    }

    /// Nobody took a message: it is the next one again.
    fn put_back(&mut self, message: &Message, count: u64) {
        if count == 1 && message.seq + 1 == self.next_stream_seq {
            self.next_stream_seq -= 1;
            self.pending += 1;
        } else {
            self.redelivery.decrease(message.seq);
            self.redelivery.queue.push(message.seq);
        }
    }

    /// The next message, and moves past it; `None` at the end, or where a message has vanished.
    fn take_next(&mut self, store: &Store, version: Version) -> Option<Message> {
        if let Some(seq) = self
            .snapshot
            .as_mut()
            .and_then(|snapshot| snapshot.seqs.pop_front())
        {
            self.next_stream_seq = if version.follows_snapshots() {
                seq + 1
            } else {
                self.next_stream_seq + 1
            };
            if let Some(done) = self.snapshot.take_if(|snapshot| snapshot.seqs.is_empty()) {
                self.next_stream_seq = done.resume + 1;
            }
            return store.get(seq).cloned();
        }
        let filters = self.config.filters();
        let next = if filters.len() > 1 && store.is_on_disk() && version.intersects_filters() {
            store.next_by_intersection(&filters, self.next_stream_seq)
        } else {
            store.next_for(&filters, self.next_stream_seq)
        };
        match next {
            Some(message) => {
                self.next_stream_seq = message.seq + 1;
                Some(message.clone())
            }
            None => {
                self.next_stream_seq = self.next_stream_seq.max(store.last_seq() + 1);
                if self.next_stream_seq > store.last_seq() && self.pending != 0 {
                    self.pending = 0;
                    self.pending_through = store.last_seq();
                }
                None
            }
        }
    }

    /// A message as it is sent to the deliver subject.
    fn prepared(&self, message: &Message, count: u64) -> Outgoing {
        let reply = Bytes::from(format!(
            "$JS.ACK.{}{}.{}.{count}.{}.{}.{}.{}",
            self.place(),
            self.stream,
            self.name,
            message.seq,
            self.next_consumer_seq,
            message.time.as_unix_nanos(),
            self.pending.max(0),
        ));
        let (headers, payload) = if self.config.headers_only {
            let size = format!("Nats-Msg-Size: {}\r\n", message.payload.len());
            (extended(&message.headers, &size), Bytes::new())
        } else {
            (message.headers.clone(), message.payload.clone())
        };
        Outgoing {
            to: Bytes::from(self.config.deliver_subject.clone()),
            subject: message.subject.clone(),
            reply,
            headers,
            payload,
        }
    }

    fn send(
        &mut self,
        delivery: Outgoing,
        message: &Message,
        count: u64,
        now: Now,
        rng: &mut Rng,
        out: &mut Outbox,
    ) {
        let size = delivery.to.len()
            + delivery.reply.len()
            + delivery.headers.len()
            + delivery.payload.len();
        out.push_back(delivery);
        let at = Pair {
            consumer: self.next_consumer_seq,
            stream: message.seq,
        };
        self.next_consumer_seq += 1;
        // Its store takes the time of the message for that of the delivery.
        let since = ticks(now.instant).saturating_add(nanos_between(now.time, message.time));
        self.save_delivered(Delivered { at, count, since }, now);
        if self.config.wants_acks() {
            self.await_ack(at, now);
        } else {
            self.ack_floor = at;
            self.finish(at.stream);
        }
        self.heartbeat_at = self.next_heartbeat(now.instant);
        self.count_in_flight(size as u64, rng, out);
    }

    /// What reply subjects have before the stream's name.
    fn place(&self) -> &str {
        self.habits.wide_place.as_deref().unwrap_or_default()
    }

    fn count_in_flight(&mut self, size: u64, rng: &mut Rng, out: &mut Outbox) {
        let place = self.habits.wide_place.as_deref().unwrap_or_default();
        let Some(flow) = &mut self.flow else {
            return;
        };
        flow.in_flight += size;
        match &mut flow.asked {
            None if flow.in_flight > flow.window / 2 => {
                let reply = format!(
                    "$JS.FC.{place}{}.{}.{}",
                    self.stream,
                    self.name,
                    rng.name(4)
                );
                let reply = Bytes::from(reply);
                flow.asked = Some((reply.clone(), flow.in_flight));
                let to = Bytes::from(self.config.deliver_subject.clone());
                let mut request =
                    Outgoing::status(&to, &b"NATS/1.0 100 FlowControl Request\r\n\r\n"[..]);
                request.reply = reply;
                out.push_back(request);
            }
            Some((_, bytes)) if flow.in_flight.saturating_sub(*bytes) >= flow.window => {
                *bytes += size
            }
            None | Some(_) => {}
        }
    }
}
