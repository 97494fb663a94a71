//! Filter, values, order, gaps, and what is missing in the end.

use super::*;

const NOT_STORED: Violation = Violation::NotStored {
    watch: WATCH,
    revision: 1,
};

fn skipped(revision: u64, told: u64) -> Violation {
    Violation::Skipped {
        watch: WATCH,
        revision,
        told,
    }
}

fn missed(revision: u64) -> Violation {
    Violation::Missed {
        watch: WATCH,
        revision,
    }
}

#[test]
fn what_is_told_was_stored_like_that_and_before() {
    for (at, key, stored, operation) in [
        (13, 1, 1, Operation::Put),    // another key
        (13, 0, 2, Operation::Put),    // another value
        (13, 0, 1, Operation::Delete), // a tombstone
    ] {
        let mut run = two_keys(Run::last());
        run.entry(at, 1, key, stored, operation);
        run.breaks(NOT_STORED);
    }
    let mut run = Run::last();
    run.stores(20, 1, 0);
    run.tells(19, 1, 0, 20);
    run.breaks(NOT_STORED);
}

/// A marker that is taken for a value, an entry that is taken for a broken one.
#[test]
fn what_a_revision_did_is_told() {
    let mut run = Run::last();
    run.keeps(1, 1, 0, MARKER);
    run.tells(13, 1, 0, 1);
    run.breaks(NOT_STORED);
    let mut run = Run::last();
    run.stores(1, 1, 0);
    let (key, revision, created) = (None, 1, time(1));
    let damaged = News::Damaged {
        key,
        revision,
        created,
    };
    run.news(13, damaged, Some(1));
    run.breaks(NOT_STORED);
}

#[test]
fn only_what_was_asked_for_is_told() {
    let wants = |change: fn(&mut Asked)| {
        let mut run = Run::last();
        change(&mut run.watch.asked);
        run.keeps(1, 1, 0, DELETE);
        run.stores(2, 2, 1);
        run
    };
    let not_wanted = |revision| Violation::NotWanted {
        watch: WATCH,
        revision,
    };
    let mut run = wants(|asked| asked.scope = Scope::These(0b10));
    run.tells(13, 2, 1, 2);
    run.syncs(14);
    run.passes();
    let mut run = wants(|asked| asked.scope = Scope::These(0b01));
    run.entry(13, 1, 0, 1, Operation::Delete);
    run.tells(14, 2, 1, 2);
    run.breaks(not_wanted(2));
    let mut run = wants(|asked| asked.ignore_deletes = true);
    run.entry(13, 1, 0, 1, Operation::Delete);
    run.breaks(not_wanted(1));
    let mut run = wants(|asked| asked.meta_only = true);
    run.entry(13, 1, 0, 1, Operation::Delete);
    run.tells(14, 2, 1, 2);
    run.breaks(not_wanted(2));
    if let Some(News::Entry { value, .. }) = run.watch.told.last_mut().map(|told| &mut told.news) {
        *value = Bytes::new();
    }
    run.passes();
}

#[test]
fn revisions_grow() {
    for again in [1, 2] {
        let mut run = told_two(Run::last());
        run.tells(16, again, u8::from(again == 2), again);
        let revision = again;
        run.breaks(Violation::OutOfOrder {
            watch: WATCH,
            revision,
        });
    }
}

#[test]
fn what_is_there_is_not_skipped() {
    let story = |removed_at: u64| {
        let mut run = told_two(Run::last());
        run.stores(20, 3, 0);
        run.stores(22, 4, 0);
        run.removes(removed_at, 3);
        run.tells(30, 4, 0, 22);
        run
    };
    story(22).passes();
    story(30).passes();
    story(31).breaks(skipped(3, 4));
}

/// Before the first news only last revisions must come, or all with the history.
#[test]
fn what_must_come_depends_on_the_start() {
    let story = |start| {
        let mut run = Run::new(start);
        run.stores(1, 1, 0);
        run.stores(2, 2, 0);
        run.stores(3, 3, 1);
        run.tells(13, 2, 0, 2);
        run.tells(14, 3, 1, 3);
        run.syncs(15);
        run
    };
    story(Start::Last).passes();
    story(Start::History).breaks(skipped(1, 2));
    story(Start::Revision(2)).passes();
    story(Start::Revision(1)).breaks(skipped(1, 2));
}

#[test]
fn in_the_end_everything_was_told() {
    let mut run = told_two(Run::last());
    run.stores(20, 3, 0);
    assert_eq!(run.at_rest(19), []);
    assert_eq!(run.at_rest(100), [missed(3)]);
    // What is gone by then without a message is nobody's fault.
    run.removes(50, 3);
    assert_eq!(run.at_rest(100), []);
    // A watch that was dropped has nothing to tell.
    let mut run = told_two(Run::last());
    run.stores(20, 3, 0);
    run.watch.dropped = Some(t(60));
    run.history.rest = Some(t(100));
    run.passes();
}

/// What begins later is judged by what was told before.
#[test]
fn what_comes_behind_the_end_of_a_run_is_another_matter() {
    let mut run = told_two(Run::last());
    run.history.rest = Some(t(100));
    run.recreates(110);
    run.resets(111, ResetReason::Recreated);
    run.passes();
}

/// What is left out is not missed.
#[test]
fn what_nobody_wants_may_be_missing() {
    let mut run = told_two(Run::last());
    run.watch.asked.ignore_deletes = true;
    run.keeps(20, 3, 0, DELETE);
    assert_eq!(run.at_rest(100), []);
    let mut run = Run::last();
    run.watch.asked.scope = Scope::NoKey;
    run.stores(20, 1, 0);
    run.syncs(21);
    assert_eq!(run.at_rest(100), []);
}
