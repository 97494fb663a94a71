//! How faults strike, and how those that last are undone.

use std::time::Duration;

use kv_proto::Instant;

use super::World;
use super::set_up::MAX_PAYLOAD;
use crate::fault::{Denied, ERRORS, Fault, Reception, Reply, Way};
use crate::mutant::{self, Mutant};
use crate::server::{Election, InFlight, ReplyFault, ServerId};

/// The end of a fault that lasts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    Reception(usize),
    Start {
        server: usize,
        keep_memory: bool,
    },
    /// A lame duck goes.
    Stop(usize),
    CreateBucket,
    MaxPayload,
    JetStream,
    Logins,
    Thaw(usize),
}

/// Where nobody listens.
pub(super) const UNREACHABLE: [&str; 2] = ["127.0.0.1:9", "10.9.9.9:4222"];
/// How long a lame duck is away.
const AWAY: Duration = Duration::from_millis(300);

impl World<'_> {
    pub(super) fn strike(&mut self, fault: Fault) {
        let open = self
            .clients
            .iter()
            .any(|client| client.pending.iter().any(|one| one.call.is_some()));
        self.trace.line(self.now, || format!("fault: {fault:?}"));
        if self.apply(fault) {
            self.coverage.hit(fault.name());
            self.work.faults += 1;
            self.work.faults_during_calls += u64::from(open);
        }
    }

    /// Applies a fault; false if it made no sense.
    fn apply(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Clog { .. }
            | Fault::Cut { .. }
            | Fault::HalfOpen { .. }
            | Fault::Stall { .. }
            | Fault::Garble { .. } => self.disturb_network(fault),
            Fault::Connect { server, how, ms } => {
                self.receive(usize::from(server), how, millis(ms))
            }
            Fault::Jump { .. }
            | Fault::Freeze { .. }
            | Fault::PolledLate { .. }
            | Fault::Wake { .. }
            | Fault::Cancel { .. }
            | Fault::Drop { .. }
            | Fault::Close { .. } => self.disturb_client(fault),
            Fault::Stray { .. }
            | Fault::Infos { .. }
            | Fault::Urls { .. }
            | Fault::Pings { .. }
            | Fault::Err { .. }
            | Fault::Deny { .. } => self.disturb_connection(fault),
            Fault::Poison { .. } | Fault::Foreign { .. } | Fault::PurgeKey { .. } => {
                self.interfere(fault)
            }
            Fault::Restart { .. }
            | Fault::Rewind { .. }
            | Fault::Recreate { .. }
            | Fault::Elect { .. }
            | Fault::Lag { .. }
            | Fault::Reply { .. }
            | Fault::Refuse { .. }
            | Fault::LameDuck { .. }
            | Fault::MaxPayload { .. }
            | Fault::NoJetStream { .. }
            | Fault::Logins { .. } => self.disturb_servers(fault),
        }
    }

    fn later(&mut self, after: Duration, undo: Undo) {
        self.undos += 1;
        self.undo.insert((self.now + after, self.undos), undo);
    }

    /// The connection that a client uses or makes, the newest first.
    fn wire_in_use(&self, client: u8) -> Option<usize> {
        let client = usize::from(client);
        self.wires
            .iter()
            .rposition(|wire| wire.client == client && wire.is_open())
    }

    fn disturb_network(&mut self, fault: Fault) -> bool {
        let (client, way) = match fault {
            Fault::Clog { client, way, .. }
            | Fault::Cut { client, way, .. }
            | Fault::HalfOpen { client, way }
            | Fault::Garble { client, way, .. } => (client, way),
            Fault::Stall { client, .. } => (client, Way::Up),
            _ => return false,
        };
        let Some(at) = self.wire_in_use(client) else {
            return false;
        };
        let Some(wire) = self.wires.get_mut(at) else {
            return false;
        };
        let pipe = match way {
            Way::Up => &mut wire.up,
            Way::Down => &mut wire.down,
        };
        match fault {
            Fault::Clog { ms, .. } => pipe.clog(self.now + millis(ms)),
            Fault::HalfOpen { .. } => {
                if pipe.is_dead() {
                    return false;
                }
                pipe.kill();
            }
            Fault::Stall { ms, .. } => pipe.stall(self.now + millis(ms)),
            Fault::Garble { how, .. } => pipe.damage_next(how),
            Fault::Cut { after, how, .. } => {
                wire.ending = how;
                if after == 0 {
                    self.cut(at);
                } else {
                    pipe.cut_after(usize::from(after));
                }
            }
            _ => return false,
        }
        true
    }

    fn receive(&mut self, server: usize, how: Reception, time: Duration) -> bool {
        let Some(reception) = self.receptions.get_mut(server) else {
            return false;
        };
        *reception = Some(how);
        self.later(time, Undo::Reception(server));
        true
    }

    fn disturb_servers(&mut self, fault: Fault) -> bool {
        let now = self.now;
        match fault {
            Fault::Restart {
                server,
                ms,
                keep_memory,
            } => {
                let server = usize::from(server);
                self.cluster.stop(now, ServerId(server));
                self.later(
                    millis(ms),
                    Undo::Start {
                        server,
                        keep_memory,
                    },
                );
            }
            Fault::LameDuck { server, ms } => {
                let server = usize::from(server);
                self.cluster.lame_duck(now, ServerId(server));
                self.later(millis(ms), Undo::Stop(server));
            }
            Fault::Rewind { count } => {
                self.cluster
                    .rewind(now, crate::oracle::STREAM, u64::from(count))
            }
            Fault::Recreate { ms } => {
                self.administrate("$JS.API.STREAM.DELETE.KV_b", "", b"");
                if ms == 0 {
                    self.undo(Undo::CreateBucket);
                } else {
                    self.later(millis(ms), Undo::CreateBucket);
                }
            }
            Fault::Elect {
                leaderless_ms,
                lost,
                old_leader_ms,
            } => {
                if self.scenario.profile.bucket.replicas < 2 {
                    return false;
                }
                let old_leader_answers = millis(old_leader_ms);
                let in_flight = if lost {
                    InFlight::Lost
                } else {
                    InFlight::CommittedUnacknowledged
                };
                let leaderless = millis(leaderless_ms);
                let election = Election {
                    leaderless,
                    in_flight,
                    old_leader_answers,
                };
                self.cluster.elect(now, crate::oracle::STREAM, election);
                // One election after the other: the first old leader may still answer.
                let until = now + old_leader_answers;
                self.old_leader = match self.old_leader {
                    Some((longer, since)) if longer >= now => Some((longer.max(until), since)),
                    Some(_) | None => Some((until, now)),
                };
            }
            Fault::Lag { server, ms } => {
                if self.scenario.profile.bucket.replicas < 2 {
                    return false;
                }
                self.cluster
                    .lag(now, ServerId(usize::from(server)), millis(ms));
            }
            Fault::Reply { how, ms } => self.cluster.disturb_reply(match how {
                Reply::Lost => ReplyFault::Lost,
                Reply::Late => ReplyFault::Late(millis(ms)),
                Reply::Twice => {
                    self.history.echoes = true;
                    ReplyFault::Twice(millis(ms))
                }
                Reply::Garbage => {
                    self.history.garbled = true;
                    ReplyFault::Garbage
                }
            }),
            Fault::Refuse { error, stored } => self.cluster.refuse_publish(error, stored),
            Fault::MaxPayload { bytes, ms } => {
                self.set_max_payload(usize::try_from(bytes).unwrap_or(MAX_PAYLOAD));
                self.later(millis(ms), Undo::MaxPayload);
            }
            Fault::NoJetStream { ms } => {
                self.cluster.set_jetstream(now, false);
                self.later(millis(ms), Undo::JetStream);
            }
            Fault::Logins { ms } => {
                self.cluster.refuse_logins(now, true);
                self.later(millis(ms), Undo::Logins);
            }
            _ => return false,
        }
        self.collect();
        if matches!(fault, Fault::LameDuck { .. }) {
            self.note_told_to_leave();
        }
        true
    }

    fn set_max_payload(&mut self, bytes: usize) {
        self.max_payload = bytes;
        self.cluster.set_max_payload(self.now, bytes);
        self.collect();
        for wire in &mut self.wires {
            let told = wire
                .conn
                .is_some_and(|conn| self.cluster.is_logged_in(conn));
            if told {
                wire.announce_limit(bytes);
            } else {
                // Nobody can say which of the two it will be told.
                wire.limits.clear();
                wire.known_limit = usize::MAX;
            }
        }
    }

    fn disturb_connection(&mut self, fault: Fault) -> bool {
        let (Fault::Stray { client }
        | Fault::Infos { client, .. }
        | Fault::Urls { client }
        | Fault::Pings { client, .. }
        | Fault::Err { client, .. }
        | Fault::Deny { client, .. }) = fault
        else {
            return false;
        };
        let wire = self.wire_in_use(client).and_then(|at| self.wires.get(at));
        let conn = wire.and_then(|wire| wire.conn);
        let Some(conn) = conn.filter(|conn| self.cluster.is_logged_in(*conn)) else {
            return false;
        };
        let now = self.now;
        match fault {
            Fault::Stray { .. } => {
                self.cluster.inject(
                    now,
                    conn,
                    b"MSG _INBOX.nobody.7 1 5\r\nstray\r\nMSG elsewhere 99 0\r\n\r\n",
                );
            }
            Fault::Infos { count, .. } => {
                for _ in 0..count {
                    self.cluster.inform(now, conn);
                }
            }
            Fault::Urls { .. } => self.cluster.inform_of(now, conn, &UNREACHABLE),
            Fault::Pings { count, .. } => {
                for _ in 0..count {
                    self.cluster.inject(now, conn, b"PING\r\n");
                }
            }
            Fault::Err { text, .. } => {
                let Some((line, closes)) = ERRORS.get(usize::from(text)) else {
                    return false;
                };
                self.cluster.inject(now, conn, line.as_bytes());
                if *closes {
                    self.cluster.disconnect(now, conn, None);
                }
            }
            Fault::Deny { what, .. } => {
                self.history.leader_denied |= what == Denied::MessageGet;
                self.cluster.deny(
                    now,
                    conn,
                    match what {
                        Denied::Keys => "$KV.b.>",
                        Denied::DirectGet => "$JS.API.DIRECT.GET.>",
                        Denied::MessageGet => "$JS.API.STREAM.MSG.GET.*",
                        Denied::StreamInfo => "$JS.API.STREAM.INFO.*",
                    },
                );
            }
            _ => return false,
        }
        self.collect();
        true
    }

    /// What others do to the bucket.
    fn interfere(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Poison { key } => {
                self.administrate(&format!("$KV.b.k{key}"), "Broken: a\rb\r\n", b"poison");
            }
            Fault::Foreign { key, tombstone } => {
                let headers = if tombstone {
                    "KV-Operation: DEL\r\nForeign: 1\r\n"
                } else {
                    ""
                };
                let payload: &[u8] = if tombstone { b"" } else { b"foreign" };
                self.administrate(&format!("$KV.b.k{key}"), headers, payload);
            }
            Fault::PurgeKey { key } => {
                let body = format!("{{\"filter\":\"$KV.b.k{key}\"}}");
                self.administrate("$JS.API.STREAM.PURGE.KV_b", "", body.as_bytes());
            }
            _ => return false,
        }
        true
    }

    fn disturb_client(&mut self, fault: Fault) -> bool {
        let (Fault::Jump { client, .. }
        | Fault::Freeze { client, .. }
        | Fault::PolledLate { client, .. }
        | Fault::Wake { client, .. }
        | Fault::Cancel { client, .. }
        | Fault::Drop { client }
        | Fault::Close { client }) = fault
        else {
            return false;
        };
        let id = usize::from(client);
        let Some(client) = self.clients.get_mut(id) else {
            return false;
        };
        match fault {
            Fault::Jump { ms, .. } => {
                let back = Duration::from_millis(u64::from(ms.min(0).unsigned_abs()));
                client.set_back += back;
                client.clock.jump(ms);
                client.clock_changed();
            }
            Fault::Freeze { ms, .. } => {
                client.clock.freeze(self.now);
                client.clock_changed();
                self.later(millis(ms), Undo::Thaw(id));
            }
            Fault::PolledLate { ms, .. } => {
                client.late_until = self.now + millis(ms);
                client.clock_changed();
            }
            Fault::Wake { count, .. } => {
                for _ in 0..count {
                    self.round(id);
                }
            }
            Fault::Cancel { nth, .. } => {
                let open = client.pending.iter().filter(|one| one.call.is_some());
                let Some(chosen) = open.skip(usize::from(nth)).next().copied() else {
                    return false;
                };
                client.session.cancel(chosen.ticket.id());
                client
                    .pending
                    .retain(|one| one.ticket.id() != chosen.ticket.id());
                self.touch(id);
            }
            Fault::Drop { .. } => {
                self.abandon(id);
                if mutant::is(Mutant::ConsumerLeftBehind) {
                    let body = br#"{"stream_name":"KV_b","config":{"durable_name":"left"}}"#;
                    self.administrate("$JS.API.CONSUMER.DURABLE.CREATE.KV_b.left", "", body);
                }
                self.begin_again(id);
            }
            Fault::Close { .. } => {
                let local = client.local(self.now);
                client.session.close(local);
                self.round(id);
                self.abandon(id);
                self.begin_again(id);
            }
            _ => return false,
        }
        true
    }

    fn begin_again(&mut self, id: usize) {
        if let Some(client) = self.clients.get_mut(id) {
            client.begin_again(&self.scenario.profile, self.now);
        }
    }

    pub(super) fn undo(&mut self, undo: Undo) {
        self.trace.line(self.now, || format!("undone: {undo:?}"));
        match undo {
            Undo::Reception(server) => {
                if let Some(reception) = self.receptions.get_mut(server) {
                    *reception = None;
                }
            }
            Undo::Start {
                server,
                keep_memory,
            } => {
                self.cluster
                    .restart(self.now, ServerId(server), keep_memory);
            }
            Undo::Stop(server) => {
                self.check_moved();
                self.cluster.stop(self.now, ServerId(server));
                self.later(
                    AWAY,
                    Undo::Start {
                        server,
                        keep_memory: true,
                    },
                );
            }
            Undo::CreateBucket => self.create_bucket_without_direct_reads(),
            Undo::MaxPayload => self.set_max_payload(MAX_PAYLOAD),
            Undo::JetStream => self.cluster.set_jetstream(self.now, true),
            Undo::Logins => self.cluster.refuse_logins(self.now, false),
            Undo::Thaw(client) => {
                if let Some(client) = self.clients.get_mut(client) {
                    client.clock.thaw(self.now);
                    client.clock_changed();
                }
            }
        }
        self.collect();
    }

    /// Undoes everything that lasts, now.
    pub(super) fn undo_all(&mut self) {
        while let Some((_, undo)) = self.undo.pop_first() {
            self.undo(undo);
        }
    }

    /// Ends what a fault does to an instant of the future.
    pub(super) fn forget_lateness(&mut self) {
        for client in &mut self.clients {
            client.late_until = Instant::ORIGIN;
            client.clock_changed();
        }
    }
}

pub(super) fn millis(ms: u16) -> Duration {
    Duration::from_millis(u64::from(ms))
}
