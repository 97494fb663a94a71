//! How long a watch waits: for its first feed, for progress, and between feeds
//! that fail.

use core::time::Duration;

use super::Watch;
use super::feed::Stage;
use crate::error::WatchError;
use crate::mutant::{self, Mutant};
use crate::time::Instant;

/// The window of the first rest; it doubles with every feed that fails.
const REST: Duration = Duration::from_millis(100);
const MAX_DOUBLINGS: u32 = 7;
const MAX_REST: Duration = Duration::from_secs(10);

impl Watch {
    /// What a watch ends with that could not be opened in time.
    pub(crate) const fn impatience(&self) -> WatchError {
        if self.unanswered {
            WatchError::Unavailable
        } else {
            WatchError::TimedOut
        }
    }

    /// When the server has to have made progress, as far as that is its matter.
    pub(crate) fn progress_due(&self, now: Instant, patience: Duration) -> Instant {
        if self.buffer.is_empty() {
            self.progress + patience
        } else {
            now + patience // it is the reader's turn
        }
    }

    /// The reader has taken something.
    pub(crate) const fn note_read(&mut self, now: Instant) {
        self.progress = now;
        self.in_vain = 0;
    }

    /// A feed is over: if it lived for a while, failures before it are forgotten.
    pub(crate) fn forgive(&mut self, now: Instant) -> bool {
        let lived = self.feed().is_some_and(|feed| {
            let lived = now.saturating_duration_since(feed.started);
            feed.stage == Stage::Live && lived >= self.options.heartbeat
        });
        if lived {
            self.attempts = 0;
        }
        lived
    }

    /// A feed is over: how long to rest at most before the next one.
    pub(crate) fn rest(&mut self, now: Instant, failed: bool) -> Duration {
        let lived = self.forgive(now);
        if (lived && !failed) || mutant::is(Mutant::NoRest) {
            return Duration::ZERO;
        }
        let window = REST.saturating_mul(1 << self.attempts.min(MAX_DOUBLINGS));
        self.attempts += 1;
        window.min(MAX_REST)
    }
}
