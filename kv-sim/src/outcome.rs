//! How a run went.

use std::time::Duration;

use crate::coverage::Coverage;
use crate::history::History;
use crate::violation::Violation;

/// How much a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// Calls that were made.
    pub calls: u64,
    /// Calls that were answered.
    pub ended: u64,
    /// Faults that had an effect.
    pub faults: u64,
    /// Those of them that struck while a call was open.
    pub faults_during_calls: u64,
    /// Things that happened: bytes that arrived, timers, steps.
    pub events: u64,
    /// How long it all took, for those in it.
    pub virtual_time: Duration,
    /// Whether the storm ended and everything was looked at.
    pub reached_calm: bool,
}

/// A run with fewer answers shows nothing.
const MIN_ENDED: u64 = 30;

impl Work {
    /// Whether the run did enough to count; `faulty` tells whether faults were asked for.
    #[must_use]
    pub const fn counts(&self, faulty: bool) -> bool {
        self.ended >= MIN_ENDED && self.reached_calm && (!faulty || self.faults_during_calls > 0)
    }
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// What is broken; nothing should be.
    pub violations: Vec<Violation>,
    /// The hash of everything that happened.
    pub hash: u64,
    /// What the run came across.
    pub coverage: Coverage,
    /// How much it did.
    pub work: Work,
    /// What was asked and told.
    pub history: History,
    /// The trace as text, if it was asked for.
    pub trace: Vec<String>,
}
