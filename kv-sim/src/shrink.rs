//! Makes a failing scenario small: steps are deleted as long as the same promise stays broken.

use crate::runner::run_caught;
use crate::scenario::Scenario;
use crate::violation::Violation;

/// Runs spent on one scenario at most.
const BUDGET: usize = 2_000;

/// Deletes from a scenario what it can do without to break the promise that it breaks first; one that breaks
/// none is returned as it is.
#[must_use]
pub fn shrink(scenario: &Scenario) -> Scenario {
    let Some(kind) = broken(scenario) else {
        return scenario.clone();
    };
    shrink_while(scenario, |smaller| broken(smaller).as_ref() == Some(&kind))
}

/// Deletes from a scenario what it can do without to stay as it is meant to be, and makes the weather fair
/// where that does not matter.
#[must_use]
pub fn shrink_while(scenario: &Scenario, mut stays: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut best = scenario.clone();
    let mut budget = BUDGET;
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 && budget > 0 {
        let mut from = 0;
        let before = best.steps.len();
        while from < best.steps.len() && budget > 0 {
            let mut smaller = best.clone();
            let to = (from + size).min(smaller.steps.len());
            smaller.steps.drain(from..to);
            budget -= 1;
            if stays(&smaller) {
                best = smaller;
            } else {
                from += size;
            }
        }
        if size == 1 && best.steps.len() == before {
            break;
        }
        size = if size == 1 { 1 } else { size.div_ceil(2) };
    }
    simplify(best, stays)
}

fn simplify(mut best: Scenario, mut stays: impl FnMut(&Scenario) -> bool) -> Scenario {
    let changes: [fn(&mut Scenario); 7] = [
        |scenario| scenario.profile.clients.count = 1,
        |scenario| scenario.profile.clients.count = 2,
        |scenario| scenario.profile.clients.lazy_us = 0,
        |scenario| scenario.profile.net.max_chunk = 4_096,
        |scenario| scenario.profile.net.window = 65_536,
        |scenario| scenario.profile.net.quantum_us = 0,
        |scenario| scenario.profile.auth = false,
    ];
    for change in changes {
        let mut simpler = best.clone();
        change(&mut simpler);
        let fewer = simpler.profile.clients.count <= best.profile.clients.count;
        if simpler != best && fewer && stays(&simpler) {
            best = simpler;
        }
    }
    best
}

fn broken(scenario: &Scenario) -> Option<String> {
    run_caught(scenario).violations.first().map(Violation::kind)
}
