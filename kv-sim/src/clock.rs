//! One client's clock: what its embedder takes for the time.

use std::time::Duration;

use kv_proto::Instant;

/// Maps true time to a client's time, which can jump, run back and stand still.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// The client's time less the true one, in nanoseconds.
    ahead: i64,
    /// The client's time while it stands still.
    frozen: Option<Instant>,
}

/// Clocks begin late enough to be set back.
const HEAD_START: Duration = Duration::from_secs(7_200);

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            ahead: nanos(HEAD_START),
            frozen: None,
        }
    }

    /// What the clock shows.
    pub(crate) fn show(&self, now: Instant) -> Instant {
        self.frozen.unwrap_or_else(|| shift(now, self.ahead))
    }

    /// When it will show that time; `None` while it stands still.
    pub(crate) fn when(&self, shown: Instant) -> Option<Instant> {
        match self.frozen {
            Some(at) if shown <= at => Some(Instant::ORIGIN),
            Some(_) => None,
            None => Some(shift(shown, -self.ahead)),
        }
    }

    pub(crate) fn jump(&mut self, millis: i32) {
        let by = i64::from(millis) * 1_000_000;
        match &mut self.frozen {
            Some(at) => *at = shift(*at, by),
            None => self.ahead = self.ahead.saturating_add(by),
        }
    }

    pub(crate) fn freeze(&mut self, now: Instant) {
        self.frozen = Some(self.show(now));
    }

    /// Lets it go on from where it stood.
    pub(crate) fn thaw(&mut self, now: Instant) {
        if let Some(at) = self.frozen.take() {
            let (at, now) = (signed(at), signed(now));
            self.ahead = at.saturating_sub(now);
        }
    }
}

fn shift(at: Instant, by: i64) -> Instant {
    Instant::from_nanos(at.as_nanos().saturating_add_signed(by))
}

fn signed(at: Instant) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Instant = Instant::from_nanos(5_000_000_000);

    #[test]
    fn a_clock_shows_a_time_when_it_says_it_will() {
        let mut clock = Clock::new();
        for jump in [0, 1, -70, 3_600_000, -3_600_000] {
            clock.jump(jump);
            let shown = clock.show(AT);
            assert_eq!(clock.when(shown), Some(AT), "{jump}");
        }
    }

    #[test]
    fn a_clock_that_stood_still_goes_on_from_there() {
        let mut clock = Clock::new();
        let before = clock.show(AT);
        clock.freeze(AT);
        let later = AT + Duration::from_secs(9);
        assert_eq!(clock.show(later), before);
        assert_eq!(clock.when(before + Duration::from_nanos(1)), None);
        clock.thaw(later);
        assert_eq!(clock.show(later), before);
        let second = Duration::from_secs(1);
        assert_eq!(clock.show(later + second), before + second);
    }
}
