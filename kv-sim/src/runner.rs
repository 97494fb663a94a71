//! Many seeds, one after the other.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::coverage::{self, Coverage, Point};
use crate::fault::Fault;
use crate::outcome::{Outcome, Work};
use crate::profile::Mix;
use crate::scenario::Scenario;
use crate::trace::fold;
use crate::violation::Violation;

/// Runs a scenario; a panic is a broken promise like any other.
#[must_use]
pub fn run_caught(scenario: &Scenario) -> Outcome {
    caught(|| crate::run(scenario))
}

pub(crate) fn caught(run: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = message_of(&*panic);
        Outcome {
            violations: vec![Violation::Panicked { message }],
            hash: 0,
            coverage: Coverage::default(),
            work: Work::default(),
            history: crate::history::History::default(),
            trace: Vec::new(),
        }
    })
}

/// What somebody said who panicked.
pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref().cloned())
        .unwrap_or_default()
}

/// What came of many runs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Runs.
    pub seeds: u64,
    /// Runs that did enough to count.
    pub counting: u64,
    /// Calls made, and answered.
    pub calls: u64,
    /// Calls that were answered.
    pub ended: u64,
    /// Everything that happened.
    pub events: u64,
    /// The virtual time of all runs, in seconds.
    pub virtual_seconds: u64,
    /// What was come across.
    pub coverage: Coverage,
    /// The seeds that broke a promise, and which they broke first.
    pub failures: Vec<(u64, Violation)>,
    /// The hash over all hashes.
    pub hash: u64,
    /// The faults that the runs could have.
    pub mix: Mix,
}

/// Of a hundred runs so many may do too little.
const MAX_IDLE_PERCENT: u64 = 5;
/// So many runs of a swarm come across everything that is expected of them, but for what is seldom.
const LONG: u64 = 2_000;
/// And so many across that, but for what is rarest.
const VERY_LONG: u64 = 20_000;
const LONGEST: u64 = 200_000;

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, seed: u64, mix: Mix, outcome: &Outcome) {
        self.seeds += 1;
        self.mix = mix;
        self.counting += u64::from(outcome.work.counts(mix != Mix::Quiet));
        self.calls += outcome.work.calls;
        self.ended += outcome.work.ended;
        self.events += outcome.work.events;
        self.virtual_seconds += outcome.work.virtual_time.as_secs();
        self.coverage.add(&outcome.coverage);
        self.hash = fold(self.hash, outcome.hash);
        if let Some(first) = outcome.violations.first() {
            self.failures.push((seed, first.clone()));
        }
    }

    /// Whether no promise was broken, and enough was done to say so.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let idle = self.seeds - self.counting;
        let enough = idle * 100 <= self.seeds * MAX_IDLE_PERCENT;
        let seen_all = self.never_fired().is_empty() && self.never_seen().is_empty();
        self.failures.is_empty() && enough && (!self.is_long() || seen_all)
    }

    /// Whether there were enough runs of a swarm to expect everything of them.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.mix == Mix::Swarm && self.seeds >= LONG
    }

    /// The faults of a swarm that had no effect in any run.
    #[must_use]
    pub fn never_fired(&self) -> Vec<&'static str> {
        let mut names = Fault::NAMES.to_vec();
        names.retain(|name| !self.coverage.has(name));
        names
    }

    /// What no run came across, and should have.
    #[must_use]
    pub fn never_seen(&self) -> Vec<Point> {
        let mut points = coverage::expected();
        if self.coverage.get(Point("watch", "done")).times > 0 {
            points.extend(coverage::expected_of_watches());
        }
        if self.mix == Mix::Swarm && self.seeds >= VERY_LONG {
            points.extend(coverage::expected_seldom());
        }
        if self.mix == Mix::Swarm && self.seeds >= LONGEST {
            points.extend(coverage::expected_at_last());
        }
        points.retain(|point| self.coverage.get(*point).times == 0);
        points
    }
}

/// Runs seeds one after the other; `progress` is called after each and can stop.
pub fn run_seeds(
    seeds: std::ops::Range<u64>,
    mix: Mix,
    mut progress: impl FnMut(&Summary) -> bool,
) -> Summary {
    let mut summary = Summary::default();
    for seed in seeds {
        let outcome = run_caught(&Scenario::draw(seed, mix));
        summary.add(seed, mix, &outcome);
        if !progress(&summary) {
            break;
        }
    }
    summary
}
