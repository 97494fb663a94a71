//! Holds what clients were told against what really happened.
//!
//! The journal knows when every commit took place, so linearizability of a key needs no search: an answer is
//! right if the key was in a state that fits it at some moment between call and answer. A write that was
//! applied has its commit in that time; one that was not applied has none, ever; whoever was refused for a
//! revision could have seen it.

mod floors;
mod lost;
mod removals;
mod tombstones;
mod watch;

use kv_proto::Instant;

use crate::history::{Answer, Call, Cause, History, Record, Sent};
use crate::oracle::{Commit, Kind, MARKER_TTL, Oracle};
use crate::server::Event;
use crate::violation::Violation;

/// Checks everything; returns what is broken, in the order of the calls.
#[must_use]
pub fn check(history: &History, journal: &[Event]) -> Vec<Violation> {
    let oracle = Oracle::new(journal);
    let check = Check {
        history,
        oracle: &oracle,
    };
    let mut violations: Vec<Violation> = oracle
        .commits
        .iter()
        .filter_map(|commit| check.commit(commit))
        .collect();
    violations.extend(
        history
            .calls
            .iter()
            .filter_map(|record| check.record(record)),
    );
    violations.extend(check.tombstones());
    violations.extend(removals::check(history, &oracle));
    violations.extend(watch::check(history, &oracle));
    violations
}

/// Whether some watch has not told yet at some moment what it will have to tell.
pub(crate) fn is_behind(history: &History, journal: &[Event], now: Instant) -> bool {
    watch::is_behind(history, &Oracle::new(journal), now)
}

struct Check<'a> {
    history: &'a History,
    oracle: &'a Oracle,
}

