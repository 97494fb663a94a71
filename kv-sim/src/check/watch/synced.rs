//! Synced exactly once in each epoch, and behind all that had been there at its beginning; and what that
//! means for listings.

use std::collections::BTreeMap;

use kv_proto::Instant;

use super::epoch::Epoch;
use super::{Judge, is_there};
use crate::history::{News, Start};
use crate::oracle::{Commit, Kind};
use crate::violation::Violation;

impl Judge<'_> {
    pub(super) fn synced(&self, epoch: &Epoch<'_>) -> Option<Violation> {
        let watch = self.id;
        let (at, before) = *epoch.synced.first()?;
        if epoch.synced.len() > 1 {
            return Some(Violation::SyncedTwice { watch });
        }
        let told = epoch.items.get(..before).unwrap_or_default();
        // All that the leader had, whichever replica is told of; but for who may not ask the leader.
        let asks_leader = !self.history.leader_denied;
        let from = self.history.oldest_view(epoch.from, at, asks_leader);
        let owed = |commit: &&Commit| {
            commit.at < from && is_there(commit, at) && self.is_initial(epoch, commit, at)
        };
        let mut owed = self.oracle.commits.iter().filter(owed);
        let untold = owed.find(|commit| {
            let mut told = told.iter();
            !told.any(|item| std::ptr::eq(item.commit, *commit))
        })?;
        let revision = untold.revision;
        Some(Violation::SyncedEarly { watch, revision })
    }

    /// Whether a commit that was there all the time is part of the initial data.
    fn is_initial(&self, epoch: &Epoch<'_>, commit: &Commit, synced: Instant) -> bool {
        // Whoever wants updates only is told so at once.
        let at_once = self.watch.asked.start == Start::Updates && epoch.reset.is_none();
        !at_once
            && self.must_come(epoch, synced, commit)
            && self.is_kept_or_last(epoch, commit, synced)
    }

    fn is_kept_or_last(&self, epoch: &Epoch<'_>, commit: &Commit, synced: Instant) -> bool {
        let last = commit.superseded.is_none_or(|then| then > synced);
        match self.watch.asked.start {
            Start::History => true,
            Start::Revision(_) | Start::Position { .. } => last || epoch.reset.is_none(),
            Start::Last | Start::Updates => last,
        }
    }

    pub(super) fn never_synced(&self, epoch: &Epoch<'_>) -> Option<Violation> {
        let never = epoch.synced.is_empty();
        never.then_some(Violation::NeverSynced { watch: self.id })
    }

    /// A listing that is complete lists no key that had no value all the while. Where tombstones are left
    /// out nobody can say: after an interruption an older value can be listed whose tombstone is hidden.
    pub(super) fn listed(&self, epochs: &[Epoch<'_>]) -> Option<Violation> {
        let asked = &self.watch.asked;
        let ended = self.watch.told.last()?;
        let snapshot = asked.start == Start::Last && !asked.ignore_deletes && asked.until_synced;
        if !snapshot || ended.news != News::Synced {
            return None;
        }
        let from = self.shown_since(self.watch.called, ended.at);
        let mut listed = BTreeMap::new();
        for item in epochs.iter().flat_map(|epoch| &epoch.items) {
            listed.insert(item.commit.key, item.commit);
        }
        let mut values = listed.iter().filter(|(_, one)| one.kind == Kind::Value);
        let (key, _) = values.find(|(key, _)| {
            let mut states = self.oracle.states(**key, from, ended.at);
            !states.any(|state| state.is_some_and(|commit| commit.kind == Kind::Value))
        })?;
        let (watch, key) = (self.id, *key);
        Some(Violation::WrongListing { watch, key })
    }
}
