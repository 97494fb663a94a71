//! Is there an order of all calls, true to their times, in which each answer is right? The search of Wing and Gong:
//! try everything, and nothing twice. It knows nothing of the judge, and of the journal only what it is given.

use std::collections::BTreeSet;

use bytes::Bytes;
use kv_proto::Instant;

use super::super::value;
use crate::history::{Answer, Call, History, Record};

/// The key's last revision: its number, what is stored if it is a value, whether it purged if it is none, and the
/// condition that it was stored on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct State {
    pub(super) revision: u64,
    pub(super) value: Option<Bytes>,
    pub(super) purge: bool,
    pub(super) condition: Option<u64>,
}

/// One thing that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) at: Instant,
    pub(super) state: State,
}

/// A search under way.
pub(super) struct Search<'a> {
    calls: &'a [Record],
    /// What took effect and when, if that is known: calls then have to fit it.
    journal: Option<&'a [(Instant, State)]>,
    /// Revisions that somebody named.
    told: Vec<u64>,
    seen: BTreeSet<(u64, usize, Option<State>)>,
    effects: Vec<Effect>,
}

/// The effects of an order in which all answers are right, if there is one.
pub(super) fn linearize(
    history: &History,
    journal: Option<&[(Instant, State)]>,
) -> Option<Vec<Effect>> {
    let calls = &history.calls;
    let mut search = Search {
        calls,
        journal,
        told: calls.iter().flat_map(told).flatten().collect(),
        seen: BTreeSet::new(),
        effects: Vec::new(),
    };
    let found = search.go(0, None, Instant::ORIGIN);
    found.then_some(search.effects)
}

/// The revisions that a call names: in what it asks for, and in what it is told.
fn told(record: &Record) -> [Option<u64>; 2] {
    let answer = record.answer.as_ref().and_then(|(_, answer)| match answer {
        Answer::Applied(revision) | Answer::Found { revision, .. } => Some(*revision),
        Answer::Exists(revision) | Answer::Conflict(Some(revision)) => Some(*revision),
        _ => None,
    });
    [record.call.expected(), answer]
}

/// The condition that a write carries to a key at that revision: a `create` finds out what it has to say.
pub(super) fn condition(call: Call, at: u64) -> Option<u64> {
    match call {
        Call::Create { .. } => Some(at),
        _ => call.expected(),
    }
}

impl Search<'_> {
    /// Whether the calls that are not in the set can follow.
    fn go(&mut self, done: u64, state: Option<State>, now: Instant) -> bool {
        let due = |(place, record): (usize, &Record)| done >> place & 1 == 0 && must_be(record);
        let consumed = self
            .journal
            .is_none_or(|all| all.len() == self.effects.len());
        if consumed && !self.calls.iter().enumerate().any(due) {
            return true;
        }
        if !self.seen.insert((done, self.effects.len(), state.clone())) {
            return false;
        }
        // Whatever comes next was called before anything that is left was answered.
        let left = self.calls.iter().enumerate();
        let left = left.filter(|(place, record)| done >> place & 1 == 0 && must_be(record));
        let first_end = left.map(|(_, record)| end(record)).min();
        let next = self
            .journal
            .and_then(|all| all.get(self.effects.len()))
            .cloned();
        for (place, record) in self.calls.iter().enumerate() {
            let late = first_end.is_some_and(|end| end < record.called);
            if done >> place & 1 == 1 || late {
                continue;
            }
            let done = done | 1 << place;
            let at = now.max(record.called);
            if is_right(record, state.as_ref()) {
                let fits = self.journal.is_none() || {
                    let until = next.as_ref().map_or(Instant::END, |(at, _)| *at);
                    record.called <= until && end(record) >= now
                };
                if fits
                    && self.go(
                        done,
                        state.clone(),
                        if self.journal.is_some() { now } else { at },
                    )
                {
                    return true;
                }
            }
            for (at, to) in self.effects_of(place, state.as_ref(), at, next.as_ref()) {
                self.effects.push(Effect {
                    at,
                    state: to.clone(),
                });
                if self.go(done, Some(to), at) {
                    return true;
                }
                self.effects.pop();
            }
        }
        false
    }

    /// What a call can do to the key, and when.
    fn effects_of(
        &self,
        place: usize,
        state: Option<&State>,
        at: Instant,
        next: Option<&(Instant, State)>,
    ) -> Vec<(Instant, State)> {
        let record = &self.calls[place];
        if !holds(record.call, state) {
            return Vec::new();
        }
        let last = revision(state);
        let revisions: Vec<u64> = match (&record.answer, next) {
            (Some((_, Answer::Applied(revision))), _) => vec![*revision],
            (Some((_, Answer::Unknown(_))) | None, Some((_, next))) => vec![next.revision],
            // The next number, or one that somebody named.
            (Some((_, Answer::Unknown(_))) | None, None) => {
                self.told.iter().copied().chain([last + 1]).collect()
            }
            _ => Vec::new(),
        };
        let purge = matches!(record.call, Call::Purge { .. });
        let number = u32::try_from(place).expect("few calls");
        let stores = !record.call.buries();
        let states = revisions.into_iter().filter(|revision| *revision > last);
        let states = states.map(|revision| State {
            revision,
            value: stores.then(|| value(number).into()),
            purge,
            condition: condition(record.call, last),
        });
        if self.journal.is_none() {
            return states.map(|state| (at, state)).collect();
        }
        let known = next.filter(|(at, _)| (record.called..=end(record)).contains(at));
        let known = known.filter(|(_, next)| states.into_iter().any(|state| state == *next));
        known.cloned().into_iter().collect()
    }
}

/// Whether a call has a place in any order.
fn must_be(record: &Record) -> bool {
    !matches!(
        record.answer,
        Some((_, Answer::Unknown(_) | Answer::NotApplied(_))) | None
    )
}

/// When a call has had its effect at the latest.
fn end(record: &Record) -> Instant {
    match &record.answer {
        Some((_, Answer::Unknown(_))) | None => Instant::END,
        Some((at, _)) => *at,
    }
}

fn revision(state: Option<&State>) -> u64 {
    state.map_or(0, |state| state.revision)
}

/// Whether a write does something to a key in that state.
fn holds(call: Call, state: Option<&State>) -> bool {
    match call {
        Call::Put => true,
        Call::Create { .. } => state.is_none_or(|state| state.value.is_none()),
        Call::Update { .. } | Call::Delete { .. } | Call::Purge { .. } => {
            call.expected().is_none_or(|one| one == revision(state))
        }
        _ => false,
    }
}

/// Whether an answer that tells of no effect is right in that state.
fn is_right(record: &Record, state: Option<&State>) -> bool {
    let Some((_, answer)) = &record.answer else {
        return false;
    };
    match answer {
        Answer::Absent => state.is_none(),
        Answer::Exists(told) => {
            state.is_some_and(|state| state.value.is_some() && state.revision == *told)
        }
        Answer::Conflict(Some(told)) => {
            revision(state) == *told && record.call.expected() != Some(*told)
        }
        Answer::Found {
            revision,
            value,
            tombstone,
        } => state.is_some_and(|state| {
            let stored = state.value.clone().unwrap_or_default();
            let shown = (state.revision, &stored, state.value.is_none());
            shown == (*revision, value, *tombstone)
        }),
        _ => false,
    }
}
