//! Whether a consumer is alive: the owner of the heartbeat.
//!
//! A consumer that is deleted, expires or dies with its server says nothing at
//! all; only its heartbeats stop. It counts as lost after two of them are
//! missing. The deadline moves lazily: messages only note the time, and the
//! timer looks when it fires.

use core::time::Duration;

use crate::mutant::{self, Mutant};
use crate::time::Instant;

/// How many heartbeats may be missing.
const MISSING: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pulse {
    heard: Instant,
    patience: Duration,
}

/// What is found when the timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It was heard of; look again then.
    Alive(Instant),
    Silent,
}

impl Pulse {
    pub(crate) fn new(now: Instant, heartbeat: Duration) -> Self {
        Self {
            heard: now,
            patience: heartbeat.saturating_mul(MISSING),
        }
    }

    pub(crate) const fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// When to look next.
    pub(crate) fn due(&self) -> Instant {
        self.heard + self.patience
    }

    pub(crate) fn look(&self, now: Instant) -> Finding {
        if mutant::is(Mutant::SilenceOfConsumerIgnored) {
            return Finding::Alive(now + self.patience);
        }
        if self.due() <= now {
            Finding::Silent
        } else {
            Finding::Alive(self.due())
        }
    }
}
