//! Publishing to a replicated stream: checked by the leader, proposed, committed, and only then answered.
//!
//! ```text
//! publish ──checks──► proposal ──majority──► commit ──(2.10, 2.11: the other checks)──► store, answer
//! ```
//!
//! The order of the checks is not that of an unreplicated stream. From 2.12 on everything is checked
//! before, against the store and what is under way; earlier versions leave much to the commit, and what
//! fails there leaves its message id behind as if it were still under way.

use bytes::Bytes;
use kv_proto::{Instant, Timestamp};

use super::admission::{Admitted, Refusal, parse_ttl, sequence};
use super::batch::{Part, Staged};
use super::group::Standing;
use super::store::Store;
use super::{Inbound, Now, Outbox, Stream};
use crate::server::error::ApiError;
use crate::server::header;
use crate::server::peers::Peers;
use crate::server::replication::InFlight;
use crate::server::version::Version;

/// A publish under way.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) inbound: Inbound,
    /// The subject its condition is about.
    condition: Option<Bytes>,
    /// When it was proposed, which is the time it will be stored with.
    time: Timestamp,
    commits_at: Instant,
    /// Its leader is gone, and nobody will answer.
    orphaned: bool,
}

impl Proposal {
    /// Whether it is not to be committed yet.
    pub(super) fn waits(&self, now: Instant) -> bool {
        !self.orphaned && self.commits_at > now
    }
}

impl Stream {
    /// Checks a message and proposes it, or refuses it at once.
    pub(super) fn propose(
        &mut self,
        inbound: Inbound,
        now: Now,
        peers: &mut Peers,
        out: &mut Outbox,
    ) {
        self.forget_msg_ids(now.time);
        let id = header::text(&inbound.headers, "Nats-Msg-Id").map(|id| id.into_owned());
        let condition = match self.check_proposal(&inbound, id.as_deref(), now) {
            Ok(condition) => condition,
            Err(refusal) => {
                return self.answer(&inbound.reply, Err(refusal), None, now.version, out);
            }
        };
        self.propose_all(vec![(inbound, condition)], now, peers, out);
    }

    /// Proposes what was checked, all of it together, each with the subject it makes a condition about.
    pub(super) fn propose_all(
        &mut self,
        checked: Vec<(Inbound, Option<Bytes>)>,
        now: Now,
        peers: &mut Peers,
        out: &mut Outbox,
    ) {
        let before = self.proposals.back();
        let before = before.map_or(now.instant, |last| last.commits_at);
        let delay = peers.delay(peers.replication.commit);
        let commits_at = before.max(now.instant + delay);
        for (inbound, condition) in checked {
            if let Some(id) = header::text(&inbound.headers, "Nats-Msg-Id") {
                self.remember_msg_id(id.into_owned(), 0, now.time);
            }
            self.proposals.push_back(Proposal {
                inbound,
                condition,
                time: now.time,
                commits_at,
                orphaned: false,
            });
        }
        self.commit(now, out);
    }

    /// Applies the proposals that are due, in order.
    pub(super) fn commit(&mut self, now: Now, out: &mut Outbox) {
        while self.group.standing() == Standing::Led {
            let first = self.proposals.front();
            if first.is_none_or(|one| one.waits(now.instant)) {
                return;
            }
            let Some(proposal) = self.proposals.pop_front() else {
                return;
            };
            let (reply, orphaned) = (proposal.inbound.reply.clone(), proposal.orphaned);
            let part = Part::of(&proposal.inbound.headers, now.version);
            let result = self.apply(proposal, now, out);
            if !orphaned {
                self.answer(&reply, result, part.as_ref(), now.version, out);
            }
        }
    }

    /// Commits what is under way before something that must come after it.
    pub(crate) fn flush(&mut self, now: Now, out: &mut Outbox) {
        for proposal in &mut self.proposals {
            proposal.commits_at = proposal.commits_at.min(now.instant);
        }
        self.commit(now, out);
    }

    pub(super) fn next_commit(&self) -> Option<Instant> {
        let led = self.group.standing() == Standing::Led;
        let first = self.proposals.front().filter(|_| led)?;
        Some(first.commits_at)
    }

