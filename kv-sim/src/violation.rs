//! What can be found broken.

use std::fmt;

use kv_proto::ResetReason;

use crate::history::{CallId, Cause};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "the fields are a call, its revisions, and who it concerns"
)]
pub enum Violation {
    /// I-1: a write was reported as applied at a revision that is not its own, or not stored in its time.
    NotItsRevision { call: CallId, revision: u64 },
    /// I-1: a write was reported as not applied, and it was.
    AppliedAfterAll { call: CallId, revision: u64 },
    /// I-1: a write was applied twice.
    AppliedTwice { call: CallId, revision: u64 },
    /// I-1: two writes were told the same revision.
    ToldTwice { revision: u64 },
    /// I-1: a conditional write was applied although its condition did not hold.
    ConditionIgnored {
        revision: u64,
        expected: u64,
        found: u64,
    },
    /// I-1: a `create` was applied over a live value.
    CreatedOverValue { call: CallId, over: u64 },
    /// I-1: something was stored that the call did not ask for, or before it did.
    NeverAskedFor { call: CallId, revision: u64 },
    /// I-1: a tombstone that nobody put whose outcome is open.
    Unaccounted { revision: u64 },
    /// I-1, I-2: no state of the key in that time fits the answer.
    NotSeen { call: CallId },
    /// I-2: a read was told something older than what its client knew when it asked.
    WentBack { call: CallId, floor: u64 },
    /// I-2: "stale", of a read for which there was no reason to doubt what it was shown.
    NeverStale { call: CallId, floor: u64 },
    /// I-1: the time to live is not the one asked for.
    OtherTtl {
        call: CallId,
        asked: Option<u64>,
        stored: Option<u64>,
    },
    /// G-OUT-3: "not applied, as the link was lost", of a write that had left as a whole.
    SentAfterAll { call: CallId },
    /// G-OUT-4: "unknown", of a write that had not left as a whole.
    NeverSent { call: CallId, doubt: &'static str },
    /// A revision was purged that nobody asked to remove, or not that one.
    RemovedUnasked { revision: u64 },
    /// More was reported as removed than was.
    Miscounted { call: CallId },
    /// A bucket was reported as missing, and was there all the time.
    BucketWasThere { call: CallId },
    /// A connection ended for a reason that nothing in the run can cause.
    UncausedDisconnect { client: usize, reason: String },
    /// I-3 values: a watch told a revision that was not so stored, or not yet.
    NotStored { watch: CallId, revision: u64 },
    /// I-3 Filter: a watch told a key, a value or a tombstone that its options leave out.
    NotWanted { watch: CallId, revision: u64 },
    /// I-3 Start: a watch told what lies before its start.
    BeforeStart { watch: CallId, revision: u64 },
    /// I-3 Ordered and Unique: revisions did not grow within an epoch.
    OutOfOrder { watch: CallId, revision: u64 },
    /// I-3 Reliable: a revision was left out that was there when a later one was told.
    Skipped {
        watch: CallId,
        revision: u64,
        told: u64,
    },
    /// I-3 Latest-reliable: when everything had come to rest, a revision that is there was not told.
    Missed { watch: CallId, revision: u64 },
    /// I-3 Synced: before something was told that had been there at the opening.
    SyncedEarly { watch: CallId, revision: u64 },
    /// I-3 Synced: more than once within an epoch.
    SyncedTwice { watch: CallId },
    /// I-3 Synced: never, although everything had come to rest.
    NeverSynced { watch: CallId },
    /// I-3 Reset: the bucket had not begun anew, or not lost its end.
    UncausedReset { watch: CallId, reason: ResetReason },
    /// I-3 Reset: none came, although the bucket had begun anew or lost what was told.
    NoReset { watch: CallId },
    /// I-3 Terminal: a watch ended for a reason that nothing in the run can cause.
    UncausedEnd { watch: CallId, cause: Cause },
    /// I-3 Terminal: a watch told something after its end.
    AfterEnd { watch: CallId },
    /// I-3 Position: the position behind an entry is not the entry's, or not before the next.
    WrongPosition { watch: CallId, revision: u64 },
    /// I-3 Listing: a key was listed that had no value at any moment of the listing.
    WrongListing { watch: CallId, key: u8 },
    /// I-4: something is held for operations that are over.
    Leaked { client: usize, what: String },
    /// I-4: two consumers of a client have the same name: a late deletion of one hits the other.
    ConsumerNameReused { client: usize, name: String },
    /// I-4: a client asked for more consumers than it had reasons to.
    TooManyConsumers {
        client: usize,
        asked: u64,
        bound: u64,
    },
    /// I-4: the servers hold something for clients that do not need it.
    LeftBehind { what: String },
    /// I-5: more is held than was declared.
    TooMuchHeld { client: usize, what: String },
    /// I-6: an operation runs on after its deadline.
    Overdue { call: CallId },
    /// I-6: a question whose answer was lost was not asked again while its connection lived.
    Unanswered { call: CallId },
    /// I-6: a frame was begun after the deadline of its operation.
    BegunTooLate { call: CallId },
    /// Contract 3: a timer is due that was just handled.
    TimerStuck { client: usize },
    /// I-7: a client is called again and again for nothing.
    Spins {
        client: usize,
        calls: u64,
        bound: u64,
    },
    /// I-8: a server could not read what a client sent.
    Malformed { client: usize },
    /// I-8: a message larger than the server has said it takes.
    Oversize {
        client: usize,
        size: usize,
        limit: usize,
    },
    /// A session dialled a server that was not next, or once too often.
    DialledWrong { client: usize, what: String },
    /// What a session told of its connections is not what it did.
    Mistold { client: usize, what: String },
    /// A session ended by itself, and nothing had happened that it should end for.
    GaveUpEarly { client: usize, reason: String },
    /// A client stayed on a server that had announced to go.
    Stayed { client: usize },
    /// After the storm a client did not come to rest.
    Unsettled { client: usize, what: String },
    /// I-9: something panicked.
    Panicked { message: String },
    /// Nothing is wrong: the canary always sings.
    Canary,
}

impl Violation {
    /// The call or watch that it is about.
    pub(crate) const fn call(&self) -> Option<CallId> {
        match self {
            Self::NotItsRevision { call, .. }
            | Self::AppliedAfterAll { call, .. }
            | Self::AppliedTwice { call, .. }
            | Self::CreatedOverValue { call, .. }
            | Self::NeverAskedFor { call, .. }
            | Self::NotSeen { call }
            | Self::WentBack { call, .. }
            | Self::NeverStale { call, .. }
            | Self::OtherTtl { call, .. }
            | Self::SentAfterAll { call }
            | Self::NeverSent { call, .. }
            | Self::Miscounted { call }
            | Self::BucketWasThere { call }
            | Self::Overdue { call }
            | Self::Unanswered { call }
            | Self::BegunTooLate { call } => Some(*call),
            Self::NotStored { watch, .. }
            | Self::NotWanted { watch, .. }
            | Self::BeforeStart { watch, .. }
            | Self::OutOfOrder { watch, .. }
            | Self::Skipped { watch, .. }
            | Self::Missed { watch, .. }
            | Self::SyncedEarly { watch, .. }
            | Self::SyncedTwice { watch }
            | Self::NeverSynced { watch }
            | Self::UncausedReset { watch, .. }
            | Self::NoReset { watch }
            | Self::UncausedEnd { watch, .. }
            | Self::AfterEnd { watch }
            | Self::WrongPosition { watch, .. }
            | Self::WrongListing { watch, .. } => Some(*watch),
            Self::ToldTwice { .. }
            | Self::ConditionIgnored { .. }
            | Self::Unaccounted { .. }
            | Self::RemovedUnasked { .. }
            | Self::UncausedDisconnect { .. }
            | Self::Leaked { .. }
            | Self::ConsumerNameReused { .. }
            | Self::TooManyConsumers { .. }
            | Self::LeftBehind { .. }
            | Self::TooMuchHeld { .. }
            | Self::TimerStuck { .. }
            | Self::Spins { .. }
            | Self::Malformed { .. }
            | Self::Oversize { .. }
            | Self::DialledWrong { .. }
            | Self::Mistold { .. }
            | Self::GaveUpEarly { .. }
            | Self::Stayed { .. }
            | Self::Unsettled { .. }
            | Self::Panicked { .. }
            | Self::Canary => None,
        }
    }

