//! Every planted bug turns a run red.
//!
//! Planting is process-wide, so one test goes through all bugs.

use kv_sim::Mix;
use kv_sim::campaign::{Bug, hunt};

/// Each bug is found within so many runs.
const SEEDS: u64 = 500;

#[test]
fn every_planted_bug_is_found() {
    std::panic::set_hook(Box::new(|_| {}));
    let survives = |bug: &Bug| hunt(*bug, 1..1 + SEEDS, Mix::Swarm).is_none();
    let survivors: Vec<&str> = Bug::all().filter(survives).map(Bug::name).collect();
    assert_eq!(survivors, ["M30", "M31"]);
}