    /// The leader is gone: nobody will answer what is under way.
    pub(crate) fn abandon_proposals(&mut self, in_flight: InFlight) {
        match in_flight {
            InFlight::Lost => self.proposals.clear(),
            InFlight::CommittedUnacknowledged => {
                for proposal in &mut self.proposals {
                    proposal.orphaned = true;
                }
            }
        }
        self.msg_ids.retain(|_, (seq, _)| *seq > 0);
    }

    /// All that is checked before a proposal; returns the subject it makes a condition about.
    fn check_proposal(
        &mut self,
        inbound: &Inbound,
        id: Option<&str>,
        now: Now,
    ) -> Result<Option<Bytes>, Refusal> {
        let version = now.version;
        if self.config.sealed {
            return Err(ApiError::SEALED.into());
        }
        self.check_size(inbound)?;
        self.check_size_of_record(inbound, version)?;
        if inbound.headers.is_empty() {
            self.check_room_ahead(inbound, &Staged::default(), version)?;
            return Ok(None);
        }
        match version {
            Version::V2_10 => self.check_as_2_10(inbound, id),
            Version::V2_11 => self.check_as_2_11(inbound, id, now),
            Version::V2_12 | Version::V2_14 | Version::V2_15 => {
                self.check_ahead(inbound, id, &mut Staged::default(), version)
            }
        }
    }

    fn check_as_2_10(&self, inbound: &Inbound, id: Option<&str>) -> Result<Option<Bytes>, Refusal> {
        if let Some(expected) =
            header::text(&inbound.headers, "Nats-Expected-Last-Subject-Sequence")
            && let Some(expected) = sequence(&expected).filter(|seq| *seq <= self.last_seq)
        {
            let actual = last_of(&self.store, &inbound.subject);
            if actual != expected {
                return Err(ApiError::wrong_last_sequence(actual).into());
            }
        }
        self.check_expected_stream(&inbound.headers)?;
        match id.and_then(|id| self.msg_ids.get(id)) {
            Some((seq, _)) => Err(Refusal::Duplicate(*seq)), // 0 while it is under way
            None => Ok(None),
        }
    }

    fn check_as_2_11(
        &mut self,
        inbound: &Inbound,
        id: Option<&str>,
        now: Now,
    ) -> Result<Option<Bytes>, Refusal> {
        self.check_expected_stream(&inbound.headers)?;
        self.check_ttl(&inbound.headers)?;
        self.check_id(id)?;
        let condition = self.check_subject(inbound, &mut Staged::default(), now.version);
        if let (Err(_), Some(id)) = (&condition, id) {
            self.remember_msg_id(id.to_owned(), 0, now.time); // it was noted before the condition failed
        }
        condition
    }

    pub(super) fn check_expected_stream(&self, headers: &[u8]) -> Result<(), Refusal> {
        let expected = header::text(headers, "Nats-Expected-Stream");
        if expected.is_some_and(|expected| expected != self.config.name) {
            return Err(ApiError::EXPECTED_STREAM.into());
        }
        Ok(())
    }

    /// Here a bad time to live is found at once.
    pub(super) fn check_ttl(&self, headers: &[u8]) -> Result<(), Refusal> {
        let Some(ttl) = header::text(headers, "Nats-TTL") else {
            return Ok(());
        };
        let seconds = parse_ttl(&ttl);
        if seconds == Ok(0) {
            return Ok(());
        }
        if !self.config.allow_msg_ttl {
            return Err(ApiError::TTL_DISABLED.into());
        }
        seconds
            .map(|_| ())
            .map_err(|()| ApiError::TTL_INVALID.into())
    }

    pub(super) fn check_id(&self, id: Option<&str>) -> Result<(), Refusal> {
        match id.and_then(|id| self.msg_ids.get(id)) {
            Some((0, _)) => Err(ApiError::DUPLICATE_IN_PROCESS.into()),
            Some((seq, _)) => Err(Refusal::Duplicate(*seq)),
            None => Ok(()),
        }
    }

