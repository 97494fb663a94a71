//! Invariants over a [`History`]: linearizability of each key, and honest
//! outcomes.
//!
//! All writes carry their revision, so no search is needed: the order of
//! commits is given, and what remains is to see that it respects real time,
//! conditions and what clients were told. The whole check is O(n log n).

use std::collections::BTreeMap;
use std::fmt;

use kv_proto::Instant;

use crate::history::{Answer, Call, CallId, Commit, History, Record};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// A write was reported as applied at a revision that is not its own.
    NotItsRevision {
        /// The write.
        call: CallId,
        /// The revision that was reported.
        revision: u64,
    },
    /// A write was reported as not applied, and it was.
    AppliedAfterAll {
        /// The write.
        call: CallId,
        /// Where it was applied.
        revision: u64,
    },
    /// A write was applied twice.
    AppliedTwice {
        /// The write.
        call: CallId,
        /// The two revisions.
        revisions: (u64, u64),
    },
    /// A conditional write was applied although its condition did not hold.
    ConditionIgnored {
        /// The revision that should not exist.
        revision: u64,
        /// What it expected.
        expected: u64,
        /// What was there.
        found: u64,
    },
    /// A `create` was applied over a live value.
    CreatedOverValue {
        /// The write.
        call: CallId,
        /// The revision of the value.
        over: u64,
    },
    /// A write ended before another one began, and was ordered behind it.
    OutOfOrder {
        /// The later call.
        call: CallId,
        /// Its revision.
        revision: u64,
        /// A revision that was reported before it was called.
        behind: u64,
    },
    /// A write was applied before it was asked for.
    BeforeItsCall {
        /// The write.
        call: CallId,
    },
    /// A write was refused for a revision that its key never had.
    ConflictWithNothing {
        /// The write.
        call: CallId,
        /// The revision that was named.
        named: u64,
    },
    /// A read returned what was never stored there.
    NeverStored {
        /// The read.
        call: CallId,
        /// The revision it returned.
        revision: u64,
    },
    /// A read returned what was not stored yet.
    FromTheFuture {
        /// The read.
        call: CallId,
        /// The revision it returned.
        revision: u64,
    },
    /// A leader read missed a revision of its key that was reported before it.
    Stale {
        /// The read.
        call: CallId,
        /// What it returned; 0 for nothing.
        returned: u64,
        /// What it should at least have seen.
        floor: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Checks everything; returns what is broken, in the order of the calls.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let oracle = Oracle::new(history);
    let mut violations = oracle.check_commits(history);
    for record in &history.calls {
        violations.extend(oracle.check_answer(record, history.leadership_changed));
    }
    violations
}

/// The commits by what they are looked up by.
struct Oracle<'a> {
    by_revision: BTreeMap<u64, &'a Commit>,
    by_call: BTreeMap<CallId, &'a Commit>,
    /// The revisions of each key, in order.
    by_key: BTreeMap<&'a str, Vec<&'a Commit>>,
    calls: BTreeMap<CallId, &'a Record>,
    /// Revisions that clients were told, with the time: after it, nobody may
    /// be ordered before.
    told: Told,
    told_of_key: BTreeMap<&'a str, Told>,
}

/// The highest revision told up to a time.
#[derive(Default)]
struct Told(Vec<(Instant, u64)>);

impl Told {
    fn add(&mut self, at: Instant, revision: u64) {
        self.0.push((at, revision));
    }

    /// Sorts by time and keeps the running maximum.
    fn finish(&mut self) {
        self.0.sort_unstable();
        let mut highest = 0;
        for (_, revision) in &mut self.0 {
            highest = highest.max(*revision);
            *revision = highest;
        }
    }

    /// The highest revision told strictly before `time`.
    fn before(&self, time: Instant) -> u64 {
        let count = self.0.partition_point(|(at, _)| *at < time);
        count.checked_sub(1).and_then(|last| self.0.get(last)).map_or(0, |(_, highest)| *highest)
    }
}

impl<'a> Oracle<'a> {
    fn new(history: &'a History) -> Self {
        let mut oracle = Self {
            by_revision: BTreeMap::new(),
            by_call: BTreeMap::new(),
            by_key: BTreeMap::new(),
            calls: history.calls.iter().map(|record| (record.id, record)).collect(),
            told: Told::default(),
            told_of_key: BTreeMap::new(),
        };
        for commit in &history.commits {
            oracle.by_revision.insert(commit.revision, commit);
            if let Some(call) = commit.by {
                oracle.by_call.entry(call).or_insert(commit);
            }
            oracle.by_key.entry(&commit.key).or_default().push(commit);
        }
        for record in &history.calls {
            if let Some((at, Answer::Applied(revision) | Answer::Found { revision, .. })) =
                record.answer
            {
                let of_key = oracle.told_of_key.entry(&record.key).or_default();
                of_key.add(at, revision);
                if record.call.is_write() {
                    oracle.told.add(at, revision);
                }
            }
        }
        oracle.told.finish();
        oracle.told_of_key.values_mut().for_each(Told::finish);
        oracle
    }

