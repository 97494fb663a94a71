//! What went with the end of a stream: who could know of it is not to be told that it was never there.

use super::*;

/// Revisions 1 to 3 are of calls 0 to 2, the first of them of the client that counts; its call 3 is applied at 4, and
/// another client's call 4 at 5. The stream then loses what came after revision 1, and has three more writes.
fn run(told: u64, refusal: Answer) -> (Accounts, CallId) {
    let mut run = Accounts::new();
    for (call, seq) in (0..3).zip(1..) {
        run.call(Call::Put, 1, 4, Answer::Applied(seq));
        run.stores(2, seq, call);
        run.last().client = usize::from(seq > told);
    }
    let call = run.call(update(3), 5, 20, refusal);
    run.stores_if(6, 4, call.0, 3);
    run.call(Call::Put, 5, 7, Answer::Applied(5));
    run.stores(6, 5, 4);
    run.last().client = 1;
    run.change(7, Change::Rewound { last: 1 });
    for seq in 2..5 {
        let other = run.call(Call::Put, 8, 10, Answer::Applied(seq));
        run.stores(9, seq, other.0);
        run.last().client = 1;
    }
    (run, call)
}

fn conflict() -> Answer {
    Answer::Conflict(Some(4))
}

#[test]
fn who_cannot_know_of_a_loss_may_be_refused() {
    for told in 0..=3 {
        assert_eq!(run(told, conflict()).0.verdict(), [], "{told}");
    }
}

#[test]
fn who_was_told_of_more_than_there_is_knows_of_the_loss() {
    let broken = |call| Violation::AppliedAfterAll { call, revision: 4 };
    let (mut told_more, call) = run(0, conflict());
    told_more.call(Call::Get, 6, 7, found(5, 4));
    assert_eq!(told_more.verdict(), [broken(call)]);
    // In another session, or too late.
    told_more.last().life = 1;
    assert_eq!(told_more.verdict(), []);
    let (mut told_late, _) = run(0, conflict());
    told_late.call(Call::Get, 6, 20, found(5, 4));
    assert_eq!(told_late.verdict(), []);
    // What was lost before it called it cannot miss.
    let (mut lost_before, _) = run(0, conflict());
    lost_before.call(Call::Put, 2, 4, Answer::Applied(9));
    lost_before.stores(3, 9, 8);
    lost_before.change(4, Change::Rewound { last: 3 });
    lost_before.journal.sort_by_key(|event| event.at);
    assert_eq!(lost_before.verdict(), []);
    lost_before.journal.retain(|event| event.at != t(4));
    assert!(lost_before.verdict().contains(&broken(call)));
}

#[test]
fn only_what_a_stream_lost_with_its_end_is_excused() {
    // Without a loss, with a removal, in a bucket that was made anew, and without a condition.
    let broken = |call| Violation::AppliedAfterAll { call, revision: 4 };
    let (_, call) = run(0, conflict());
    let mut kept = run(0, conflict()).0;
    kept.journal
        .retain(|event| !matches!(event.change, Change::Rewound { .. }));
    assert!(kept.verdict().contains(&broken(call)));
    let mut removed = run(0, conflict()).0;
    let place = removed.journal.iter().position(|event| event.at == t(7));
    removed.journal[place.expect("a rewind")].change = Change::Removed {
        seq: 4,
        why: Removal::Limit,
    };
    assert!(removed.verdict().contains(&broken(call)));
    let mut anew = run(0, conflict()).0;
    anew.journal[place.expect("a rewind")].change = Change::Deleted;
    anew.change(7, Change::Created);
    anew.journal.sort_by_key(|event| event.at);
    assert!(anew.verdict().contains(&broken(call)));
    let mut blind = run(0, Answer::NotApplied(Cause::TimedOut)).0;
    blind.history.record(call).expect("it was made").call = Call::Put;
    for event in &mut blind.journal {
        if let Change::Stored {
            seq: 4, headers, ..
        } = &mut event.change
        {
            *headers = Bytes::new();
        }
    }
    assert_eq!(blind.verdict(), [broken(call)]);
}

#[test]
fn a_tombstone_that_went_unseen_is_its_callers() {
    let delete = |expected| Call::Delete {
        expected: Some(expected),
    };
    let lost = |refused: Call| {
        let mut run = Accounts::with_a_value();
        run.call(refused, 4, 20, Answer::Conflict(Some(2)));
        let condition = format!("{DELETE}Nats-Expected-Last-Subject-Sequence: 1\r\n");
        run.buries(5, 2, &condition);
        run.change(6, Change::Rewound { last: 1 });
        run.call(Call::Put, 7, 9, Answer::Applied(2));
        run.last().client = 1;
        run.stores(8, 2, 2);
        run
    };
    assert_eq!(lost(delete(1)).verdict(), []);
    let unaccounted = [Violation::Unaccounted { revision: 2 }];
    assert_eq!(lost(delete(0)).verdict(), unaccounted, "not its condition");
    let mut two = lost(delete(1));
    two.buries(
        5,
        2,
        &format!("{DELETE}Nats-Expected-Last-Subject-Sequence: 1\r\n"),
    );
    two.journal.sort_by_key(|event| event.at);
    assert!(!two.verdict().is_empty(), "one call has one tombstone");
}
