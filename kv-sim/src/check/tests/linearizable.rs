//! The judge against a general search for linearizations, on small random accounts of one key, most of which tell
//! lies.
//!
//! The judge needs no search, as it knows when everything took effect. The search knows only what clients say, or
//! that and the journal. Three laws tie them together:
//!
//! - with the journal, both come to the same verdict, whoever lies;
//! - what clients say has no right order: then there is no journal that the judge lets it pass with, not even
//!   the true one;
//! - it has one: then the judge lets it pass with the journal of that order.
//!
//! `cargo test --release -p kv-sim --lib linearizable -- --ignored --nocapture` looks at a lot more of them.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "few kinds of calls are made"
)]

mod search;

use self::search::{Effect, State, condition, linearize};
use super::*;
use crate::server::rng::Rng;

const MOST_CALLS: u64 = 8;

/// One account, and the journal as the search takes it.
#[derive(Default)]
struct Story {
    run: Accounts,
    journal: Vec<(Instant, State)>,
}

impl Story {
    fn keep(&mut self, at: Instant, state: &State) {
        let condition = state.condition.map_or(String::new(), |expected| {
            format!("Nats-Expected-Last-Subject-Sequence: {expected}\r\n")
        });
        let headers = match (&state.value, state.purge) {
            (Some(_), _) => condition,
            (None, false) => format!("{DELETE}{condition}"),
            (None, true) => format!("{PURGE}{condition}"),
        };
        let payload = state.value.clone().unwrap_or_default();
        let millis = u64::try_from(at.saturating_duration_since(t(0)).as_millis());
        let millis = millis.expect("a short story");
        self.run.keeps(millis, state.revision, &headers, &payload);
        self.journal.push((at, state.clone()));
    }
}

/// When a call is made, takes effect, and is answered.
struct Times {
    client: usize,
    called: u64,
    point: u64,
    answered: u64,
}

fn times(rng: &mut Rng) -> Vec<Times> {
    let mut free = [1_u64; 3];
    let mut all = Vec::new();
    for _ in 0..2 + rng.below(MOST_CALLS - 1) {
        let client = usize::try_from(rng.below(3)).expect("a client");
        let called = free[client] + rng.below(3);
        let point = called + rng.below(5);
        let answered = point + rng.below(5);
        free[client] = answered + 1;
        all.push(Times {
            client,
            called,
            point,
            answered,
        });
    }
    // Calls are numbered in the order in which they are made.
    all.sort_by_key(|times| times.called);
    all
}

fn any_call(rng: &mut Rng, last: u64) -> Call {
    // Mostly the revision that the key is at.
    let near = if rng.chance(70) {
        last
    } else {
        rng.below(last + 2)
    };
    let expected = rng.chance(50).then_some(near);
    match rng.below(9) {
        0 | 1 => Call::Put,
        2 => CREATE,
        3 | 4 => update(near),
        5 => Call::Delete { expected },
        6 => Call::Purge {
            expected,
            ttl: None,
        },
        7 => Call::GetLeader,
        _ => Call::Get,
    }
}

/// What happens to a key in that state, and what the caller is told.
fn happen(call: Call, number: usize, state: Option<&State>, next: u64) -> (Option<State>, Answer) {
    let at = state.map_or(0, |state| state.revision);
    let number = u32::try_from(number).expect("few calls");
    let stored = |value: Option<Bytes>| State {
        revision: next,
        value,
        purge: matches!(call, Call::Purge { .. }),
        condition: condition(call, at),
    };
    let live = state.is_some_and(|state| state.value.is_some());
    match call {
        Call::Get | Call::GetLeader => (
            None,
            state.map_or(Answer::Absent, |state| Answer::Found {
                revision: at,
                value: state.value.clone().unwrap_or_default(),
                tombstone: state.value.is_none(),
            }),
        ),
        Call::Create { .. } if live => (None, Answer::Exists(at)),
        _ if call.expected().is_some_and(|expected| expected != at) => {
            (None, Answer::Conflict(Some(at)))
        }
        _ => {
            let value = (!call.buries()).then(|| value(number).into());
            (Some(stored(value)), Answer::Applied(next))
        }
    }
}

