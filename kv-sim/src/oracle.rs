//! What really happened, key by key, from the servers' journal.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_proto::{Instant, Timestamp};

use crate::history::CallId;
use crate::mutant::{self, Mutant};
use crate::server::{Change, Event, Removal};

/// The bucket of every run.
pub(crate) const BUCKET: &str = "b";
/// Its stream.
pub(crate) const STREAM: &str = "KV_b";
/// The header by which writes of others are known.
pub(crate) const FOREIGN: &str = "Foreign";

/// How long markers stay, in seconds, where there are any.
pub(crate) const MARKER_TTL: u64 = 2;

/// One message that was stored.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) revision: u64,
    pub(crate) key: u8,
    /// The call that made it, where its value tells.
    pub(crate) by: Option<CallId>,
    pub(crate) at: Instant,
    /// The time it is stored with.
    pub(crate) time: Timestamp,
    /// The bucket's life in which it was stored, counted from 1.
    pub(crate) life: u32,
    /// When it was no longer there.
    pub(crate) gone: Option<Instant>,
    /// What removed it, if anything did.
    pub(crate) why: Option<Removal>,
    /// Whether it went with the bucket, or with the bucket's end.
    pub(crate) lost: bool,
    /// When it was no longer its key's last revision.
    pub(crate) superseded: Option<Instant>,
    pub(crate) value: Bytes,
    pub(crate) kind: Kind,
    /// The id that the message carried.
    pub(crate) id: Option<String>,
    /// The condition that the message carried.
    pub(crate) expected: Option<u64>,
    pub(crate) ttl: Option<u64>,
    /// The key's last revision before, 0 for none, and whether that was a value.
    pub(crate) found: u64,
    pub(crate) over_value: bool,
}

/// What a message is to a key-value client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Value,
    Delete,
    Purge,
    /// A marker that the server left.
    Marker,
    /// Its headers cannot be read.
    Broken,
    /// A tombstone of somebody who is no client of ours.
    Foreign,
}

impl Kind {
    pub(crate) fn is_tombstone(self) -> bool {
        matches!(
            self,
            Self::Delete | Self::Purge | Self::Marker | Self::Foreign
        )
    }
}

/// From some moment on, what a key's last revision is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) since: Instant,
    /// The place of the commit; `None` if the key has no revision at all.
    pub(crate) commit: Option<usize>,
}

/// One key's life.
#[derive(Debug, Default)]
pub(crate) struct KeyLife {
    pub(crate) states: Vec<State>,
    /// What is there, by revision.
    present: BTreeMap<u64, usize>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) commits: Vec<Commit>,
    pub(crate) keys: BTreeMap<u8, KeyLife>,
    /// The commits of each revision; a rewind or a new stream uses numbers again.
    by_revision: BTreeMap<u64, Vec<usize>>,
    /// When the bucket lost its newest revisions.
    pub(crate) rewinds: Vec<Instant>,
    pub(crate) by_call: BTreeMap<CallId, Vec<usize>>,
    by_id: BTreeMap<String, Vec<usize>>,
    /// When the bucket came and went.
    pub(crate) exists: Vec<(Instant, bool)>,
}

impl Oracle {
    pub(crate) fn new(journal: &[Event]) -> Self {
        let mut oracle = Self::default();
        for event in journal.iter().filter(|event| &*event.stream == STREAM) {
            if !overlooked(event) {
                oracle.apply(event);
            }
        }
        oracle
    }

    fn apply(&mut self, event: &Event) {
        match &event.change {
            Change::Created => self.exists.push((event.at, true)),
            Change::Deleted => {
                self.exists.push((event.at, false));
                self.lose(event.at, |_| true);
            }
            Change::Rewound { last } => {
                self.rewinds.push(event.at);
                self.lose(event.at, |revision| revision > *last);
            }
            Change::Removed { seq, why } => self.remove(event.at, *seq, *why),
            Change::Stored {
                seq,
                subject,
                headers,
                payload,
                time,
            } => {
                if let Some(key) = key_of(subject) {
                    self.store((event.at, *time), *seq, key, headers, payload);
                }
            }
        }
    }

