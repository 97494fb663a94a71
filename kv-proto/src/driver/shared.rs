//! The session behind its lock, and who waits for what.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Config;
use crate::error::WatchError;
use crate::kv::watch::WatchId;
use crate::kv::watch::options::{Update, WatchState};
use crate::op::OpId;
use crate::rng::Seed;
use crate::session::{Event, Session};
use crate::time::{Clock, Instant};

pub(super) struct Shared {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
}

/// A session and the tasks that wait for it. The lock is never held while a
/// task is woken, nor across an await.
pub(super) struct State {
    pub(super) session: Session,
    /// By [`OpId::index`].
    ops: Wakers,
    /// By [`WatchId::index`].
    watches: Wakers,
    connection: Vec<Waker>,
    /// Who waits for the next event about the connection, by a number of its own.
    listeners: BTreeMap<u64, Waker>,
    last_listener: u64,
    /// The driver, if it went to sleep and was not woken since.
    driver: Option<Waker>,
}

impl Shared {
    pub(super) fn new(config: Config, seed: Seed, clock: Arc<dyn Clock>) -> Self {
        let session = Session::new(clock.now(), config, seed);
        Self {
            state: Mutex::new(State {
                session,
                ops: Wakers::default(),
                watches: Wakers::default(),
                connection: Vec::new(),
                listeners: BTreeMap::new(),
                last_listener: 0,
                driver: None,
            }),
            clock,
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Locks the session. A panic elsewhere while it was locked was a bug of
    /// ours; the session itself is a plain value and stays usable.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the session and wakes the driver to act on it.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Session, Instant) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        let result = change(&mut state.session, now);
        wake_driver(state);
        result
    }

    /// Cancels an operation and forgets who waits for it: both at once, because
    /// its index can belong to another operation as soon as the lock is free.
    pub(super) fn cancel(&self, id: OpId) {
        let mut state = self.lock();
        state.session.cancel(id);
        state.ops.forget(id.index());
        wake_driver(state);
    }

    /// Drops a watch and forgets who waits for it; see [`cancel`](Self::cancel).
    pub(super) fn unwatch(&self, id: WatchId) {
        let now = self.now();
        let mut state = self.lock();
        state.session.unwatch(now, id);
        state.watches.forget(id.index());
        wake_driver(state);
    }

    /// Pulls what a watch tells next; `None` if nothing will follow.
    pub(super) fn poll_update(
        &self,
        id: WatchId,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Update, WatchError>>> {
        let mut state = self.lock();
        let polled = match state.session.next_update(id) {
            Some(update) => Poll::Ready(Some(update)),
            None => match state.session.watch_state(id) {
                Some(WatchState::Opening | WatchState::Live | WatchState::Recovering) => {
                    state.wait_for_watch(id, cx);
                    Poll::Pending
                }
                Some(WatchState::Ended) | None => Poll::Ready(None),
            },
        };
        // Whatever came of it, the server may have to be told of the room.
        wake_driver(state);
        polled
    }
}

fn wake_driver(mut state: MutexGuard<'_, State>) {
    let driver = state.driver.take();
    drop(state);
    if let Some(driver) = driver {
        driver.wake();
    }
}

impl State {
    pub(super) fn wait_for_op(&mut self, id: OpId, cx: &Context<'_>) {
        self.ops.wait(id.index(), cx);
    }

    pub(super) fn wait_for_watch(&mut self, id: WatchId, cx: &Context<'_>) {
        self.watches.wait(id.index(), cx);
    }

    pub(super) fn wait_for_connection(&mut self, cx: &Context<'_>) {
        if !self
            .connection
            .iter()
            .any(|known| known.will_wake(cx.waker()))
        {
            self.connection.push(cx.waker().clone());
        }
    }

    /// Makes the number of another listener.
    pub(super) fn number_listener(&mut self) -> u64 {
        self.last_listener += 1;
        self.last_listener
    }

    pub(super) fn wait_for_event(&mut self, listener: u64, cx: &Context<'_>) {
        self.listeners.insert(listener, cx.waker().clone());
    }

    pub(super) fn forget_listener(&mut self, listener: u64) {
        self.listeners.remove(&listener);
    }

    pub(super) fn wait_for_work(&mut self, cx: &Context<'_>) {
        match &mut self.driver {
            Some(known) => known.clone_from(cx.waker()),
            unknown => *unknown = Some(cx.waker().clone()),
        }
    }

    /// Collects the tasks that the session's hints concern.
    pub(super) fn collect_wakers(&mut self, wakers: &mut Vec<Waker>) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Op(id) => wakers.extend(self.ops.take(id.index())),
                Event::Watch(id) => wakers.extend(self.watches.take(id.index())),
                Event::Connection => {
                    wakers.append(&mut self.connection);
                    let listeners = core::mem::take(&mut self.listeners);
                    wakers.extend(listeners.into_values());
                }
            }
        }
    }
}

/// Who waits for one of many: each has a small number.
#[derive(Default)]
struct Wakers(Vec<Option<Waker>>);

impl Wakers {
    fn wait(&mut self, index: usize, cx: &Context<'_>) {
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        match self.0.get_mut(index) {
            Some(Some(known)) => known.clone_from(cx.waker()),
            Some(unknown) => *unknown = Some(cx.waker().clone()),
            None => {}
        }
    }

    fn take(&mut self, index: usize) -> Option<Waker> {
        self.0.get_mut(index).and_then(Option::take)
    }

    fn forget(&mut self, index: usize) {
        drop(self.take(index));
    }
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
