//! Bugs that can be planted, to show that tests and the simulator find them.
//!
//! Each is one that a NATS client really had, or could have had. With the
//! feature `mutants`, [`plant`] makes the whole process misbehave in one of
//! these ways; without it the question whether a bug is planted is `false` at
//! compile time, and nothing of this is left. The feature is for tests of
//! tests: never enable it in what is used.

#![cfg_attr(
    not(feature = "mutants"),
    allow(unreachable_pub, reason = "public with the feature")
)]

#[cfg(feature = "mutants")]
mod planted;

use alloc::string::String;

#[cfg(feature = "mutants")]
use bytes::Bytes;

#[cfg(feature = "mutants")]
use crate::kv::watch::resume::StreamFacts;

use crate::out::{Outbox, Span};
#[cfg(feature = "mutants")]
pub(crate) use planted::is;
#[cfg(feature = "mutants")]
pub use planted::plant;

macro_rules! mutants {
    ($($number:literal $name:ident: $summary:literal, $origin:literal;)*) => {
        /// A bug to plant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[cfg_attr(not(feature = "mutants"), allow(dead_code, reason = "named where they would be"))]
        #[repr(u8)]
        pub enum Mutant {
            $(
                #[doc = concat!("M", $number, ": ", $summary, ".")]
                #[doc = ""]
                #[doc = concat!("Origin: ", $origin, ".")]
                $name = $number,
            )*
        }

        #[cfg(feature = "mutants")]
        impl Mutant {
            /// All bugs, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the short name: `M12`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("M", $number),)*
                }
            }

            /// Returns what is wrong, in one line.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$name => $summary,)*
                }
            }
        }
    };
}

