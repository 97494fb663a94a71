//! How faults strike, and how those that last are undone.

mod clients;
mod connections;
mod consumers;
mod network;
mod servers;

use std::time::Duration;

use kv_proto::Instant;

use super::World;
use super::set_up::MAX_PAYLOAD;
use crate::fault::{Fault, Way};
use crate::net::Pipe;
use crate::server::ServerId;

pub(super) use self::connections::UNREACHABLE;

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

/// How long a lame duck is away.
const AWAY: Duration = Duration::from_millis(300);

impl World<'_> {
    pub(super) fn strike(&mut self, fault: Fault) {
        let mut pending = self.clients.iter().flat_map(|client| &client.pending);
        let open = pending.any(|one| one.call.is_some());
        self.trace.line(self.now, || format!("fault: {fault:?}"));
        let strike = self.scribe.strikes(self.now, fault);
        if self.apply(fault).is_some() {
            self.coverage.hit(fault.name());
            self.work.faults += 1;
            self.work.faults_during_calls += u64::from(open);
        } else {
            self.scribe.misses(strike);
        }
    }

    /// Applies a fault; `None` if it made no sense.
    fn apply(&mut self, fault: Fault) -> Option<()> {
        match fault {
            Fault::Clog { client, way, ms } => {
                let until = self.now + millis(ms);
                self.at_pipe(client, way, |pipe| pipe.clog(until))
            }
            Fault::Stall { client, ms } => {
                let until = self.now + millis(ms);
                self.at_pipe(client, Way::Up, |pipe| pipe.stall(until))
            }
            Fault::HalfOpen { client, way } => self.at_pipe(client, way, Pipe::kill),
            Fault::Garble { client, way, how } => {
                self.at_pipe(client, way, |pipe| pipe.damage_next(how))
            }
            Fault::Cut {
                client,
                way,
                after,
                how,
            } => self.cut_after(client, way, usize::from(after), how),
            Fault::Connect { server, how, ms } => self.receive(server, how, millis(ms)),

            Fault::Restart {
                server,
                ms,
                keep_memory,
            } => self.restart(usize::from(server), millis(ms), keep_memory),
            Fault::LameDuck { server, ms } => self.announce_end(usize::from(server), millis(ms)),
            Fault::Rewind { count } => self.rewind(u64::from(count)),
            Fault::Recreate { ms } => self.recreate(millis(ms)),
            Fault::RecreateBehind { call } => self.recreate_behind(call),
            Fault::Elect {
                leaderless_ms,
                lost,
                old_leader_ms,
            } => self.elect(millis(leaderless_ms), lost, millis(old_leader_ms)),
            Fault::Lag { server, ms } => self.lag(usize::from(server), millis(ms)),
            Fault::AnsweredBy { who, count } => self.answer_as(who, count),
            Fault::Reply { how, ms } => self.disturb_reply(how, millis(ms)),
            Fault::Refuse { error, stored } => self.refuse_publish(error, stored),
            Fault::MaxPayload { bytes, ms } => self.limit_payload(bytes, millis(ms)),
            Fault::NoJetStream { ms } => self.switch_off_jetstream(millis(ms)),
            Fault::Logins { ms } => self.refuse_logins(millis(ms)),

            Fault::Stray { client } => self.send_stray(client),
            Fault::Infos { client, count } => self.send_infos(client, count),
            Fault::Urls { client } => self.send_urls(client),
            Fault::Pings { client, count } => self.send_pings(client, count),
            Fault::Err { client, text } => self.send_error(client, text),
            Fault::DropConsumers { nth } => self.drop_consumers(nth),
            Fault::KillHost { nth, ms } => self.kill_host(nth, millis(ms)),
            Fault::ApiReply { call, how, ms } => self.disturb_call(call, how, millis(ms)),
            Fault::ApiRefuse { call, error, done } => self.refuse_call(call, error, done),
            Fault::Heartbeat { how } => self.disturb_heartbeat(how),
            Fault::Beat => self.beat(),
            Fault::Flow { how } => self.disturb_flow(how),
            Fault::Delivery { how, count } => self.disturb_deliveries(how, count),
            Fault::Count { how, count } => self.disturb_counts(how, count),

            Fault::Deny { client, what } => self.deny(client, what),

            Fault::Poison { key } => self.write_as_other(key, "Broken: a\rb\r\n", b"poison"),
            Fault::Foreign {
                key,
                tombstone: false,
            } => self.write_as_other(key, "", b"foreign"),
            Fault::Foreign {
                key,
                tombstone: true,
            } => self.write_as_other(key, "KV-Operation: DEL\r\nForeign: 1\r\n", b""),
            Fault::PurgeKey { key } => self.purge(key),
            Fault::PurgeAll => self.purge_all(),
            Fault::Erase { key } => self.erase(key),

            Fault::Jump { client, ms } => self.jump(usize::from(client), ms),
            Fault::Freeze { client, ms } => self.freeze(usize::from(client), millis(ms)),
            Fault::PolledLate { client, ms } => self.be_late(usize::from(client), millis(ms)),
            Fault::Wake { client, count } => self.wake(usize::from(client), count),
            Fault::Cancel { client, nth } => self.cancel(usize::from(client), usize::from(nth)),
            Fault::Drop { client } => self.drop_client(usize::from(client)),
            Fault::Close { client } => self.close_client(usize::from(client)),
        }
    }

    fn later(&mut self, after: Duration, undo: Undo) {
        self.undos += 1;
        self.undo.insert((self.now + after, self.undos), undo);
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
