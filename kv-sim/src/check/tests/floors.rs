//! Reads never go back.

use super::*;

/// A bucket of several replicas, one of which shows what was at the beginning, as does a leader of before; call 1 puts revision 2 at 10 ms.
fn behind() -> Accounts {
    let mut run = Accounts::with_a_value();
    run.history.replicated = true;
    run.history.see(View {
        from: t(0),
        replicas: t(0),
        leader: t(0),
    });
    run.call(Call::Put, 9, 11, Answer::Applied(2));
    run.stores(10, 2, 1);
    run
}

const CALL: CallId = CallId(2);
const WENT_BACK: [Violation; 1] = [Violation::WentBack {
    call: CALL,
    floor: 2,
}];

#[test]
fn what_a_client_knows_it_is_told_again() {
    for call in [Call::Get, Call::GetLeader] {
        for (answer, verdict) in [
            (found(2, 1), &[][..]),
            (found(1, 0), &WENT_BACK),
            (Answer::Absent, &WENT_BACK),
        ] {
            let mut run = behind();
            run.call(call, 20, 21, answer.clone());
            assert_eq!(run.verdict(), verdict, "{call:?}: {answer:?}");
        }
    }
}

#[test]
fn what_a_client_was_told_of_counts_and_nothing_else() {
    let read = |teller: (Call, Answer), change: fn(&mut Record)| {
        let mut run = behind();
        run.call(teller.0, 12, 14, teller.1);
        run.call(Call::Get, 20, 21, found(1, 0));
        change(run.last());
        run.verdict()
    };
    let put = |_: &mut Record| {};
    let told = || (Call::Get, found(2, 1));
    let went_back = |floor| {
        let call = CallId(3);
        vec![Violation::WentBack { call, floor }]
    };
    assert_eq!(read(told(), put), went_back(2));
    assert_eq!(read((CREATE, Answer::Exists(2)), put), went_back(2));
    assert_eq!(
        read((update(1), Answer::Conflict(Some(2))), put),
        went_back(2)
    );
    // Another client knows nothing of it, nor does another session, nor whoever asked before.
    assert_eq!(read(told(), |record| record.client = 1), []);
    assert_eq!(read(told(), |record| record.life = 1), []);
    assert_eq!(read(told(), |record| record.called = t(10)), []);
    // A given revision is what it is.
    let by_number = |record: &mut Record| record.call = Call::GetRevision { revision: 1 };
    assert_eq!(read(told(), by_number), []);
}

#[test]
fn what_was_removed_may_show_as_nothing() {
    let removed = |run: &mut Accounts, seq| {
        let why = Removal::Expired;
        run.change(15, Change::Removed { seq, why });
    };
    let mut run = behind();
    removed(&mut run, 2);
    run.call(Call::Get, 20, 21, found(1, 0));
    assert_eq!(run.verdict(), [], "it shows again");
    let mut run = behind();
    removed(&mut run, 1);
    removed(&mut run, 2);
    run.call(Call::Get, 20, 21, Answer::Absent);
    assert_eq!(run.verdict(), []);
    let mut run = behind();
    removed(&mut run, 1);
    run.call(Call::Get, 20, 21, Answer::Absent);
    assert_eq!(run.verdict(), WENT_BACK, "not that one");
}

/// Where floors are forgotten, or an older revision can show again, a deposed leader's word is all there is.
#[test]
fn a_leaders_word_may_be_all_there_is() {
    let read = |change: fn(&mut History), answer| {
        let mut run = behind();
        run.history.see(View {
            from: t(12),
            replicas: t(0),
            leader: t(5),
        });
        change(&mut run.history);
        run.call(Call::Get, 20, 21, answer);
        run.verdict()
    };
    assert_eq!(read(|_| {}, found(1, 0)), WENT_BACK);
    assert_eq!(read(|history| history.forgetful = true, found(1, 0)), []);
    assert_eq!(read(|history| history.resurfaces = true, found(1, 0)), []);
    let older = read(|history| history.forgetful = true, Answer::Absent);
    assert_eq!(older, WENT_BACK, "no leader was so old");
}

#[test]
fn stale_is_only_what_is_in_doubt() {
    let stale = |seen, floor| Answer::Stale { seen, floor };
    let never = |floor| vec![Violation::NeverStale { call: CALL, floor }];
    let read = |change: fn(&mut Accounts), answer| {
        let mut run = behind();
        run.history.see(View {
            from: t(12),
            replicas: t(0),
            leader: t(5),
        });
        change(&mut run);
        run.call(Call::Get, 20, 21, answer);
        run.verdict()
    };
    assert_eq!(read(|_| {}, stale(1, 2)), []);
    assert_eq!(read(|_| {}, stale(0, 2)), never(2), "nobody showed that");
    assert_eq!(
        read(|_| {}, stale(1, 7)),
        never(7),
        "there is no such revision"
    );
    let alone = |run: &mut Accounts| run.history.replicated = false;
    assert_eq!(read(alone, stale(1, 2)), never(2), "nobody else is there");
    let anew = |run: &mut Accounts| {
        run.change(13, Change::Deleted);
        run.change(14, Change::Created);
    };
    assert_eq!(read(anew, stale(0, 2)), never(2), "of another life");
    let healthy = |run: &mut Accounts| {
        run.history.see(View {
            from: t(13),
            replicas: t(0),
            leader: Instant::END,
        });
    };
    assert_eq!(read(healthy, stale(1, 2)), never(2), "the leader knew");
}
