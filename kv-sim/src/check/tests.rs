//! Small accounts written by hand: an honest one passes, and each lie is called by its name.

mod floors;
mod linearizable;
mod lost;
mod reads;
mod removals;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_proto::{Instant, Timestamp};

use super::check;
use crate::history::{Answer, Call, CallId, Cause, History, Record, Sent, View};
use crate::oracle::STREAM;
use crate::server::{Change, Event, Removal};
use crate::violation::Violation;

const KEY: u8 = 0;
const DELETE: &str = "KV-Operation: DEL\r\n";
const PURGE: &str = "KV-Operation: PURGE\r\n";

fn t(ms: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(ms)
}

/// Both accounts of a run: what clients say, and what servers did.
#[derive(Default)]
struct Accounts {
    history: History,
    journal: Vec<Event>,
}

impl Accounts {
    /// A bucket that exists from the beginning.
    fn new() -> Self {
        let mut accounts = Self::default();
        accounts.change(0, Change::Created);
        accounts
    }

    fn change(&mut self, at: u64, change: Change) {
        self.journal.push(Event {
            at: t(at),
            stream: Arc::from(STREAM),
            change,
        });
    }

    /// The servers store the value of a call.
    fn stores(&mut self, at: u64, seq: u64, call: u32) {
        self.keeps(at, seq, "", &value(call));
    }

    fn stores_if(&mut self, at: u64, seq: u64, call: u32, expected: u64) {
        let header = format!("Nats-Expected-Last-Subject-Sequence: {expected}\r\n");
        self.keeps(at, seq, &header, &value(call));
    }

    fn buries(&mut self, at: u64, seq: u64, headers: &str) {
        self.keeps(at, seq, headers, b"");
    }

    fn keeps(&mut self, at: u64, seq: u64, headers: &str, payload: &[u8]) {
        let headers = if headers.is_empty() {
            Bytes::new()
        } else {
            format!("NATS/1.0\r\n{headers}\r\n").into()
        };
        let change = Change::Stored {
            seq,
            subject: format!("$KV.b.k{KEY}").into(),
            headers,
            payload: Bytes::copy_from_slice(payload),
            time: Timestamp::default(),
        };
        self.change(at, change);
    }

    /// A client calls, and is told something; returns the number of the call.
    fn call(&mut self, call: Call, from: u64, to: u64, answer: Answer) -> CallId {
        let id = self.left_open(call, from);
        let record = self.history.record(id).expect("it was just made");
        record.answer = Some((t(to), answer));
        record.sent = Sent::Whole;
        id
    }

    /// A client calls and does not wait for the answer.
    fn left_open(&mut self, call: Call, from: u64) -> CallId {
        self.history.begin(0, KEY, call, t(from))
    }

    fn last(&mut self) -> &mut Record {
        self.history.calls.last_mut().expect("there is a call")
    }

    /// Call 0 puts revision 1, between 1 and 3 ms.
    fn with_a_value() -> Self {
        let mut accounts = Self::new();
        accounts.call(Call::Put, 1, 3, Answer::Applied(1));
        accounts.stores(2, 1, 0);
        accounts
    }

    fn verdict(&self) -> Vec<Violation> {
        check(&self.history, &self.journal)
    }
}

fn value(call: u32) -> Vec<u8> {
    format!("{call}:x").into_bytes()
}

fn found(revision: u64, call: u32) -> Answer {
    Answer::Found {
        revision,
        value: value(call).into(),
        tombstone: false,
    }
}

fn update(expected: u64) -> Call {
    let ttl = None;
    Call::Update { expected, ttl }
}

const CREATE: Call = Call::Create { ttl: None };

#[test]
fn honest_accounts_pass() {
    let mut run = Accounts::with_a_value();
    run.call(CREATE, 4, 6, Answer::Exists(1));
    run.call(update(1), 7, 9, Answer::Applied(2));
    run.stores_if(8, 2, 2, 1);
    run.call(update(1), 7, 9, Answer::Conflict(Some(2)));
    run.call(Call::Get, 7, 9, found(1, 0));
    run.call(Call::Get, 7, 9, found(2, 2));
    run.call(Call::GetLeader, 10, 11, found(2, 2));
    let delete = Call::Delete { expected: None };
    run.call(delete, 12, 14, Answer::Applied(3));
    run.buries(13, 3, DELETE);
    let tombstone = Answer::Found {
        revision: 3,
        value: Bytes::new(),
        tombstone: true,
    };
    run.call(Call::Get, 15, 16, tombstone);
    run.call(Call::GetRevision { revision: 1 }, 15, 16, Answer::Absent);
    run.change(
        14,
        Change::Removed {
            seq: 1,
            why: Removal::Limit,
        },
    );
    run.call(Call::Put, 17, 18, Answer::Unknown("unknown: timed out"));
    run.left_open(Call::Put, 17);
    run.call(Call::Put, 17, 18, Answer::NotApplied(Cause::TimedOut));
    run.last().sent = Sent::Nothing;
    run.stores(30, 4, 10);
    assert_eq!(run.verdict(), []);
}

