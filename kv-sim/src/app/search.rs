//! Many seeds, until one fails.

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use super::failure::{Failure, Reason};
use super::{Sim, Simulation};
use crate::trace::fold;

/// What came of many runs that all went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// Runs.
    pub seeds: u64,
    /// Everything that happened: bytes that arrived, timers, what servers did by themselves.
    pub events: u64,
    /// How often tasks were polled.
    pub polls: u64,
    /// The virtual time of all runs.
    pub virtual_time: Duration,
    /// The hash over everything that happened. The same seeds give the same one.
    pub hash: u64,
}

impl Simulation {
    /// Runs the closure's future once for every seed, until a run fails.
    ///
    /// # Errors
    ///
    /// The first [`Failure`], with the timeline of its run; a panic of the application is one too.
    pub fn search<F: Future>(
        &self,
        seeds: Range<u64>,
        main: impl Fn(Sim) -> F,
    ) -> Result<Explored, Box<Failure>> {
        let mut explored = Explored::default();
        for seed in seeds {
            let run = self.attempt(seed, &main, false);
            if run.result.is_err() {
                return Err(Box::new(self.explain(seed, &main)));
            }
            explored.seeds += 1;
            explored.events += run.events;
            explored.polls += run.polls;
            explored.virtual_time += run.time;
            explored.hash = fold(explored.hash, run.hash);
        }
        Ok(explored)
    }

    /// Runs a seed that fails once more, and writes down what happens.
    pub(super) fn explain<F: Future>(&self, seed: u64, main: &impl Fn(Sim) -> F) -> Failure {
        let run = self.attempt(seed, main, true);
        Failure {
            seed,
            at: run.time,
            reason: run.result.err().unwrap_or(Reason::Fickle),
            timeline: run.timeline,
            recording: run.recording,
        }
    }
}
