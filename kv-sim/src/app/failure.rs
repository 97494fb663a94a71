//! Why a run failed.

use std::fmt;
use std::time::Duration;

use crate::picture::Recording;

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Something did not hold that must hold always; see [`Sim::always`](super::Sim::always).
    Broken(String),
    /// The application panicked, with this message.
    Panicked(String),
    /// Everybody waits for something that will never happen.
    Stuck,
    /// The time of the run was over; see [`Simulation::limit`](super::Simulation::limit).
    TooLong,
    /// A task wakes itself for ever without time moving.
    Spins,
    /// It failed, but not a second time: the application depends on something that is not simulated.
    Fickle,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(what) => write!(f, "it does not hold that {what}"),
            Self::Panicked(message) => write!(f, "the application panicked: {message}"),
            Self::Stuck => f.write_str("everybody waits for something that will never happen"),
            Self::TooLong => f.write_str("it has not ended within the time of the run"),
            Self::Spins => f.write_str("a task wakes itself for ever"),
            Self::Fickle => f.write_str("it failed, but not a second time with the same seed"),
        }
    }
}

/// A run that failed; its text tells what happened, and how to see it again.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// The virtual time since the beginning of the run.
    pub at: Duration,
    /// What was wrong.
    pub reason: Reason,
    /// What happened until then, a line each.
    pub timeline: Vec<String>,
    /// The same to be [drawn](crate::picture::draw): a page that a browser shows.
    pub recording: Option<Recording>,
}

/// So many lines of the timeline are shown, the last ones.
const SHOWN: usize = 60;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = self.timeline.len().saturating_sub(SHOWN);
        if left_out > 0 {
            writeln!(f, "… {left_out} lines before")?;
        }
        for line in self.timeline.iter().skip(left_out) {
            writeln!(f, "{line}")?;
        }
        write!(
            f,
            "seed {}, after {:?}: {}",
            self.seed, self.at, self.reason
        )
    }
}

/// The same text, as this is what `unwrap` shows.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
