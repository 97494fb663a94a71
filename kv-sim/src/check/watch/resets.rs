//! Reset, if and only if the bucket began anew or lost its end.

use std::time::Duration;

use kv_proto::{Instant, ResetReason};

use super::epoch::{Epoch, Item};
use super::{Judge, is_there};
use crate::history::{News, Start};
use crate::oracle::Commit;
use crate::scenario::Scope;
use crate::violation::Violation;

impl Judge<'_> {
    /// Every reset has a cause of its own, later than what was told before it.
    pub(super) fn resets(&self, epochs: &[Epoch<'_>]) -> Option<Violation> {
        let watch = self.id;
        let (mut life, mut since) = self.began();
        for epoch in epochs {
            if let Some((at, reason)) = epoch.reset {
                let caused = match reason {
                    ResetReason::Recreated => {
                        life += 1;
                        self.oracle.lives_by(at) >= life
                    }
                    ResetReason::Rewound | _ => {
                        let mut rewinds = self.oracle.rewinds.iter();
                        let rewind = rewinds.find(|rewind| (since..=at).contains(*rewind));
                        since = rewind.map_or(at, |rewind| *rewind + Duration::from_nanos(1));
                        rewind.is_some()
                    }
                };
                if !caused {
                    return Some(Violation::UncausedReset { watch, reason });
                }
            }
            for commit in epoch.items.iter().map(|item| item.commit) {
                if epoch.reset.is_some() && commit.life < life {
                    return Some(Violation::NoReset { watch });
                }
                life = life.max(commit.life);
                since = since.max(commit.at);
            }
        }
        self.not_reset_first()
    }

    /// In which life of the bucket it began, and when: behind its entry, or when its handle was made. Nobody knows
    /// when a position was that has nothing before it.
    pub(super) fn began(&self) -> (u32, Instant) {
        let is_position = matches!(self.watch.asked.start, Start::Position { .. });
        match self.behind {
            Some(behind) => (behind.life, behind.at),
            None if is_position => (1, Instant::ORIGIN),
            None => (self.oracle.lives_by(self.watch.bound), self.watch.bound),
        }
    }

    /// A position of another life is told to be void before anything else.
    fn not_reset_first(&self) -> Option<Violation> {
        let behind = self.behind?;
        let first = self.watch.told.first()?;
        let other_life = self.oracle.lives_by(self.watch.called) > behind.life;
        let told = matches!(
            first.news,
            News::Reset(ResetReason::Recreated) | News::Ended(_)
        );
        (other_life && !told).then_some(Violation::NoReset { watch: self.id })
    }

    /// An epoch tells of one life of the bucket, and of one branch of it.
    pub(super) fn lives(&self, epoch: &Epoch<'_>) -> Option<Violation> {
        let mut before = self.before(epoch);
        for item in &epoch.items {
            let commit = item.commit;
            if let Some((earlier, position)) = before {
                let other_life = earlier.life != commit.life;
                // A slow reader is told long after the watch went on, but what is gone was sent before it went.
                let sent_by = commit
                    .gone
                    .map_or(item.told.at, |gone| gone.min(item.told.at));
                let overwritten = earlier.gone.is_some_and(|gone| gone <= commit.at)
                    && self.shows_rewind(earlier, position, sent_by);
                if other_life || overwritten {
                    return Some(Violation::NoReset { watch: self.id });
                }
            }
            before = Some((commit, position_of(item)));
        }
        None
    }

    /// When everything has come to rest, nothing stands that the bucket has lost.
    pub(super) fn never_reset(&self, epoch: &Epoch<'_>, rest: Instant) -> Option<Violation> {
        let last = epoch.items.last();
        let last = last.map(|item| (item.commit, position_of(item)));
        let (last, position) = last.or_else(|| self.before(epoch))?;
        let other_life = self.oracle.lives_by(rest) > last.life;
        let grown = self.oracle.of_revisions(position..);
        // What ended by itself still counts: the next revision comes behind it.
        let stands = |commit: &&Commit| !commit.lost || is_there(commit, rest);
        let mut grown = grown.filter(|commit| stands(commit) && commit.at < rest);
        let shorter = last.lost && grown.next().is_none();
        let lost = other_life || shorter || self.shows_rewind(last, position, rest);
        lost.then_some(Violation::NoReset { watch: self.id })
    }

    /// The entry behind which an epoch begins, and the position there.
    fn before(&self, epoch: &Epoch<'_>) -> Option<(&Commit, u64)> {
        let Start::Position { revision, .. } = self.watch.asked.start else {
            return None;
        };
        let behind = self.behind.filter(|_| epoch.reset.is_none());
        behind.map(|behind| (behind, revision))
    }

    /// Whether it may have gone on at a revision that it did not tell: a tombstone that is left out, or one that
    /// was sent because a wider filter covers several.
    pub(super) fn goes_on_unseen(&self) -> bool {
        let asked = &self.watch.asked;
        asked.ignore_deletes || (self.history.covered && matches!(asked.scope, Scope::These(_)))
    }

    /// Whether the number at which a watch went on now belongs to another revision of its keys. If it belongs
    /// to another key, or that revision is gone, nobody can tell. Nor can a listing, which starts over; nor can we
    /// where it went on unseen.
    fn shows_rewind(&self, told: &Commit, position: u64, at: Instant) -> bool {
        let gone = told.gone.filter(|_| told.lost);
        let unseen = self.goes_on_unseen() || self.watch.asked.until_synced;
        let Some(gone) = gone.filter(|_| !unseen) else {
            return false;
        };
        let mut others = self.oracle.of_revision(position);
        others.any(|other| {
            let later = (gone..=at).contains(&other.at) && !std::ptr::eq(other, told);
            later && other.life == told.life && self.wants(other) && is_there(other, at)
        })
    }
}

/// How far a reader had come behind an entry.
fn position_of(item: &Item<'_>) -> u64 {
    item.told.position.unwrap_or(item.commit.revision)
}