impl Check<'_> {
    /// What must hold of a commit whatever anybody was told.
    fn commit(&self, commit: &Commit) -> Option<Violation> {
        let Commit {
            revision, found, ..
        } = *commit;
        let ended = |expected: u64| self.history.replicated && self.ended_before(commit, expected);
        let lenient = self.history.lenient && found == 0;
        let broken = |expected: &u64| {
            let taken_for_ended = lenient && *expected < revision;
            *expected != found && !taken_for_ended && !ended(*expected)
        };
        if let Some(expected) = commit.expected.filter(broken) {
            return Some(Violation::ConditionIgnored {
                revision,
                expected,
                found,
            });
        }
        let call = commit.by?;
        let record = self.history.calls.get(usize::try_from(call.0).ok()?)?;
        let of_call = self.oracle.by_call.get(&call).into_iter().flatten();
        let of_call = of_call.filter_map(|place| self.oracle.commits.get(*place));
        if of_call.filter(|one| !self.oracle.was_repeated(one)).count() > 1 {
            return Some(Violation::AppliedTwice { call, revision });
        }
        if record.key != commit.key || commit.at < record.called {
            return Some(Violation::NeverAskedFor { call, revision });
        }
        if matches!(record.call, Call::Create { .. }) && commit.over_value && !self.reused(found) {
            return Some(Violation::CreatedOverValue { call, over: found });
        }
        if let Some(expected) = record.call.expected().filter(broken) {
            return Some(Violation::ConditionIgnored {
                revision,
                expected,
                found,
            });
        }
        check_ttl(record, commit)
    }

    /// Whether a revision was used again, after a stream lost its end or began anew: a condition on it can
    /// then hold once more (a limitation that `update` tells).
    fn reused(&self, revision: u64) -> bool {
        self.oracle.of_revision(revision).nth(1).is_some()
    }

    /// Whether a revision of the same key ended by itself just before a commit.
    fn ended_before(&self, commit: &Commit, revision: u64) -> bool {
        self.oracle.of_revision(revision).any(|one| {
            let ended = one.gone.is_some_and(|gone| gone <= commit.at);
            one.key == commit.key && ended && commit.found < revision
        })
    }

    /// What must hold of an answer.
    fn record(&self, record: &Record) -> Option<Violation> {
        let (at, answer) = record.answer.as_ref()?;
        let call = record.id;
        let refused = matches!(
            answer,
            Answer::NotApplied(_) | Answer::Exists(_) | Answer::Conflict(_)
        );
        if let Some(own) = self.own(record, *at).filter(|_| refused) {
            let revision = own.revision;
            return Some(Violation::AppliedAfterAll { call, revision });
        }
        match answer {
            Answer::Applied(revision) => self.applied(record, *at, *revision),
            Answer::NotApplied(cause) => self.cause(record, *at, *cause).or_else(|| {
                let surely_sent = record.call.carries_value() && record.sent == Sent::Whole;
                let blind = matches!(cause, Cause::LinkLost);
                (surely_sent && blind).then_some(Violation::SentAfterAll { call })
            }),
            Answer::Unknown(doubt) => {
                // A frame that is begun is finished, unless its link is lost.
                let torn = record.sent == Sent::Part && *doubt == "unknown: link lost";
                let unsent = record.sent == Sent::Nothing || torn;
                let never = unsent && record.sent_before < Sent::Perhaps;
                let pessimistic = record.call.carries_value() && never;
                pessimistic.then_some(Violation::NeverSent { call, doubt })
            }
            Answer::Exists(revision) => {
                self.seen(record, *at, !self.history.leader_denied, |state| {
                    state.is_some_and(|commit| {
                        commit.revision == *revision && !commit.kind.is_tombstone()
                    })
                })
            }
            Answer::Conflict(Some(current)) => {
                self.seen(record, *at, !self.history.leader_denied, |state| {
                    let revision = state.map_or(0, |commit| commit.revision);
                    revision == *current && Some(revision) != record.call.expected()
                })
            }
            Answer::Conflict(None) | Answer::Done | Answer::Removed { .. } => None,
            Answer::Failed(cause) => self.cause(record, *at, *cause),
            Answer::Stale { seen, floor } => self.stale(record, *at, *seen, *floor),
            Answer::Found { .. } | Answer::Absent | Answer::Malformed(_) => {
                self.read(record, *at, answer)
            }
        }
    }

    /// The commit of a call whose value tells its number, if whoever was refused at that moment could know of it.
    fn own(&self, record: &Record, at: Instant) -> Option<&Commit> {
        let places = self.oracle.by_call.get(&record.id)?.iter();
        let mut commits = places.filter_map(|place| self.oracle.commits.get(*place));
        commits.find(|commit| !self.went_unseen(record, commit, at))
    }

    fn applied(&self, record: &Record, at: Instant, revision: u64) -> Option<Violation> {
        let call = record.id;
        let kind = kind_of(record.call);
        let fits = |commit: &&Commit| {
            commit.key == record.key
                && commit.kind == kind
                && (kind != Kind::Value || commit.by == Some(call))
                && (kind == Kind::Value || commit.expected == record.call.expected())
                && (record.called..=at).contains(&commit.at)
        };
        let fitting: Vec<&Commit> = self.oracle.of_revision(revision).filter(fits).collect();
        let Some(commit) = fitting.first() else {
            return Some(Violation::NotItsRevision { call, revision });
        };
        // A revision that was used again can have been two purges, with and without an end.
        if fitting
            .iter()
            .any(|commit| check_ttl(record, commit).is_none())
        {
            return None;
        }
        check_ttl(record, commit)
    }

    /// Some state of the key, current between call and answer, must fit.
    fn seen(
        &self,
        record: &Record,
        at: Instant,
        leader: bool,
        fits: impl Fn(Option<&Commit>) -> bool,
    ) -> Option<Violation> {
        let from = self.history.oldest_view(record.called, at, leader);
        let mut states = self.oracle.states(record.key, from, at);
        (!states.any(fits)).then_some(Violation::NotSeen { call: record.id })
    }

    fn read(&self, record: &Record, at: Instant, answer: &Answer) -> Option<Violation> {
        if self.history.garbled && *answer == Answer::Malformed(None) {
            return None;
        }
        let leader = record.call == Call::GetLeader;
        let unseen = if self.history.echoes && !leader {
            self.read_late(record, at, answer)
        } else if let Call::GetRevision { revision } = record.call {
            self.read_revision(record, at, revision, answer)
        } else {
            self.seen(record, at, leader, |state| is_answer(state, answer))
        };
        unseen.or_else(|| self.went_back(record, at, answer))
    }

    /// Where answers come twice, the second copy can be taken for the answer to a later read of the same key:
    /// it was true once.
    fn read_late(&self, record: &Record, at: Instant, answer: &Answer) -> Option<Violation> {
        let mut commits = self.oracle.commits.iter();
        let fits = *answer == Answer::Absent
            || commits
                .any(|one| one.key == record.key && one.at <= at && is_answer(Some(one), answer));
        (!fits).then_some(Violation::NotSeen { call: record.id })
    }

    /// A given revision is found while it is there, and only then.
    fn read_revision(
        &self,
        record: &Record,
        at: Instant,
        revision: u64,
        answer: &Answer,
    ) -> Option<Violation> {
        let from = self.history.oldest_view(record.called, at, false);
        let mut commits = self
            .oracle
            .of_revision(revision)
            .filter(|commit| commit.key == record.key && commit.at <= at);
        let fits = if *answer == Answer::Absent {
            commits.all(|commit| commit.at >= from || commit.gone.is_some_and(|gone| gone <= at))
        } else {
            commits.any(|commit| {
                commit.gone.is_none_or(|gone| gone >= from) && is_answer(Some(commit), answer)
            })
        };
        (!fits).then_some(Violation::NotSeen { call: record.id })
    }

    /// Some causes need the world to be in a certain state.
    fn cause(&self, record: &Record, at: Instant, cause: Cause) -> Option<Violation> {
        let missing = || {
            let from = self.history.oldest_view(record.called, at, true);
            self.oracle.was_missing(from, at)
        };
        (cause == Cause::NoBucket && !missing())
            .then_some(Violation::BucketWasThere { call: record.id })
    }
}

