//! What a session has told of its connections, held against what it was seen to do.
//!
//! The world enters each dial; the session's events are read one by one. A dial ends in `Failed`, or in
//! `Connected` and one `Disconnected`; `Closed` is the last word; numbers that are told are those counted here;
//! and a session that ends by itself has had as many failures as it was configured to bear.

use std::collections::BTreeMap;

use kv_proto::{ConnectError, ConnectionEvent, Disconnect, EventCursor, LinkId, Stats};

use crate::profile::Clients;

/// The account of one session.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    cursor: EventCursor,
    /// Links that are not over, and whether they were ready.
    links: BTreeMap<LinkId, bool>,
    active: Option<LinkId>,
    /// The server that was tried first.
    first: Option<String>,
    /// Dials since there last was a link, and those of them that failed.
    dialled: u32,
    failed: u32,
    /// Logins refused by each server since it last let us in.
    refusals: BTreeMap<String, u32>,
    /// The server that refused the last one.
    refused_by: Option<String>,
    counts: [u64; 4],
    missed: bool,
    over: bool,
}

/// How a session ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Too many attempts failed.
    Attempts,
    /// A server refused the credentials too often.
    Credentials,
}

impl Ledger {
    /// A place in the session's events, to ask for the next one from.
    pub(crate) fn cursor(&mut self) -> &mut EventCursor {
        &mut self.cursor
    }

    /// Whether all was read up to that place.
    pub(crate) fn has_read(&self, end: EventCursor) -> bool {
        self.cursor == end
    }

    /// Whether the end was told.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Enters a dial; says how many were made since there last was a link.
    pub(crate) fn dial(&mut self, link: LinkId, server: &str) -> u32 {
        self.links.insert(link, false);
        self.first.get_or_insert_with(|| server.to_owned());
        if self.active.is_none() {
            self.dialled += 1;
        }
        self.dialled
    }

    /// The server that was tried first, if any was.
    pub(crate) fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// Enters what is told; the error says what cannot be told now.
    pub(crate) fn tell(&mut self, event: &ConnectionEvent) -> Result<(), String> {
        if !self.over && self.fits(event) {
            return Ok(());
        }
        Err(format!("{event:?}, of {self:?}"))
    }

    fn fits(&mut self, event: &ConnectionEvent) -> bool {
        match event {
            ConnectionEvent::Connected { link, server } => {
                self.active = Some(*link);
                (self.dialled, self.failed) = (0, 0);
                self.refusals.remove(&server.to_string());
                self.count(0);
                self.links.insert(*link, true) == Some(false)
            }
            ConnectionEvent::Disconnected { link, .. } => {
                self.active = self.active.filter(|active| active != link);
                self.count(1);
                self.links.remove(link) == Some(true)
            }
            ConnectionEvent::Failed {
                link,
                server,
                reason,
                attempts,
            } => {
                if self.active.is_none() {
                    self.failed += 1;
                    self.note_refusal(&server.to_string(), reason);
                }
                self.count(2);
                let known = self.links.remove(link);
                // An embedder that comes too late is not even asked to dial.
                let too_late = known.is_none() && *reason == Disconnect::HandshakeTimedOut;
                self.dialled += u32::from(too_late && self.active.is_none());
                if too_late {
                    self.first.get_or_insert_with(|| server.to_string());
                }
                (known == Some(false) || too_late) && *attempts == self.failed
            }
            ConnectionEvent::LameDuck { link, .. } => {
                self.count(3);
                self.links.get(link) == Some(&true)
            }
            ConnectionEvent::ServerError { link, .. } => self.links.contains_key(link),
            ConnectionEvent::Closed { .. } => {
                self.over = true;
                !self.links.values().any(|ready| *ready)
            }
            ConnectionEvent::Missed(_) => {
                self.missed = true;
                true
            }
            ConnectionEvent::ServersChanged { .. } | _ => true,
        }
    }

    fn count(&mut self, place: usize) {
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
    }

    fn note_refusal(&mut self, server: &str, reason: &Disconnect) {
        let Disconnect::Authentication(text) = reason else {
            return;
        };
        if !text.to_ascii_lowercase().contains("timeout") {
            *self.refusals.entry(server.to_owned()).or_default() += 1;
            self.refused_by = Some(server.to_owned());
        }
    }

    /// Whether the session counts what it has told.
    pub(crate) fn agrees_with(&self, stats: &Stats) -> bool {
        let Stats {
            connects,
            disconnects,
            failed_attempts,
            lame_ducks,
            ..
        } = *stats;
        self.missed || self.counts == [connects, disconnects, failed_attempts, lame_ducks]
    }