    /// The revision of a key just before another one; `None` if it had none.
    fn predecessor(&self, commit: &Commit) -> Option<&'a Commit> {
        let revisions = self.by_key.get(&*commit.key)?;
        let place = revisions.partition_point(|other| other.revision < commit.revision);
        revisions.get(place.checked_sub(1)?).copied()
    }

    /// What must hold of the commits whatever clients were told.
    fn check_commits(&self, history: &History) -> Vec<Violation> {
        let mut violations = Vec::new();
        for commit in &history.commits {
            let before = self.predecessor(commit);
            let found = before.map_or(0, |before| before.revision);
            if let Some(expected) = commit.expected
                && expected != found
            {
                violations.push(Violation::ConditionIgnored {
                    revision: commit.revision,
                    expected,
                    found,
                });
            }
            let Some(call) = commit.by else {
                continue;
            };
            if let Some(first) = self.by_call.get(&call)
                && first.revision != commit.revision
            {
                violations.push(Violation::AppliedTwice {
                    call,
                    revisions: (first.revision, commit.revision),
                });
            }
            let Some(record) = self.calls.get(&call) else {
                continue;
            };
            if commit.at < record.called {
                violations.push(Violation::BeforeItsCall { call });
            }
            if record.call == Call::Create
                && let Some(over) = before.filter(|before| !before.tombstone)
            {
                violations.push(Violation::CreatedOverValue {
                    call,
                    over: over.revision,
                });
            }
            let behind = self.told.before(record.called);
            if behind > commit.revision {
                violations.push(Violation::OutOfOrder {
                    call,
                    revision: commit.revision,
                    behind,
                });
            }
        }
        violations
    }

    /// What must hold of what a client was told.
    fn check_answer(&self, record: &Record, leadership_changed: bool) -> Option<Violation> {
        let (at, answer) = record.answer.as_ref()?;
        let call = record.id;
        let own = self.by_call.get(&call).map(|commit| commit.revision);
        match answer {
            Answer::Applied(revision) => {
                (own != Some(*revision)).then_some(Violation::NotItsRevision {
                    call,
                    revision: *revision,
                })
            }
            Answer::NotApplied => {
                own.map(|revision| Violation::AppliedAfterAll { call, revision })
            }
            Answer::Exists(named) | Answer::Conflict(Some(named)) => own
                .map(|revision| Violation::AppliedAfterAll { call, revision })
                .or_else(|| self.check_named(record, *named)),
            Answer::Conflict(None) => {
                own.map(|revision| Violation::AppliedAfterAll { call, revision })
            }
            Answer::Unknown | Answer::Failed => None,
            Answer::Found { revision, .. } => self
                .check_found(record, *at, answer)
                .or_else(|| self.check_floor(record, *revision, leadership_changed)),
            Answer::Absent => self.check_floor(record, 0, leadership_changed),
        }
    }

    /// A conflict names a revision that the key has had.
    fn check_named(&self, record: &Record, named: u64) -> Option<Violation> {
        let known = named == 0
            || self
                .by_revision
                .get(&named)
                .is_some_and(|commit| commit.key == record.key);
        (!known).then_some(Violation::ConflictWithNothing {
            call: record.id,
            named,
        })
    }

    fn check_found(&self, record: &Record, at: Instant, answer: &Answer) -> Option<Violation> {
        let Answer::Found {
            revision,
            value,
            tombstone,
        } = answer
        else {
            return None;
        };
        let stored = self.by_revision.get(revision).filter(|commit| {
            let asked = match record.call {
                Call::GetRevision { revision } => commit.revision == revision,
                _ => true,
            };
            asked
                && commit.key == record.key
                && commit.value == *value
                && commit.tombstone == *tombstone
        });
        match stored {
            None => Some(Violation::NeverStored {
                call: record.id,
                revision: *revision,
            }),
            Some(commit) if commit.at > at => Some(Violation::FromTheFuture {
                call: record.id,
                revision: *revision,
            }),
            Some(_) => None,
        }
    }

    /// A leader read sees what was told of its key before it began. (Nothing
    /// is promised of other reads; a purge may have removed what was told.)
    fn check_floor(
        &self,
        record: &Record,
        returned: u64,
        leadership_changed: bool,
    ) -> Option<Violation> {
        if record.call != Call::GetFromLeader || leadership_changed {
            return None;
        }
        let told = self.told_of_key.get(&*record.key)?;
        let floor = told.before(record.called);
        (returned < floor).then_some(Violation::Stale {
            call: record.id,
            returned,
            floor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;

    fn t(ms: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(ms)
    }

    fn record(id: u32, call: Call, called: u64, answer: Option<(u64, Answer)>) -> Record {
        let mut record = Record::new(CallId(id), 0, "k", call, t(called));
        record.answer = answer.map(|(at, answer)| (t(at), answer));
        record
    }

    fn commit(revision: u64, by: u32, at: u64) -> Commit {
        let value = Bytes::from(by.to_string());
        Commit::value(revision, "k", CallId(by), t(at), value)
    }

    fn found(revision: u64, by: u32) -> Answer {
        Answer::Found {
            revision,
            value: Bytes::from(by.to_string()),
            tombstone: false,
        }
    }

    fn verdict(calls: Vec<Record>, commits: Vec<Commit>) -> Vec<Violation> {
        check(&History {
            calls,
            commits,
            leadership_changed: false,
        })
    }

    #[test]
    fn an_honest_history_passes() {
        let calls = vec![
            record(1, Call::Put, 0, Some((2, Answer::Applied(1)))),
            record(2, Call::Create, 1, Some((4, Answer::Exists(1)))),
            record(3, Call::Update { expected: 1 }, 5, Some((7, Answer::Applied(2)))),
            record(4, Call::Update { expected: 1 }, 5, Some((8, Answer::Conflict(Some(2))))),
            record(5, Call::GetFromLeader, 9, Some((10, found(2, 3)))),
            record(6, Call::Get, 9, Some((10, found(1, 1)))),
            record(7, Call::Put, 11, Some((12, Answer::Unknown))),
            record(8, Call::Put, 11, None),
            record(9, Call::Put, 13, Some((14, Answer::NotApplied))),
        ];
        let mut second = commit(2, 3, 6);
        second.expected = Some(1);
        let commits = vec![commit(1, 1, 1), second, commit(3, 7, 20)];
        assert_eq!(verdict(calls, commits), []);
    }

    /// Each way to break a promise is told by its own name.
    #[test]
    fn each_lie_is_found() {
        let one = |answer| vec![record(1, Call::Put, 0, Some((2, answer)))];
        assert_eq!(
            verdict(one(Answer::Applied(7)), vec![commit(1, 1, 1)]),
            [Violation::NotItsRevision { call: CallId(1), revision: 7 }]
        );
        assert_eq!(
            verdict(one(Answer::NotApplied), vec![commit(1, 1, 50)]),
            [Violation::AppliedAfterAll { call: CallId(1), revision: 1 }]
        );
        assert_eq!(
            verdict(one(Answer::Applied(1)), vec![commit(1, 1, 1), commit(2, 1, 3)]),
            [Violation::AppliedTwice { call: CallId(1), revisions: (1, 2) }]
        );
        let late = vec![record(1, Call::Put, 9, Some((10, Answer::Applied(1))))];
        assert_eq!(
            verdict(late, vec![commit(1, 1, 1)]),
            [Violation::BeforeItsCall { call: CallId(1) }]
        );
    }

    #[test]
    fn conditions_are_checked_against_the_log() {
        let mut second = commit(2, 2, 3);
        second.expected = Some(0);
        let calls = vec![
            record(1, Call::Put, 0, Some((1, Answer::Applied(1)))),
            record(2, Call::Create, 2, Some((4, Answer::Applied(2)))),
        ];
        assert_eq!(
            verdict(calls, vec![commit(1, 1, 1), second]),
            [
                Violation::ConditionIgnored { revision: 2, expected: 0, found: 1 },
                Violation::CreatedOverValue { call: CallId(2), over: 1 },
            ]
        );
        let calls = vec![record(1, Call::Create, 0, Some((1, Answer::Exists(9))))];
        assert_eq!(
            verdict(calls, vec![]),
            [Violation::ConflictWithNothing { call: CallId(1), named: 9 }]
        );
    }

    #[test]
    fn real_time_is_respected() {
        let calls = vec![
            record(1, Call::Put, 0, Some((2, Answer::Applied(2)))),
            record(2, Call::Put, 5, Some((7, Answer::Applied(1)))),
        ];
        assert_eq!(
            verdict(calls, vec![commit(1, 2, 6), commit(2, 1, 1)]),
            [Violation::OutOfOrder { call: CallId(2), revision: 1, behind: 2 }]
        );
    }

    #[test]
    fn reads_return_what_was_stored_and_a_leader_the_newest() {
        let put = || record(1, Call::Put, 0, Some((2, Answer::Applied(1))));
        let read = |call, answer| vec![put(), record(2, call, 3, Some((4, answer)))];
        let log = || vec![commit(1, 1, 1)];
        assert_eq!(
            verdict(read(Call::Get, found(1, 8)), log()),
            [Violation::NeverStored { call: CallId(2), revision: 1 }]
        );
        assert_eq!(
            verdict(read(Call::GetFromLeader, Answer::Absent), log()),
            [Violation::Stale { call: CallId(2), returned: 0, floor: 1 }]
        );
        assert_eq!(verdict(read(Call::Get, Answer::Absent), log()), []);
        let future = vec![put(), record(2, Call::Get, 3, Some((4, found(2, 3))))];
        assert_eq!(
            verdict(future, vec![commit(1, 1, 1), commit(2, 3, 9)]),
            [Violation::FromTheFuture { call: CallId(2), revision: 2 }]
        );
    }
}
