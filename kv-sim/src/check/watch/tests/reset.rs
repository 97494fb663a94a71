//! Resets, if and only if they have a cause.

use super::*;

const NO_RESET: Violation = Violation::NoReset { watch: WATCH };

fn uncaused(reason: ResetReason) -> Violation {
    Violation::UncausedReset {
        watch: WATCH,
        reason,
    }
}

#[test]
fn a_bucket_that_began_anew_resets() {
    let story = |recreated: bool| {
        let mut run = told_two(Run::last());
        if recreated {
            run.recreates(20);
            run.stores(21, 1, 0);
        }
        run.resets(25, ResetReason::Recreated);
        run
    };
    story(false).breaks(uncaused(ResetReason::Recreated));
    let mut run = story(true);
    run.tells(26, 1, 0, 21);
    run.syncs(27);
    assert_eq!(run.at_rest(100), []);
    // Twice for one cause.
    let mut run = story(true);
    run.resets(26, ResetReason::Recreated);
    run.breaks(uncaused(ResetReason::Recreated));
    // Something of the former life comes behind it.
    let mut run = story(true);
    run.tells(26, 2, 1, 2);
    run.breaks(NO_RESET);
    // For another reason.
    let mut run = told_two(Run::last());
    run.recreates(20);
    run.resets(25, ResetReason::Rewound);
    run.breaks(uncaused(ResetReason::Rewound));
}

#[test]
fn a_bucket_that_lost_its_end_resets() {
    let story = |rewound: bool| {
        let mut run = told_two(Run::last());
        if rewound {
            run.rewinds(20, 1);
        }
        run.resets(25, ResetReason::Rewound);
        run.tells(26, 1, 0, 1);
        run.syncs(27);
        run
    };
    story(false).breaks(uncaused(ResetReason::Rewound));
    assert_eq!(story(true).at_rest(100), []);
    let mut run = story(true);
    run.resets(28, ResetReason::Rewound);
    run.breaks(uncaused(ResetReason::Rewound));
}

/// After a reset the current state comes once more, whatever was asked for.
#[test]
fn after_a_reset_comes_what_there_is() {
    let story = |start| {
        let mut run = Run::new(start);
        run.syncs(13);
        run.recreates(20);
        run.stores(21, 1, 0);
        run.stores(22, 2, 1);
        run.resets(25, ResetReason::Recreated);
        run
    };
    for start in [Start::Last, Start::Updates, Start::Revision(9)] {
        let mut run = story(start);
        run.syncs(30);
        run.breaks(Violation::SyncedEarly {
            watch: WATCH,
            revision: 1,
        });
        let mut run = story(start);
        run.tells(26, 1, 0, 21);
        run.tells(27, 2, 1, 22);
        run.syncs(28);
        assert_eq!(run.at_rest(100), []);
    }
}

#[test]
fn an_epoch_tells_of_one_life() {
    let mut run = told_two(Run::last());
    run.recreates(20);
    run.stores(21, 1, 0);
    run.stores(22, 2, 0);
    run.stores(23, 3, 0);
    assert_eq!(run.at_rest(100), [NO_RESET], "nothing came");
    run.history.rest = None;
    run.passes();
    run.tells(30, 3, 0, 23);
    run.breaks(NO_RESET);
}

/// The number at which it goes on belongs to another revision then, which it can see.
#[test]
fn an_epoch_tells_of_one_branch() {
    let story = |key, told: bool| {
        let mut run = told_two(Run::last());
        run.watch.asked.scope = Scope::These(0b111);
        run.rewinds(20, 1);
        run.stores(21, 2, key);
        run.stores(22, 3, 0);
        if told {
            run.tells(30, 3, 0, 22);
        }
        run
    };
    story(1, true).breaks(NO_RESET);
    story(2, true).breaks(NO_RESET);
    assert_eq!(story(1, false).at_rest(100), [NO_RESET]);
    // Stated limitation: the number belongs to another key, or what had it is gone.
    let mut run = story(5, true);
    assert_eq!(run.at_rest(100), []);
    let mut run = story(1, true);
    run.removes(23, 2);
    assert_eq!(run.at_rest(100), []);
    // What has the number later says nothing of the time before.
    let mut run = story(1, true);
    run.removes(23, 2);
    run.rewinds(40, 1);
    run.resets(45, ResetReason::Rewound);
    run.stores(50, 2, 1);
    run.tells(51, 1, 0, 1);
    run.tells(52, 2, 1, 50);
    run.syncs(53);
    assert_eq!(run.at_rest(100), []);
    // A slow reader is told when the number has a new owner; the watch went on before.
    let mut run = story(1, false);
    run.removes(23, 2);
    run.rewinds(40, 1);
    run.stores(50, 2, 1);
    run.tells(51, 3, 0, 22);
    run.resets(52, ResetReason::Rewound);
    run.tells(53, 1, 0, 1);
    run.tells(54, 2, 1, 50);
    run.syncs(55);
    assert_eq!(run.at_rest(100), []);
    // A bucket that is shorter than what was told.
    let mut run = told_two(Run::last());
    run.rewinds(20, 1);
    assert_eq!(run.at_rest(100), [NO_RESET]);
}

/// Who has told nothing may have gone on behind what was lost.
#[test]
fn an_empty_watch_does_not_notice_every_rewind() {
    let story = |lost: bool| {
        let mut run = Run::last();
        run.watch.asked.scope = Scope::These(0b1);
        run.syncs(13);
        run.stores(14, 1, 1);
        if lost {
            run.rewinds(20, 0);
            run.stores(21, 1, 0);
        } else {
            run.stores(21, 2, 0);
        }
        run.at_rest(100)
    };
    assert_eq!(story(true), []);
    let (watch, revision) = (WATCH, 2);
    assert_eq!(story(false), [Violation::Missed { watch, revision }]);
}

#[test]
fn a_position_of_another_life_is_void() {
    let start = Start::Position {
        revision: 1,
        behind: Some((1, time(1))),
    };
    let story = || {
        let mut run = two_keys(Run::new(start));
        run.recreates(5);
        run.stores(6, 1, 0);
        run.stores(7, 2, 1);
        run
    };
    let mut run = story();
    run.resets(13, ResetReason::Recreated);
    run.tells(14, 1, 0, 6);
    run.tells(15, 2, 1, 7);
    run.syncs(16);
    assert_eq!(run.at_rest(100), []);
    let mut run = story();
    run.tells(15, 2, 1, 7);
    run.breaks(NO_RESET);
    let mut run = story();
    run.syncs(15);
    run.breaks(NO_RESET);
}