    /// Why the session may have ended by itself with this error; `None` if it may not.
    pub(crate) fn justifies(&self, error: &ConnectError, clients: &Clients) -> Option<Ended> {
        match error {
            ConnectError::GaveUp { attempts, .. } => {
                let allowed = u32::from(clients.max_reconnects);
                // A dial can have begun while there still was a link.
                let seen = self.dialled + 1 >= self.failed && self.failed == *attempts;
                (allowed > 0 && seen && *attempts == allowed).then_some(Ended::Attempts)
            }
            ConnectError::Failed(Disconnect::Authentication(_)) => {
                let allowed = u32::from(clients.auth_failures);
                let refusals = self
                    .refused_by
                    .as_ref()
                    .and_then(|by| self.refusals.get(by));
                let borne = refusals.is_some_and(|refusals| *refusals >= allowed);
                (allowed > 0 && borne).then_some(Ended::Credentials)
            }
            ConnectError::Failed(_)
            | ConnectError::InvalidUrl(_)
            | ConnectError::Entropy(_)
            | ConnectError::Closed
            | _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use kv_proto::{Config, Instant, LinkAction, LinkError, LinkErrorKind, Seed, Session};

    /// The events of a session whose first dial failed and whose second one is under way.
    fn life() -> (Vec<LinkId>, Vec<ConnectionEvent>) {
        let config = Config::new("one").expect("a url").retry_first_connect(true);
        let mut session = Session::new(Instant::ORIGIN, config, Seed::from_u64(1));
        let (mut links, mut now) = (Vec::new(), Instant::ORIGIN);
        while links.len() < 2 {
            if let Some(LinkAction::Dial { link, .. }) = session.poll_link() {
                links.push(link);
                let error = LinkError::new(LinkErrorKind::Dial, "");
                if links.len() < 2 {
                    session.handle_closed(now, link, error);
                }
            } else {
                now = session.poll_timeout().expect("a dial is due");
                session.handle_timeout(now);
            }
        }
        session.abort(now);
        let mut cursor = EventCursor::default();
        let next = || session.next_connection_event(&mut cursor);
        (links, std::iter::from_fn(next).collect())
    }

    fn judged(links: &[LinkId], events: &[ConnectionEvent]) -> bool {
        let mut ledger = Ledger::default();
        for link in links {
            ledger.dial(*link, "one:4222");
        }
        events.iter().all(|event| ledger.tell(event).is_ok())
    }

    #[test]
    fn what_was_seen_fits_and_nothing_else() {
        let (links, events) = life();
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(judged(&links, &events));
        assert!(!judged(&[], &events), "never dialled");
        let twice = [events.clone(), events.clone()].concat();
        assert!(!judged(&links, &twice), "after the end");
        let [failed, closed] = &events[..] else {
            panic!("{events:?}");
        };
        assert!(!judged(
            &links,
            &[failed.clone(), failed.clone(), closed.clone()]
        ));
        let ConnectionEvent::Failed {
            link,
            server,
            reason,
            ..
        } = failed.clone()
        else {
            panic!("{failed:?}");
        };
        let lost = ConnectionEvent::Disconnected {
            link,
            server: server.clone(),
            reason,
        };
        assert!(
            !judged(&links, std::slice::from_ref(&lost)),
            "never connected"
        );
        let ready = ConnectionEvent::Connected { link, server };
        assert!(
            !judged(&links, &[ready.clone(), closed.clone()]),
            "left open"
        );
        assert!(judged(&links, &[ready, lost, closed.clone()]));
    }

    #[test]
    fn an_attempt_that_nobody_came_to_dial_is_the_first_too() {
        let (links, events) = life();
        let ConnectionEvent::Failed { link, server, .. } = events[0].clone() else {
            panic!("{events:?}");
        };
        let mut ledger = Ledger::default();
        let reason = Disconnect::HandshakeTimedOut;
        let missed = ConnectionEvent::Failed {
            link,
            server,
            reason,
            attempts: 1,
        };
        assert!(ledger.tell(&missed).is_ok());
        ledger.dial(links[1], "another:4222");
        assert_eq!(ledger.first(), Some("one:4222"));
    }

    #[test]
    fn a_session_ends_only_after_what_it_shall_bear() {
        let (links, events) = life();
        let mut profile = crate::scenario::Scenario::draw(1, crate::Mix::Quiet).profile;
        let mut ledger = Ledger::default();
        ledger.dial(links[0], "one:4222");
        assert!(ledger.tell(&events[0]).is_ok());
        let gave_up = |attempts| ConnectError::GaveUp {
            attempts,
            last: Disconnect::Stale,
        };
        profile.clients.max_reconnects = 1;
        let clients = &profile.clients;
        assert_eq!(
            ledger.justifies(&gave_up(1), clients),
            Some(Ended::Attempts)
        );
        assert_eq!(ledger.justifies(&gave_up(2), clients), None);
        let refused = Disconnect::Authentication("Authorization Violation".into());
        assert_eq!(
            ledger.justifies(&ConnectError::Failed(refused), clients),
            None
        );
        profile.clients.max_reconnects = 2;
        assert_eq!(ledger.justifies(&gave_up(1), &profile.clients), None);
    }
}
