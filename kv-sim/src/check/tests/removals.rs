//! What is removed, and who asked for it.

use super::*;

/// 2026-01-01T00:00:00Z, in milliseconds.
const EPOCH: i64 = 1_767_225_600_000;

const DELETED: Call = Call::Delete { expected: None };

const fn removed(revisions: u64, tombstones: u64) -> Answer {
    Answer::Removed {
        revisions,
        tombstones,
    }
}

/// Call 0 puts revision 1 at 2 ms, call 1 buries it at 10 ms, call 2 puts revision 3 at 20 ms. Revisions are
/// purged at these times.
fn run(purged: &[(u64, u64)]) -> Accounts {
    let mut run = Accounts::with_a_value();
    run.call(DELETED, 9, 11, Answer::Applied(2));
    run.buries(10, 2, DELETE);
    if let Some(Event {
        change: Change::Stored { time, .. },
        ..
    }) = run.journal.last_mut()
    {
        *time = Timestamp::from_unix_nanos((EPOCH + 10) * 1_000_000);
    }
    run.call(Call::Put, 19, 21, Answer::Applied(3));
    run.stores(20, 3, 2);
    for (seq, at) in purged {
        let why = Removal::Purged;
        run.change(*at, Change::Removed { seq: *seq, why });
    }
    run
}

#[test]
fn what_goes_was_asked_for() {
    let erase = Call::Erase { all: false };
    let sweep = |older_ms| Call::PurgeDeletes { older_ms };
    let rows = [
        // All that was there when it was told that all is done, also later.
        (erase, 12, 14, 13, removed(2, 0), &[1, 2][..], true),
        (erase, 12, 14, 40, removed(0, 0), &[1, 2], true),
        (erase, 22, 24, 23, removed(3, 0), &[1, 2, 3], true),
        (
            erase,
            12,
            24,
            23,
            Answer::Failed(Cause::TimedOut),
            &[3],
            true,
        ),
        // What was stored after it, or gone before it was asked for.
        (erase, 12, 14, 40, removed(2, 0), &[3], false),
        (
            erase,
            12,
            14,
            40,
            Answer::Failed(Cause::TimedOut),
            &[3],
            false,
        ),
        (erase, 32, 34, 30, removed(0, 0), &[1], false),
        // A tombstone that is old, and what lies below one; never a value that is not buried.
        (sweep(0), 12, 14, 13, removed(2, 1), &[1, 2], true),
        (sweep(3), 12, 14, 13, removed(2, 1), &[1, 2], true),
        (sweep(4), 12, 14, 13, removed(1, 0), &[1], true),
        (sweep(4), 12, 14, 13, removed(2, 1), &[2], false),
        (sweep(0), 22, 24, 23, removed(2, 1), &[1, 2], true),
        (sweep(0), 22, 24, 23, removed(1, 0), &[3], false),
        (Call::Manage, 22, 24, 23, Answer::Done, &[1], false),
    ];
    for (call, from, to, at, answer, gone, asked) in rows {
        let gone: Vec<(u64, u64)> = gone.iter().map(|seq| (*seq, at)).collect();
        let mut run = run(&gone);
        run.call(call, from, to, answer.clone());
        let unasked = |one: &Violation| matches!(one, Violation::RemovedUnasked { .. });
        let found = run.verdict().iter().any(unasked);
        assert_eq!(!found, asked, "{call:?} {answer:?} {gone:?}");
        // An administrator needs no reason.
        run.history.purges.push(t(at));
        assert!(!run.verdict().iter().any(unasked));
    }
}

#[test]
fn no_more_is_counted_than_went() {
    let rows = [
        (removed(2, 1), true, true),
        (removed(1, 0), true, true),
        (removed(3, 1), false, false),
        (removed(2, 2), false, true),
        (removed(0, 1), false, false),
    ];
    for (answer, honest, honest_after_rewind) in rows {
        for (rewound, honest) in [(30, honest_after_rewind), (40, honest)] {
            let mut run = run(&[(1, 30), (2, 30)]);
            run.change(rewound, Change::Rewound { last: 3 });
            let call = run.call(Call::PurgeDeletes { older_ms: 0 }, 25, 35, answer.clone());
            let miscounted = Violation::Miscounted { call };
            let found = run.verdict().contains(&miscounted);
            assert_eq!(!found, honest, "{answer:?} {rewound:?}");
        }
    }
}

/// The tombstone, revision 2, went in another way or is there still; the purge of what it buried removed one message.
#[test]
fn a_tombstone_that_went_otherwise_may_be_counted() {
    for (tombstone_went, honest) in [(true, true), (false, false)] {
        let mut run = run(&[]);
        if tombstone_went {
            let why = Removal::Deleted;
            run.change(29, Change::Removed { seq: 2, why });
        }
        let why = Removal::Purged;
        run.change(30, Change::Removed { seq: 1, why });
        let sweep = Call::PurgeDeletes { older_ms: 0 };
        let call = run.call(sweep, 25, 35, removed(1, 1));
        let found = run.verdict().contains(&Violation::Miscounted { call });
        assert_eq!(!found, honest, "tombstone went: {tombstone_went}");
    }
}
