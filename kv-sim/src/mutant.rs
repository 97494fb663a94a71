//! Bugs that can be planted in the simulated servers and in the judge, to show that a run turns red.
//!
//! A simulator whose servers were never wrong would prove nothing of its checks. With the feature `mutants`,
//! [`plant`] makes the whole process misbehave in one of these ways; without it the question whether a bug is
//! planted is `false` at compile time, and nothing of this is left. The clients' bugs are those of
//! [`kv_proto::mutant`].

#![cfg_attr(
    not(feature = "mutants"),
    allow(unreachable_pub, reason = "public with the feature")
)]

#[cfg(feature = "mutants")]
use core::sync::atomic::{AtomicU8, Ordering};

macro_rules! mutants {
    ($($number:literal $name:ident: $summary:literal;)*) => {
        /// A bug to plant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Mutant {
            $(
                #[doc = concat!("S", $number, ": ", $summary, ".")]
                $name = $number,
            )*
        }

        #[cfg(feature = "mutants")]
        impl Mutant {
            /// All bugs, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the short name: `S3`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("S", $number),)*
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
    1 ConditionNotChecked: "servers ignore the condition of a write to a stream without replicas";
    2 StoredTwice: "servers store a message twice now and then";
    3 AcknowledgedAndDropped: "servers acknowledge a write now and then that they drop";
    4 StaleLeaderRead: "the leader answers a read with the revision before the last";
    5 RefusedAndStored: "servers answer with a definite error now and then although they stored the message";
    6 ConsumerLeftBehind: "a client that is dropped leaves a consumer behind";
    7 RewindNotTold: "the journal does not tell of a rewind";
    8 CommitUnseen: "the oracle does not see every fiftieth message that was stored";
    9 StoredElsewhere: "servers store a message under another key now and then";
    10 BucketHidden: "the leader says now and then that there is no such bucket";
    11 Panic: "servers panic now and then";
    12 Canary: "nothing is wrong, and every run breaks a promise";
}

/// The number of the bug; 0 for none.
#[cfg(feature = "mutants")]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants one bug in every run of this process, instead of the one that was planted before; `None` makes all
/// of them correct again.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.store(mutant.map_or(0, |mutant| mutant as u8), Ordering::Relaxed);
}

/// Returns whether a bug is planted.
#[cfg(feature = "mutants")]
pub(crate) fn is(mutant: Mutant) -> bool {
    PLANTED.load(Ordering::Relaxed) == mutant as u8
}

/// No bug is ever planted.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}

/// What a bug does now and then it does to every sixteenth revision.
pub(crate) fn strikes(mutant: Mutant, revision: u64) -> bool {
    is(mutant) && revision % 16 == 7
}
