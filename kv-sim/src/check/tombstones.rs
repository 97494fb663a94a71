//! Tombstones, which do not tell whose they are: each has to belong to a call, and no call to two.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kv_proto::Instant;

use super::{Check, kind_of};
use crate::history::{Answer, Record};
use crate::oracle::{Commit, Kind};
use crate::violation::Violation;

impl Check<'_> {
    /// Tombstones do not tell who put them. Those that nobody was told to have applied must be covered by
    /// calls whose outcome is open, one each, which began before; what a stream lost with its end may also be theirs
    /// who could not know.
    pub(super) fn tombstones(&self) -> Vec<Violation> {
        type Group = (u8, Kind, Option<u64>);
        let mut open: BTreeMap<Group, Vec<Instant>> = BTreeMap::new();
        let mut refused: BTreeMap<Group, Vec<(&Record, Instant)>> = BTreeMap::new();
        let mut told: BTreeMap<(Group, u64), Vec<RangeInclusive<Instant>>> = BTreeMap::new();
        for record in self.history.calls.iter().filter(|one| one.call.buries()) {
            let group = (record.key, kind_of(record.call), record.call.expected());
            match &record.answer {
                Some((at, Answer::Applied(revision))) => {
                    let times = told.entry((group, *revision)).or_default();
                    times.push(record.called..=*at);
                }
                Some((_, Answer::Unknown(_))) | None => {
                    open.entry(group).or_default().push(record.called);
                }
                Some((at, _)) => refused.entry(group).or_default().push((record, *at)),
            }
        }
        let mut violations = Vec::new();
        let mut untold: Vec<&Commit> = Vec::new();
        let mut told_of: Vec<&str> = Vec::new();
        let buried = self.oracle.commits.iter();
        for commit in buried.filter(|one| matches!(one.kind, Kind::Delete | Kind::Purge)) {
            let group = (commit.key, commit.kind, commit.expected);
            let times = told.entry((group, commit.revision)).or_default();
            // Of several calls that it can belong to, the one that was answered first has no other.
            let fitting = times.iter().enumerate();
            let fitting = fitting.filter(|(_, times)| times.contains(&commit.at));
            match fitting.min_by_key(|(_, times)| *times.end()) {
                Some((at, _)) => {
                    times.remove(at);
                    told_of.extend(commit.id.as_deref());
                }
                None => untold.push(commit),
            }
        }
        // A message that was repeated is one call's, whichever of its commits that was told of.
        untold.retain(|commit| {
            let told = commit.id.as_deref().is_some_and(|id| told_of.contains(&id));
            !(self.oracle.was_repeated(commit) || told && self.oracle.is_repetition(commit))
        });
        for commit in untold {
            let group = (commit.key, commit.kind, commit.expected);
            let calls = open.entry(group).or_default();
            match calls.iter().position(|called| *called <= commit.at) {
                Some(at) => {
                    calls.remove(at);
                }
                None => {
                    let refused = refused.entry(group).or_default();
                    let unseen = refused.iter().position(|(record, at)| {
                        record.called <= commit.at && self.went_unseen(record, commit, *at)
                    });
                    match unseen {
                        Some(at) => drop(refused.remove(at)),
                        None => violations.push(Violation::Unaccounted {
                            revision: commit.revision,
                        }),
                    }
                }
            }
        }
        let left = told.into_iter().filter(|(_, times)| !times.is_empty());
        violations.extend(left.map(|((_, revision), _)| Violation::ToldTwice { revision }));
        violations
    }
}
