//! What clients asked for and were told, and what really happened.
//!
//! A [`History`] is written by two hands that do not know each other: the
//! clients record every call and its answer, the server records every commit.
//! [`check`](crate::check) holds one against the other.

use bytes::Bytes;
use kv_proto::Instant;

/// Numbers a call within a run; the value of a write carries it, so that a
/// commit can be traced back to the call that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u32);

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// Store a value, whatever is there.
    Put,
    /// Store a value where there is none.
    Create,
    /// Store a value if the key is at this revision.
    Update {
        /// The expected revision.
        expected: u64,
    },
    /// Put a tombstone on the key, perhaps only at a revision.
    Delete {
        /// The expected revision.
        expected: Option<u64>,
    },
    /// Put a tombstone on the key and drop its history, perhaps only at a revision.
    Purge {
        /// The expected revision.
        expected: Option<u64>,
    },
    /// Read the last revision from any replica.
    Get,
    /// Read the last revision from the leader.
    GetFromLeader,
    /// Read a given revision.
    GetRevision {
        /// The revision.
        revision: u64,
    },
}

impl Call {
    /// Returns whether the call can have an effect.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        match self {
            Self::Put
            | Self::Create
            | Self::Update { .. }
            | Self::Delete { .. }
            | Self::Purge { .. } => true,
            Self::Get | Self::GetFromLeader | Self::GetRevision { .. } => false,
        }
    }

    /// The condition that the call puts on its key.
    #[must_use]
    pub const fn expected(&self) -> Option<u64> {
        match self {
            Self::Update { expected } => Some(*expected),
            Self::Delete { expected } | Self::Purge { expected } => *expected,
            Self::Put
            | Self::Create
            | Self::Get
            | Self::GetFromLeader
            | Self::GetRevision { .. } => None,
        }
    }
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The write was applied at this revision.
    Applied(u64),
    /// The write had no effect and cannot have one later.
    NotApplied,
    /// `create` found a live value at this revision.
    Exists(u64),
    /// The key was not at the expected revision but at this one, if known.
    Conflict(Option<u64>),
    /// The write may have been applied, or may still be.
    Unknown,
    /// The read found this revision.
    Found {
        /// Its number.
        revision: u64,
        /// Its value; empty for a tombstone.
        value: Bytes,
        /// Whether the revision removed the key.
        tombstone: bool,
    },
    /// The read found nothing.
    Absent,
    /// The read failed.
    Failed,
}

/// One call of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The number of the call.
    pub id: CallId,
    /// Who called.
    pub client: usize,
    /// The key.
    pub key: String,
    /// What was asked for.
    pub call: Call,
    /// When.
    pub called: Instant,
    /// The answer and when it came; `None` if the client gave up waiting.
    pub answer: Option<(Instant, Answer)>,
}

impl Record {
    /// Makes the record of a call that is not answered yet.
    #[must_use]
    pub fn new(id: CallId, client: usize, key: &str, call: Call, called: Instant) -> Self {
        Self {
            id,
            client,
            key: key.into(),
            call,
            called,
            answer: None,
        }
    }
}

/// One message that the server stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// Its sequence: the revision.
    pub revision: u64,
    /// The key.
    pub key: String,
    /// The call that made it, if a client did.
    pub by: Option<CallId>,
    /// When it was stored.
    pub at: Instant,
    /// Its value; empty for a tombstone.
    pub value: Bytes,
    /// Whether it removed the key.
    pub tombstone: bool,
    /// The condition that the message carried.
    pub expected: Option<u64>,
}

impl Commit {
    /// Makes the record of a stored value.
    #[must_use]
    pub fn value(revision: u64, key: &str, by: CallId, at: Instant, value: Bytes) -> Self {
        Self {
            revision,
            key: key.into(),
            by: Some(by),
            at,
            value,
            tombstone: false,
            expected: None,
        }
    }
}

/// All calls and all commits of one bucket's life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// The calls, in the order in which they were made.
    pub calls: Vec<Record>,
    /// The commits, in the order of their revisions.
    pub commits: Vec<Commit>,
    /// Whether an old leader may have answered: leader reads are then judged
    /// like any others.
    pub leadership_changed: bool,
}
