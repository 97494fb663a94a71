//! The connection of a client: its state, its end, and what happens to it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, IntoFuture, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use futures_core::Stream;

use super::client::Client;
use super::response::Response;
use super::shared::Shared;
use crate::connection::{ConnectionEvent, EventCursor};
use crate::error::{ConnectError, Disconnect};
use crate::options::CallOptions;
use crate::server::ServerAddr;
use crate::session::ConnectionState;
use crate::stats::Stats;
use crate::wire::ServerInfo;

/// The connection.
impl Client {
    /// Waits until the client is connected for the first time.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if it gave up; see
    /// [`Config::retry_first_connect`](crate::Config::retry_first_connect).
    pub async fn connected(&self) -> Result<(), ConnectError> {
        poll_fn(|cx| {
            let mut state = self.shared().lock();
            match state.session.state() {
                ConnectionState::Connecting => {
                    state.wait_for_connection(cx);
                    Poll::Pending
                }
                ConnectionState::Connected | ConnectionState::Reconnecting => Poll::Ready(Ok(())),
                ConnectionState::Closing | ConnectionState::Closed => {
                    let failure = state.session.failure().cloned();
                    Poll::Ready(Err(failure.unwrap_or(ConnectError::Closed)))
                }
            }
        })
        .await
    }

    /// Accepts no more requests, finishes those that were made within
    /// [`Config::close_timeout`](crate::Config::close_timeout), and closes the
    /// connection. (Other clients call this `drain`.)
    ///
    /// Watches end at once; what they have received can still be read. What is
    /// not finished in time ends with what is known of it, and is counted in
    /// the result.
    ///
    /// ```no_run
    /// # async fn example(client: kv_proto::driver::Client) {
    /// let closed = client.close().await;
    /// if !closed.is_complete() {
    ///     println!("{} requests were cut short", closed.unfinished);
    /// }
    /// # }
    /// ```
    pub async fn close(&self) -> Closed {
        self.shared().with(|session, now| session.close(now));
        poll_fn(|cx| {
            let mut state = self.shared().lock();
            if state.session.state() == ConnectionState::Closed {
                let unfinished = state.session.unfinished();
                return Poll::Ready(Closed { unfinished });
            }
            state.wait_for_connection(cx);
            Poll::Pending
        })
        .await
    }

    /// Returns what happens to the connection from now on, as a stream. There
    /// can be any number of them, and none keeps the client alive.
    ///
    /// ```no_run
    /// # async fn example(client: kv_proto::driver::Client) {
    /// use kv_proto::ConnectionEvent;
    ///
    /// let mut events = client.events();
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         ConnectionEvent::Connected { server, .. } => println!("now at {server}"),
    ///         ConnectionEvent::Missed(count) => println!("{count} events were missed"),
    ///         event => println!("{event}"),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn events(&self) -> ConnectionEvents {
        let mut state = self.shared().lock();
        ConnectionEvents {
            shared: self.shared().clone(),
            cursor: state.session.connection_events(),
            listener: state.number_listener(),
        }
    }

    /// Measures how long the server takes to answer: a `PING` behind what was to
    /// be written before, and its `PONG`. Without a connection it waits for one.
    ///
    /// # Errors
    ///
    /// [`PingError`](crate::PingError), at the latest after the
    /// [time-out](MeasureRtt::timeout).
    pub fn rtt(&self) -> MeasureRtt {
        MeasureRtt {
            client: self.clone(),
            options: CallOptions::default(),
        }
    }

    /// Returns whether there is a connection.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.shared().lock().session.state()
    }

    /// Returns why the client ended, if it ended without being asked to.
    #[must_use]
    pub fn failure(&self) -> Option<ConnectError> {
        self.shared().lock().session.failure().cloned()
    }

    /// Returns the server of the connection in use.
    #[must_use]
    pub fn server(&self) -> Option<ServerAddr> {
        self.shared().lock().session.server().cloned()
    }

    /// Returns what the server of the connection in use says of itself: name,
    /// version, cluster, domain, our address as it sees it, and more.
    #[must_use]
    pub fn server_info(&self) -> Option<ServerInfo> {
        self.shared().lock().session.server_info().cloned()
    }

    /// Returns the servers known now: those configured, then those that
    /// servers announced.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerAddr> {
        self.shared().lock().session.servers().cloned().collect()
    }

    /// Returns why the last connection ended.
    #[must_use]
    pub fn last_disconnect(&self) -> Option<Disconnect> {
        self.shared().lock().session.last_disconnect().cloned()
    }

    /// Returns the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.shared().lock().session.stats()
    }
}

/// How a client was closed; see [`Client::close`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Requests that were cut short: by the end of
    /// [`Config::close_timeout`](crate::Config::close_timeout), or because the
    /// client had ended before by itself.
    pub unfinished: usize,
}

impl Closed {
    /// Returns whether everything that was asked for was finished.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.unfinished == 0
    }
}

/// A measurement of the round-trip time; see [`Client::rtt`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct MeasureRtt {
    client: Client,
    options: CallOptions,
}

impl MeasureRtt {
    /// Sets the deadline of this request, counted from the time it is awaited.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }
}

impl IntoFuture for MeasureRtt {
    type Output = <Response<Duration> as Future>::Output;
    type IntoFuture = Response<Duration>;

    fn into_future(self) -> Response<Duration> {
        Response::start(self.client.shared(), |session, now| {
            session.ping(now, self.options)
        })
    }
}

/// What happens to the connection of a client; see [`Client::events`].
///
/// Also a [`Stream`]. It ends after [`ConnectionEvent::Closed`]. Whoever reads
/// too slowly is told how many events were [missed](ConnectionEvent::Missed).
#[must_use = "events are told to whoever asks for the next one"]
pub struct ConnectionEvents {
    shared: Arc<Shared>,
    cursor: EventCursor,
    listener: u64,
}

impl ConnectionEvents {
    /// Returns the next event; `None` after the last one. Dropping the future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<ConnectionEvent> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<ConnectionEvent>> {
        let mut state = self.shared.lock();
        let event = state.session.next_connection_event(&mut self.cursor);
        if event.is_none() && state.session.state() != ConnectionState::Closed {
            state.wait_for_event(self.listener, cx);
            return Poll::Pending;
        }
        Poll::Ready(event)
    }
}

impl Drop for ConnectionEvents {
    fn drop(&mut self) {
        self.shared.lock().forget_listener(self.listener);
    }
}

impl Stream for ConnectionEvents {
    type Item = ConnectionEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl fmt::Debug for ConnectionEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionEvents").finish_non_exhaustive()
    }
}
