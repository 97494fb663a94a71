//! Reads what clients are told of their connections, and replaces those that end by themselves.

use std::time::Duration;

use kv_proto::{ConnectError, LinkId, ServerAddr};

use super::World;
use crate::client::{Ended, first_url};
use crate::violation::Violation;

/// How long whoever used a session takes to make another one.
const BREATH: Duration = Duration::from_millis(100);

impl World<'_> {
    /// A client dials: one that keeps the order of its servers begins with the first, and none dials more often
    /// than it shall.
    pub(super) fn check_dial(&mut self, client: usize, link: LinkId, server: &ServerAddr) {
        // Read up to here first: a link that came and went since the last dial makes this one the first again.
        self.follow_events(client);
        let clients = self.scenario.profile.clients;
        let Some(dialler) = self.clients.get_mut(client) else {
            return;
        };
        let is_first = !dialler.has_dialled;
        dialler.has_dialled = true;
        let in_a_row = dialler.ledger.dial(link, &server.to_string());
        let first = first_url(client, &self.scenario.profile);
        // The first attempt can be over before this embedder came to dial.
        let begun = dialler.ledger.first().unwrap_or_default();
        let what = if is_first && !clients.shuffle && !first.ends_with(begun) {
            format!("begins with {begun}, not with {first}")
        } else if clients.max_reconnects > 0 && in_a_row > u32::from(clients.max_reconnects) {
            format!("dials {in_a_row} times in a row")
        } else {
            return;
        };
        self.broken(Violation::DialledWrong { client, what });
    }

    /// Reads what a client has been told since.
    pub(super) fn follow_events(&mut self, id: usize) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if client.ledger.has_read(client.session.connection_events()) {
            return;
        }
        while let Some(event) = client.session.next_connection_event(client.ledger.cursor()) {
            self.trace
                .line(self.now, || format!("client {id} is told: {event}"));
            if let Err(what) = client.ledger.tell(&event) {
                return self.broken(Violation::Mistold { client: id, what });
            }
        }
        let stats = *client.session.stats();
        if !client.ledger.agrees_with(&stats) {
            let what = format!("{stats:?}, of {:?}", client.ledger);
            return self.broken(Violation::Mistold { client: id, what });
        }
        if let Some(error) = client.session.failure().cloned() {
            self.replace(id, &error);
        }
    }

    /// A session has ended by itself: if it had reason to, another one takes its place.
    fn replace(&mut self, id: usize, error: &ConnectError) {
        let clients = &self.scenario.profile.clients;
        let ledger = self.clients.get(id).map(|client| &client.ledger);
        let ended = ledger.and_then(|ledger| ledger.justifies(error, clients));
        let Some(ended) = ended else {
            let reason = format!("{error:?}");
            return self.broken(Violation::GaveUpEarly { client: id, reason });
        };
        let how = match ended {
            Ended::Attempts => "attempts",
            Ended::Credentials => "credentials",
        };
        self.coverage.hit_how("ended by itself", how);
        if let Some(client) = self.clients.get_mut(id) {
            client.end_followers(self.now, true, &mut self.history);
        }
        self.read_watches(id);
        self.abandon(id);
        if self.calm_since.is_some() {
            // Nobody is left to delete what the dead session had.
            self.forget_dead(id);
        }
        self.begin_again(id, self.now + BREATH);
    }
}
