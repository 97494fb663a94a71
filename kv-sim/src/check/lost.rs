//! What was applied and went with the end of the stream, before its writer could find it.
//!
//! A stream that loses its end gives up what it has acknowledged, and nobody can ask it what was there. A writer
//! whose acknowledgement was lost, too, finds that somebody else has taken its place, as if it had come too late.
//! It can know better only if it was told of a revision that the stream does not have now.

use kv_proto::Instant;

use super::Check;
use crate::history::{Answer, Record};
use crate::oracle::Commit;

impl Check<'_> {
    /// Whether whoever was refused at that moment could not know that its write had been applied: it had a
    /// condition, it was lost with the stream's end, and the stream had all revisions since of which its client
    /// was told.
    pub(super) fn went_unseen(&self, record: &Record, commit: &Commit, at: Instant) -> bool {
        let Some(gone) = commit.gone.filter(|_| commit.lost) else {
            return false;
        };
        let rewound = self.oracle.rewinds.contains(&gone) && gone <= at;
        let same_life = commit.life == self.oracle.lives_by(at);
        let (told, end) = (
            self.told_until(record, at),
            self.end_since(commit, gone, at),
        );
        commit.expected.is_some() && rewound && same_life && told <= end
    }

    /// The highest revision of which a client's calls were told, and that was there when it made this one.
    fn told_until(&self, record: &Record, at: Instant) -> u64 {
        let life = self.oracle.lives_by(at);
        let calls = self.history.calls.iter();
        let own = calls.filter(|one| (one.client, one.life) == (record.client, record.life));
        let told = own.filter_map(|one| {
            let (told, answer) = one.answer.as_ref().filter(|(told, _)| *told < at)?;
            let revision = revision_of(answer)?;
            let was_there = |commit: &Commit| {
                let lost = commit.lost && commit.gone.is_some_and(|gone| gone < record.called);
                (commit.key, commit.life) == (one.key, life) && commit.at <= *told && !lost
            };
            self.oracle
                .of_revision(revision)
                .any(was_there)
                .then_some(revision)
        });
        told.max().unwrap_or(0)
    }

    /// The highest revision that the stream had between the loss of a commit and a later moment.
    fn end_since(&self, lost: &Commit, gone: Instant, at: Instant) -> u64 {
        let commits = self.oracle.commits.iter();
        let there = commits.filter(|one| {
            let went = one.lost && one.gone.is_some_and(|end| end <= gone);
            one.life == lost.life && one.at <= at && !went
        });
        there.map(|one| one.revision).max().unwrap_or(0)
    }
}

/// The revision of its key that a call was told of.
pub(super) fn revision_of(answer: &Answer) -> Option<u64> {
    match answer {
        Answer::Applied(revision)
        | Answer::Exists(revision)
        | Answer::Conflict(Some(revision))
        | Answer::Found { revision, .. } => Some(*revision),
        Answer::Conflict(None)
        | Answer::NotApplied(_)
        | Answer::Unknown(_)
        | Answer::Absent
        | Answer::Malformed(_)
        | Answer::Stale { .. }
        | Answer::Failed(_)
        | Answer::Removed { .. }
        | Answer::Done => None,
    }
}
