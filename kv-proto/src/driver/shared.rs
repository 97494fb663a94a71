//! The session behind its lock, and who waits for what.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Config;
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
    ops: Vec<Option<Waker>>,
    connection: Vec<Waker>,
    /// The driver, if it went to sleep and was not woken since.
    driver: Option<Waker>,
}

impl Shared {
    pub(super) fn new(config: Config, seed: Seed, clock: Arc<dyn Clock>) -> Self {
        let session = Session::new(clock.now(), config, seed);
        Self {
            state: Mutex::new(State {
                session,
                ops: Vec::new(),
                connection: Vec::new(),
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
        state.forget_op(id);
        wake_driver(state);
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
        let index = id.index();
        if self.ops.len() <= index {
            self.ops.resize(index + 1, None);
        }
        match self.ops.get_mut(index) {
            Some(Some(known)) => known.clone_from(cx.waker()),
            Some(unknown) => *unknown = Some(cx.waker().clone()),
            None => {}
        }
    }

    fn forget_op(&mut self, id: OpId) {
        if let Some(waker) = self.ops.get_mut(id.index()) {
            *waker = None;
        }
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
                Event::Op(id) => {
                    let waker = self.ops.get_mut(id.index()).and_then(Option::take);
                    wakers.extend(waker);
                }
                Event::Watch(_) => {}
                Event::Connection => wakers.append(&mut self.connection),
            }
        }
    }
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