    fn store(
        &mut self,
        (at, time): (Instant, Timestamp),
        revision: u64,
        key: u8,
        headers: &Bytes,
        payload: &Bytes,
    ) {
        let bucket_life = self.lives_by(at);
        let life = self.keys.entry(key).or_default();
        let last = life.present.last_key_value().map(|(_, last)| *last);
        let before = last.and_then(|last| self.commits.get(last));
        let kind = kind_of(headers);
        let place = self.commits.len();
        let commit = Commit {
            revision,
            key,
            by: call_of(payload).filter(|_| kind == Kind::Value),
            at,
            time,
            life: bucket_life,
            gone: None,
            why: None,
            lost: false,
            superseded: None,
            value: payload.clone(),
            kind,
            id: value_of(headers, "Nats-Msg-Id").map(str::to_owned),
            expected: number(headers, "Nats-Expected-Last-Subject-Sequence"),
            ttl: number(headers, "Nats-TTL"),
            found: before.map_or(0, |before| before.revision),
            over_value: before.is_some_and(|before| !before.kind.is_tombstone()),
        };
        if let Some(call) = commit.by {
            self.by_call.entry(call).or_default().push(place);
        }
        if let Some(id) = &commit.id {
            self.by_id.entry(id.clone()).or_default().push(place);
        }
        self.by_revision.entry(revision).or_default().push(place);
        life.present.insert(revision, place);
        life.states.push(State {
            since: at,
            commit: Some(place),
        });
        if let Some(before) = last.and_then(|last| self.commits.get_mut(last)) {
            before.superseded = before.superseded.or(Some(at));
        }
        self.commits.push(commit);
    }

    /// Whether what a message did was undone before the very same message was stored again, on the condition
    /// that it had before: its key had vanished, or the bucket was made anew or lost its end. Nobody can
    /// fence that, as `update` tells; a write without a condition is never sent again.
    pub(crate) fn was_repeated(&self, commit: &Commit) -> bool {
        self.same_message(commit)
            .any(|one| undone_before(commit, one))
    }

    /// Whether a commit is such a repetition.
    pub(crate) fn is_repetition(&self, commit: &Commit) -> bool {
        self.same_message(commit)
            .any(|one| undone_before(one, commit))
    }

    /// The commits of the same message, by its id; none if it carried no condition.
    fn same_message(&self, commit: &Commit) -> impl Iterator<Item = &Commit> {
        let places = commit.id.as_ref().and_then(|id| self.by_id.get(id));
        let places = places.filter(|_| commit.expected.is_some());
        let places = places.into_iter().flatten();
        places.filter_map(|place| self.commits.get(*place))
    }

    /// How often the bucket was created up to some moment.
    pub(crate) fn lives_by(&self, at: Instant) -> u32 {
        let before = self.exists.partition_point(|(when, _)| *when <= at);
        let lives = self.exists.get(..before).unwrap_or_default();
        let lives = lives.iter().filter(|(_, exists)| *exists).count();
        u32::try_from(lives).unwrap_or(u32::MAX)
    }

    /// The commits of a range of revisions, in their order.
    pub(crate) fn of_revisions(
        &self,
        revisions: impl std::ops::RangeBounds<u64>,
    ) -> impl Iterator<Item = &Commit> {
        let places = self.by_revision.range(revisions).flat_map(|(_, all)| all);
        places.filter_map(|place| self.commits.get(*place))
    }

    /// The commits that had a revision: more than one if its number was used again.
    pub(crate) fn of_revision(&self, revision: u64) -> impl Iterator<Item = &Commit> {
        let places = self.by_revision.get(&revision).into_iter().flatten();
        places.filter_map(|place| self.commits.get(*place))
    }

    fn remove(&mut self, at: Instant, revision: u64, why: Removal) {
        let places = self.by_revision.get(&revision).into_iter().flatten();
        let Some(place) = places.last().copied() else {
            return;
        };
        let Some(commit) = self
            .commits
            .get_mut(place)
            .filter(|commit| commit.gone.is_none())
        else {
            return;
        };
        commit.gone = Some(at);
        commit.why = Some(why);
        commit.superseded = commit.superseded.or(Some(at));
        if let Some(life) = self.keys.get_mut(&commit.key) {
            life.remove(at, revision);
        }
    }

    fn lose(&mut self, at: Instant, gone: impl Fn(u64) -> bool) {
        for life in self.keys.values_mut() {
            let revisions: Vec<(u64, usize)> = life.present.iter().map(|(r, p)| (*r, *p)).collect();
            for (revision, place) in revisions.into_iter().rev().filter(|(r, _)| gone(*r)) {
                if let Some(commit) = self.commits.get_mut(place) {
                    commit.gone = Some(at);
                    commit.lost = true;
                    commit.superseded = commit.superseded.or(Some(at));
                }
                life.remove(at, revision);
            }
        }
    }