#[test]
fn a_write_is_applied_where_and_when_it_was_told_to_be() {
    // At no revision, at somebody else's, before its call, after its answer.
    let lie = |revision, from, to| {
        let mut run = Accounts::with_a_value();
        run.stores(5, 2, 1);
        let call = run.call(Call::Put, from, to, Answer::Applied(revision));
        (run.verdict(), Violation::NotItsRevision { call, revision })
    };
    assert_eq!(lie(2, 4, 6).0, []);
    for (revision, from, to) in [(9, 4, 6), (1, 4, 6), (2, 4, 4)] {
        let (verdict, violation) = lie(revision, from, to);
        assert_eq!(verdict, [violation]);
    }
}

#[test]
fn what_is_not_applied_is_not_there_later_either() {
    let answers = [
        (Call::Put, Answer::NotApplied(Cause::TimedOut)),
        (CREATE, Answer::Exists(1)),
        (update(1), Answer::Conflict(Some(1))),
    ];
    for (call, answer) in answers {
        let mut run = Accounts::with_a_value();
        run.change(
            3,
            Change::Removed {
                seq: 1,
                why: Removal::Expired,
            },
        );
        let call = run.call(call, 3, 4, answer);
        run.stores(500, 2, 1);
        let revision = 2;
        let violation = Violation::AppliedAfterAll { call, revision };
        assert!(run.verdict().contains(&violation), "{:?}", run.verdict());
    }
}

#[test]
fn nothing_is_applied_twice() {
    let mut run = Accounts::with_a_value();
    run.stores(9, 2, 0);
    let call = CallId(0);
    let twice = |revision| Violation::AppliedTwice { call, revision };
    assert_eq!(run.verdict(), [twice(1), twice(2)]);
}

#[test]
fn a_tombstone_belongs_to_one_call() {
    let delete = Call::Delete { expected: None };
    let mut run = Accounts::with_a_value();
    run.buries(6, 2, DELETE);
    run.call(delete, 5, 7, Answer::Applied(2));
    assert_eq!(run.verdict(), []);
    run.call(delete, 5, 7, Answer::Applied(2));
    assert_eq!(run.verdict(), [Violation::ToldTwice { revision: 2 }]);
}

#[test]
fn a_tombstone_has_somebody_who_may_have_put_it() {
    let purge = Call::Purge {
        expected: None,
        ttl: None,
    };
    let unaccounted = Violation::Unaccounted { revision: 2 };
    let mut run = Accounts::with_a_value();
    run.buries(6, 2, PURGE);
    assert_eq!(run.verdict(), std::slice::from_ref(&unaccounted));
    // Not somebody who called later, asked for something else or knows that it was not applied.
    run.left_open(purge, 7);
    run.left_open(Call::Delete { expected: None }, 1);
    run.call(purge, 1, 9, Answer::NotApplied(Cause::TimedOut));
    assert_eq!(run.verdict(), [unaccounted]);
    run.call(purge, 1, 9, Answer::Unknown("unknown: link lost"));
    assert_eq!(run.verdict(), []);
}

#[test]
fn conditions_hold() {
    let mut run = Accounts::with_a_value();
    run.call(update(7), 4, 6, Answer::Applied(2));
    run.stores_if(5, 2, 1, 7);
    let (revision, expected, found) = (2, 7, 1);
    let violation = Violation::ConditionIgnored {
        revision,
        expected,
        found,
    };
    assert_eq!(run.verdict(), std::slice::from_ref(&violation));
    // The same if the client never wrote the condition down.
    let mut run = Accounts::with_a_value();
    run.call(update(7), 4, 6, Answer::Applied(2));
    run.stores(5, 2, 1);
    assert_eq!(run.verdict(), [violation]);
}

#[test]
fn nothing_is_created_over_a_value() {
    let mut run = Accounts::with_a_value();
    let call = run.call(CREATE, 4, 6, Answer::Applied(2));
    run.stores(5, 2, 1);
    assert_eq!(
        run.verdict(),
        [Violation::CreatedOverValue { call, over: 1 }]
    );
    let mut run = Accounts::with_a_value();
    run.buries(3, 2, "KV-Operation: DEL\r\nForeign: 1\r\n");
    run.call(CREATE, 4, 6, Answer::Applied(3));
    run.stores(5, 3, 1);
    assert_eq!(run.verdict(), []);
}

