//! Connections: dialling, bytes in both directions, ends and partitions.

use std::io;
use std::time::Duration;

use kv_proto::{Instant, ServerAddr};

use super::World;
use crate::app::agenda::Due;
use crate::app::chronicle::Kind;
use crate::app::wire::{Stage, Wire};
use crate::fault::Way;
use crate::net::Pipe;
use crate::picture::Side;
use crate::server::{ConnId, FIRST_PORT, ServerId};

impl World {
    /// Begins to connect.
    pub(in crate::app) fn dial(&mut self, process: usize, addr: &ServerAddr) -> u64 {
        let server = self.server_at(addr);
        let (up, down) = (self.rng.child(), self.rng.child());
        let up = Pipe::new(self.weather, up);
        let down = Pipe::new(self.weather, down);
        let id = self.id();
        self.chronicle.dials(self.now, process, server, id);
        self.wires.insert(id, Wire::new(process, server, up, down));
        self.say_dial(id);
        id
    }

    fn server_at(&self, addr: &ServerAddr) -> Option<usize> {
        let here = matches!(addr.host(), "127.0.0.1" | "localhost");
        let server = usize::from(addr.port().checked_sub(FIRST_PORT)?);
        (here && server < self.cluster.servers()).then_some(server)
    }

    fn say_dial(&mut self, id: u64) {
        let mean = u64::try_from(self.weather.latency.as_nanos()).unwrap_or(u64::MAX);
        let takes = self.weather.latency + Duration::from_nanos(self.rng.below(mean.max(1)));
        self.agenda.say(self.now + takes, Due::Dial(id));
    }

