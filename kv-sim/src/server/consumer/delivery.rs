//! Delivery: which message is next, what is sent for it, and the window of flow control.

use bytes::Bytes;

use super::config::AckPolicy;
use super::{Consumer, Pair};
use crate::server::rng::Rng;
use crate::server::stream::store::{Message, Store};
use crate::server::stream::{Now, Outbox, Outgoing, extended};
use crate::server::version::Version;

/// The first window is this part of the widest.
const FIRST_WINDOW: u64 = 16;
/// What stands for domain and account in the longer form of reply subjects.
const HERE: &str = "_.szMpdrwD.";

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
                self.waiting = false;
            }
            other => flow.asked = other,
        }
    }

    /// Delivers all that can be delivered now.
    pub(crate) fn deliver(&mut self, store: &Store, now: Now, rng: &mut Rng, out: &mut Outbox) {
        while !self.waiting {
            let stalled = self
                .flow
                .as_ref()
                .is_some_and(|flow| flow.in_flight > flow.window);
            let ready = self.active && !stalled && self.config.is_push();
            match ready.then(|| self.take_next(store, now.version)).flatten() {
                Some(message) => self.send(&message, now, rng, out),
                None => self.waiting = !std::mem::take(&mut self.woken_twice),
            }
        }
    }

    /// The next message, and moves past it; `None` at the end, or where a message has vanished.
    fn take_next(&mut self, store: &Store, version: Version) -> Option<Message> {
        if let Some(seq) = self
            .snapshot
            .as_mut()
            .and_then(|snapshot| snapshot.seqs.pop_front())
        {
            self.next_stream_seq = seq + 1;
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

    fn send(&mut self, message: &Message, now: Now, rng: &mut Rng, out: &mut Outbox) {
        self.pending -= 1;
        let reply = Bytes::from(format!(
            "$JS.ACK.{}{}.{}.1.{}.{}.{}.{}",
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
        let to = Bytes::from(self.config.deliver_subject.clone());
        let size = to.len() + reply.len() + headers.len() + payload.len();
        out.push_back(Outgoing {
            to,
            subject: message.subject.clone(),
            reply,
            headers,
            payload,
        });
        let delivered = Pair {
            consumer: self.next_consumer_seq,
            stream: message.seq,
        };
        self.next_consumer_seq += 1;
        self.last_delivered = Some(now.time);
        if self.config.ack_policy == AckPolicy::None {
            self.ack_floor = delivered;
        }
        let floor = self.saved.map_or(Pair::default(), |(_, floor)| floor);
        let floor = if self.config.ack_policy == AckPolicy::None {
            delivered
        } else {
            floor
        };
        self.saved = Some((delivered, floor));
        self.heartbeat_at = self.next_heartbeat(now.instant);
        self.count_in_flight(size as u64, rng, out);
    }

    /// What reply subjects have before the stream's name.
    fn place(&self) -> &'static str {
        if self.habits.wide_replies { HERE } else { "" }
    }

    fn count_in_flight(&mut self, size: u64, rng: &mut Rng, out: &mut Outbox) {
        let place = self.place();
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