/// What a write stores.
fn kind_of(call: Call) -> Kind {
    match call {
        Call::Delete { .. } => Kind::Delete,
        Call::Purge { .. } => Kind::Purge,
        Call::Put
        | Call::Create { .. }
        | Call::Update { .. }
        | Call::Get
        | Call::GetLeader
        | Call::GetRevision { .. }
        | Call::Manage
        | Call::Watch
        | Call::List
        | Call::Erase { .. }
        | Call::PurgeDeletes { .. }
        | Call::Ping
        | Call::Sleep => Kind::Value,
    }
}

/// The time to live is the one asked for; servers lengthen one that is shorter than a marker's.
fn check_ttl(record: &Record, commit: &Commit) -> Option<Violation> {
    let asked = record.call.ttl().map(u64::from);
    let stored = commit.ttl;
    let lengthened = asked.is_some_and(|asked| asked < MARKER_TTL) && stored == Some(MARKER_TTL);
    let call = record.id;
    (asked != stored && !lengthened).then_some(Violation::OtherTtl {
        call,
        asked,
        stored,
    })
}

/// Whether a reader of that state is told so.
fn is_answer(state: Option<&Commit>, answer: &Answer) -> bool {
    match (state, answer) {
        (None, Answer::Absent) => true,
        (Some(commit), Answer::Malformed(revision)) => {
            commit.kind == Kind::Broken
                && revision.is_none_or(|revision| revision == commit.revision)
        }
        (
            Some(commit),
            Answer::Found {
                revision,
                value,
                tombstone,
            },
        ) => {
            commit.revision == *revision
                && commit.value == *value
                && commit.kind != Kind::Broken
                && commit.kind.is_tombstone() == *tombstone
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
