//! I-3: what watches and listings told against what really happened.
//!
//! An *epoch* is what is told from the beginning, or from a reset, up to the next reset. Within one, every
//! revision that is told is a commit of one life of the bucket, in the order of revisions, and nothing that
//! had to come is left out:
//!
//! ```text
//!   called    opened      a told          b told           at rest
//!     ├─────────┼────────────┼───────────────┼────────────────┤
//!               what is written here comes, or is gone before b is told
//! ```
//!
//! What is told was read some time after it was delivered, and a server may deliver from a replica that is
//! behind. So a judgement always takes the latest time at which something can have been delivered, and the
//! earliest at which a snapshot can have been made: that overlooks a little and accuses nobody wrongly.

mod ends;
mod epoch;
mod gaps;
mod resets;
mod synced;
mod told;

use kv_proto::Instant;

use self::epoch::Epoch;
use crate::history::{CallId, History, Start, Watched};
use crate::oracle::{Commit, Oracle};
use crate::violation::Violation;

/// Checks all watches; returns the first promise that each breaks.
pub(super) fn check(history: &History, oracle: &Oracle) -> Vec<Violation> {
    let watches = history.watches.iter();
    watches
        .filter_map(|watch| Judge::new(history, oracle, watch).verdict())
        .collect()
}

/// Whether some watch that lives has not yet told at some moment what it has to tell.
pub(super) fn is_behind(history: &History, oracle: &Oracle, now: Instant) -> bool {
    let mut living = history.watches.iter().filter(|watch| watch.lives_at(now));
    living.any(|watch| {
        let judge = Judge::new(history, oracle, watch);
        judge
            .epochs()
            .is_ok_and(|epochs| judge.at_rest(&epochs, now).is_some())
    })
}

struct Judge<'a> {
    history: &'a History,
    oracle: &'a Oracle,
    watch: &'a Watched,
    id: CallId,
    /// The entry behind which the watch begins.
    behind: Option<&'a Commit>,
}

impl<'a> Judge<'a> {
    fn new(history: &'a History, oracle: &'a Oracle, watch: &'a Watched) -> Self {
        let behind = match watch.asked.start {
            Start::Position {
                behind: Some((revision, time)),
                ..
            } => {
                let mut commits = oracle.of_revision(revision);
                commits.find(|commit| commit.time == time)
            }
            Start::Last
            | Start::History
            | Start::Updates
            | Start::Revision(_)
            | Start::Position { .. } => None,
        };
        Self {
            history,
            oracle,
            watch,
            id: watch.call,
            behind,
        }
    }

    fn verdict(&self) -> Option<Violation> {
        let epochs = match self.epochs() {
            Ok(epochs) => epochs,
            Err(violation) => return Some(violation),
        };
        let of_epoch = |epoch: &Epoch<'_>| {
            self.told(epoch)
                .or_else(|| self.lives(epoch))
                .or_else(|| self.skipped(epoch))
                .or_else(|| self.synced(epoch))
        };
        let rest = self.history.rest;
        let rest = rest.filter(|rest| self.watch.lives_at(*rest));
        self.resets(&epochs)
            .or_else(|| epochs.iter().find_map(of_epoch))
            .or_else(|| self.end())
            .or_else(|| self.listed(&epochs))
            .or_else(|| self.at_rest(&epochs, rest?))
    }

    /// What must have been told by the time when everything had come to rest.
    fn at_rest(&self, epochs: &[Epoch<'_>], rest: Instant) -> Option<Violation> {
        let began = |epoch: &&Epoch<'_>| epoch.reset.is_none_or(|(at, _)| at <= rest);
        let last = epochs.iter().rev().find(began)?;
        self.never_reset(last, rest)
            .or_else(|| self.never_synced(last))
            .or_else(|| self.missed(last, rest))
    }

    /// Whether the watch was asked for the key of a commit.
    fn wants(&self, commit: &Commit) -> bool {
        self.watch.asked.scope.has(commit.key)
    }

    /// Whether it was asked for the commit itself.
    fn shows(&self, commit: &Commit) -> bool {
        let hidden = self.watch.asked.ignore_deletes && commit.kind.is_tombstone();
        self.wants(commit) && !hidden
    }

    /// The earliest state of the bucket that a server can have shown between two moments.
    fn shown_since(&self, from: Instant, to: Instant) -> Instant {
        self.history.oldest_view(from, to, false)
    }
}

/// Whether a commit was there at some moment: already, and still.
fn is_there(commit: &Commit, at: Instant) -> bool {
    commit.at <= at && commit.gone.is_none_or(|gone| gone > at)
}

#[cfg(test)]
mod tests;
