//! What really happened to the streams, for checkers that must not trust what clients were told.
//!
//! An event is written when the leader of a stream applies a change, so the journal is the committed
//! history: what was proposed and lost is not in it, what was committed without an acknowledgement is.

use std::sync::Arc;

use bytes::Bytes;
use kv_proto::{Instant, Timestamp};

/// One change of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When it was committed.
    pub at: Instant,
    /// The stream's name.
    pub stream: Arc<str>,
    /// What happened.
    pub change: Change,
}

/// What can happen to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a checker that skips a kind of change checks nothing"
)]
pub enum Change {
    /// The stream was created, empty.
    Created,
    /// The stream was deleted with all that is in it.
    Deleted,
    /// A message was stored.
    Stored {
        /// Its sequence.
        seq: u64,
        /// Its subject.
        subject: Bytes,
        /// Its whole header block, as stored; empty when it has none.
        headers: Bytes,
        /// Its payload.
        payload: Bytes,
        /// The time it is stored with.
        time: Timestamp,
    },
    /// A message was removed.
    Removed {
        /// Its sequence.
        seq: u64,
        /// What removed it.
        why: Removal,
    },
    /// A crash lost all messages above `last`, without any [`Change::Removed`]; their sequences will be
    /// used again.
    Rewound {
        /// The newest sequence that is left.
        last: u64,
    },
}

/// Why a message is no longer stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a checker that skips a reason checks nothing"
)]
pub enum Removal {
    /// A limit of the stream: messages of a subject, messages or bytes in all.
    Limit,
    /// Its own time to live, or the stream's.
    Expired,
    /// STREAM.PURGE.
    Purged,
    /// A message with `Nats-Rollup`.
    RolledUp,
    /// STREAM.MSG.DELETE.
    Deleted,
}

/// The events so far, if anybody wants them.
#[derive(Debug)]
pub(crate) struct Journal {
    wanted: bool,
    events: Vec<Event>,
}

impl Journal {
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            events: Vec::new(),
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    pub(crate) fn note(&mut self, at: Instant, stream: &Arc<str>, change: Change) {
        if self.wanted {
            self.events.push(Event {
                at,
                stream: Arc::clone(stream),
                change,
            });
        }
    }
}
