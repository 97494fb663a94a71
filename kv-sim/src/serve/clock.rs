//! The one place of this crate that reads the machine's clocks.

#![allow(
    clippy::disallowed_methods,
    reason = "sockets are real, and so is their time"
)]

use std::time::{Instant as Monotonic, SystemTime};

use kv_proto::{Instant, Timestamp};

/// The time since the servers were started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Monotonic,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            origin: Monotonic::now(),
        }
    }

    pub(super) fn now(self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }
}

/// The machine's wall clock.
pub(super) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.unwrap_or_default().as_nanos();
    Timestamp::from_unix_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}
