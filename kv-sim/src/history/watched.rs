//! What watches and listings were asked for, and what they told.

use std::time::Duration;

use bytes::Bytes;
use kv_proto::{Instant, Operation, ResetReason, Timestamp};

use super::{CallId, Cause};
use crate::scenario::Scope;

/// One watch or listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Watched {
    /// The call that began it.
    pub call: CallId,
    /// Who called.
    pub client: usize,
    /// What was asked for.
    pub asked: Asked,
    /// When.
    pub called: Instant,
    /// Since when the client knows the bucket.
    pub bound: Instant,
    /// When it was seen to be confirmed.
    pub opened: Option<Instant>,
    /// What it told, in this order; the end comes last.
    pub told: Vec<Told>,
    /// When its reader dropped it, or the whole client was dropped.
    pub dropped: Option<Instant>,
    /// When the client was told to close.
    pub closing: Option<Instant>,
}

/// What a watch or listing was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "options with names")]
pub struct Asked {
    /// Which keys.
    pub scope: Scope,
    /// From where on.
    pub start: Start,
    /// Whether tombstones are left out.
    pub ignore_deletes: bool,
    /// Whether values are left out.
    pub meta_only: bool,
    /// Whether it ends when the initial data is complete.
    pub until_synced: bool,
    /// How often servers say that it lives.
    pub heartbeat: Duration,
    /// Whether it has a deadline on the whole.
    pub limited: bool,
}

/// From where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are five")]
pub enum Start {
    /// The last revision of every key.
    Last,
    /// All that is kept.
    History,
    /// What is written from now on.
    Updates,
    /// This revision.
    Revision(u64),
    /// Behind a position of another watch.
    Position {
        /// The position's revision.
        revision: u64,
        /// The last entry that the other watch had told, by its revision and time.
        behind: Option<(u64, Timestamp)>,
    },
}

/// One thing that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "what, when, and how far it leads"
)]
pub struct Told {
    /// When it was read.
    pub at: Instant,
    /// When the watch was last seen before to be delivered to, with nothing left to read; the call's time if
    /// it never was. What was read came later.
    pub live: Instant,
    /// What was told.
    pub news: News,
    /// The reader's position behind it.
    pub position: Option<u64>,
}

/// What can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a checker that skips a kind of news checks nothing"
)]
pub enum News {
    /// A revision.
    Entry {
        /// Its key; 255 for one that nobody writes.
        key: u8,
        /// Its number.
        revision: u64,
        /// When it was stored, by the server's clock.
        created: Timestamp,
        /// What it did.
        operation: Operation,
        /// Its value.
        value: Bytes,
        /// The length of its value.
        length: u64,
    },
    /// A revision that cannot be read.
    Damaged {
        /// Its key, if that is one.
        key: Option<u8>,
        /// Its number.
        revision: u64,
        /// When it was stored, by the server's clock.
        created: Timestamp,
    },
    /// The initial data is complete.
    Synced,
    /// What was told before no longer stands.
    Reset(ResetReason),
    /// It ended.
    Ended(Cause),
}

impl News {
    /// Its name in tables.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Entry {
                operation: Operation::Put,
                ..
            } => "entry",
            Self::Entry { .. } => "tombstone",
            Self::Damaged { .. } => "damaged",
            Self::Synced => "synced",
            Self::Reset(ResetReason::Recreated) => "reset: re-created",
            Self::Reset(_) => "reset: rewound",
            Self::Ended(_) => "ended",
        }
    }
}

impl Watched {
    /// Makes the record of a watch that has told nothing yet.
    #[must_use]
    pub const fn new(call: CallId, client: usize, asked: Asked, called: Instant) -> Self {
        Self {
            call,
            client,
            asked,
            called,
            bound: called,
            opened: None,
            told: Vec::new(),
            dropped: None,
            closing: None,
        }
    }

    /// Whether it is still to tell what happens at some moment.
    #[must_use]
    pub fn lives_at(&self, at: Instant) -> bool {
        let ended = self
            .told
            .iter()
            .any(|told| told.at <= at && self.ends(told));
        self.called <= at && !ended && self.dropped.is_none_or(|dropped| dropped > at)
    }

    /// Whether nothing may follow what was told.
    #[must_use]
    pub const fn ends(&self, told: &Told) -> bool {
        match told.news {
            News::Ended(_) => true,
            News::Synced => self.asked.until_synced,
            News::Entry { .. } | News::Damaged { .. } | News::Reset(_) => false,
        }
    }
}