    /// A condition holds when the subject it names, letter by letter, has nothing under way. So a pattern
    /// does not see what is under way on the subjects it matches, as in the real server.
    pub(super) fn check_subject(
        &self,
        inbound: &Inbound,
        staged: &mut Staged,
        version: Version,
    ) -> Result<Option<Bytes>, Refusal> {
        let headers = &inbound.headers;
        let other = header::value(headers, "Nats-Expected-Last-Subject-Sequence-Subject");
        let other = other.filter(|other| !other.is_empty());
        let Some(expected) = header::text(headers, "Nats-Expected-Last-Subject-Sequence") else {
            return match other {
                Some(_) if version.has_level_2() => Err(ApiError::CAS_SUBJECT_ALONE.into()),
                Some(_) | None => Ok(None),
            };
        };
        let subject = other.map_or_else(|| inbound.subject.clone(), Bytes::copy_from_slice);
        let plain = version.checks_proposals_once();
        let mut under_way = self.proposals.iter();
        let clashes = under_way.any(|one| {
            one.condition.as_ref() == Some(&subject) || (plain && one.inbound.subject == subject)
        });
        if clashes || staged.of_subject(&subject) > 0 {
            return Err(ApiError::WRONG_LAST_SEQUENCE_IN_FLIGHT.into());
        }
        let found = staged.conditions.get(&subject).copied();
        let actual = found.unwrap_or_else(|| last_of(&self.store, &subject));
        if sequence(&expected) != Some(actual) {
            return Err(ApiError::wrong_last_sequence(actual).into());
        }
        staged.conditions.insert(subject.clone(), actual);
        Ok(Some(subject))
    }

    /// Whether a message on this subject is accepted and not yet stored.
    pub(super) fn is_under_way(&self, subject: &Bytes) -> bool {
        let mut subjects = self.proposals.iter().map(|one| &one.inbound.subject);
        subjects.any(|one| one == subject)
    }

    /// Stores a committed message, if it passes what was left to be checked.
    fn apply(&mut self, proposal: Proposal, now: Now, out: &mut Outbox) -> Result<u64, Refusal> {
        let Proposal { inbound, time, .. } = proposal;
        let (version, headers) = (now.version, &inbound.headers);
        if !version.checks_proposals_once() {
            self.check_conditions_late(&inbound, version)?;
        }
        let expected = header::text(headers, "Nats-Expected-Last-Msg-Id");
        if expected.is_some_and(|expected| expected != self.last_msg_id) {
            return Err(ApiError::wrong_last_msg_id(&self.last_msg_id).into());
        }
        let rollup = self.check_rollup(headers, version)?;
        let msg_id = header::text(headers, "Nats-Msg-Id").map(|id| id.into_owned());
        let admitted = Admitted { msg_id, rollup };
        if self.drops_next(&inbound.subject) {
            return Ok(self.skip(admitted, time));
        }
        let (lifetime, headers) = self.lifetime(&inbound, version)?;
        let inbound = Inbound { headers, ..inbound };
        if !version.checks_proposals_once()
            && let Err(error) = self.check_room(&inbound, version)
        {
            self.last_seq = self.store.last_seq();
            return Err(error.into());
        }
        Ok(self.store_admitted(inbound, admitted, lifetime, Now { time, ..now }, out))
    }

    /// What 2.10 and 2.11 check only now.
    fn check_conditions_late(&self, inbound: &Inbound, version: Version) -> Result<(), Refusal> {
        let headers = &inbound.headers;
        let other = header::value(headers, "Nats-Expected-Last-Subject-Sequence-Subject");
        let other = other.filter(|other| !other.is_empty() && version.has_level_1());
        if let Some(expected) = header::text(headers, "Nats-Expected-Last-Subject-Sequence") {
            let actual = last_of(&self.store, other.unwrap_or(&inbound.subject));
            let expected = sequence(&expected);
            // What was there when it was proposed may have been removed since.
            let removed = actual == 0 && expected.is_some_and(|seq| seq <= self.store.last_seq());
            if expected != Some(actual) && !removed {
                return Err(ApiError::wrong_last_sequence(actual).into());
            }
        }
        if let Some(expected) = header::text(headers, "Nats-Expected-Last-Sequence")
            && sequence(&expected) != Some(self.last_seq)
        {
            return Err(ApiError::wrong_last_sequence(self.last_seq).into());
        }
        Ok(())
    }
}

fn last_of(store: &Store, subject: &[u8]) -> u64 {
    store.last_for(subject).map_or(0, |last| last.seq)
}
