//! What was purged against who asked for it: a revision goes only if somebody asked to remove it, and never
//! one that was stored after they were told that all is done.

use kv_proto::Instant;

use crate::history::{Answer, Call, History, Record};
use crate::oracle::{Commit, Oracle};
use crate::server::{Removal, age};
use crate::violation::Violation;

pub(super) fn check(history: &History, oracle: &Oracle) -> Vec<Violation> {
    let judge = Judge { history, oracle };
    let commits = oracle.commits.iter();
    let unasked = commits.filter_map(|commit| judge.unasked(commit));
    let calls = history.calls.iter();
    let miscounted = calls.filter_map(|record| judge.miscounted(record));
    unasked.chain(miscounted).collect()
}

struct Judge<'a> {
    history: &'a History,
    oracle: &'a Oracle,
}

impl Judge<'_> {
    fn unasked(&self, commit: &Commit) -> Option<Violation> {
        let gone = commit
            .gone
            .filter(|_| commit.why == Some(Removal::Purged))?;
        let by_administrator = self.history.purges.contains(&gone);
        let mut calls = self.history.calls.iter();
        let explained = by_administrator || calls.any(|record| self.explains(record, commit, gone));
        let revision = commit.revision;
        (!explained).then_some(Violation::RemovedUnasked { revision })
    }

    fn explains(&self, record: &Record, commit: &Commit, gone: Instant) -> bool {
        if record.called > gone {
            return false;
        }
        // A request can be served long after its sender has given up, but means what was there before.
        let told = record.answer.as_ref().map_or(gone, |(at, _)| *at).min(gone);
        let doubtful = self.has_doubtful_bounds(record.called, gone);
        if let Call::Erase { all } = record.call {
            return (all || record.key == commit.key) && (doubtful || commit.at <= told);
        }
        if let Call::PurgeDeletes { older_ms } = record.call {
            let mut above = self.oracle.of_revisions(commit.revision..);
            return doubtful || above.any(|above| buries(above, commit, told, gone, older_ms));
        }
        false
    }

    /// Whether a revision can have come to mean another one, or was read wrongly.
    fn has_doubtful_bounds(&self, called: Instant, gone: Instant) -> bool {
        let within = |at: &Instant| (called..=gone).contains(at);
        let mut lives = self.oracle.exists.iter();
        self.history.garbled
            || self.oracle.rewinds.iter().any(within)
            || lives.any(|(at, _)| within(at))
    }

    /// Nobody counts more than was removed in their time. A tombstone may have gone otherwise, just before what it
    /// buried was purged; and which were tombstones cannot be known of a stream that lost its end or began anew in
    /// that time: other messages have their revisions.
    fn miscounted(&self, record: &Record) -> Option<Violation> {
        let (at, answer) = record.answer.as_ref()?;
        let Answer::Removed {
            revisions,
            tombstones,
        } = answer
        else {
            return None;
        };
        let commits = self.oracle.commits.iter().filter(|commit| {
            let within = |gone| (record.called..=*at).contains(&gone);
            let of_that = record.call != Call::Erase { all: false } || commit.key == record.key;
            of_that && commit.gone.is_some_and(within)
        });
        let gone: Vec<&Commit> = commits.collect();
        let purged = gone
            .iter()
            .filter(|commit| commit.why == Some(Removal::Purged));
        let buried = gone.iter().filter(|commit| commit.kind.is_tombstone());
        let (most, most_buried) = (purged.count() as u64, buried.count() as u64);
        let unknown = self.has_doubtful_bounds(record.called, *at);
        let too_many =
            *revisions > most || tombstones > revisions || (*tombstones > most_buried && !unknown);
        (too_many && !self.history.garbled).then_some(Violation::Miscounted { call: record.id })
    }
}

/// Whether a tombstone explains that a revision goes: as it is old enough itself, or lies above it.
fn buries(above: &Commit, commit: &Commit, told: Instant, gone: Instant, older_ms: u32) -> bool {
    let same = above.key == commit.key && above.life == commit.life && above.kind.is_tombstone();
    let old = age(above.time, gone).as_millis() >= u128::from(older_ms);
    same && above.at <= told && (old || above.revision > commit.revision)
}
