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

#[cfg(feature = "mutants")]
use bytes::Bytes;

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
    34 NobodyIsNotFound:
        "a direct get that nobody answers is reported as a key that is not there",
        "no public thread; measured: a get from a bucket that was deleted meets a 503";
    37 DeadlineRestarts:
        "the deadline starts again with every internal repetition",
        "no public thread: the classic mistake of time-outs per attempt";
    39 SilenceIsLife:
        "the passing of a ping interval counts as a sign of life, so a dead peer is never noticed",
        "nats.rs #955, and in part nats.rs #1593";
    40 BadHeadersEndLink:
        "a message whose headers cannot be read ends its link",
        "async-nats 0.51.0, as measured";
}

/// No bug is ever planted.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
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
