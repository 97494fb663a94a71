//! Waiting for the result of a request.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use super::shared::Shared;
use crate::op::{Elapsed, Op, OpResult};
use crate::session::Session;
use crate::time::Instant;

/// A request that was made, as a future of its result. Dropping it cancels
/// the operation: a frame that was not begun is withdrawn, a begun one is
/// finished, and its effect is not known.
#[must_use = "a request does nothing for whoever does not await it"]
pub struct Response<T: OpResult> {
    shared: Arc<Shared>,
    state: State<T>,
}

enum State<T: OpResult> {
    /// The request was refused; nothing was sent.
    Refused(T::Error),
    Running(Op<T>),
    Over,
}

impl<T: OpResult> Response<T> {
    pub(super) fn start<E: Into<T::Error>>(
        shared: &Arc<Shared>,
        request: impl FnOnce(&mut Session, Instant) -> Result<Op<T>, E>,
    ) -> Self {
        let state = match shared.with(request) {
            Ok(op) => State::Running(op),
            Err(error) => State::Refused(error.into()),
        };
        Self {
            shared: shared.clone(),
            state,
        }
    }
}

impl<T: OpResult> Unpin for Response<T> {}

impl<T: OpResult> Future for Response<T> {
    type Output = Result<T, T::Error>;

    /// # Panics
    ///
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let State::Running(op) = &this.state {
            let mut state = this.shared.lock();
            let Some(result) = state.session.take(op) else {
                state.wait_for_op(op.id(), cx);
                return Poll::Pending;
            };
            drop(state);
            this.state = State::Over;
            return Poll::Ready(result);
        }
        match core::mem::replace(&mut this.state, State::Over) {
            State::Refused(error) => Poll::Ready(Err(error)),
            #[allow(clippy::panic, reason = "what polls a future that is over is broken")]
            State::Running(_) | State::Over => panic!("a response was polled after it was ready"),
        }
    }
}

impl<T: OpResult> Drop for Response<T> {
    fn drop(&mut self) {
        if let State::Running(op) = &self.state {
            self.shared.cancel(op.id());
        }
    }
}

impl<T: OpResult> fmt::Debug for Response<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").finish_non_exhaustive()
    }
}

/// A pause on the client's clock; ends early when the client is closed.
#[derive(Debug)]
#[must_use = "a pause does nothing unless awaited"]
pub struct Sleep(Response<Elapsed>);

impl Sleep {
    pub(super) fn start(shared: &Arc<Shared>, duration: Duration) -> Self {
        Self(Response::start(shared, |session, now| {
            session.sleep(now, duration)
        }))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}
