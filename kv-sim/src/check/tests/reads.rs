//! What readers are told.

use super::*;

#[test]
fn reads_see_a_state_of_their_time() {
    // Call 0 puts revision 1 at 2 ms, call 1 revision 2 at 10 ms.
    let read = |call, from, to, answer| {
        let mut run = Accounts::with_a_value();
        run.call(Call::Put, 9, 11, Answer::Applied(2));
        run.stores(10, 2, 1);
        let call = run.call(call, from, to, answer);
        (run.verdict(), vec![Violation::NotSeen { call }])
    };
    let lies = [
        (Call::Get, 5, 9, found(2, 1), "from the future"),
        (Call::Get, 11, 12, found(1, 0), "stale"),
        (Call::GetLeader, 11, 12, found(1, 0), "stale"),
        (Call::Get, 5, 9, Answer::Absent, "it was there"),
        (Call::Get, 5, 9, found(1, 7), "another value"),
        (Call::Get, 5, 9, found(3, 0), "another revision"),
        (Call::Get, 5, 9, Answer::Malformed(Some(1)), "it is well"),
        (
            Call::GetRevision { revision: 2 },
            12,
            13,
            Answer::Absent,
            "it is there",
        ),
        (
            Call::GetRevision { revision: 2 },
            5,
            9,
            found(2, 1),
            "not yet",
        ),
        (update(1), 5, 9, Answer::Conflict(Some(2)), "not yet"),
        (update(1), 5, 9, Answer::Conflict(Some(1)), "as expected"),
        (CREATE, 5, 9, Answer::Exists(2), "not yet"),
    ];
    for (call, from, to, answer, why) in lies {
        let (verdict, not_seen) = read(call, from, to, answer);
        assert_eq!(verdict, not_seen, "{call:?}: {why}");
    }
    for (from, to, answer) in [
        (5, 10, found(2, 1)),
        (9, 20, found(1, 0)),
        (0, 3, Answer::Absent),
    ] {
        assert_eq!(read(Call::Get, from, to, answer).0, []);
    }
}

/// A replica that is behind may answer a read, but not one of the leader's.
#[test]
fn reads_are_as_old_as_a_replica_can_be() {
    let read = |call| {
        let mut run = Accounts::with_a_value();
        let view = View {
            from: t(0),
            replicas: t(5),
            leader: Instant::END,
        };
        run.history.see(view);
        run.call(Call::Put, 9, 11, Answer::Applied(2));
        run.stores(10, 2, 1);
        run.call(call, 20, 21, found(1, 0));
        run.last().client = 1;
        run.verdict()
    };
    assert_eq!(read(Call::Get), []);
    let call = CallId(2);
    assert_eq!(read(Call::GetLeader), [Violation::NotSeen { call }]);
}

#[test]
fn a_bucket_is_missing_only_when_it_is() {
    let told = |call: Call, answer: Answer, from, to| {
        let mut run = Accounts::new();
        run.change(10, Change::Deleted);
        run.change(20, Change::Created);
        run.call(call, from, to, answer);
        run.last().sent = Sent::Nothing;
        run.verdict()
    };
    let call = CallId(0);
    for (asked, answer) in [
        (Call::Put, Answer::NotApplied(Cause::NoBucket)),
        (Call::Get, Answer::Failed(Cause::NoBucket)),
        (Call::Manage, Answer::Failed(Cause::NoBucket)),
    ] {
        assert_eq!(told(asked, answer.clone(), 5, 11), []);
        assert_eq!(told(asked, answer.clone(), 15, 16), []);
        for (from, to) in [(5, 9), (21, 22)] {
            let verdict = told(asked, answer.clone(), from, to);
            assert_eq!(verdict, [Violation::BucketWasThere { call }]);
        }
    }
}

/// A crash that loses the end, and a bucket that is made anew, use revisions again.
#[test]
fn revisions_that_are_used_again_are_told_apart() {
    let mut run = Accounts::with_a_value();
    run.change(5, Change::Rewound { last: 0 });
    run.call(Call::Get, 6, 7, Answer::Absent);
    run.call(Call::Put, 8, 10, Answer::Applied(1));
    run.stores(9, 1, 2);
    run.call(Call::Get, 11, 12, found(1, 2));
    assert_eq!(run.verdict(), []);
    let call = run.call(Call::Get, 11, 12, found(1, 0));
    assert_eq!(run.verdict(), [Violation::NotSeen { call }]);
}

/// Where replies come twice, the second can be taken for that of a later read; the leader's are told apart.
#[test]
fn an_echo_was_true_once() {
    let read = |call, answer| {
        let mut run = Accounts::with_a_value();
        run.history.echoes = true;
        run.call(Call::Put, 9, 11, Answer::Applied(2));
        run.stores(10, 2, 1);
        run.call(call, 20, 21, answer);
        run.last().client = 1;
        run.verdict()
    };
    let call = CallId(2);
    assert_eq!(read(Call::Get, found(1, 0)), []);
    assert_eq!(read(Call::Get, found(1, 7)), [Violation::NotSeen { call }]);
    let leader = read(Call::GetLeader, found(1, 0));
    assert_eq!(leader, [Violation::NotSeen { call }]);
}