mutants! {
    1 UnpolledStaysSilent:
        "a consumer whose heartbeats are missing is replaced only when somebody asks for updates",
        "nats.rs #1596";
    2 SilenceOfConsumerIgnored:
        "missing heartbeats are ignored",
        "nats.py #510 and nats.go #1094";
    3 ResumeFromZero:
        "a watch that was told nothing yet goes on from sequence 0",
        "nats-pure.rb #175";
    4 ConsumerNameReused:
        "a watch gives all its consumers the same name",
        "nats.deno #688";
    5 NotUnsubscribed:
        "the subscription of a consumer that was replaced stays",
        "nats.deno #691 and #694";
    6 ConsumerLeftBehind:
        "a consumer that was replaced or dropped is not deleted",
        "nats.net #198 and openobserve #13594";
    7 NoRest:
        "a consumer that cannot be made is asked for again at once",
        "openobserve #13594 and nats.rs #815";
    8 DroppedWhenFull:
        "an entry that there is no room for is taken for delivered",
        "nats.go #2107";
    9 SyncedTooEarly:
        "the first message that says that nothing is pending ends the initial data",
        "nats.py #842 and #995";
    10 NeverSyncedOnNothing:
        "the initial data of nothing never ends",
        "nats.net #292, #789 and #1046, nats.js #270";
    11 EndsWhenEmpty:
        "a watch that finds nothing ends",
        "nats.rs #1376";
    12 CreateWithoutCondition:
        "a create over a tombstone is published without its condition",
        "nats.rs PR 1301";
    13 CreateForgetsTtl:
        "a create that is repeated over a tombstone forgets its time to live",
        "async-nats 0.51.0, as measured";
    14 ConflictWithItself:
        "a conditional write whose acknowledgement was lost is sent again, and its conflict with \
         itself is reported as one",
        "async-nats 0.51.0, as measured";
    15 PutSentTwice:
        "a write without a condition that was not answered is sent again after its link was lost",
        "no public thread; measured: a server forgets the ids of superseded messages when it restarts, so \
         a repeated put can be applied again over newer data";
    16 LossIsNotApplied:
        "a write is reported as not applied when its link is lost after its last byte left",
        "how Jepsen's test of NATS maps a closed connection to a definite failure";
    17 IncarnationIgnored:
        "a watch goes on without looking whether the bucket is still the same",
        "nats.rs #795, and as measured";
    18 RewindIgnored:
        "a watch looks for another bucket, not for one that has lost its end",
        "no public thread; measured after a server lost what it had acknowledged";
    19 VerifiedTooEarly:
        "the bucket is looked at before the consumer is made",
        "no public thread: a race that a check in the wrong order leaves open";
    20 CancelCutsFrame:
        "taking back the frame of a cancelled operation cuts it in the middle if it was begun",
        "the discussion of nats.node #320";
    21 FrameContinuedOnNextLink:
        "the rest of a half-written frame is sent on the next link",
        "nats.java #128";
    22 TokenUsedTooEarly:
        "the reply token of an operation that ended without its reply is used again as it is",
        "nats.c #434 and nats.py #573";
    23 SlotLeaked:
        "an operation that timed out or was cancelled leaves its reply slot held",
        "nats.node #135";
    24 HeartbeatMiscounted:
        "the count in a heartbeat is compared with the wrong counter",
        "nats.rs #959 and nats.c #600";
    25 SequenceNotReset:
        "after silence the next consumer is expected to count on from the last one",
        "nats.rs PR 1035";
    26 FirstFailureIsFinal:
        "the first failure to replace a consumer ends the watch",
        "nats.c #596";
    27 OldMessageSlipsIn:
        "the messages of a consumer that was replaced are still taken, for those of the next",
        "nats.c #601";
    28 FlowControlIgnored:
        "flow control is not answered",
        "no public thread: clients that forget it stall at the server's window";
    29 SecondAuthErrorIsFinal:
        "two authentication errors in a row end the session for ever, although it shall retry",
        "nats.go #499 and nats.node #533";
    30 LameDuckIgnored:
        "the announcement that a server shuts down is ignored",
        "nats.py #868";
    31 DiscoveredReplaceConfigured:
        "announced servers replace the configured ones",
        "no public thread";
    32 MaxPayloadNeverChanges:
        "the largest payload stays what the first INFO of a link said",
        "nats.go #480, where the limit of the account comes with a second INFO";
    33 FloorIgnored:
        "an answer that is older than what was told before is taken as it is",
        "the reads after writes of nats-server #4710";
    34 NobodyIsNotFound:
        "a direct get that nobody answers is reported as a key that is not there",
        "no public thread; measured: a get from a bucket that was deleted meets a 503";
    35 WildcardListener:
        "the subject that a consumer delivers to is listened to by a wildcard",
        "no public thread; measured: such a consumer takes it for no listener and delivers nothing";
    36 DeletionForgottenOffline:
        "a watch that is dropped without a connection leaves its consumer",
        "nats.rs, mended in April 2026: an unsubscription that was not sent again after a reconnection";
    37 DeadlineRestarts:
        "the deadline starts again with every internal repetition",
        "no public thread: the classic mistake of time-outs per attempt";
    38 MarkersIgnored:
        "the server's delete markers are taken for values",
        "nats-server #6711";
    39 SilenceIsLife:
        "the passing of a ping interval counts as a sign of life, so a dead peer is never noticed",
        "nats.rs #955, and in part nats.rs #1593";
    40 BadHeadersEndLink:
        "a message whose headers cannot be read ends its link",
        "async-nats 0.51.0, as measured";
    41 OrderNotKept:
        "servers are shuffled although their order is to be kept",
        "no public thread";
    42 AttemptsNeverForgotten:
        "failed attempts are counted over connections, so a client that is often cut off gives up",
        "no public thread: a counter that nobody sets back";
    43 ExpiryIsRefusal:
        "credentials that expire on a connection that stands count as refused",
        "no public thread: one text for two things";
    44 FloorOutlivesBucket:
        "what was known of keys is kept when their bucket begins anew",
        "no public thread: the same mistake as that of watches in nats.rs #795";
    45 NothingIsAboveTheFloor:
        "a replica's answer that a key is not there is never taken for an old one",
        "no public thread: a comparison of revisions alone misses it";
    46 ForgottenFloorIsNone:
        "what is known of a key that was long not used is forgotten without a trace",
        "no public thread: the classic mistake of a cache that promises are built on";
    47 LeaderIsBelieved:
        "the first leader that is asked is believed",
        "no public thread; a leader that was deposed answers until it knows";
    48 RefusalForgetsDoubt:
        "a write whose first attempt may have been applied is reported as not applied when a later one is refused",
        "the naive reading of G-OUT-3";
    49 NameChanges:
        "a write that is sent again has another id",
        "no public thread; what makes the id useless";
}