    pub(super) fn decide(&mut self, id: u64) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        if !matches!(wire.stage, Stage::Dialing) {
            return;
        }
        let process = wire.process;
        if wire
            .server
            .is_some_and(|server| self.partitions.contains(&(process, server)))
        {
            return; // it is tried again when the partition heals
        }
        self.chronicle.event(self.now, Kind::Decided, id);
        let server = wire.server;
        let conn = server.and_then(|server| self.cluster.accept(self.now, ServerId(server)));
        wire.conn = conn;
        wire.stage = match (server, conn) {
            (_, Some(_)) => Stage::Open,
            (Some(_), None) => Stage::Refused(io::ErrorKind::ConnectionRefused),
            (None, None) => Stage::Refused(io::ErrorKind::NotFound),
        };
        self.wakers.extend(wire.reader.take());
        let (now, chronicle) = (self.now, &mut self.chronicle);
        match (server, conn) {
            (Some(server), Some(_)) => chronicle.connects(now, process, server, id),
            (Some(_), None) => chronicle.is_refused(now, process, "refused", id),
            (None, _) => chronicle.is_refused(now, process, "there is no such server", id),
        }
        self.collect();
    }

    pub(super) fn arrive_up(&mut self, id: u64, at: Instant) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        if wire.up_said == at {
            wire.up_said = Instant::END;
        }
        if let Some((bytes, _)) = wire.up.pop(self.now) {
            self.chronicle.arrived(self.now, id, Way::Up, bytes);
            match wire.conn {
                Some(conn) if bytes.is_empty() => {
                    wire.conn = None;
                    self.cluster.handle_closed(self.now, conn);
                }
                Some(conn) => self.cluster.handle_input(self.now, conn, bytes),
                None => {}
            }
            if wire.up.room(self.now) > 0 {
                self.wakers.extend(wire.writer.take());
            }
        }
        self.say_up(id);
        self.collect();
        self.forget_if_gone(id);
    }

    pub(super) fn arrive_down(&mut self, id: u64, at: Instant) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        if wire.down_said == at {
            wire.down_said = Instant::END;
        }
        if !wire.is_full()
            && let Some((bytes, _)) = wire.down.pop(self.now)
        {
            self.chronicle.arrived(self.now, id, Way::Down, bytes);
            wire.arrived.extend_from_slice(bytes);
            wire.ended |= bytes.is_empty();
            self.wakers.extend(wire.reader.take());
        }
        self.pass_output(id);
        self.say_down(id);
    }

    pub(in crate::app) fn say_up(&mut self, id: u64) {
        if let Some(wire) = self.wires.get_mut(&id) {
            let due = wire.up.due().max(self.now);
            if due < wire.up_said {
                wire.up_said = due;
                self.agenda.say(due, Due::Up(id));
            }
        }
    }

    pub(in crate::app) fn say_down(&mut self, id: u64) {
        if let Some(wire) = self.wires.get_mut(&id) {
            let due = wire.down_due().max(self.now);
            if due < wire.down_said {
                wire.down_said = due;
                self.agenda.say(due, Due::Down(id));
            }
        }
    }

    /// Takes what the servers have to say after anything was done to them.
    pub(in crate::app) fn collect(&mut self) {
        if !self.cluster.take_changed() {
            return;
        }
        self.server_due = None;
        let ids: Vec<u64> = self.wires.keys().copied().collect();
        for id in ids {
            self.pass_output(id);
        }
        while let Some(conn) = self.cluster.poll_closed() {
            self.end_of_server(conn);
        }
    }

    /// A server closed a connection: what it still said arrives before the end.
    fn end_of_server(&mut self, conn: ConnId) {
        let last = self.cluster.take_output(conn);
        self.cluster.handle_closed(self.now, conn);
        let mut wires = self.wires.iter_mut();
        if let Some((id, wire)) = wires.find(|(_, wire)| wire.conn == Some(conn)) {
            let id = *id;
            if !last.is_empty() {
                self.chronicle
                    .sent(self.now, wire.process, id, Way::Down, &last);
            }
            self.chronicle.ends(self.now, id, Side::Server, "closed");
            wire.down.push(self.now, &last);
            wire.down.end(self.now);
            wire.conn = None;
            self.say_down(id);
            self.forget_if_gone(id);
        }
    }

    /// Gives the network what a server has for a client, as far as it takes it.
    fn pass_output(&mut self, id: u64) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        let Some(output) = wire.conn.and_then(|conn| self.cluster.output(conn)) else {
            return;
        };
        let taken = output.len().min(wire.down.room(self.now));
        if taken > 0 {
            let sent = output.get(..taken).unwrap_or_default();
            self.chronicle
                .sent(self.now, wire.process, id, Way::Down, sent);
            wire.down.push(self.now, sent);
            output.drain(..taken);
            self.say_down(id);
        }
    }

    /// The process closes its end.
    pub(in crate::app) fn close(&mut self, id: u64) {
        if let Some(wire) = self.wires.get_mut(&id) {
            if matches!(wire.stage, Stage::Open) {
                self.chronicle.ends(self.now, id, Side::Client, "closed");
            }
            wire.stage = Stage::Closed;
            (wire.reader, wire.writer) = (None, None);
            wire.down.kill();
            wire.up.end(self.now);
            self.say_up(id);
            self.forget_if_gone(id);
        }
    }

    /// The connection breaks: both ends see it, and some of what was on its way to the server arrives.
    pub(in crate::app) fn reset(&mut self, id: u64) {
        if let Some(wire) = self.wires.get_mut(&id)
            && matches!(wire.stage, Stage::Open)
        {
            self.chronicle.ends(self.now, id, Side::Client, "reset");
            wire.stage = Stage::Broken;
            self.wakers.extend(wire.reader.take());
            self.wakers.extend(wire.writer.take());
            wire.down.kill();
            wire.up.break_off(self.now);
            self.say_up(id);
        }
    }

    fn forget_if_gone(&mut self, id: u64) {
        if self.wires.get(&id).is_some_and(Wire::is_gone) {
            self.wires.remove(&id);
        }
    }

    /// Cuts or heals the network between a process and a server.
    pub(in crate::app) fn part(&mut self, process: usize, server: usize, apart: bool) {
        let changed = if apart {
            self.partitions.insert((process, server))
        } else {
            self.partitions.remove(&(process, server))
        };
        if !changed {
            return;
        }
        let between = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.process == process && wire.server == Some(server));
        let ids: Vec<u64> = between.map(|(id, _)| *id).collect();
        for id in ids {
            let Some(wire) = self.wires.get_mut(&id) else {
                continue;
            };
            if apart {
                wire.up.clog(Instant::END);
                wire.down.clog(Instant::END);
            } else {
                wire.up.heal(self.now);
                wire.down.heal(self.now);
                let dialing = matches!(wire.stage, Stage::Dialing);
                self.say_up(id);
                self.say_down(id);
                if dialing {
                    self.say_dial(id);
                }
            }
        }
    }
}
