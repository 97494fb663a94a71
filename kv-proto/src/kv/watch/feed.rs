//! One consumer that delivers to a watch: from its creation to its end.
//!
//! ```text
//!   Creating --created--> Verifying --same bucket--> Live
//!       any --gap, silence, link lost, other bucket--> gone, and another feed follows
//! ```
//!
//! Messages can overtake the answer to the creation, and what a resumed
//! consumer delivers counts only after the bucket was seen to be the same; so
//! they are held back until then, and are gone with the feed if it was not.

use alloc::string::String;

use super::buffer::Buffer;
use super::initial::Initial;
use super::options::{Cursor, Position};
use super::pulse::Pulse;
use crate::js::consumer::DeliverPolicy;
use crate::js::delivery::Delivery;
use crate::kv::ask::Question;
use crate::link::LinkId;
use crate::mutant::{self, Mutant};
use crate::name::Subject;
use crate::op::OpId;
use crate::out::Span;
use crate::paths::Path;
use crate::time::Instant;
use crate::timer::TimerId;

/// How far a feed has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The server is asked to make the consumer.
    Creating,
    /// It is there; the stream is asked for, to see that it is the same.
    Verifying,
    Live,
}

/// What a sequence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The next one.
    Next,
    /// One that came before, or of another consumer.
    Stray,
    /// One before it is missing.
    Gap,
}

#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) link: LinkId,
    /// The subscription; no two feeds of a session have the same.
    pub(crate) sid: u64,
    pub(crate) consumer: String,
    pub(crate) stage: Stage,
    /// The question that is open.
    pub(crate) ask: Option<(OpId, Question)>,
    pub(crate) started: Instant,
    pub(crate) initial: Initial,
    /// The server that the consumer lives on, in a cluster.
    pub(crate) host: Option<String>,
    pub(crate) pulse: Pulse,
    pub(crate) pulse_timer: Option<TimerId>,
    /// Where the consumer was before its first message.
    pub(crate) base: Option<Cursor>,
    /// It brought more than there was room for, while it was not verified.
    pub(crate) overflowed: bool,
    /// The server refused to make the consumer.
    pub(crate) refused: bool,
    /// The first message is not the one that was delivered last.
    pub(crate) suspect: bool,
    /// The last answer to a flow-control request, and where it was sent.
    pub(crate) flow: Option<(Span, Subject)>,
    /// Consumer sequence of the last message.
    received: u64,
    stream_seq: u64,
    /// What waits until the feed is verified.
    pub(crate) held: Buffer,
}

impl Feed {
    pub(crate) fn new(
        link: LinkId,
        sid: u64,
        consumer: String,
        now: Instant,
        pulse: Pulse,
        policy: DeliverPolicy,
        place: Option<Position>,
    ) -> Self {
        Self {
            link,
            sid,
            consumer,
            stage: Stage::Creating,
            ask: None,
            started: now,
            initial: Initial::new(policy.first()),
            host: None,
            pulse,
            pulse_timer: None,
            base: None,
            overflowed: false,
            refused: false,
            suspect: false,
            flow: None,
            received: 0,
            stream_seq: 0,
            held: Buffer::new(place),
        }
    }

    /// What [`Mutant::SequenceNotReset`] does.
    pub(crate) const fn after(mut self, received: u64) -> Self {
        self.received = received;
        self
    }

    /// How many messages came.
    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    /// The sequence of the last message in the stream.
    pub(crate) const fn seen(&self) -> u64 {
        self.stream_seq
    }

    /// Returns whether all of the initial data has come.
    pub(crate) fn has_all(&self) -> bool {
        self.initial.is_complete(self.received, self.stream_seq)
    }

    /// By which rule all of it has come.
    pub(crate) fn how_it_has_all(&self) -> Path {
        self.initial.how_complete(self.received, self.stream_seq)
    }

    /// Returns whether the next message is the feed's first.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.received == 0
    }

    /// Takes a message's sequences.
    pub(crate) fn order(&mut self, delivery: &Delivery<'_>) -> Order {
        if delivery.consumer != self.consumer.as_bytes() {
            let slips_in = mutant::is(Mutant::OldMessageSlipsIn);
            return if slips_in { Order::Next } else { Order::Stray };
        }
        if delivery.consumer_seq <= self.received {
            return Order::Stray;
        }
        if delivery.consumer_seq > self.received.saturating_add(1)
            || delivery.stream_seq <= self.stream_seq
        {
            return Order::Gap;
        }
        self.received = delivery.consumer_seq;
        self.stream_seq = delivery.stream_seq;
        Order::Next
    }

    /// Returns whether a heartbeat tells of messages that did not come.
    pub(crate) fn misses(&self, last_consumer: u64) -> bool {
        if mutant::is(Mutant::HeartbeatMiscounted) {
            return last_consumer != self.stream_seq;
        }
        last_consumer > self.received
    }
}