/// No bug is ever planted.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}

/// What the bugs of a watch carry from one consumer to the next; nothing
/// without the feature.
#[derive(Debug, Default)]
pub(crate) struct WatchPlant {
    /// It waits for its reader: [`Mutant::UnpolledStaysSilent`].
    pub(crate) silent: bool,
    #[cfg(feature = "mutants")]
    name: Option<String>,
    #[cfg(feature = "mutants")]
    received: u64,
    /// A message that is held back said so: [`Mutant::SyncedTooEarly`].
    #[cfg(feature = "mutants")]
    nothing_pending: bool,
    /// The question that comes after the stream was looked at, and what was
    /// found: [`Mutant::VerifiedTooEarly`].
    #[cfg(feature = "mutants")]
    pub(crate) create: Option<(String, Bytes)>,
    #[cfg(feature = "mutants")]
    pub(crate) facts: Option<StreamFacts>,
}

#[cfg(feature = "mutants")]
impl WatchPlant {
    /// Another feed begins.
    pub(crate) fn begin(&mut self) {
        self.nothing_pending = false;
    }

    /// A message that is held back says that nothing is pending.
    pub(crate) fn note_nothing_pending(&mut self) {
        self.nothing_pending = true;
    }

    /// Whether such a message came.
    pub(crate) fn is_nothing_pending(&self) -> bool {
        self.nothing_pending
    }

    /// The name of the next consumer.
    pub(crate) fn name(&mut self, drawn: String) -> String {
        if is(Mutant::ConsumerNameReused) {
            self.name.get_or_insert(drawn).clone()
        } else {
            drawn
        }
    }

    /// The subject to listen to for what is delivered to another one.
    pub(crate) fn listened(&self, delivered: &str) -> String {
        match delivered.rsplit_once('.') {
            Some((prefix, _)) if is(Mutant::WildcardListener) => alloc::format!("{prefix}.*"),
            Some(_) | None => delivered.into(),
        }
    }

    /// Remembers how many messages came before a silence.
    pub(crate) fn note_silence(&mut self, received: u64) {
        if is(Mutant::SequenceNotReset) {
            self.received = received;
        }
    }

    /// How many messages the next consumer is said to have delivered.
    pub(crate) fn received(&mut self) -> u64 {
        core::mem::take(&mut self.received)
    }
}

#[cfg(not(feature = "mutants"))]
impl WatchPlant {
    pub(crate) fn begin(&mut self) {}

    pub(crate) fn note_nothing_pending(&mut self) {}

    pub(crate) fn is_nothing_pending(&self) -> bool {
        false
    }

    pub(crate) fn name(&mut self, drawn: String) -> String {
        drawn
    }

    pub(crate) fn listened(&self, delivered: &str) -> String {
        delivered.into()
    }

    pub(crate) fn note_silence(&mut self, _: u64) {}

    pub(crate) fn received(&mut self) -> u64 {
        0
    }
}

/// What [`Mutant::FrameContinuedOnNextLink`] carries from link to link; nothing
/// without the feature.
#[derive(Debug, Default)]
pub(crate) struct TornFrame {
    #[cfg(feature = "mutants")]
    rest: Bytes,
}

#[cfg(feature = "mutants")]
impl TornFrame {
    /// Keeps the rest of a frame, if a link that is lost was in the middle of it.
    pub(crate) fn keep(&mut self, outbox: &mut Outbox, frame: Span) {
        if let Some(rest) = outbox.rest_of(frame) {
            self.rest = rest;
        }
    }

    /// Sends it on the next link.
    pub(crate) fn resume_in(&mut self, outbox: &mut Outbox) {
        let rest = core::mem::take(&mut self.rest);
        outbox.frame(|out| out.extend_from_slice(&rest));
    }
}

#[cfg(not(feature = "mutants"))]
impl TornFrame {
    pub(crate) fn keep(&mut self, _: &mut Outbox, _: Span) {}

    pub(crate) fn resume_in(&mut self, _: &mut Outbox) {}
}