    /// The states of a key that were current at some moment between two others.
    pub(crate) fn states(
        &self,
        key: u8,
        from: Instant,
        to: Instant,
    ) -> impl Iterator<Item = Option<&Commit>> {
        let states = self
            .keys
            .get(&key)
            .map(|life| life.states.as_slice())
            .unwrap_or_default();
        let first = states.partition_point(|state| state.since < from);
        let before = match first.checked_sub(1) {
            Some(before) => states.get(before).map(|state| state.commit),
            None => Some(None),
        };
        let during = states.get(first..).unwrap_or_default().iter();
        let during = during
            .take_while(move |state| state.since <= to)
            .map(|state| state.commit);
        before
            .into_iter()
            .chain(during)
            .map(|commit| self.commits.get(commit?))
    }

    /// The states of a commit's key from the commit on, up to some moment.
    pub(crate) fn states_from(
        &self,
        commit: &Commit,
        to: Instant,
    ) -> impl Iterator<Item = Option<&Commit>> {
        let states = self
            .keys
            .get(&commit.key)
            .map(|life| life.states.as_slice())
            .unwrap_or_default();
        let (at, revision) = (commit.at, commit.revision);
        let shown = |state: &State| self.commits.get(state.commit?);
        let is_it = move |state: &State| {
            state.since == at && shown(state).is_some_and(|one| one.revision == revision)
        };
        states
            .iter()
            .skip_while(move |state| !is_it(state))
            .take_while(move |state| state.since <= to)
            .map(shown)
    }

    /// Whether the bucket was missing at some moment between two others.
    pub(crate) fn was_missing(&self, from: Instant, to: Instant) -> bool {
        let first = self.exists.partition_point(|(at, _)| *at < from);
        let before = first.checked_sub(1).and_then(|at| self.exists.get(at));
        let during = self.exists.get(first..).unwrap_or_default().iter();
        before.is_none_or(|(_, exists)| !exists)
            || during
                .take_while(|(at, _)| *at <= to)
                .any(|(_, exists)| !exists)
    }
}

fn undone_before(first: &Commit, second: &Commit) -> bool {
    first.gone.is_some_and(|gone| gone <= second.at) && first.at < second.at
}

impl KeyLife {
    fn remove(&mut self, at: Instant, revision: u64) {
        let was_last = self
            .present
            .last_key_value()
            .is_some_and(|(last, _)| *last == revision);
        self.present.remove(&revision);
        if was_last {
            let commit = self.present.last_key_value().map(|(_, place)| *place);
            self.states.push(State { since: at, commit });
        }
    }
}

/// A planted bug, or never.
fn overlooked(event: &Event) -> bool {
    let stored = |change: &Change| matches!(change, Change::Stored { seq, .. } if seq % 50 == 0);
    mutant::is(Mutant::CommitUnseen) && stored(&event.change)
}

/// The number of a key, from its subject.
pub(crate) fn key_of(subject: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(subject).ok()?;
    key_of_name(text.strip_prefix("$KV.b.")?)
}

/// The number of a key, from its name.
pub(crate) fn key_of_name(name: &str) -> Option<u8> {
    name.strip_prefix('k')?.parse().ok()
}

/// The number of a call, from the value it stores.
pub(crate) fn call_of(value: &[u8]) -> Option<CallId> {
    let end = value.iter().position(|byte| *byte == b':')?;
    let digits = std::str::from_utf8(value.get(..end)?).ok()?;
    digits.parse().ok().map(CallId)
}

fn kind_of(headers: &[u8]) -> Kind {
    if headers.is_empty() {
        return Kind::Value;
    }
    if value_of(headers, "Broken").is_some() {
        return Kind::Broken;
    }
    let operation = value_of(headers, "KV-Operation");
    if value_of(headers, "Nats-Marker-Reason").is_some() {
        return Kind::Marker;
    }
    match operation {
        Some("DEL" | "PURGE") if value_of(headers, FOREIGN).is_some() => Kind::Foreign,
        Some("DEL") => Kind::Delete,
        Some("PURGE") => Kind::Purge,
        Some(_) | None => Kind::Value,
    }
}

fn number(headers: &[u8], name: &str) -> Option<u64> {
    value_of(headers, name)?.parse().ok()
}

fn value_of<'a>(headers: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(headers).ok()?;
    let lines = text.split("\r\n");
    lines
        .into_iter()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
