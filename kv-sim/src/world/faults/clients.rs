//! F-C: what befalls clients and their clocks.

use std::time::Duration;

use kv_proto::{ConnectionState, Instant};

use super::{Undo, World};
use crate::mutant::{self, Mutant};

impl World<'_> {
    pub(super) fn jump(&mut self, client: usize, ms: i32) -> Option<()> {
        let client = self.clients.get_mut(client)?;
        client.set_back += Duration::from_millis(u64::from(ms.min(0).unsigned_abs()));
        client.clock.jump(ms);
        client.clock_changed();
        Some(())
    }

    pub(super) fn freeze(&mut self, id: usize, time: Duration) -> Option<()> {
        let client = self.clients.get_mut(id)?;
        client.clock.freeze(self.now);
        client.clock_changed();
        self.later(time, Undo::Thaw(id));
        Some(())
    }

    pub(super) fn be_late(&mut self, client: usize, time: Duration) -> Option<()> {
        let client = self.clients.get_mut(client)?;
        client.late_until = self.now + time;
        client.clock_changed();
        Some(())
    }

    pub(super) fn wake(&mut self, client: usize, count: u8) -> Option<()> {
        for _ in 0..count {
            self.round(client);
        }
        Some(())
    }

    pub(super) fn cancel(&mut self, id: usize, nth: usize) -> Option<()> {
        let client = self.clients.get_mut(id)?;
        let mut open = client.pending.iter().filter(|one| one.call.is_some());
        let chosen = open.nth(nth)?;
        if let Some(call) = chosen.call {
            self.scribe.gives_up(self.now, call, "cancelled");
        }
        let chosen = chosen.ticket.id();
        client.session.cancel(chosen);
        client.pending.retain(|one| one.ticket.id() != chosen);
        self.touch(id);
        Some(())
    }

    /// A session is dropped without a word, and another one takes its place.
    pub(super) fn drop_client(&mut self, id: usize) -> Option<()> {
        self.coverage
            .hit_how("F-C6 client dropped", self.state_of(id)?);
        self.abandon(id);
        if mutant::is(Mutant::ConsumerLeftBehind) {
            let body = br#"{"stream_name":"KV_b","config":{"durable_name":"left"}}"#;
            self.administrate("$JS.API.CONSUMER.DURABLE.CREATE.KV_b.left", "", body);
        }
        self.begin_again(id, self.now)
    }

    /// What a client's connection is doing.
    fn state_of(&self, id: usize) -> Option<&'static str> {
        Some(match self.clients.get(id)?.session.state() {
            ConnectionState::Connecting => "connecting",
            ConnectionState::Connected => "connected",
            ConnectionState::Reconnecting => "reconnecting",
            ConnectionState::Closing | ConnectionState::Closed | _ => "over",
        })
    }

    pub(super) fn close_client(&mut self, id: usize) -> Option<()> {
        self.coverage
            .hit_how("F-C6 client closed", self.state_of(id)?);
        let client = self.clients.get_mut(id)?;
        let local = client.local(self.now);
        client.session.close(local);
        client.end_followers(self.now, true, &mut self.history);
        self.round(id);
        self.abandon(id);
        self.begin_again(id, self.now)
    }

    /// Another session takes the place of a client's, now or later.
    pub(in crate::world) fn begin_again(&mut self, id: usize, at: Instant) -> Option<()> {
        let client = self.clients.get_mut(id)?;
        client.end_followers(self.now, false, &mut self.history);
        client.begin_again(&self.scenario.profile, at);
        self.scribe.begins_again(self.now, id);
        Some(())
    }
}
