//! What can be learned of the connection, and asked of it.

use core::time::Duration;

use super::{ConnectionState, Event, Life, Session};
use crate::connection::{ConnectionEvent, EventCursor};
use crate::error::{ConnectError, Disconnect, Refused};
use crate::kv::Machine;
use crate::link::{Link, LinkId};
use crate::op::{Op, Output, Phase};
use crate::options::CallOptions;
use crate::server::ServerAddr;
use crate::stats::Stats;
use crate::time::Instant;
use crate::wire::ServerInfo;

/// The connection.
impl Session {
    /// Returns whether there is a connection.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        match (&self.life, self.active) {
            (Life::Closed(_), _) => ConnectionState::Closed,
            (Life::Closing(_), _) => ConnectionState::Closing,
            (_, Some(_)) => ConnectionState::Connected,
            (Life::Starting, None) => ConnectionState::Connecting,
            (Life::Running, None) => ConnectionState::Reconnecting,
        }
    }

    /// Returns why the session ended, if it ended without being asked to.
    #[must_use]
    pub const fn failure(&self) -> Option<&ConnectError> {
        match &self.life {
            Life::Closed(reason) => reason.as_ref(),
            Life::Starting | Life::Running | Life::Closing(_) => None,
        }
    }

    /// Returns how many operations were cut short by the end of the session; 0
    /// while it runs. Each has ended with what is known of it.
    #[must_use]
    pub const fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Returns why the last link ended.
    #[must_use]
    pub const fn last_disconnect(&self) -> Option<&Disconnect> {
        self.last_disconnect.as_ref()
    }

    /// Returns the server of the connection in use.
    #[must_use]
    pub fn server(&self) -> Option<&ServerAddr> {
        self.active_link().map(|link| &link.addr)
    }

    /// Returns what the server of the connection in use says of itself: name,
    /// version, cluster, domain, our address as it sees it, and more.
    #[must_use]
    pub fn server_info(&self) -> Option<&ServerInfo> {
        self.active_link().map(Link::info)
    }

    /// Returns how long the server in use took to answer the last `PING`, of
    /// those that the session sends by itself too.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.active_link()?.rtt()
    }

    /// Returns the servers known now: those configured, then those that
    /// servers announced.
    pub fn servers(&self) -> impl Iterator<Item = &ServerAddr> {
        self.pool.servers()
    }

    /// Returns the counters.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Asks the server for a sign of life and measures how long that takes,
    /// behind what was to be written before. Lost with a connection, the question
    /// is asked again on the next one.
    ///
    /// # Errors
    ///
    /// [`Refused`] by this session.
    pub fn ping(&mut self, now: Instant, options: CallOptions) -> Result<Op<Duration>, Refused> {
        let id = self.start(now, Machine::Ping, options.timeout)?;
        Ok(Op::new(id))
    }

    // ---- events -----------------------------------------------------------

    /// Returns the event at a reader's place, which moves behind it; `None` if
    /// nothing has happened since. There can be any number of readers.
    ///
    /// The newest [`MAX_CONNECTION_EVENTS`](crate::limits::MAX_CONNECTION_EVENTS)
    /// are kept; a reader that comes later is told how many it
    /// [missed](ConnectionEvent::Missed).
    ///
    /// ```
    /// use kv_proto::{ConnectionEvent, EventCursor, Session};
    ///
    /// fn report(session: &Session, cursor: &mut EventCursor) {
    ///     while let Some(event) = session.next_connection_event(cursor) {
    ///         match event {
    ///             ConnectionEvent::Failed { attempts, .. } if attempts < 10 => {}
    ///             event => println!("{event}"),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn next_connection_event(&self, cursor: &mut EventCursor) -> Option<ConnectionEvent> {
        self.log.next(cursor)
    }

    /// Returns the place of a reader that wants to know what happens from now on.
    #[must_use]
    pub fn connection_events(&self) -> EventCursor {
        self.log.end()
    }

    pub(super) fn tell(&mut self, event: ConnectionEvent) {
        self.log.push(event);
        self.hint_connection();
    }

    pub(super) fn hint_connection(&mut self) {
        if !self.connection_hinted {
            self.connection_hinted = true;
            self.events.push_back(Event::Connection);
        }
    }

    // ---- pings ------------------------------------------------------------

    /// The server has answered the `PING` that begins there: perhaps somebody asked.
    pub(super) fn end_ping(&mut self, id: LinkId, start: u64, rtt: Duration) {
        let is_it = |op: &crate::op::OpId| {
            let pings =
                |running: &crate::op::Running| matches!(running.machine, Some(Machine::Ping));
            let sent = self.sent_on(*op, id);
            sent.is_some_and(|span| span.start() == start) && self.ops.get(*op).is_some_and(pings)
        };
        let Some(op) = self.ops.ids().into_iter().find(is_it) else {
            return;
        };
        if let Some(Phase::Sent { token, .. }) = self.ops.get(op).map(|running| &running.phase)
            && let Some(link) = self.links.iter_mut().find(|link| link.id == id)
        {
            link.mux.complete(*token, None);
        }
        self.end(op, Output::Pinged(Ok(rtt)));
        self.end_drained(id);
    }
}