    /// The client that it is about, where that is not told by a call.
    pub(crate) const fn client(&self) -> Option<usize> {
        if let Self::UncausedDisconnect { client, .. }
        | Self::Leaked { client, .. }
        | Self::ConsumerNameReused { client, .. }
        | Self::TooManyConsumers { client, .. }
        | Self::TooMuchHeld { client, .. }
        | Self::TimerStuck { client }
        | Self::Spins { client, .. }
        | Self::Malformed { client }
        | Self::Oversize { client, .. }
        | Self::DialledWrong { client, .. }
        | Self::Mistold { client, .. }
        | Self::GaveUpEarly { client, .. }
        | Self::Stayed { client }
        | Self::Unsettled { client, .. } = self
        {
            return Some(*client);
        }
        None
    }

    /// The revision that it is about.
    pub(crate) const fn revision(&self) -> Option<u64> {
        if let Self::NotItsRevision { revision, .. }
        | Self::AppliedAfterAll { revision, .. }
        | Self::AppliedTwice { revision, .. }
        | Self::ToldTwice { revision }
        | Self::ConditionIgnored { revision, .. }
        | Self::NeverAskedFor { revision, .. }
        | Self::Unaccounted { revision }
        | Self::RemovedUnasked { revision }
        | Self::NotStored { revision, .. }
        | Self::NotWanted { revision, .. }
        | Self::BeforeStart { revision, .. }
        | Self::OutOfOrder { revision, .. }
        | Self::Skipped { revision, .. }
        | Self::Missed { revision, .. }
        | Self::SyncedEarly { revision, .. }
        | Self::WrongPosition { revision, .. } = self
        {
            return Some(*revision);
        }
        None
    }

    pub(crate) const fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked { .. })
    }

    /// The name of its kind: a smaller scenario must break the same promise.
    #[must_use]
    pub fn kind(&self) -> String {
        let text = format!("{self:?}");
        let end = text.find([' ', '{']).unwrap_or(text.len());
        text.get(..end).unwrap_or_default().to_owned()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
