//! Acknowledgements: what comes back on the reply subject of a delivery.

use bytes::Bytes;

use super::config::AckPolicy;
use super::saved::Delivered;
use super::{Consumer, Pair, ticks};
use crate::server::decode::plain;
use crate::server::duration;
use crate::server::router::Router;
use crate::server::stream::config::Retention;
use crate::server::stream::store::is_match;
use crate::server::stream::{Inbound, Now, Outbox, Outgoing};
use crate::server::version::Version;

/// Whose acknowledgement a subject is, and of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckSubject<'a> {
    pub(crate) stream: &'a str,
    pub(crate) consumer: &'a str,
    /// The how-manieth delivery it was.
    count: u64,
    at: Pair,
}

impl<'a> AckSubject<'a> {
    /// Reads a subject of 9 tokens, or of 11 and more that name this place; `None` is nobody's.
    pub(crate) fn read(subject: &'a str, place: &str, version: Version) -> Option<Self> {
        let rest = subject.strip_prefix("$JS.ACK.")?;
        let count = rest.split('.').count();
        let rest = match count {
            7 => rest,
            9.. if version.has_wide_acks() => rest.strip_prefix(place)?,
            _ => return None,
        };
        let mut tokens = rest.split('.');
        let (stream, consumer) = (tokens.next()?, tokens.next()?);
        let mut number = || tokens.next().map(number);
        Some(Self {
            stream,
            consumer,
            count: number()?,
            at: {
                let stream = number()?;
                let consumer = number()?;
                Pair { consumer, stream }
            },
        })
    }
}

impl AckSubject<'_> {
    pub(crate) fn stream_seq(&self) -> u64 {
        self.at.stream
    }
}

/// A number; anything else is the largest, as in the real server.
fn number(token: &str) -> u64 {
    if token.is_empty() || token.bytes().any(|byte| !byte.is_ascii_digit()) {
        return u64::MAX;
    }
    token.bytes().fold(0_u64, |value, byte| {
        let digit = u64::from(byte - b'0');
        value.wrapping_mul(10).wrapping_add(digit)
    })
}

impl Consumer {
    /// Whether it listens for acknowledgements.
    pub(crate) fn wants_acks(&self) -> bool {
        self.config.wants_acks()
    }

    /// A message came on the reply subject of a delivery.
    pub(crate) fn acked(
        &mut self,
        subject: &AckSubject<'_>,
        message: &Inbound,
        now: Now,
        router: &Router,
        out: &mut Outbox,
    ) {
        self.put_off_end(now);
        let at = subject.at;
        let body: &[u8] = &message.payload;
        let confirmed = match body {
            b"" | b"+ACK" | b"+OK" => self.acknowledge(at.stream, at.consumer, now),
            b"+WPI" => {
                self.progress(at.stream, now);
                at.stream != 0
            }
            _ => {
                if let Some(pull) = body.strip_prefix(b"+NXT") {
                    self.acknowledge(at.stream, at.consumer, now);
                    self.pulled(pull, &message.reply, now, router, out);
                    false
                } else if let Some(delay) = body.strip_prefix(b"-NAK") {
                    self.refuse(subject, delay, now);
                    at.stream != 0
                } else if body.starts_with(b"+TERM") {
                    self.acknowledge(at.stream, at.consumer, now)
                } else {
                    at.stream != 0
                }
            }
        };
        if confirmed && !message.reply.is_empty() {
            out.push_back(Outgoing::answer(&message.reply, Bytes::new()));
        }
    }

    /// Takes an acknowledgement; returns whether it is confirmed.
    pub(super) fn acknowledge(&mut self, seq: u64, consumer_seq: u64, now: Now) -> bool {
        if seq >= self.next_stream_seq {
            let lenient = self.config.flow_control && now.version.trusts_flow_controlled_acks();
            if !lenient {
                return false;
            }
        }
        let mut at = Pair {
            consumer: consumer_seq,
            stream: seq,
        };
        let full = self.is_full();
        match self.config.ack_policy {
            AckPolicy::None => return false,
            AckPolicy::Explicit => {
                let known = self.redelivery.unacked.remove(&seq);
                if let Some(known) = known {
                    at.consumer = known.consumer_seq;
                    self.asleep &= !full;
                    self.move_floor(at);
                }
                self.redelivery.forget(seq);
                self.finish(seq);
            }
            AckPolicy::All => {
                if consumer_seq <= self.ack_floor.consumer || seq <= self.ack_floor.stream {
                    return seq != 0;
                }
                self.asleep &= !full;
                self.ack_floor = at;
                let below: Vec<u64> = self
                    .redelivery
                    .unacked
                    .range(..seq)
                    .map(|(seq, _)| *seq)
                    .collect();
                self.redelivery.forget_through(seq);
                self.finish(seq);
                below.into_iter().for_each(|seq| self.finish(seq));
            }
        }
        self.save_acked(at, now);
        self.retention == Retention::Limits || seq != 0
    }

    /// Its stream need not keep a message for it any longer.
    pub(super) fn finish(&mut self, seq: u64) {
        if self.retention != Retention::Limits {
            self.done.push(seq);
        }
    }

    /// Whether its stream has to keep a message for it.
    pub(crate) fn needs(&self, seq: u64, subject: &[u8]) -> bool {
        if !is_match(subject, &self.config.filters()) {
            return false;
        }
        let above = seq > self.ack_floor.stream;
        let waits = match self.config.ack_policy {
            AckPolicy::None | AckPolicy::All => above,
            AckPolicy::Explicit => {
                let known = self.redelivery.unacked.contains_key(&seq);
                above && (seq >= self.next_stream_seq || known)
            }
        };
        waits || self.redelivery.counts.contains_key(&seq)
    }

    /// Where all that is below was acknowledged.
    pub(crate) fn floor(&self) -> u64 {
        self.ack_floor.stream
    }

    /// Somebody works on a message: its time begins anew.
    fn progress(&mut self, seq: u64, now: Now) {
        let since = ticks(now.instant);
        let Some(known) = self.redelivery.unacked.get_mut(&seq) else {
            return;
        };
        known.since = since;
        let at = Pair {
            consumer: known.consumer_seq,
            stream: seq,
        };
        let count = 1;
        self.save_delivered(Delivered { at, count, since }, now);
    }

    /// Somebody does not want a message now, or not before a delay.
    fn refuse(&mut self, subject: &AckSubject<'_>, delay: &[u8], now: Now) {
        let Pair { consumer, stream } = subject.at;
        let known = self.redelivery.unacked.contains_key(&stream);
        if consumer <= self.ack_floor.consumer || consumer > self.next_consumer_seq || !known {
            return;
        }
        if let Some(delay) = read_delay(delay.trim_ascii()) {
            return self.postpone(stream, delay, subject.count, now);
        }
        self.redelivery.queue.push(stream);
        self.asleep = false;
    }
}

/// The nanoseconds in a NAK; `None` if it names none that can be read.
fn read_delay(text: &[u8]) -> Option<i64> {
    if !text.starts_with(b"{") {
        return duration::parse(std::str::from_utf8(text).ok()?);
    }
    let read = plain(text, |delay: &mut i64, name, json, read| {
        name == "delay" && read.number(json, delay)
    });
    read.ok()
}
