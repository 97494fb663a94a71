//! The name of a conditional write, by which servers and we find it again.

use core::fmt;

use crate::rng::Rng;
use crate::time::Instant;

/// So many digits of base 62 that they hold 128 bits.
const DIGITS: usize = 22;

/// The id of one message (`Nats-Msg-Id`), whose attempts all have the same, and what was known when it was made.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    id: [u8; DIGITS],
    since: Instant,
    reached: u64,
}

impl Identity {
    /// Makes one, for a stream that is known to have come so far.
    pub(crate) fn new(rng: &mut Rng, now: Instant, reached: u64) -> Self {
        Self {
            id: rng.base62(),
            since: now,
            reached,
        }
    }

    pub(super) fn text(&self) -> &str {
        core::str::from_utf8(&self.id).unwrap_or_default()
    }

    /// What [`Mutant::NameChanges`](crate::mutant::Mutant::NameChanges) does.
    pub(super) fn change(&mut self) {
        self.id.rotate_left(1);
    }

    /// No attempt was made before.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// A revision at or below this one was there before the first attempt.
    pub(super) const fn reached(&self) -> u64 {
        self.reached
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
