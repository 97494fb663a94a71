//! A client that was told that its server goes looks for another one in time.

use std::time::Duration;

use super::World;
use crate::violation::Violation;

/// What makes a client's time pass otherwise than the world's, or draws its delay anew.
const EXCUSES: &[&str] = &[
    "F-C1 clock back",
    "F-C1 clock stands",
    "F-S11 INFO storm",
    "F-S11 max_payload",
    "F-S11 no JetStream",
    "F-S11 unreachable servers",
];

/// What an embedder may be late by.
const LATENESS: Duration = Duration::from_millis(200);

impl World<'_> {
    /// Notes who has just been told to leave and can: there is another server, and no other link of theirs.
    pub(super) fn note_told_to_leave(&mut self) {
        let servers = 0..usize::from(self.scenario.profile.servers);
        let others = servers.map(crate::server::ServerId);
        if !others.into_iter().any(|server| self.cluster.is_up(server)) {
            return;
        }
        let open: Vec<usize> = self
            .wires
            .iter()
            .filter(|wire| wire.client_open)
            .map(|wire| wire.client)
            .collect();
        for wire in &mut self.wires {
            let alone = open.iter().filter(|client| **client == wire.client).count() == 1;
            let goes = |conn| self.cluster.is_told_to_leave(conn);
            let news = wire.leave_at.is_none() && wire.told_to_leave.is_none();
            if news && alone && wire.client_open && wire.conn.is_some_and(goes) {
                wire.leave_at = Some(wire.written);
            }
        }
    }

    /// Whoever has known it for long enough has dialled another server since.
    pub(super) fn check_moved(&mut self) {
        if EXCUSES.iter().any(|excuse| self.coverage.has(excuse)) {
            return;
        }
        let clients = &self.scenario.profile.clients;
        let window = clients.reconnect_max_ms.max(clients.reconnect_ms);
        let patience = Duration::from_millis(u64::from(window)) + LATENESS;
        let stays = self.wires.iter().find(|wire| {
            let told = wire.told_to_leave.filter(|_| wire.client_open);
            let dialled = self.clients.get(wire.client).map(|one| one.last_dial);
            told.is_some_and(|told| {
                self.now.saturating_duration_since(told) >= patience
                    && dialled.is_some_and(|dialled| dialled < told)
            })
        });
        if let Some(client) = stays.map(|wire| wire.client) {
            self.broken(Violation::Stayed { client });
        }
    }
}
