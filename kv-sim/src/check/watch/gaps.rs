//! Reliable: nothing that had to come is left out.

use kv_proto::Instant;

use super::epoch::{Epoch, Item};
use super::{Judge, is_there};
use crate::oracle::Commit;
use crate::violation::Violation;

impl Judge<'_> {
    /// What was there when a later revision was told was told before.
    pub(super) fn skipped(&self, epoch: &Epoch<'_>) -> Option<Violation> {
        let mut after = 0;
        epoch.items.iter().find_map(|item| {
            let from = std::mem::replace(&mut after, item.commit.revision);
            self.skipped_before(epoch, from, item)
        })
    }

    fn skipped_before(&self, epoch: &Epoch<'_>, after: u64, item: &Item<'_>) -> Option<Violation> {
        let next = item.commit;
        let between = after.saturating_add(1)..next.revision.max(after.saturating_add(1));
        // What was stored later under a lower number belongs to another branch of the bucket's life.
        let owed = |commit: &&Commit| {
            commit.life == next.life
                && commit.at <= next.at
                && is_there(commit, item.told.at)
                && self.must_come(epoch, item.told.at, commit)
                && !self.is_overwritten(epoch, after > 0, commit)
        };
        let (watch, told) = (self.id, next.revision);
        let skipped = self.oracle.of_revisions(between).find(owed)?;
        let revision = skipped.revision;
        Some(Violation::Skipped {
            watch,
            revision,
            told,
        })
    }

    /// What is there when everything has come to rest was told.
    pub(super) fn missed(&self, epoch: &Epoch<'_>, rest: Instant) -> Option<Violation> {
        let last = epoch.items.last().map(|item| item.commit.revision);
        // It was waited for as long as it was owed by what had been told then.
        let has_told = epoch.items.iter().any(|item| item.told.at <= rest);
        let owed = |commit: &&Commit| {
            commit.at < rest
                && is_there(commit, rest)
                && self.must_come(epoch, rest, commit)
                && !self.is_overwritten(epoch, has_told, commit)
        };
        let later = last.map_or(0, |last| last.saturating_add(1))..;
        let missed = self.oracle.of_revisions(later).find(owed)?;
        let (watch, revision) = (self.id, missed.revision);
        Some(Violation::Missed { watch, revision })
    }

    /// Whether a commit may have the number of one that the bucket had lost, or a lower one, and the watch had
    /// no entry of its own to notice that by: it may have gone on behind what was lost.
    fn is_overwritten(&self, epoch: &Epoch<'_>, has_told: bool, commit: &Commit) -> bool {
        if has_told && !self.goes_on_unseen() {
            return false;
        }
        let mut rewinds = self.oracle.rewinds.iter();
        rewinds.any(|rewind| (epoch.from..=commit.at).contains(rewind))
    }
}
