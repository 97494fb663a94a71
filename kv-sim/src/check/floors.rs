//! I-2: reads never go back.
//!
//! What a client was acknowledged or told of a key before it asks is the key's floor. The journal knows when
//! that revision was committed, and whatever is told afterwards must have been the key's state at that moment or
//! later: revisions alone say too little, as what was removed shows as nothing, or as something older.

use kv_proto::Instant;

use super::lost::revision_of;
use super::{Check, is_answer};
use crate::history::{Answer, Call, Record};
use crate::oracle::Commit;
use crate::violation::Violation;

impl Check<'_> {
    /// Whether a read was told something older than its floor.
    pub(super) fn went_back(
        &self,
        record: &Record,
        at: Instant,
        answer: &Answer,
    ) -> Option<Violation> {
        if !matches!(record.call, Call::Get | Call::GetLeader) {
            return None;
        }
        let floor = self.floor(record)?;
        let vouched =
            self.history.forgetful || self.history.resurfaces || self.oracle.lives_by(at) > 1;
        let is_shown = |state: Option<&Commit>| is_answer(state, answer);
        // A leader's word may be all there is, and one that was deposed may have given it; who may not ask
        // a leader has a replica's.
        let said = || {
            let leader = !self.history.denied;
            let from = self.history.oldest_view(record.called, at, leader);
            let mut states = self.oracle.states(record.key, from, at);
            states.any(is_shown)
        };
        let fits = self.oracle.states_from(floor, at).any(is_shown) || (vouched && said());
        (!fits).then_some(Violation::WentBack {
            call: record.id,
            floor: floor.revision,
        })
    }

    /// A read is stale only if a leader showed that, knew of no other life of the bucket, and was not alone.
    pub(super) fn stale(
        &self,
        record: &Record,
        at: Instant,
        seen: u64,
        floor: u64,
    ) -> Option<Violation> {
        // Who may not ask the leader cannot know.
        let denied = self.history.denied;
        let life = self.oracle.lives_by(record.called);
        let mut known = self.oracle.of_revision(floor);
        let known = known.any(|one| one.key == record.key && (one.life >= life || denied));
        let from = self.history.oldest_view(record.called, at, !denied);
        let mut states = self.oracle.states(record.key, from, at);
        let shown = states.any(|state| state.map_or(0, |commit| commit.revision) == seen);
        let alone = !self.history.replicated && !denied;
        (!known || !shown || alone).then_some(Violation::NeverStale {
            call: record.id,
            floor,
        })
    }

    /// The newest commit of which a client knew when it asked.
    fn floor(&self, record: &Record) -> Option<&Commit> {
        let calls = self.history.calls.iter();
        let before = calls.take_while(|one| one.called < record.called);
        let own = before.filter(|one| {
            (one.client, one.life, one.key) == (record.client, record.life, record.key)
        });
        own.filter_map(|one| self.told(one, record.called))
            .max_by_key(|commit| (commit.at, commit.life, commit.revision))
    }

    /// The commit of which a call was told before some moment; the first that had its number.
    fn told(&self, record: &Record, before: Instant) -> Option<&Commit> {
        let (at, answer) = record.answer.as_ref().filter(|(at, _)| *at < before)?;
        let revision = revision_of(answer)?;
        let mut commits = self.oracle.of_revision(revision);
        commits.find(|one| one.key == record.key && one.at <= *at)
    }
}