/// What really happened, told as it was; some callers do not know.
fn honest(rng: &mut Rng) -> Story {
    let times = times(rng);
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|place| times[*place].point);
    let mut story = Story {
        run: Accounts::new(),
        journal: Vec::new(),
    };
    for one in &times {
        let id = story
            .run
            .history
            .begin(one.client, KEY, Call::Get, t(one.called));
        story.run.history.record(id).expect("it was just made").sent = Sent::Perhaps;
    }
    let (mut state, mut next) = (None::<State>, 1);
    for place in order {
        let one = &times[place];
        let last = state.as_ref().map_or(0, |state| state.revision);
        let call = any_call(rng, last);
        let reads = matches!(call, Call::Get | Call::GetLeader);
        let (mut to, mut answer) = happen(call, place, state.as_ref(), next);
        let mut answered = true;
        if !reads && rng.chance(25) {
            let lost = rng.chance(50);
            if lost {
                to = None;
            }
            answer = if lost && rng.chance(50) {
                Answer::NotApplied(Cause::TimedOut)
            } else {
                Answer::Unknown("unknown: timed out")
            };
            answered = rng.chance(70) || answer == Answer::NotApplied(Cause::TimedOut);
        }
        let record = &mut story.run.history.calls[place];
        record.call = call;
        record.answer = answered.then(|| (t(one.answered), answer));
        if let Some(to) = to {
            story.keep(t(one.point), &to);
            // Other keys have revisions too.
            next = to.revision + 1 + rng.below(2);
            state = Some(to);
        }
    }
    story
}

/// Somebody lies about a call.
fn lie(rng: &mut Rng, history: &mut History) {
    let place = usize::try_from(rng.below(history.calls.len() as u64)).expect("a place");
    let other = usize::try_from(rng.below(history.calls.len() as u64)).expect("a place");
    let other = history.calls[other].answer.clone();
    let record = &mut history.calls[place];
    let call = record.call;
    let Some((at, answer)) = &mut record.answer else {
        return;
    };
    let near = |rng: &mut Rng, revision: u64| (revision + rng.below(4)).saturating_sub(2);
    match rng.below(6) {
        // It took less time than it did.
        0 => record.called = (record.called + Duration::from_millis(rng.below(6))).min(*at),
        1 => *at = record.called + Duration::from_millis(rng.below(4)),
        // It was told what somebody else was.
        2 | 3 => {
            let reads = matches!(call, Call::Get | Call::GetLeader);
            match other.map(|(_, answer)| answer) {
                Some(found @ (Answer::Found { .. } | Answer::Absent)) if reads => *answer = found,
                Some(Answer::Applied(revision)) if !reads => *answer = Answer::Applied(revision),
                _ => {}
            }
        }
        // It was told another number.
        4 => match answer {
            Answer::Applied(revision)
            | Answer::Exists(revision)
            | Answer::Conflict(Some(revision))
            | Answer::Found { revision, .. } => *revision = near(rng, *revision),
            _ => {}
        },
        // It was told that nothing happened, or that something did.
        _ => match answer {
            Answer::Applied(_) => *answer = Answer::NotApplied(Cause::TimedOut),
            Answer::Found { .. } => *answer = Answer::Absent,
            Answer::Unknown(_) | Answer::NotApplied(_) => {
                *answer = Answer::Applied(1 + rng.below(MOST_CALLS));
            }
            _ => {}
        },
    }
}

/// The journal lies: it leaves something out, or tells it twice or later.
fn forge(rng: &mut Rng, story: &mut Story) {
    let len = story.journal.len() as u64;
    let Ok(place) = usize::try_from(rng.below(len)) else {
        return;
    };
    if len == 0 {
        return;
    }
    // The first event is that the bucket was made.
    let event = place + 1;
    match rng.below(3) {
        0 => {
            story.journal.remove(place);
            story.run.journal.remove(event);
        }
        1 => {
            let (at, mut state) = story.journal[place].clone();
            let (last_at, last) = story.journal.last().cloned().expect("it is not empty");
            state.revision = last.revision + 1;
            let mut again = story.run.journal[event].clone();
            again.at = last_at.max(at);
            if let Change::Stored { seq, .. } = &mut again.change {
                *seq = state.revision;
            }
            story.journal.push((again.at, state));
            story.run.journal.push(again);
        }
        _ => {
            let next = story.journal.get(place + 1).map(|(at, _)| *at);
            let at = story.journal[place].0 + Duration::from_millis(1 + rng.below(6));
            let at = next.map_or(at, |next| at.min(next));
            story.journal[place].0 = at;
            story.run.journal[event].at = at;
        }
    }
}

