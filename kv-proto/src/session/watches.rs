//! Watches and listings: what can be asked of them.

use core::time::Duration;

use super::{Life, Session};
use crate::error::{Refused, WatchError};
use crate::kv::binding::Binding;
use crate::kv::watch::buffer::Pulled;
use crate::kv::watch::options::{Position, Update, WatchOptions, WatchState};
use crate::kv::watch::{Watch, WatchId};
use crate::op::OpId;
use crate::tally::Tally;
use crate::time::Instant;
use crate::timer::{Reason, WatchTimer};

/// Watches and listings.
///
/// A watch tells what happens to the keys of a bucket; a listing is a watch
/// that ends when it has told what is there
/// ([`until_synced`](WatchOptions::until_synced)). Both recover by themselves,
/// whether or not anybody asks for their updates: from lost connections,
/// restarts of servers, and consumers that end without a word.
impl Session {
    /// Starts to watch keys of a bucket, or to list them.
    ///
    /// The watch is open when its [`watch_state`](Self::watch_state) is no
    /// longer [`WatchState::Opening`]; from then on no update is missed that the
    /// bucket keeps. Drop it with [`unwatch`](Self::unwatch), also when it has
    /// ended. [`manual::watching`](crate::manual::watching) says what it promises.
    ///
    /// ```
    /// use kv_proto::{Session, WatchError, WatchId};
    ///
    /// /// Reads what a watch has to tell: on `Event::Watch`, or at any time.
    /// fn read(session: &mut Session, watch: WatchId) -> Result<(), WatchError> {
    ///     while let Some(update) = session.next_update(watch) {
    ///         println!("{:?}", update?);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WatchError::InvalidOptions`], or [`WatchError::Refused`] by this
    /// session.
    pub fn watch(
        &mut self,
        now: Instant,
        bucket: &Binding,
        options: WatchOptions,
    ) -> Result<WatchId, WatchError> {
        let id = self.enter_watch(now, bucket, options, None)?;
        self.pump();
        Ok(id)
    }

    /// Starts to watch, or to list for a sweep, and leaves the rest to the next
    /// output.
    pub(super) fn enter_watch(
        &mut self,
        now: Instant,
        bucket: &Binding,
        options: WatchOptions,
        sweep: Option<OpId>,
    ) -> Result<WatchId, WatchError> {
        self.advance_to(now);
        options.check()?;
        if matches!(self.life, Life::Closing(_) | Life::Closed(_)) {
            return Err(Refused::Closed.into());
        }
        let mut watch = Watch::new(self.now, bucket.clone(), options);
        watch.sweep = sweep;
        let limits = &self.config.limits;
        let taken = self.pending_bytes.saturating_add(self.filter_bytes);
        let room = limits.max_pending_bytes.saturating_sub(taken);
        if self.watches.len() >= limits.max_watches || watch.weight() > room {
            return Err(Refused::Full.into());
        }
        self.filter_bytes.raise(watch.weight());
        let timeout = watch.options.timeout;
        let id = self.watches.insert(watch);
        let patience = self.patience_of(id);
        let patience = Some((patience, WatchTimer::Patience));
        let deadline = timeout.map(|timeout| (timeout, WatchTimer::Deadline));
        for (time, timer) in [patience, deadline].into_iter().flatten() {
            let armed = self.timers.arm(self.now + time, Reason::Watch(id, timer));
            if let Some(watch) = self.watches.get_mut(id) {
                watch.timers.set(timer, armed);
            }
        }
        self.want_feed(id);
        Ok(id)
    }

    /// Returns the next thing that a watch tells, once; `None` if there is
    /// nothing at the moment, and for a watch that was dropped. An error is the
    /// last thing it tells; a listing ends with [`Update::Synced`].
    pub fn next_update(&mut self, watch: WatchId) -> Option<Result<Update, WatchError>> {
        let now = self.now;
        let known = self.watches.get_mut(watch)?;
        let before = known.buffer.bytes();
        let Pulled { told, flow } = known.buffer.pull();
        known.waiting = told.is_none();
        if told.is_some() {
            known.note_read(now);
        }
        self.watch_bytes
            .lower(before.saturating_sub(known.buffer.bytes()));
        let silent = core::mem::take(&mut known.planted.silent);
        if silent {
            self.want_feed(watch);
        }
        if let Some(reply) = flow {
            self.answer_flow(watch, &reply);
        }
        self.after_reading(watch);
        told
    }

    /// Returns what a watch is doing; `None` for one that was dropped.
    #[must_use]
    pub fn watch_state(&self, watch: WatchId) -> Option<WatchState> {
        self.watches.get(watch).map(Watch::state)
    }

    /// Returns how far the reader has come: up to the last entry that
    /// [`next_update`](Self::next_update) returned. `None` while it has come
    /// nowhere, and after an [`Update::Reset`] until the next entry.
    #[must_use]
    pub fn position(&self, watch: WatchId) -> Option<Position> {
        self.watches.get(watch)?.buffer.told()
    }

    /// Drops a watch: nobody will read what it tells. What the servers hold for
    /// it is released, if need be after the next connection.
    pub fn unwatch(&mut self, now: Instant, watch: WatchId) {
        self.advance_to(now);
        self.drop_watch(watch);
        self.pump();
        self.finish_if_idle();
    }

    /// Drops a watch, and leaves the rest to the next output.
    pub(super) fn drop_watch(&mut self, watch: WatchId) {
        self.end_feed(watch);
        let Some(gone) = self.watches.remove(watch) else {
            return;
        };
        for timer in gone.timers.all() {
            self.timers.cancel(timer);
        }
        self.filter_bytes.lower(gone.weight());
        self.watch_bytes.lower(gone.buffer.bytes());
        self.sweep_queues();
        self.let_starved_go_on();
    }

    pub(super) fn patience_of(&self, id: WatchId) -> Duration {
        let own = self
            .watches
            .get(id)
            .and_then(|watch| watch.options.patience);
        own.unwrap_or(self.config.request_timeout)
    }
}
