//! Which client made which consumer, and whether it asks for more of them than it has reasons to, or leaves
//! them behind.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_proto::Instant;

use super::World;
use crate::server::{ConnId, MadeConsumer};
use crate::violation::Violation;

/// Who made which consumer, by its name.
pub(super) type Makers = BTreeMap<String, Maker>;

/// Who made a consumer.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    client: usize,
    life: u32,
    conn: ConnId,
    at: Instant,
    deliver: String,
    /// The request came over a link that the client had given up, and another one stood: a deletion may have
    /// overtaken it.
    late: bool,
}

/// Who is connected for so long in fair weather has deleted what it does not need: the servers' answers are
/// lost no more, and it asks again every other second.
const TIME_TO_DELETE: Duration = Duration::from_secs(15);
/// Clients forget a deletion that was not confirmed for so long.
const REMEMBERED: Duration = Duration::from_secs(60);
/// What keeps a client from deleting a consumer, from listening to it, or from remembering it.
const EXCUSES: &[&str] = &[
    "F-S16 denied: consumers",
    "F-S16 denied: inbox",
    "F-S5 API error",
    "F-S5 API error, done",
    "F-C1 clock back",
    "F-C1 clock forward",
    "F-C1 clock stands",
];

impl World<'_> {
    /// Notes which faults have met something, and what became of consumers.
    pub(super) fn note_consumers(&mut self) {
        while let Some(fault) = self.cluster.poll_met() {
            self.note_met(fault);
            self.trace.line(self.now, || format!("    met: {fault}"));
        }
        while let Some(conn) = self.cluster.poll_asking() {
            let wire = self.wires.iter().find(|wire| wire.conn == Some(conn));
            let asking =
                wire.and_then(|wire| Some((self.clients.get_mut(wire.client)?, wire.life)));
            if let Some((client, _)) = asking.filter(|(client, life)| client.life == *life) {
                client.consumers_asked += 1;
            }
        }
        while let Some(made) = self.cluster.poll_made() {
            self.note_made(made);
        }
        while let Some(name) = self.cluster.poll_expired() {
            self.trace
                .line(self.now, || format!("    consumer {name} expires"));
            self.scribe
                .notes(self.now, || format!("consumer {name} expires"));
            self.note_expired(&name);
        }
    }

    fn note_made(&mut self, made: MadeConsumer) {
        self.trace.line(self.now, || {
            format!("    consumer {} delivers to {}", made.name, made.deliver)
        });
        self.scribe
            .notes(self.now, || format!("consumer {}", made.name));
        let Some(wire) = self.wires.iter().find(|wire| wire.conn == Some(made.by)) else {
            return;
        };
        let (client, life) = (wire.client, wire.life);
        if let Some(making) = self.clients.get_mut(client).filter(|one| one.life == life) {
            making.consumers_made += 1;
        }
        let mut wires = self.wires.iter();
        let late = wires.any(|wire| {
            let other = wire.conn.is_some_and(|conn| conn != made.by);
            other && wire.client_open && (wire.client, wire.life) == (client, life)
        });
        let maker = Maker {
            client,
            life,
            conn: made.by,
            at: self.now,
            deliver: made.deliver,
            late,
        };
        // A request that is sent again makes it again, but the same one.
        let other = |before: &Maker| before.deliver != maker.deliver;
        let reused = self.makers.get(&made.name).is_some_and(other);
        let name = made.name.clone();
        self.makers.insert(made.name, maker);
        // Clients that draw the same numbers name their consumers alike.
        if reused && !self.scenario.profile.clients.twins {
            self.broken(Violation::ConsumerNameReused { client, name });
        }
    }

    /// A consumer ended because nobody had listened to it for long: whoever made it is to have deleted it.
    fn note_expired(&mut self, name: &str) {
        let Some(maker) = self.makers.get(name) else {
            return;
        };
        let of_maker = |client: usize, life: u32| client == maker.client && life == maker.life;
        let lives = self
            .clients
            .get(maker.client)
            .is_some_and(|client| of_maker(client.id, client.life));
        let long = |since: Instant| since + TIME_TO_DELETE <= self.now;
        let mut wires = self.wires.iter().filter(|wire| {
            wire.client_open && wire.conn.is_some() && of_maker(wire.client, wire.life)
        });
        // A request to make it may have come late, over a link that was given up.
        let knows = wires.any(|wire| {
            let in_time = wire.conn == Some(maker.conn) || maker.at <= wire.since;
            in_time && long(wire.since) && !wire.is_half_dead()
        });
        let calm = self.calm_since.is_some_and(long);
        let forgotten = maker.at + REMEMBERED <= self.now;
        let excused = maker.late || EXCUSES.iter().any(|excuse| self.coverage.has(excuse));
        if lives && knows && calm && !forgotten && !excused {
            let client = maker.client;
            let what = format!("consumer {name} of client {client}, which expired");
            self.broken(Violation::LeftBehind { what });
        }
    }

    /// How much all watches of a client have told.
    fn told_to(&self, client: usize) -> usize {
        let watches = self.history.watches.iter();
        let of_client = watches.filter(|watch| watch.client == client);
        of_client.map(|watch| watch.told.len()).sum()
    }

    /// Nobody asks for a consumer again and again: who was refused rests, longer and longer.
    pub(super) fn check_asked(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        let faults = self.work.faults;
        for client in &self.clients {
            let watches = self.history.watches.iter();
            let watches = watches.filter(|watch| watch.client == client.id).count() as u64;
            let told = self.told_to(client.id) as u64;
            let asked = client.consumers_asked;
            let in_vain = asked.saturating_sub(client.consumers_made);
            // Each connection can end before it is answered.
            let connects = client.session.stats().connects;
            let bounds = [
                (in_vain, IN_VAIN + (4 + connects) * watches),
                // Small buffers can cost one for each update, faults one for each watch.
                (asked, IN_VAIN + 2 * told + (5 + faults) * watches),
            ];
            if let Some((asked, bound)) = bounds.into_iter().find(|(asked, most)| asked > most) {
                let client = client.id;
                return self.broken(Violation::TooManyConsumers {
                    client,
                    asked,
                    bound,
                });
            }
        }
    }

    /// Lets some heartbeats pass: who has nothing to catch up with asks for no consumer, but in the place of
    /// one whose end it has just noticed.
    pub(super) fn check_quiet(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        let count = |world: &Self| -> Vec<(u64, usize)> {
            let clients = world.clients.iter();
            let counts = clients.map(|one| (one.consumers_asked, world.told_to(one.id)));
            counts.collect()
        };
        let before = count(self);
        let followers = self.clients.iter().flat_map(|client| &client.followers);
        let heartbeats = followers.map(|one| one.asked.heartbeat);
        let Some(slowest) = heartbeats.filter(|one| *one <= SHORT).max() else {
            return;
        };
        self.run_until(self.now + BEATS * slowest);
        let counts = before.into_iter().zip(count(self));
        for (client, (before, after)) in self.clients.iter().zip(counts) {
            // Where there is no room, each update can cost a consumer.
            let told = after.1 - before.1;
            let bound = told + ONCE_AND_AGAIN * client.followers.len();
            let bound = u64::try_from(bound).unwrap_or(u64::MAX);
            let asked = after.0 - before.0;
            if asked > bound && self.violations.is_empty() {
                let client = client.id;
                return self.broken(Violation::TooManyConsumers {
                    client,
                    asked,
                    bound,
                });
            }
        }
    }
}

/// How often a client asks in vain, while servers cannot make consumers, beside a few times for each watch.
const IN_VAIN: u64 = 20;
/// Heartbeats that are short enough to wait for some.
const SHORT: Duration = Duration::from_secs(1);
const BEATS: u32 = 6;
const ONCE_AND_AGAIN: usize = 2;
