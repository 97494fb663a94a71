//! What a session holds now.

use super::Session;
use crate::op::Phase;

/// What a session holds at one moment: for gauges, and for checks of leaks.
///
/// When every operation has ended and was taken or cancelled, every watch was
/// dropped and its consumer deleted, and the sockets took what was to be
/// written, all but [`links`](Self::links) and [`timers`](Self::timers) are
/// zero; after the session was closed those are as well.
///
/// ```
/// use core::time::Duration;
/// use kv_proto::{Config, Instant, Seed, Session};
///
/// let now = Instant::ORIGIN;
/// let mut session = Session::new(now, Config::new("localhost")?, Seed::from_u64(1));
/// let nap = session.sleep(now, Duration::from_secs(1))?;
/// assert_eq!(session.usage().operations, 1);
/// session.cancel(nap.id());
/// assert_eq!(session.usage().operations, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Usage {
    /// Operations that were asked for and whose result was not taken; at most
    /// [`Limits::max_ops`](crate::Limits::max_ops).
    pub operations: usize,
    /// Those of them whose next request waits for a link with room.
    pub waiting: usize,
    /// Bytes of keys and values of operations that run; at most
    /// [`Limits::max_pending_bytes`](crate::Limits::max_pending_bytes) and one
    /// request of each removal of tombstones.
    pub pending_bytes: usize,
    /// Bytes of results that were not taken; at most
    /// [`Limits::max_result_bytes`](crate::Limits::max_result_bytes).
    pub result_bytes: usize,
    /// Requests whose reply is waited for, on all links.
    pub reply_slots: usize,
    /// Bytes to write that were not handed over, on all links.
    pub unsent_bytes: usize,
    /// Links that are being made, in use, or left; at most
    /// [`MAX_LINKS`](crate::limits::MAX_LINKS).
    pub links: usize,
    /// Deadlines that are set.
    pub timers: usize,
    /// Watches and listings that were not dropped; at most
    /// [`Limits::max_watches`](crate::Limits::max_watches).
    pub watches: usize,
    /// Consumers on the servers that deliver to them, or that are being made
    /// for them.
    pub consumers: usize,
    /// Consumers that nobody needs any more and whose deletion the servers
    /// have not confirmed; at most 1,024, each for some 60 s.
    pub deletions: usize,
    /// Bytes of entries that wait for the readers of watches; at most
    /// [`Limits::max_watch_bytes`](crate::Limits::max_watch_bytes) and one
    /// message, beside a few marks for each watch.
    pub watch_bytes: usize,
}

impl Session {
    /// Returns what the session holds now. Takes time in proportion to the
    /// operations that wait.
    #[must_use]
    pub fn usage(&self) -> Usage {
        // The queue can still name operations that are over.
        let waits = |id| {
            let running = self.ops.get(id);
            running.is_some_and(|running| matches!(running.phase, Phase::Waiting))
        };
        Usage {
            operations: self.ops.asked_for(),
            waiting: self.waiting.iter().filter(|id| waits(**id)).count(),
            pending_bytes: self.pending_bytes,
            result_bytes: self.result_bytes,
            reply_slots: self.links.iter().map(|link| link.mux.busy()).sum(),
            unsent_bytes: self.links.iter().map(|link| link.outbox.unsent()).sum(),
            links: self.links.len(),
            timers: self.timers.len(),
            watches: self.watches.len(),
            consumers: self.watches.ids(|watch| watch.feed().is_some()).len(),
            deletions: self.cleanup.len(),
            watch_bytes: self.watch_bytes,
        }
    }
}