/// The journal of an order that the search has found.
fn retold(history: &History, effects: &[Effect]) -> Story {
    let mut story = Story {
        run: Accounts::new(),
        journal: Vec::new(),
    };
    for effect in effects {
        story.keep(effect.at, &effect.state);
    }
    story.run.history = history.clone();
    story
}

/// How many accounts there were, and how many of them were wrong.
#[derive(Debug, Default)]
struct Counts {
    all: u32,
    /// No order is right.
    illegal: u32,
    /// No order is right with the journal.
    refused: u32,
}

fn compare(seeds: std::ops::Range<u64>) -> Counts {
    let mut counts = Counts::default();
    for seed in seeds {
        let mut rng = Rng::new(seed);
        let mut story = honest(&mut rng);
        assert_eq!(story.run.verdict(), [], "seed {seed}: all is true");
        for _ in 0..rng.below(3) {
            lie(&mut rng, &mut story.run.history);
        }
        let history = story.run.history.clone();
        let verdict = story.run.verdict();
        match linearize(&history, None) {
            Some(effects) => {
                let verdict = retold(&history, &effects).run.verdict();
                assert_eq!(verdict, [], "seed {seed}: {effects:#?} of {history:#?}");
            }
            None => {
                counts.illegal += 1;
                assert_ne!(verdict, [], "seed {seed}: {history:#?}");
            }
        }
        if rng.chance(30) {
            forge(&mut rng, &mut story);
        }
        let verdict = story.run.verdict();
        let right = linearize(&history, Some(&story.journal)).is_some();
        let journal = &story.journal;
        assert_eq!(
            verdict.is_empty(),
            right,
            "seed {seed}: {verdict:?}\n{history:#?}\n{journal:#?}"
        );
        counts.all += 1;
        counts.refused += u32::from(!right);
    }
    assert!(
        counts.illegal > counts.all / 10 && counts.refused > counts.illegal,
        "{counts:?}"
    );
    assert!(counts.refused < counts.all * 9 / 10, "{counts:?}");
    counts
}

#[test]
fn the_judge_agrees_with_a_search() {
    compare(0..5_000);
}

#[test]
#[ignore = "takes minutes"]
#[allow(clippy::print_stderr, reason = "it is what one wants to know")]
fn the_judge_agrees_with_a_search_for_long() {
    eprintln!("{:?}", compare(0..300_000));
}

/// What the search is for: each of these is told in any book.
#[test]
fn the_search_knows_right_from_wrong() {
    let story = |from, to, answer: Answer| {
        let mut run = Accounts::new();
        run.call(Call::Put, 1, 3, Answer::Applied(1));
        run.call(Call::Put, 5, 9, Answer::Applied(2));
        run.call(Call::Get, from, to, answer);
        linearize(&run.history, None).is_some()
    };
    assert!(story(4, 4, found(1, 0)), "before the second");
    assert!(
        story(6, 7, found(1, 0)) && story(6, 7, found(2, 1)),
        "beside it"
    );
    assert!(story(0, 2, Answer::Absent), "beside the first");
    assert!(!story(10, 11, found(1, 0)), "stale");
    assert!(!story(4, 4, found(2, 1)), "from the future");
    assert!(!story(4, 9, Answer::Absent), "it was there");
    let mut run = Accounts::new();
    run.call(Call::Put, 1, 9, Answer::Applied(1));
    run.call(Call::Get, 2, 3, found(1, 0));
    run.call(Call::Get, 4, 5, Answer::Absent);
    assert!(linearize(&run.history, None).is_none(), "new, then old");
}
