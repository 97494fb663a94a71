//! Watches and listings: what can be asked of them.
use super::Session;
use crate::error::WatchError;
use crate::kv::binding::Binding;
use crate::kv::watch::WatchId;
use crate::kv::watch::options::{Position, Update, WatchOptions, WatchState};
use crate::time::Instant;
/// Watches and listings.
impl Session {
    /// Starts to watch keys of a bucket, or to list them.
    ///
    /// # Errors
    ///
    /// [`WatchError::InvalidOptions`], or [`WatchError::Refused`] by this session.
    pub fn watch(
        &mut self,
        now: Instant,
        bucket: &Binding,
        options: WatchOptions,
    ) -> Result<WatchId, WatchError> {
        let _ = (now, bucket, options);
        Err(WatchError::Closed)
    }

    /// Returns the next thing that a watch tells, once; `None` if there is nothing at the moment. An error
    /// is the last thing it tells; a listing ends with [`Update::Synced`].
    pub fn next_update(&mut self, watch: WatchId) -> Option<Result<Update, WatchError>> {
        let _ = watch;
        None
    }

    /// Returns what a watch is doing; `None` for one that was dropped.
    pub fn watch_state(&self, watch: WatchId) -> Option<WatchState> {
        let _ = watch;
        None
    }

    /// Returns how far the reader has come: up to the last entry that
    /// [`next_update`](Self::next_update) returned. `None` while it has come nowhere.
    pub fn position(&self, watch: WatchId) -> Option<Position> {
        let _ = watch;
        None
    }

    /// Drops a watch: nobody will read what it tells. What the servers hold for it is released, if need be
    /// after the next connection.
    pub fn unwatch(&mut self, now: Instant, watch: WatchId) {
        let _ = (now, watch);
    }
}
