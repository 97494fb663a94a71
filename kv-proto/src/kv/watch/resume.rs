//! Where a watch goes on, and whether it still can: the one place that decides
//! a resume.
//!
//! A consumer that is asked to start behind the end of its stream takes that
//! literally, and so a watch that went on in a bucket that was created again
//! would look healthy and tell nothing (measured on nats-server 2.11 to 2.15).
//! So a resume is judged *after* its consumer was created, by the stream's
//! creation time and last sequence: checking before would be a race, and
//! afterwards is none, because a stream takes its consumers with it. Where the
//! last delivered revision comes again, its time must be the same: a stream that
//! lost its end gives its numbers a second time.

use alloc::string::String;

use super::options::{Cursor, Position, ResetReason, Start};
use crate::js::consumer::DeliverPolicy;
use crate::kv::entry::Revision;
use crate::mutant::{self, Mutant};
use crate::time::Timestamp;

/// One run of revisions that grow: from the start, or a reset, to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// When the bucket was created.
    pub(crate) incarnation: Timestamp,
    /// Where it starts.
    pub(crate) start: Start,
    /// The initial data is complete.
    pub(crate) synced: bool,
}

/// What is known of a stream after a consumer was created on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamFacts {
    pub(crate) created: Timestamp,
    pub(crate) last_seq: u64,
    /// The server that leads it, in a cluster.
    pub(crate) leader: Option<String>,
    /// Whether others follow it.
    pub(crate) replicated: bool,
}

/// What becomes of a resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It goes on in the same bucket.
    Same,
    /// The bucket is another one, and nothing was told of the former: start over.
    Unseen,
    Reset(ResetReason),
}

impl Epoch {
    /// The first epoch of a watch on a bucket, and what its reader knows.
    pub(crate) fn first(start: Start, created: Timestamp) -> (Self, Option<Position>) {
        let (incarnation, place) = match start {
            Start::Position(position) => (position.incarnation, Some(position)),
            Start::Last | Start::History | Start::Updates | Start::Revision(_) => (created, None),
        };
        let epoch = Self {
            incarnation,
            start,
            synced: false,
        };
        (epoch, place)
    }

    /// The epoch that follows when this one ended: the current state of all
    /// keys, or their history for whoever asked for it.
    pub(crate) const fn next(self, created: Timestamp) -> Self {
        let start = match self.start {
            Start::History => Start::History,
            Start::Last | Start::Updates | Start::Revision(_) | Start::Position(_) => Start::Last,
        };
        Self {
            incarnation: created,
            start,
            synced: false,
        }
    }

    /// What to ask a consumer for, with this received so far; `again` if it is
    /// not the first one. To go on in the middle of the initial data brings
    /// older revisions of keys as well, which nobody minds whose tombstone or
    /// last value follows; who must not see them, as it is `exact`, starts over
    /// and leaves out what was received.
    pub(crate) fn policy(
        &self,
        place: Option<Position>,
        again: bool,
        exact: bool,
    ) -> DeliverPolicy {
        if exact && self.start == Start::Last && !self.synced {
            return DeliverPolicy::LastPerSubject;
        }
        if let Some(Position { cursor, .. }) = place {
            return DeliverPolicy::ByStartSequence(first_after(cursor));
        }
        if mutant::is(Mutant::ResumeFromZero) && again {
            return DeliverPolicy::ByStartSequence(0);
        }
        match (self.start, self.synced) {
            (Start::Updates, _) => DeliverPolicy::New,
            (Start::Revision(revision), _) => DeliverPolicy::ByStartSequence(revision.get().max(1)),
            // There was nothing when it started, so all there is now is new.
            (Start::History, _) | (Start::Last | Start::Position(_), true) => DeliverPolicy::All,
            (Start::Last | Start::Position(_), false) => DeliverPolicy::LastPerSubject,
        }
    }

    /// Judges a consumer that was created to go on from `place`.
    pub(crate) fn judge(&self, place: Option<Position>, now: &StreamFacts) -> Judgement {
        if now.created != self.incarnation && !mutant::is(Mutant::IncarnationIgnored) {
            return if place.is_none() && !self.synced {
                Judgement::Unseen
            } else {
                Judgement::Reset(ResetReason::Recreated)
            };
        }
        let reached = place.map_or(0, |place| place.cursor.revision.get());
        let forgets = mutant::is(Mutant::IncarnationIgnored) || mutant::is(Mutant::RewindIgnored);
        if now.last_seq < reached && !forgets {
            return Judgement::Reset(ResetReason::Rewound);
        }
        Judgement::Same
    }
}

/// The first sequence to ask for behind a cursor: the last delivered revision
/// once more, to see that it is still the same one.
fn first_after(cursor: Cursor) -> u64 {
    let revision = cursor.revision.get();
    let first = if cursor.stored.is_some() {
        revision
    } else {
        revision.saturating_add(1)
    };
    first.max(1)
}

/// What a message says about where a resumed consumer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It comes next.
    Next,
    /// It was delivered before, or left out: nats-server 2.10 starts a consumer
    /// at the end of a replica that is behind.
    Again,
    /// It has the number of one that was delivered before, or a smaller one,
    /// and is another one: it was written since.
    Another,
}

/// Compares a message with what was received before.
pub(crate) fn compare(cursor: Option<Cursor>, revision: Revision, stored: Timestamp) -> Place {
    match cursor {
        Some(cursor) if revision <= cursor.revision => {
            let same = revision == cursor.revision;
            match cursor.stored {
                Some(known) if stored > known || (same && stored != known) => Place::Another,
                Some(_) | None => Place::Again,
            }
        }
        Some(_) | None => Place::Next,
    }
}
