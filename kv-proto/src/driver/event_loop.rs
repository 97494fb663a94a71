//! The event loop: bytes between sockets and the session, and nothing else.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;

use bytes::{Buf, BytesMut};

use super::authenticator::{Asking, Authenticator, Challenge};
use super::shared::{Shared, State};
use super::{Connecting, Io, Runtime, Timer};
use crate::credentials::Credentials;
use crate::error::{LinkError, LinkErrorKind};
use crate::link::LinkId;
use crate::server::ServerAddr;
use crate::session::{ConnectionState, LinkAction};
use crate::time::Instant;

/// Drives a client: a future that ends when the client is closed and that has
/// to be polled for the client to work, usually by a task of its own.
///
/// Dropping it closes the client at once; whatever is pending ends with what
/// is known of it.
#[must_use = "a client does nothing unless its driver is polled"]
pub struct Driver<R: Runtime> {
    runtime: R,
    shared: Arc<Shared>,
    authenticator: Option<Authenticator>,
    links: Vec<Transport<R>>,
    timer: R::Timer,
    /// When the timer fires: perhaps earlier than needed, as setting it anew
    /// for every operation that ends costs more than one call in vain.
    armed: Option<Instant>,
    wakers: Vec<Waker>,
}

/// How a round went.
enum Round {
    /// Nothing happened: the next one comes when somebody wakes the driver.
    Idle,
    /// Something happened, so more may.
    Busy,
    /// Several tasks have their results and will ask for more: their requests
    /// shall leave together.
    Yield,
    /// The client is over.
    Over,
}

/// The transport of one link.
struct Transport<R: Runtime> {
    link: LinkId,
    stage: Stage<R>,
    /// Its credentials are being found.
    asking: Option<Asking>,
    /// What happened since the session was told.
    news: Option<News>,
}

enum Stage<R: Runtime> {
    Dialing(Connecting<R::Io>),
    Open {
        io: R::Io,
        input: BytesMut,
        read_hint: usize,
        unflushed: bool,
    },
    Securing(Connecting<R::Io>),
    Gone,
}

enum News {
    Dialed,
    Secured,
    Input,
    Credentials(Credentials),
    Closed(LinkError),
}

/// Rounds of one poll, so that a busy connection leaves its thread to others.
const ROUNDS: usize = 32;

/// How much of an error's text is kept: it can repeat what is in a server's
/// certificate.
const MAX_DETAIL: usize = 1_024;

/// What is read at once before the session says what it needs.
const FIRST_READ: usize = 16 * 1024;

impl<R: Runtime> Driver<R> {
    pub(super) fn new(
        runtime: R,
        shared: Arc<Shared>,
        authenticator: Option<Authenticator>,
    ) -> Self {
        Self {
            timer: runtime.timer(),
            runtime,
            shared,
            authenticator,
            links: Vec::new(),
            armed: None,
            wakers: Vec::new(),
        }
    }

    /// One round: read, tell the session, write, act.
    fn round(&mut self, cx: &mut Context<'_>) -> Round {
        let mut busy = false;
        for link in &mut self.links {
            busy |= link.poll_in(cx);
        }
        let shared = self.shared.clone();
        let now = shared.now();
        let mut state = shared.lock();
        for link in &mut self.links {
            link.report(&mut state, now);
        }
        let due = |state: &State| state.session.poll_timeout().is_some_and(|at| at <= now);
        if due(&state) {
            state.session.handle_timeout(now);
        }
        for link in &mut self.links {
            busy |= link.poll_out(cx, &mut state);
        }
        while let Some(action) = state.session.poll_link() {
            busy = true;
            self.act(action, cx);
        }
        state.collect_wakers(&mut self.wakers);
        let over = state.session.state() == ConnectionState::Closed;
        let next = state.session.poll_timeout();
        state.wait_for_work(cx);
        drop(state);
        let woke_many = self.wakers.len() > 1;
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        for link in &mut self.links {
            busy |= link.poll_flush(cx);
        }
        self.links
            .retain(|link| !matches!(link.stage, Stage::Gone) || link.news.is_some());
        if over {
            return Round::Over;
        }
        busy |= next.is_some_and(|at| self.poll_timer(cx, at));
        match (busy, woke_many) {
            (false, _) => Round::Idle,
            (true, false) => Round::Busy,
            (true, true) => Round::Yield,
        }
    }

    /// Waits for an instant, or an earlier one. Returns whether it has come.
    fn poll_timer(&mut self, cx: &mut Context<'_>, at: Instant) -> bool {
        let at = self.armed.map_or(at, |armed| armed.min(at));
        self.armed = Some(at);
        let fired = self.timer.poll_until(cx, at).is_ready();
        if fired {
            self.armed = None;
        }
        fired
    }

    fn act(&mut self, action: LinkAction, cx: &mut Context<'_>) {
        match action {
            LinkAction::Dial { link, server } => {
                let dial = self.runtime.dial(&server);
                self.links.push(Transport {
                    link,
                    stage: Stage::Dialing(dial),
                    asking: None,
                    news: None,
                });
            }
            LinkAction::Secure { link, server } => {
                let known = self.links.iter_mut().find(|known| known.link == link);
                if let Some(transport) = known {
                    transport.secure(&self.runtime, &server);
                }
            }
            LinkAction::Close { link } => {
                if let Some(position) = self.links.iter().position(|known| known.link == link)
                    && let Stage::Open { mut io, .. } = self.links.swap_remove(position).stage
                {
                    // The session is done with it; what cannot be said at
                    // once is left to the operating system.
                    let _ = io.poll_close(cx);
                }
            }
            LinkAction::Authenticate {
                link,
                server,
                nonce,
            } => {
                let known = self.links.iter_mut().find(|known| known.link == link);
                if let Some(transport) = known {
                    let challenge = Challenge { server, nonce };
                    transport.ask(self.authenticator.as_ref(), challenge);
                }
            }
        }
    }
}

