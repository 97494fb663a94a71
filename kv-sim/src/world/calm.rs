//! After the storm: everything heals, and everything must come to rest in bounded time.

use std::time::Duration;

use kv_proto::{ConnectionState, Disconnect};

use super::World;
use super::faults::UNREACHABLE;
use crate::history::{Answer, CallId, Cause, Record};
use crate::oracle::STREAM;
use crate::picture::Side;
use crate::scenario::Ask;
use crate::server::{Change, ReplyFault};
use crate::violation::Violation;

/// Enough for one request and its answer in fair weather.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether all has come to rest.
const LOOK: Duration = Duration::from_millis(50);
/// The keys that are written after the storm, one for each client.
const PROBES: u8 = 200;

/// The faults that make a server miss a client's bytes for longer than it waits.
const SILENCES: &[&str] = &["F-N2 clog", "F-N4 half-open", "F-N5 stall", "F-S12 -ERR"];

/// The faults that last as long as a connection does.
const DENIALS: &[&str] = &[
    "F-S16 denied",
    "F-S16 denied: consumers",
    "F-S16 denied: inbox",
];

impl World<'_> {
    pub(super) fn calm_down(&mut self) {
        self.trace.line(self.now, || "calm".into());
        self.scribe.heals(self.now);
        self.scribe.phase(self.now, "calm: every fault ends");
        self.next_step = self.scenario.steps.len();
        self.heal();
        self.calm_since = Some(self.now);
        if SILENCES.iter().any(|silence| self.coverage.has(silence)) {
            // What was silent may still be given up for dead.
            let ping = Duration::from_millis(u64::from(self.scenario.profile.clients.ping_ms));
            let set_back = self.clients.iter().map(|client| client.set_back).max();
            self.run_until(self.now + ping * 5 + set_back.unwrap_or_default());
        }
        self.wait_for_readers();
        self.make_room();
        self.run_while(self.time_to_settle(), |world| !world.is_settled());
        if self.scenario.profile.hostile {
            self.close_all();
            self.work.reached_calm = self.violations.is_empty();
            return;
        }
        self.check_settled();
        self.wake_readers();
        self.run_while(self.time_to_settle(), |world| !world.is_settled());
        self.check_settled();
        self.probe();
        self.ask_into_silence();
        self.catch_up();
        self.check_quiet();
        self.check_asked();
        self.check_usage();
        self.check_spin();
        self.close_all();
        self.work.reached_calm = self.violations.is_empty();
    }

    /// Ends every fault. Connections that are half dead stay so: nobody heals them but their ends.
    fn heal(&mut self) {
        self.undo_all();
        self.forget_lateness();
        self.cluster.calm(self.now);
        for server in 0..usize::from(self.scenario.profile.servers) {
            let server = crate::server::ServerId(server);
            if !self.cluster.is_up(server) {
                self.cluster.restart(self.now, server, true);
            }
        }
        if !self.cluster.has_stream(STREAM) {
            self.create_bucket_without_direct_reads();
        }
        for wire in &mut self.wires {
            wire.up.heal(self.now);
            wire.down.heal(self.now);
            wire.write_fails = false;
        }
        self.end_denied();
        self.collect();
        for client in 0..self.clients.len() {
            self.touch(client);
        }
    }

    /// Closes connections that still lack a permission or may hold a limit that was lifted while they logged in,
    /// and those that only a server believes in.
    fn end_denied(&mut self) {
        for client in 0..self.clients.len() {
            self.forget_dead(client);
        }
        let denied = DENIALS.iter().any(|name| self.coverage.has(name));
        for wire in &self.wires {
            if let Some(conn) = wire.conn
                && (denied || wire.is_unsure_of_limit())
            {
                self.cluster.disconnect(self.now, conn, None);
            }
        }
        self.sweep();
    }

    /// Lets servers forget the connections of a client that only they believe in: by themselves they notice after
    /// minutes.
    pub(super) fn forget_dead(&mut self, client: usize) {
        for wire in &mut self.wires {
            let is_over = !wire.client_open && wire.up.is_dead();
            if wire.client == client
                && is_over
                && let Some(conn) = wire.conn.take()
            {
                self.scribe
                    .ended(self.now, wire.drawn, Side::Server, "forgets it");
                self.cluster.handle_closed(self.now, conn);
            }
        }
        self.sweep();
    }

    /// Lets everything happen while something holds, but not longer than so long.
    pub(super) fn run_while(&mut self, time: Duration, holds: impl Fn(&Self) -> bool) {
        let end = self.now + time;
        while self.now < end && self.violations.is_empty() && holds(self) {
            self.run_until(end.min(self.now + LOOK));
        }
    }

    /// Whether everybody is connected, has the bucket and waits for nothing, on links that live.
    fn is_settled(&self) -> bool {
        let rests = self.clients.iter().all(|client| {
            client.pending.is_empty()
                && client.binding.is_some()
                && client.session.state() == ConnectionState::Connected
        });
        let rests =
            rests && (0..self.clients.len()).all(|client| self.unsettled_watch(client).is_none());
        let served = self.cluster.leader(STREAM).is_some() && self.cluster.shows(STREAM).is_none();
        rests
            && served
            && self
                .wires
                .iter()
                .all(|wire| wire.conn.is_some() && !wire.is_half_dead())
    }

    fn is_waiting(&self) -> bool {
        self.clients.iter().any(|client| !client.pending.is_empty())
    }

    fn is_closed(&self) -> bool {
        let mut clients = self.clients.iter();
        let closed = clients.all(|one| one.session.state() == ConnectionState::Closed);
        closed && self.wires.is_empty()
    }

    /// The longest that recovery may take: silence has to be noticed, then every server may be tried.
    fn time_to_settle(&self) -> Duration {
        let profile = &self.scenario.profile;
        let millis = |ms: u32| Duration::from_millis(u64::from(ms));
        let clients = &profile.clients;
        let mut rounds = u32::from(profile.servers) + 2;
        if self.coverage.has("F-S11 unreachable servers") {
            rounds += UNREACHABLE.len() as u32;
        }
        let attempt =
            millis(clients.connect_ms) + millis(clients.reconnect_max_ms.max(clients.reconnect_ms));
        let latency = Duration::from_micros(u64::from(profile.net.latency_us));
        // A session's time stands still until its clock is back where it was.
        let set_back = self.clients.iter().map(|client| client.set_back).max();
        set_back.unwrap_or_default()
            + self.time_to_watch()
            + millis(clients.ping_ms) * 6
            + attempt * rounds
            + millis(clients.request_ms.max(5_000)) * 2
            + latency * 64
            + Duration::from_secs(2)
    }

    fn check_settled(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        for at in 0..self.clients.len() {
            let Some(client) = self.clients.get(at) else {
                continue;
            };
            let state = client.session.state();
            let open = client.pending.iter().find(|one| one.call.is_some());
            let what = if let Some(open) = open {
                Some(format!("{:?} is still open", open.call))
            } else if state != ConnectionState::Connected {
                Some(format!(
                    "{state:?}, last {:?}",
                    client.session.last_disconnect()
                ))
            } else if client.binding.is_none() {
                Some("has no bucket".into())
            } else {
                self.unsettled_watch(at)
            };
            let protocol_errors = client.session.stats().protocol_errors;
            let reason = client.session.last_disconnect().cloned();
            if let Some(what) = what {
                return self.broken(Violation::Unsettled { client: at, what });
            }
            if protocol_errors > 0 {
                let reason = format!("{reason:?}");
                return self.broken(Violation::UncausedDisconnect { client: at, reason });
            }
            self.check_reason(at, reason);
        }
    }

    /// A connection ends for a reason that the run has given.
    fn check_reason(&mut self, client: usize, reason: Option<Disconnect>) {
        let cause: &[&str] = match &reason {
            Some(Disconnect::Authentication(text)) if text.contains("Timeout") => SILENCES,
            Some(Disconnect::Authentication(_)) => &["F-S12 logins refused", "F-S12 -ERR"],
            Some(Disconnect::Server(text)) if text.starts_with("Stale") => SILENCES,
            Some(Disconnect::Server(_)) => &["F-S12 -ERR", "F-S11 max_payload"],
            Some(Disconnect::LameDuck) => &["F-S11 lame duck"],
            Some(
                Disconnect::Requires(_)
                | Disconnect::NoTls
                | Disconnect::InClear
                | Disconnect::Protocol(_),
            ) => &[],
            _ => return,
        };
        if !cause.iter().any(|cause| self.coverage.has(cause)) {
            let reason = format!("{reason:?}");
            self.broken(Violation::UncausedDisconnect { client, reason });
        }
    }

    /// Everybody writes a key of its own and reads one, and all keys are read: now it must work.
    fn probe(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        let first = self.history.next_id();
        let clients = self.clients.len();
        for client in 0..clients {
            let key = PROBES.saturating_add(u8::try_from(client).unwrap_or(0));
            self.ask_calmly(client, Ask::Put { key, size: 20 });
            self.ask_calmly(client, Ask::Get { key: 0 });
        }
        for key in 0..self.scenario.profile.keys {
            let reader = usize::from(key) % clients.max(1);
            self.ask_calmly(reader, Ask::GetLeader { key });
        }
        self.run_while(PATIENCE, Self::is_waiting);
        let doubtful = self.judge_probes(first);
        self.probe_stale(first);
        for client in doubtful {
            // A stream that lost its end can make a client doubt the first acknowledgement, not the second.
            let again = self.history.next_id();
            let key = PROBES.saturating_sub(1);
            self.call(client, 20_000, Ask::Put { key, size: 20 });
            self.run_while(PATIENCE, Self::is_waiting);
            if let Some(client) = self.judge_probes(again).pop() {
                let what = "doubts for ever".into();
                return self.broken(Violation::Unsettled { client, what });
            }
        }
    }

    /// The answer to a question is lost, and its connection lives: it is asked again, long before its deadline.
    fn ask_into_silence(&mut self) {
        let Some(id) = self.violations.is_empty().then(|| self.history.next_id()) else {
            return;
        };
        self.cluster.disturb_reply(ReplyFault::Lost);
        self.call(0, 20_000, Ask::GetLeader { key: 0 });
        self.run_while(PATIENCE, Self::is_waiting);
        self.cluster.calm(self.now);
        let answer = self
            .history
            .record(id)
            .and_then(|record| record.answer.clone());
        let answered = matches!(
            answer,
            Some((
                _,
                Answer::Absent | Answer::Found { .. } | Answer::Malformed(_) | Answer::Stale { .. }
            ))
        );
        if !answered {
            self.broken(Violation::Unanswered { call: id });
        }
    }

    /// Whether a leader was elected that lacked what was committed.
    fn has_lost_its_end(&self) -> bool {
        let mut journal = self.cluster.journal().iter();
        journal.any(|event| matches!(event.change, Change::Rewound { .. }))
    }

    /// A stream of several replicas that lost its end shows less than clients know, who believe it in the end.
    fn probe_stale(&mut self, first: CallId) {
        let from = usize::try_from(first.0).unwrap_or(0);
        let probes = self.history.calls.get(from..).unwrap_or_default();
        let is_stale = |record: &&Record| matches!(record.answer, Some((_, Answer::Stale { .. })));
        let stale: Vec<(usize, u8)> = probes
            .iter()
            .filter(is_stale)
            .map(|record| (record.client, record.key))
            .collect();
        if stale.is_empty() || !self.violations.is_empty() {
            return;
        }
        let again = self.history.next_id();
        for (client, key) in stale {
            self.ask_calmly(client, Ask::Get { key });
        }
        self.run_while(PATIENCE, Self::is_waiting);
        let from = usize::try_from(again.0).unwrap_or(0);
        let mut probes = self.history.calls.iter().skip(from);
        if let Some(client) = probes.find(is_stale).map(|record| record.client) {
            let what = "finds the bucket stale for ever".into();
            self.broken(Violation::Unsettled { client, what });
        }
    }

    /// Asks for something that must work; waits for it where there is no room for two.
    fn ask_calmly(&mut self, client: usize, ask: Ask) {
        self.call(client, 20_000, ask);
        if self.scenario.profile.clients.small_limits {
            self.run_while(PATIENCE, Self::is_waiting);
        }
    }

    /// What was asked for after the storm has worked; returns the clients that doubt an acknowledgement.
    fn judge_probes(&mut self, first: CallId) -> Vec<usize> {
        let from = usize::try_from(first.0).unwrap_or(0);
        let full = self.scenario.profile.bucket.max_bytes > 0;
        let anew = [
            "F-S1 restart, memory lost",
            "F-S2 rewind",
            "F-S3 re-created",
            "F-S3 re-created behind a call",
        ];
        let rewound = anew.iter().any(|fault| self.coverage.has(fault));
        // What a leader shows can be less than what clients know.
        let reduced = rewound || self.coverage.has("F-S15 erased") || self.has_lost_its_end();
        let mut doubtful = Vec::new();
        let probes = self.history.calls.get(from..).unwrap_or_default();
        let failed =
            probes.iter().find(
                |record| match record.answer.as_ref().map(|(_, answer)| answer) {
                    Some(Answer::NotApplied(Cause::Server(_))) => !full,
                    Some(Answer::Unknown("unknown: malformed")) if rewound => {
                        doubtful.push(record.client);
                        false
                    }
                    Some(Answer::NotApplied(_) | Answer::Unknown(_) | Answer::Failed(_)) | None => {
                        true
                    }
                    Some(Answer::Stale { .. }) => !reduced,
                    Some(_) => false,
                },
            );
        if let Some(record) = failed {
            let what = format!("{:?} after the storm: {:?}", record.call, record.answer);
            let client = record.client;
            self.broken(Violation::Unsettled { client, what });
        }
        doubtful
    }

    /// Nothing is held for what is over, by clients or servers.
    fn check_usage(&mut self) {
        // A client whose clock jumped may have forgotten what it left to a server that still believes in its
        // connection.
        for client in 0..self.clients.len() {
            self.forget_dead(client);
        }
        // A watch that lives may just ask for something, or find out that it lost its consumer; and servers
        // need a while to notice that a client was dropped without a word.
        self.run_while(self.time_to_balance(), |world| world.imbalance().is_some());
        if self.violations.is_empty()
            && let Some(violation) = self.imbalance()
        {
            self.broken(violation);
        }
    }

    /// Timers fire for something: pings, deadlines, retries, attempts to connect.
    fn check_spin(&mut self) {
        let clients = &self.scenario.profile.clients;
        let millis = self.now.as_nanos() / 1_000_000;
        let steady = millis / u64::from(clients.ping_ms.max(1))
            + millis / u64::from(clients.reconnect_ms.max(1));
        for client in &self.clients {
            let watches = self.watch_timers(client.id);
            let bound = 500 + 40 * self.work.calls + 4 * steady + watches;
            if client.timer_calls > bound {
                let (client, calls) = (client.id, client.timer_calls);
                return self.broken(Violation::Spins {
                    client,
                    calls,
                    bound,
                });
            }
        }
    }

    /// Closes every client; then nothing is left of them.
    fn close_all(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        self.scribe.phase(self.now, "all close");
        for at in 0..self.clients.len() {
            if let Some(client) = self.clients.get_mut(at) {
                let local = client.local(self.now);
                client.session.close(local);
                client.end_followers(self.now, true, &mut self.history);
                self.round(at);
            }
        }
        self.run_while(PATIENCE, |world| !world.is_closed());
        let open = self
            .clients
            .iter()
            .find(|one| one.session.state() != ConnectionState::Closed);
        if let Some(client) = open.map(|client| client.id) {
            return self.broken(Violation::Unsettled {
                client,
                what: "does not close".into(),
            });
        }
        let untold = self.clients.iter().find(|one| !one.ledger.is_over());
        if let Some(client) = untold.map(|client| client.id) {
            let what = "its end".into();
            return self.broken(Violation::Mistold { client, what });
        }
        for client in &self.clients {
            let usage = client.session.usage();
            if usage.links + usage.timers + usage.reply_slots > 0 {
                let (client, what) = (client.id, format!("closed, and {usage:?}"));
                return self.broken(Violation::Leaked { client, what });
            }
        }
        let connections = self.cluster.connections();
        if connections > 0 && !self.scenario.profile.hostile && !self.half_dead() {
            self.broken(Violation::LeftBehind {
                what: format!("{connections} connections"),
            });
        }
        self.check_no_consumers();
    }

    /// Whether there is a connection whose end no server can have learned of.
    fn half_dead(&self) -> bool {
        self.wires.iter().any(|wire| wire.up.is_dead())
    }
}
