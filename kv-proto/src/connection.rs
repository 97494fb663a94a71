//! What happens to a client's connection, told: events, and the log that keeps
//! the newest of them.
//!
//! Whoever wants to know holds a cursor of its own and reads at its own pace.
//! The log is bounded and waits for nobody: who is too slow is told how much was
//! missed. So any number of readers costs the same, and none of them can stop
//! another, or the client.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;

use crate::error::{ConnectError, Disconnect, LinkError};
use crate::limits::{MAX_CONNECTION_EVENTS, MAX_EVENT_TEXT};
use crate::link::LinkId;
use crate::server::ServerAddr;
use crate::text;

/// Something that happened to a client's connection.
///
/// Events inform: whoever ignores them misses nothing that the client does by
/// itself. Texts that come from a server are cut to
/// [`MAX_EVENT_TEXT`](crate::limits::MAX_EVENT_TEXT) bytes; no event holds
/// credentials.
///
/// Each link that was [`Connected`](Self::Connected) is
/// [`Disconnected`](Self::Disconnected) once; one that could not be made is
/// [`Failed`](Self::Failed) instead, unless the client was closed meanwhile. A
/// client that moves to another server has two links for a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// Logged in: requests are sent to this server from now on.
    Connected {
        /// The link that was made.
        link: LinkId,
        /// Where it leads.
        server: ServerAddr,
    },
    /// A connection is over. Another one is made, unless the client ends.
    Disconnected {
        /// The link that ended.
        link: LinkId,
        /// Where it led.
        server: ServerAddr,
        /// Why it ended.
        reason: Disconnect,
    },
    /// An attempt to connect has failed. It is repeated, unless the client ends.
    Failed {
        /// The link that could not be made.
        link: LinkId,
        /// Where it should have led.
        server: ServerAddr,
        /// Why it could not be made.
        reason: Disconnect,
        /// How many attempts in a row have failed since there last was a
        /// connection, as [`Config::max_reconnects`](crate::Config::max_reconnects)
        /// counts them; 0 while there is one.
        attempts: u32,
    },
    /// The server has announced that it will shut down. The client moves to
    /// another one, if it knows any.
    LameDuck {
        /// The link that will end.
        link: LinkId,
        /// The server that goes.
        server: ServerAddr,
    },
    /// The server reported an error, and the connection goes on.
    ServerError {
        /// The link on which it was said.
        link: LinkId,
        /// The server that said it.
        server: ServerAddr,
        /// What it said (the text of `-ERR`).
        text: String,
    },
    /// Servers announced others than before; all that are known are in
    /// [`Session::servers`](crate::Session::servers).
    ServersChanged {
        /// How many came.
        added: usize,
        /// How many went.
        removed: usize,
    },
    /// The client has ended. Nothing follows.
    Closed {
        /// Why, if it was not asked to.
        reason: Option<ConnectError>,
    },
    /// So many events were told while this reader did not listen, and are lost
    /// to it.
    Missed(u64),
}

impl fmt::Display for ConnectionEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { server, .. } => write!(f, "connected to {server}"),
            Self::Disconnected { server, reason, .. } => {
                write!(f, "disconnected from {server}: {reason}")
            }
            Self::Failed { server, reason, .. } => {
                write!(f, "cannot connect to {server}: {reason}")
            }
            Self::LameDuck { server, .. } => write!(f, "{server} will shut down"),
            Self::ServerError { server, text, .. } => write!(f, "{server} says: {text}"),
            Self::ServersChanged { added, removed } => {
                write!(f, "servers announced: {added} came, {removed} went")
            }
            Self::Closed { reason: None } => f.write_str("closed"),
            Self::Closed {
                reason: Some(reason),
            } => write!(f, "ended: {reason}"),
            Self::Missed(count) => write!(f, "{count} events were missed"),
        }
    }
}

/// How far a reader of connection events has come; see
/// [`Session::next_connection_event`](crate::Session::next_connection_event).
///
/// The default stands before the first event of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventCursor(u64);

