//! Every planted bug turns a run red, and by the check that is there for it.
//!
//! Planting is process-wide, so one test goes through all bugs.

use kv_sim::Mix;
use kv_sim::campaign::{Bug, hunt};

/// Most bugs need some ten runs, and none more than some hundred.
const SEEDS: u64 = 4_000;

#[test]
fn every_planted_bug_is_found() {
    // Some bugs make the code panic, which is one way to be found.
    std::panic::set_hook(Box::new(|_| {}));
    let survives = |bug: &Bug| hunt(*bug, 1..1 + SEEDS, Mix::Swarm).is_none();
    let survivors: Vec<&str> = Bug::all().filter(survives).map(Bug::name).collect();
    let _ = std::panic::take_hook();
    assert_eq!(survivors, [""; 0]);
}
