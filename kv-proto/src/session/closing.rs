//! The end of a session: in good order, by a deadline, or at once.

use super::{Life, Session};
use crate::connection::ConnectionEvent;
use crate::error::{ConnectError, Disconnect};
use crate::link::State;
use crate::log::debug;
use crate::paths::{Path, took};
use crate::time::Instant;
use crate::timer::Reason;

impl Session {
    /// Accepts no more requests, finishes those that were accepted within
    /// [`Config::close_timeout`](crate::Config::close_timeout), and ends.
    ///
    /// Watches end at once, and their consumers are deleted; what they have
    /// received can still be read, and then
    /// [`WatchError::Closed`](crate::WatchError::Closed). How much was not
    /// finished in time tells [`unfinished`](Self::unfinished).
    pub fn close(&mut self, now: Instant) {
        self.advance_to(now);
        if matches!(self.life, Life::Starting | Life::Running) {
            let at = self.now + self.config.close_timeout;
            self.life = Life::Closing(self.timers.arm(at, Reason::Close));
            self.end_watches();
            self.hint_connection();
            self.finish_if_idle();
        }
    }

    /// Ends at once: every operation ends with what is known of it, and every
    /// link is closed. For embedders whose event loop is going away.
    pub fn abort(&mut self, now: Instant) {
        self.advance_to(now);
        self.finish(None);
    }

    /// Ends a closing session that has nothing left to do, and links that were
    /// replaced and have nothing left to do.
    pub(super) fn finish_if_idle(&mut self) {
        let draining = self.links.iter().find(|link| link.state == State::Draining);
        if let Some(id) = draining.map(|link| link.id) {
            self.end_drained(id);
        }
        if matches!(self.life, Life::Closing(_))
            && !self.ops.any_running()
            && self
                .links
                .iter()
                .all(|link| link.outbox.is_empty() || !link.is_logged_in())
        {
            took(Path::ClosedInTime);
            self.finish(None);
        }
    }

    pub(super) fn finish(&mut self, reason: Option<ConnectError>) {
        match self.life {
            Life::Closed(_) => return,
            Life::Closing(timer) => self.timers.cancel(timer),
            Life::Starting | Life::Running => {}
        }
        debug!("closed");
        self.unfinished = self.ops.unfinished();
        let event = ConnectionEvent::Closed {
            reason: reason.as_ref().map(ConnectError::brief),
        };
        self.life = Life::Closed(reason);
        self.end_watches();
        for op in self.ops.ids() {
            self.end_op(op, crate::kv::step::Ending::Closed);
        }
        self.waiting.clear();
        self.hungry.clear();
        self.swept.clear();
        self.stop_cleaning();
        self.end_silence();
        while let Some(id) = self.links.first().map(|link| link.id) {
            self.end_link(id, Disconnect::Closed);
        }
        if let Some(timer) = self.dial_timer.take() {
            self.timers.cancel(timer);
        }
        self.tell(event);
    }
}
