//! What was told, cut at resets, each entry with the commit that it tells of.

use kv_proto::{Instant, Operation, ResetReason};

use super::Judge;
use crate::history::{News, Start, Told};
use crate::oracle::{Commit, Kind};
use crate::violation::Violation;

/// From the beginning, or from a reset, up to the next reset.
#[derive(Debug)]
pub(super) struct Epoch<'a> {
    /// The reset that began it, and when it was told.
    pub(super) reset: Option<(Instant, ResetReason)>,
    /// No snapshot of it was made before.
    pub(super) from: Instant,
    pub(super) items: Vec<Item<'a>>,
    /// When the initial data was complete, each time it was said, with the number of items before.
    pub(super) synced: Vec<(Instant, usize)>,
    /// When anything was told first.
    pub(super) first: Option<Instant>,
}

/// A revision that was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) told: &'a Told,
    pub(super) commit: &'a Commit,
}

impl Epoch<'_> {
    fn new(reset: Option<(Instant, ResetReason)>, from: Instant) -> Self {
        Self {
            reset,
            from,
            items: Vec::new(),
            synced: Vec::new(),
            first: None,
        }
    }
}

impl<'a> Judge<'a> {
    /// All epochs; an entry that tells of no commit is a lie.
    pub(super) fn epochs(&self) -> Result<Vec<Epoch<'a>>, Violation> {
        let mut epochs = Vec::new();
        let mut epoch = Epoch::new(None, self.watch.called);
        for told in &self.watch.told {
            match &told.news {
                News::Entry { revision, .. } | News::Damaged { revision, .. } => {
                    let (watch, revision) = (self.id, *revision);
                    let commit = self
                        .commit_of(told)
                        .ok_or(Violation::NotStored { watch, revision })?;
                    epoch.items.push(Item { told, commit });
                }
                News::Synced => epoch.synced.push((told.at, epoch.items.len())),
                News::Reset(reason) => {
                    let next = Epoch::new(Some((told.at, *reason)), told.live);
                    epochs.push(std::mem::replace(&mut epoch, next));
                    continue;
                }
                News::Ended(_) => continue,
            }
            epoch.first = epoch.first.or(Some(told.at));
        }
        epochs.push(epoch);
        Ok(epochs)
    }

    fn commit_of(&self, told: &Told) -> Option<&'a Commit> {
        let (News::Entry { revision, .. } | News::Damaged { revision, .. }) = &told.news else {
            return None;
        };
        let mut commits = self.oracle.of_revision(*revision);
        commits.find(|commit| commit.at <= told.at && self.tells_of(&told.news, commit))
    }

    /// Whether it is that commit that is told of, and truly.
    fn tells_of(&self, news: &News, commit: &Commit) -> bool {
        match news {
            News::Entry {
                key,
                created,
                operation,
                value,
                length,
                ..
            } => {
                let same = *key == commit.key && *created == commit.time;
                let stored = match commit.kind {
                    Kind::Value => *operation == Operation::Put,
                    Kind::Delete => *operation == Operation::Delete,
                    Kind::Purge => *operation == Operation::Purge,
                    Kind::Marker => matches!(operation, Operation::Marker(_)),
                    Kind::Foreign => operation.is_tombstone(),
                    Kind::Broken => false,
                };
                // A value that was not asked for is another matter.
                let left_out = self.watch.asked.meta_only && value.is_empty();
                let whole = commit.kind.is_tombstone()
                    || (*length == commit.value.len() as u64
                        && (left_out || *value == commit.value));
                same && stored && whole
            }
            News::Damaged { key, created, .. } => {
                let same = key.is_none_or(|key| key == commit.key);
                same && commit.kind == Kind::Broken && *created == commit.time
            }
            News::Synced | News::Reset(_) | News::Ended(_) => false,
        }
    }

    /// Whether a commit must be told in an epoch if nothing removes it.
    pub(super) fn must_come(&self, epoch: &Epoch<'_>, rest: Instant, commit: &Commit) -> bool {
        if !self.shows(commit) {
            return false;
        }
        // Every snapshot was made before the first news was told, or, where it is made anew after a break,
        // before it was complete: of what was there before, only last revisions must come.
        let asked = &self.watch.asked;
        let synced = epoch.synced.first().map(|(at, _)| *at);
        let made = if asked.ignore_deletes || asked.until_synced {
            synced
        } else {
            epoch.first
        };
        let snapshot = made.unwrap_or(rest);
        let last = commit.superseded.is_none_or(|then| then > snapshot);
        match self.watch.asked.start {
            Start::History => true,
            Start::Last => last,
            Start::Updates if epoch.reset.is_none() => {
                let opened = self.watch.opened;
                opened.is_some_and(|opened| commit.at > opened)
            }
            Start::Revision(first) if epoch.reset.is_none() => commit.revision >= first,
            Start::Position { revision, .. } if epoch.reset.is_none() => {
                let same_life = self
                    .behind
                    .is_none_or(|behind| behind.life == commit.life && !behind.lost);
                commit.revision > revision && same_life
            }
            Start::Updates | Start::Revision(_) | Start::Position { .. } => last,
        }
    }
}