impl<R: Runtime> Stage<R> {
    fn open(io: R::Io) -> Self {
        Self::Open {
            io,
            input: BytesMut::new(),
            read_hint: FIRST_READ,
            unflushed: false,
        }
    }
}

impl<R: Runtime> Transport<R> {
    /// Begins to make it TLS. What was read before stays behind.
    fn secure(&mut self, runtime: &R, server: &ServerAddr) {
        self.stage = match mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Open { io, .. } => Stage::Securing(runtime.secure(io, server)),
            other @ (Stage::Dialing(_) | Stage::Securing(_) | Stage::Gone) => other,
        };
    }

    /// Begins to find credentials.
    fn ask(&mut self, authenticator: Option<&Authenticator>, challenge: Challenge) {
        match authenticator {
            Some(authenticator) => self.asking = Some(authenticator.ask(challenge)),
            None => {
                let error = io::Error::other("nobody is there to be asked for them");
                self.news = Some(self.fail(LinkErrorKind::Credentials, &error));
            }
        }
    }

    /// Connects, secures, reads, or finds credentials. Returns whether anything happened.
    fn poll_in(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(asking) = &mut self.asking
            && let Poll::Ready(found) = asking.as_mut().poll(cx)
        {
            self.asking = None;
            self.news = Some(match found {
                Ok(credentials) => News::Credentials(credentials),
                Err(error) => self.fail(LinkErrorKind::Credentials, &error),
            });
            return true;
        }
        let news = match &mut self.stage {
            Stage::Dialing(dial) => match dial.as_mut().poll(cx) {
                Poll::Ready(Ok(io)) => {
                    self.stage = Stage::open(io);
                    News::Dialed
                }
                Poll::Ready(Err(error)) => self.fail(LinkErrorKind::Dial, &error),
                Poll::Pending => return false,
            },
            Stage::Securing(handshake) => match handshake.as_mut().poll(cx) {
                Poll::Ready(Ok(io)) => {
                    self.stage = Stage::open(io);
                    News::Secured
                }
                Poll::Ready(Err(error)) => self.fail(LinkErrorKind::Secure, &error),
                Poll::Pending => return false,
            },
            Stage::Open {
                io,
                input,
                read_hint,
                ..
            } => {
                input.reserve(*read_hint);
                match io.poll_read(cx, input) {
                    Poll::Ready(Ok(0)) => {
                        let end = io::Error::from(io::ErrorKind::UnexpectedEof);
                        self.fail(LinkErrorKind::Read, &end)
                    }
                    Poll::Ready(Ok(_)) => News::Input,
                    Poll::Ready(Err(error)) => self.fail(LinkErrorKind::Read, &error),
                    Poll::Pending => return false,
                }
            }
            Stage::Gone => return false,
        };
        self.news = Some(news);
        true
    }

    fn fail(&mut self, kind: LinkErrorKind, error: &dyn fmt::Display) -> News {
        self.stage = Stage::Gone;
        let text: String = error.to_string().chars().take(MAX_DETAIL).collect();
        News::Closed(LinkError::new(kind, text))
    }

    /// Tells the session what happened.
    fn report(&mut self, state: &mut State, now: Instant) {
        let session = &mut state.session;
        match self.news.take() {
            Some(News::Dialed) => session.handle_dialed(now, self.link),
            Some(News::Secured) => session.handle_secured(now, self.link),
            Some(News::Credentials(credentials)) => {
                session.handle_credentials(now, self.link, &credentials);
            }
            Some(News::Closed(error)) => session.handle_closed(now, self.link, error),
            Some(News::Input) => {
                if let Stage::Open {
                    input, read_hint, ..
                } = &mut self.stage
                {
                    session.handle_input(now, self.link, input);
                    *read_hint = session.read_hint(self.link, input.len());
                }
            }
            None => {}
        }
    }

    /// Writes all that the transport takes; it calls when it takes more.
    /// Returns whether the session is to be told something.
    fn poll_out(&mut self, cx: &mut Context<'_>, state: &mut State) -> bool {
        let Stage::Open { io, unflushed, .. } = &mut self.stage else {
            return false;
        };
        loop {
            let mut output = state.session.transmit(self.link);
            if !output.has_remaining() {
                return false;
            }
            match io.poll_write(cx, &mut output) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    *unflushed = true;
                }
                Poll::Ready(result) => {
                    let error = result
                        .err()
                        .unwrap_or_else(|| io::ErrorKind::WriteZero.into());
                    self.news = Some(self.fail(LinkErrorKind::Write, &error));
                    return true;
                }
                Poll::Pending => return false,
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        let Stage::Open { io, unflushed, .. } = &mut self.stage else {
            return false;
        };
        if !*unflushed {
            return false;
        }
        match io.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                *unflushed = false;
                false
            }
            Poll::Ready(Err(error)) => {
                self.news = Some(self.fail(LinkErrorKind::Write, &error));
                true
            }
            Poll::Pending => false,
        }
    }
}

impl<R: Runtime> Unpin for Driver<R> {}

impl<R: Runtime> Future for Driver<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS {
            match self.round(cx) {
                Round::Over => return Poll::Ready(()),
                Round::Idle => return Poll::Pending,
                Round::Busy => {}
                Round::Yield => break,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<R: Runtime> Drop for Driver<R> {
    /// A client without its driver is closed, and says so.
    fn drop(&mut self) {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        state.session.abort(now);
        state.collect_wakers(&mut self.wakers);
        drop(state);
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }
}

impl<R: Runtime> fmt::Debug for Driver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}
