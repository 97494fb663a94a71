//! Ends, and listings, which have one.

use super::*;

fn uncaused(cause: Cause) -> Violation {
    Violation::UncausedEnd {
        watch: WATCH,
        cause,
    }
}

/// A watch that ends for a reason, after something was done to the run.
fn ended(cause: Cause, change: fn(&mut Run)) -> Vec<Violation> {
    let mut run = told_two(Run::last());
    change(&mut run);
    run.ends(30, cause);
    run.verdict()
}

fn nothing(_: &mut Run) {}

#[test]
fn a_watch_ends_when_the_bucket_does() {
    let gone = |run: &mut Run| run.change(20, Change::Deleted);
    assert_eq!(ended(Cause::NoBucket, gone), []);
    let later = |run: &mut Run| run.change(40, Change::Deleted);
    let broken = [uncaused(Cause::NoBucket)];
    assert_eq!(ended(Cause::NoBucket, later), broken);
}

#[test]
fn a_watch_ends_for_nothing_that_passes() {
    for cause in [
        Cause::Unavailable,
        Cause::NoJetStream,
        Cause::TimedOut,
        Cause::Server(10_008),
        Cause::Full,
        Cause::Other,
        Cause::Denied,
        Cause::Closed,
        Cause::Recreated,
        Cause::Rewound,
    ] {
        assert_eq!(ended(cause, nothing), [uncaused(cause)]);
    }
    assert_eq!(ended(Cause::Denied, |run| run.history.denied = true), []);
    let limited = |run: &mut Run| run.watch.asked.limited = true;
    assert_eq!(ended(Cause::TimedOut, limited), []);
    let closing = |run: &mut Run| run.watch.closing = Some(t(29));
    assert_eq!(ended(Cause::Closed, closing), []);
}

#[test]
fn a_watch_may_fail_to_open() {
    for cause in [Cause::Unavailable, Cause::TimedOut, Cause::NoJetStream] {
        let mut run = two_keys(Run::last());
        run.watch.opened = None;
        run.ends(13, cause);
        run.passes();
    }
    // A position can turn out to be void before that.
    let mut run = two_keys(Run::last());
    run.watch.bound = t(3);
    run.recreates(5);
    run.watch.opened = None;
    run.resets(13, ResetReason::Recreated);
    run.ends(14, Cause::TimedOut);
    run.passes();
    run.watch.opened = Some(t(13));
    run.breaks(uncaused(Cause::TimedOut));
}

#[test]
fn nothing_comes_behind_the_end() {
    let mut run = told_two(Run::last());
    run.history.denied = true;
    run.ends(16, Cause::Denied);
    run.stores(20, 3, 0);
    run.passes();
    run.tells(21, 3, 0, 20);
    run.breaks(Violation::AfterEnd { watch: WATCH });
    let mut run = told_two(Run::listing());
    run.passes();
    run.ends(16, Cause::TimedOut);
    run.breaks(Violation::AfterEnd { watch: WATCH });
}

#[test]
fn a_listing_has_all_that_was_there() {
    let mut run = two_keys(Run::listing());
    run.tells(13, 2, 1, 2);
    run.syncs(14);
    run.breaks(Violation::Skipped {
        watch: WATCH,
        revision: 1,
        told: 2,
    });
    let mut run = two_keys(Run::listing());
    run.tells(13, 1, 0, 1);
    run.syncs(14);
    run.breaks(Violation::SyncedEarly {
        watch: WATCH,
        revision: 2,
    });
}

#[test]
fn a_listing_has_no_key_that_had_no_value() {
    let story = |tombstone_at, removed: bool| {
        let mut run = Run::listing();
        run.stores(1, 1, 0);
        run.keeps(tombstone_at, 2, 0, DELETE);
        if removed {
            run.removes(tombstone_at + 1, 2);
            run.removes(tombstone_at + 1, 1);
        }
        run.tells(13, 1, 0, 1);
        run.syncs(14);
        run.verdict()
    };
    let (watch, key) = (WATCH, 0);
    assert_eq!(story(11, false), [], "it was removed meanwhile");
    assert_eq!(story(5, true), [Violation::WrongListing { watch, key }]);
}

#[test]
fn a_history_has_all_revisions_in_order() {
    let story = |revisions: &[u64]| {
        let mut run = Run::new(Start::History);
        run.watch.asked.until_synced = true;
        for revision in 1..4 {
            run.stores(revision, revision, 0);
        }
        for revision in revisions {
            run.tells(12 + revision, *revision, 0, *revision);
        }
        run.syncs(20);
        run.verdict()
    };
    let watch = WATCH;
    assert_eq!(story(&[1, 2, 3]), []);
    let (revision, told) = (2, 3);
    let skipped = Violation::Skipped {
        watch,
        revision,
        told,
    };
    assert_eq!(story(&[1, 3]), [skipped]);
    assert_eq!(
        story(&[1, 2]),
        [Violation::SyncedEarly { watch, revision: 3 }]
    );
}

#[test]
fn a_listing_is_interrupted_by_what_happened() {
    let interrupted = |cause, change: fn(&mut Run)| {
        let mut run = two_keys(Run::listing());
        run.tells(13, 1, 0, 1);
        change(&mut run);
        run.ends(30, cause);
        run.verdict()
    };
    let recreated = |run: &mut Run| run.recreates(20);
    assert_eq!(interrupted(Cause::Recreated, recreated), []);
    let rewound = |run: &mut Run| run.rewinds(20, 0);
    assert_eq!(interrupted(Cause::Rewound, rewound), []);
    for cause in [Cause::Recreated, Cause::Rewound] {
        assert_eq!(interrupted(cause, nothing), [uncaused(cause)]);
    }
    assert_eq!(interrupted(Cause::TimedOut, nothing), []);
}

/// A position that has nothing before it may be of any life of the bucket, also of one before its handle's.
#[test]
fn a_listing_from_an_unknown_place_is_interrupted_by_what_happened_before() {
    let interrupted = |cause, change: fn(&mut Run)| {
        let mut run = Run::new(Start::Position {
            revision: 0,
            behind: None,
        });
        run.watch.asked.until_synced = true;
        run.watch.bound = t(8);
        change(&mut run);
        run.ends(13, cause);
        run.verdict()
    };
    assert_eq!(interrupted(Cause::Recreated, |run| run.recreates(5)), []);
    assert_eq!(interrupted(Cause::Rewound, |run| run.rewinds(5, 0)), []);
    for cause in [Cause::Recreated, Cause::Rewound] {
        assert_eq!(interrupted(cause, nothing), [uncaused(cause)]);
    }
}

/// A listing that still runs when everything has come to rest never ends.
#[test]
fn a_listing_ends() {
    let mut run = two_keys(Run::listing());
    run.tells(13, 1, 0, 1);
    run.tells(14, 2, 1, 2);
    assert_eq!(run.at_rest(100), [Violation::NeverSynced { watch: WATCH }]);
    run.syncs(15);
    run.history.rest = Some(t(100));
    run.passes();
}