#[test]
fn nothing_is_stored_that_was_not_asked_for() {
    let mut run = Accounts::new();
    run.stores(2, 1, 0);
    let call = run.left_open(Call::Put, 3);
    let violation = |call| Violation::NeverAskedFor { call, revision: 1 };
    assert_eq!(run.verdict(), [violation(call)]);
    // Under another key.
    let mut run = Accounts::new();
    run.stores(2, 1, 0);
    let call = run.left_open(Call::Put, 1);
    run.last().key = KEY + 1;
    assert_eq!(run.verdict(), [violation(call)]);
}

#[test]
fn the_time_to_live_is_the_one_asked_for() {
    let create = |asked: Option<u8>, header: &str| {
        let mut run = Accounts::new();
        run.call(Call::Create { ttl: asked }, 1, 3, Answer::Applied(1));
        run.keeps(2, 1, header, &value(0));
        run.verdict()
    };
    assert_eq!(create(Some(30), "Nats-TTL: 30\r\n"), []);
    assert_eq!(
        create(Some(1), "Nats-TTL: 2\r\n"),
        [],
        "servers lengthen it"
    );
    for (asked, header, stored) in [
        (Some(30), "", None),
        (None, "Nats-TTL: 30\r\n", Some(30)),
        (Some(30), "Nats-TTL: 3\r\n", Some(3)),
    ] {
        let violation = Violation::OtherTtl {
            call: CallId(0),
            asked: asked.map(u64::from),
            stored,
        };
        let verdict = create(asked, header);
        assert!(verdict.contains(&violation), "{verdict:?}");
    }
}

#[test]
fn a_write_that_left_may_have_been_applied_and_one_that_did_not_was_not() {
    let told = |answer: Answer, sent| {
        let mut run = Accounts::new();
        run.call(Call::Put, 1, 3, answer);
        run.last().sent = sent;
        run.verdict()
    };
    let call = CallId(0);
    let lost = || Answer::NotApplied(Cause::LinkLost);
    for sent in [Sent::Nothing, Sent::Part, Sent::Perhaps] {
        assert_eq!(told(lost(), sent), [], "{sent:?}");
    }
    assert_eq!(
        told(lost(), Sent::Whole),
        [Violation::SentAfterAll { call }]
    );
    let doubt = "unknown: link lost";
    let unknown = || Answer::Unknown(doubt);
    for sent in [Sent::Perhaps, Sent::Whole] {
        assert_eq!(told(unknown(), sent), [], "{sent:?}");
    }
    for sent in [Sent::Nothing, Sent::Part] {
        assert_eq!(
            told(unknown(), sent),
            [Violation::NeverSent { call, doubt }]
        );
    }
    // A frame that was begun is finished, so that a doubt for another reason is no surprise.
    assert_eq!(told(Answer::Unknown("unknown: timed out"), Sent::Part), []);
}

/// A stream that lost its end uses numbers again: the revision that a create saw as a tombstone can be
/// a value then.
#[test]
fn a_condition_can_hold_once_more() {
    let mut run = Accounts::new();
    run.call(CREATE, 4, 9, Answer::Applied(2));
    run.buries(1, 1, "KV-Operation: DEL\r\nForeign: 1\r\n");
    run.change(5, Change::Rewound { last: 0 });
    run.keeps(6, 1, "", b"foreign");
    run.stores_if(7, 2, 0, 1);
    assert_eq!(run.verdict(), []);
}

/// Where changes are agreed upon, a condition is looked at before the commit; old servers take one for a
/// revision that has just ended.
#[test]
fn a_condition_can_end_before_the_commit() {
    let story = |replicated, lenient| {
        let mut run = Accounts::with_a_value();
        run.history.replicated = replicated;
        run.history.lenient = lenient;
        run.call(update(1), 4, 8, Answer::Applied(2));
        let why = Removal::Expired;
        run.change(6, Change::Removed { seq: 1, why });
        run.stores_if(7, 2, 1, 1);
        run.verdict()
    };
    let (revision, expected, found) = (2, 1, 0);
    let violation = Violation::ConditionIgnored {
        revision,
        expected,
        found,
    };
    assert_eq!(story(false, false), [violation]);
    assert_eq!(story(true, false), []);
    assert_eq!(story(false, true), []);
}

/// A stream that lost its end can store two purges under one number, with and without an end: whoever was
/// told that number may have put either.
#[test]
fn a_number_can_have_been_two_purges() {
    let purge = |ttl| Call::Purge {
        expected: None,
        ttl,
    };
    let mut run = Accounts::new();
    run.call(purge(None), 1, 3, Answer::Applied(1));
    run.call(purge(Some(30)), 1, 9, Answer::Applied(1));
    run.buries(2, 1, PURGE);
    run.change(5, Change::Rewound { last: 0 });
    run.buries(6, 1, &format!("{PURGE}Nats-TTL: 30\r\n"));
    assert_eq!(run.verdict(), []);
}
