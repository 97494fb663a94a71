//! Where watches begin, when they say that they are synced, and where they say that they are.

use super::*;

fn before_start(revision: u64) -> Violation {
    Violation::BeforeStart {
        watch: WATCH,
        revision,
    }
}

#[test]
fn updates_are_what_is_written_from_now_on() {
    let mut run = Run::new(Start::Updates);
    run.stores(1, 1, 0);
    run.syncs(12);
    // Between the call and its confirmation nobody can say.
    run.stores(11, 2, 0);
    run.stores(20, 3, 0);
    run.tells(21, 3, 0, 20);
    assert_eq!(run.at_rest(100), []);
    let mut run = two_keys(Run::new(Start::Updates));
    run.syncs(12);
    run.tells(13, 2, 1, 2);
    run.breaks(before_start(2));
    let mut run = Run::new(Start::Updates);
    run.syncs(12);
    run.stores(13, 1, 0);
    run.stores(14, 2, 0);
    run.tells(15, 2, 0, 14);
    run.breaks(Violation::Skipped {
        watch: WATCH,
        revision: 1,
        told: 2,
    });
}

/// A replica that is behind takes for new what the leader had before.
#[test]
fn a_replica_can_be_behind() {
    let mut run = two_keys(Run::new(Start::Updates));
    run.history.views.push(View {
        from: t(0),
        replicas: t(1),
        leader: Instant::END,
    });
    run.syncs(12);
    run.tells(13, 2, 1, 2);
    run.passes();
    run.history.views.clear();
    run.breaks(before_start(2));
}

#[test]
fn a_revision_is_where_it_begins() {
    let mut run = two_keys(Run::new(Start::Revision(2)));
    run.tells(13, 2, 1, 2);
    run.syncs(14);
    run.passes();
    let mut run = told_two(Run::new(Start::Revision(2)));
    run.breaks(before_start(1));
    run.watch.asked.start = Start::Revision(1);
    run.passes();
}

#[test]
fn a_position_is_gone_on_from() {
    let start = Start::Position {
        revision: 1,
        behind: Some((1, time(1))),
    };
    let mut run = two_keys(Run::new(start));
    run.tells(13, 2, 1, 2);
    run.syncs(14);
    assert_eq!(run.at_rest(100), []);
    told_two(Run::new(start)).breaks(before_start(1));
    let mut run = two_keys(Run::new(start));
    run.stores(3, 3, 0);
    run.tells(13, 3, 0, 3);
    run.breaks(Violation::Skipped {
        watch: WATCH,
        revision: 2,
        told: 3,
    });
}

#[test]
fn synced_is_told_once_and_not_early() {
    let early = |revision| Violation::SyncedEarly {
        watch: WATCH,
        revision,
    };
    let mut run = told_two(Run::last());
    run.syncs(16);
    run.breaks(Violation::SyncedTwice { watch: WATCH });
    let story = |start| {
        let mut run = two_keys(Run::new(start));
        run.tells(13, 1, 0, 1);
        run.syncs(14);
        run.tells(15, 2, 1, 2);
        run
    };
    story(Start::Last).breaks(early(2));
    story(Start::History).breaks(early(2));
    story(Start::Revision(1)).breaks(early(2));
    // What was written after the call, or removed or replaced before the end, was no part of it.
    let mut run = story(Start::Last);
    run.removes(14, 2);
    run.passes();
    let mut run = two_keys(Run::last());
    run.stores(11, 3, 2);
    run.tells(13, 1, 0, 1);
    run.tells(13, 2, 1, 2);
    run.syncs(14);
    run.tells(15, 3, 2, 11);
    run.passes();
}

#[test]
fn synced_is_told_in_the_end() {
    let mut run = Run::last();
    assert_eq!(run.at_rest(100), [Violation::NeverSynced { watch: WATCH }]);
    run.syncs(13);
    assert_eq!(run.at_rest(100), []);
}

#[test]
fn a_position_is_that_of_the_last_entry() {
    let story = |position| {
        let mut run = told_two(Run::last());
        run.watch.told.first_mut().expect("there is one").position = position;
        run.verdict()
    };
    let wrong = |revision| Violation::WrongPosition {
        watch: WATCH,
        revision,
    };
    assert_eq!(story(Some(1)), []);
    assert_eq!(story(None), [wrong(1)]);
    assert_eq!(story(Some(0)), [wrong(1)]);
    assert_eq!(story(Some(2)), [wrong(2)], "it is behind the next entry");
}