/// The newest events of a session.
#[derive(Debug, Default)]
pub(crate) struct ConnectionLog {
    events: VecDeque<ConnectionEvent>,
    /// How many came before those.
    gone: u64,
}

impl ConnectionLog {
    pub(crate) fn push(&mut self, event: ConnectionEvent) {
        if self.events.len() >= MAX_CONNECTION_EVENTS {
            self.events.pop_front();
            self.gone += 1;
        }
        self.events.push_back(event);
    }

    /// The place behind the newest event.
    pub(crate) fn end(&self) -> EventCursor {
        let held = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        EventCursor(self.gone.saturating_add(held))
    }

    /// The event at a reader's place, which moves behind it.
    pub(crate) fn next(&self, cursor: &mut EventCursor) -> Option<ConnectionEvent> {
        if cursor.0 < self.gone {
            let missed = self.gone - cursor.0;
            cursor.0 = self.gone;
            return Some(ConnectionEvent::Missed(missed));
        }
        let at = usize::try_from(cursor.0 - self.gone).ok()?;
        let event = self.events.get(at)?.clone();
        cursor.0 += 1;
        Some(event)
    }
}

/// What an event tells of a text.
pub(crate) fn brief(text: &str) -> String {
    text::beginning(text, MAX_EVENT_TEXT).into()
}

impl Disconnect {
    /// The same with texts of bounded length.
    pub(crate) fn brief(&self) -> Self {
        match self {
            Self::Transport(error) => {
                Self::Transport(LinkError::new(error.kind(), brief(error.detail())))
            }
            Self::Server(text) => Self::Server(brief(text)),
            Self::Authentication(text) => Self::Authentication(brief(text)),
            Self::NoChallenge
            | Self::Requires(_)
            | Self::NoTls
            | Self::InClear
            | Self::Protocol(_)
            | Self::HandshakeTimedOut
            | Self::Stale
            | Self::LameDuck
            | Self::Closed => self.clone(),
        }
    }
}

impl ConnectError {
    /// The same with texts of bounded length.
    pub(crate) fn brief(&self) -> Self {
        match self {
            Self::Failed(last) => Self::Failed(last.brief()),
            Self::GaveUp { attempts, last } => Self::GaveUp {
                attempts: *attempts,
                last: last.brief(),
            },
            Self::InvalidUrl(_) | Self::Entropy(_) | Self::Closed => self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(number: usize) -> ConnectionEvent {
        ConnectionEvent::ServersChanged {
            added: number,
            removed: 0,
        }
    }

    proptest! {
        /// Law: whoever reads is told every event once and in order, but for those that it is told it
        /// missed; whatever others do.
        #[test]
        fn readers_are_told_everything_or_how_much_they_missed(
            steps in proptest::collection::vec((0_usize..300, 0_usize..300), 0..30)
        ) {
            let mut log = ConnectionLog::default();
            let (mut slow, mut quick) = (EventCursor::default(), EventCursor::default());
            let (mut told, mut expected) = (0, 0);
            for (pushes, reads) in steps {
                for _ in 0..pushes {
                    log.push(event(told));
                    prop_assert_eq!(log.next(&mut quick), Some(event(told)));
                    prop_assert_eq!(log.next(&mut quick), None);
                    told += 1;
                }
                for _ in 0..reads {
                    match log.next(&mut slow) {
                        Some(ConnectionEvent::Missed(count)) => {
                            expected += usize::try_from(count).unwrap();
                            prop_assert_eq!(expected, told - MAX_CONNECTION_EVENTS);
                        }
                        Some(found) => {
                            prop_assert_eq!(found, event(expected));
                            expected += 1;
                        }
                        None => prop_assert_eq!(expected, told),
                    }
                }
                prop_assert_eq!(log.end(), quick);
            }
        }

        /// Law: whatever a server says, what is kept of it is bounded, and the beginning of it.
        #[test]
        fn texts_are_cut_between_characters(text in ".{0,600}") {
            let kept = brief(&text);
            prop_assert!(kept.len() <= MAX_EVENT_TEXT && text.starts_with(&kept));
            prop_assert!(kept.len() + 4 > text.len().min(MAX_EVENT_TEXT));
        }
    }
}
