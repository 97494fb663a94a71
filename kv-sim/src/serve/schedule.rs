//! When which calamity comes, and what it does.

use std::time::Duration;

use kv_proto::Instant;

use super::fault::Calamity;
use crate::server::{Cluster, Election, InFlight, ServerId};

/// How long a stream has no leader.
const LEADERLESS: Duration = Duration::from_secs(1);

/// The calamities that are to come.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    calamity: Calamity,
    every: Duration,
    due: Instant,
    /// How often it came, which tells whose turn it is.
    turn: usize,
}

impl Schedule {
    pub(super) fn add(&mut self, calamity: Calamity, every: Duration, now: Instant) {
        let due = now + every;
        self.entries.push(Entry {
            calamity,
            every,
            due,
            turn: 0,
        });
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.entries.iter().map(|entry| entry.due).min()
    }

    /// Lets happen what is due; what was missed by a machine that slept happens once.
    pub(super) fn handle_timeout(&mut self, cluster: &mut Cluster, now: Instant) {
        for entry in self.entries.iter_mut().filter(|entry| entry.due <= now) {
            let server = ServerId(entry.turn % cluster.servers().max(1));
            entry.turn = entry.turn.wrapping_add(1);
            entry.due = now + entry.every;
            befall(entry.calamity, entry.every, cluster, server, now);
        }
    }
}

/// Ends all connections without a word.
pub(super) fn disconnect_all(cluster: &mut Cluster, now: Instant) {
    for conn in cluster.connection_ids() {
        cluster.disconnect(now, conn, None);
    }
}

fn befall(what: Calamity, every: Duration, cluster: &mut Cluster, server: ServerId, now: Instant) {
    match what {
        Calamity::Disconnect => disconnect_all(cluster, now),
        Calamity::Restart => cluster.restart(now, server, false),
        Calamity::Lag => cluster.lag(now, server, every),
        Calamity::Rewind => for_each_stream(cluster, |cluster, name| cluster.rewind(now, name, 1)),
        Calamity::Recreate => for_each_stream(cluster, |cluster, name| cluster.recreate(now, name)),
        Calamity::Elect => {
            let election = Election {
                leaderless: LEADERLESS,
                in_flight: InFlight::CommittedUnacknowledged,
                old_leader_answers: Duration::ZERO,
            };
            for_each_stream(cluster, |cluster, name| cluster.elect(now, name, election));
        }
    }
}

fn for_each_stream(cluster: &mut Cluster, mut action: impl FnMut(&mut Cluster, &str)) {
    for name in cluster.stream_names() {
        action(cluster, &name);
    }
}
