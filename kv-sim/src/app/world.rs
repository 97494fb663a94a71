//! The world around the processes: time, servers, connections, clocks and timers. A plain value behind one
//! lock; wakers are collected under it and called when it is free.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::task::Waker;
use std::time::Duration;

use kv_proto::{Instant, ServerAddr};

use super::agenda::{Agenda, Due};
use super::wire::{Stage, Wire};
use crate::clock::Clock;
use crate::net::{Pipe, Weather};
use crate::server::rng::Rng;
use crate::server::{self, Cluster, ConnId, ServerId};
use crate::trace::Trace;

/// Where the servers listen: 127.0.0.1, from this port on.
pub(super) const FIRST_PORT: usize = 4222;

/// A process of the application.
#[derive(Debug)]
pub(super) struct ProcessState {
    pub(super) name: String,
    pub(super) clock: Clock,
    /// It does nothing before.
    pub(super) stalled_until: Instant,
    /// Its clock stands still for as long.
    pub(super) suspended: bool,
    /// How often it was killed.
    pub(super) life: u32,
}

#[derive(Debug)]
struct TimerState {
    process: usize,
    /// On the clock of the process.
    at: Instant,
    waker: Waker,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    agenda: Agenda,
    pub(super) cluster: Cluster,
    /// When the servers do something by themselves; `None` if that is to be asked.
    server_due: Option<Option<Instant>>,
    pub(super) wires: BTreeMap<u64, Wire>,
    pub(super) processes: Vec<ProcessState>,
    timers: BTreeMap<u64, TimerState>,
    /// Which processes cannot reach which servers.
    pub(super) partitions: BTreeSet<(usize, usize)>,
    weather: Weather,
    pub(super) rng: Rng,
    next_id: u64,
    /// Tasks to wake when the lock is free.
    pub(super) wakers: Vec<Waker>,
    /// Somebody was killed since the executor looked.
    pub(super) killed: bool,
    pub(super) trace: Trace,
    pub(super) events: u64,
}

impl World {
    pub(super) fn new(config: server::Config, weather: Weather, mut rng: Rng, text: bool) -> Self {
        let cluster = Cluster::new(config, rng.next());
        Self {
            now: Instant::ORIGIN,
            agenda: Agenda::default(),
            cluster,
            server_due: None,
            wires: BTreeMap::new(),
            processes: Vec::new(),
            timers: BTreeMap::new(),
            partitions: BTreeSet::new(),
            weather,
            rng,
            next_id: 0,
            wakers: Vec::new(),
            killed: false,
            trace: Trace::new(text),
            events: 0,
        }
    }

    /// Lets the next thing happen, if there is one before `end`.
    pub(super) fn step(&mut self, end: Instant) -> bool {
        let cluster = &self.cluster;
        let servers = *self
            .server_due
            .get_or_insert_with(|| cluster.poll_timeout());
        let queued = self.agenda.next();
        let Some(at) = servers.into_iter().chain(queued).min() else {
            return false;
        };
        if at > end {
            return false;
        }
        self.now = self.now.max(at);
        self.events += 1;
        if queued != Some(at) {
            self.trace.event(self.now, 1, 0);
            self.cluster.handle_timeout(self.now);
            // Even if nothing came of it, that moment is over.
            self.server_due = None;
            self.collect();
        } else if let Some((at, due)) = self.agenda.pop() {
            match due {
                Due::Dial(wire) => self.decide(wire),
                Due::Up(wire) => self.arrive_up(wire, at),
                Due::Down(wire) => self.arrive_down(wire, at),
                Due::Timer(timer) => self.fire(timer),
                Due::Resume(process) => self.resume(process),
            }
        }
        true
    }

    /// Whether anything will ever happen.
    pub(super) fn has_next(&self) -> bool {
        self.agenda.next().is_some() || self.cluster.poll_timeout().is_some()
    }

    pub(super) fn add_process(&mut self, name: &str) -> usize {
        self.processes.push(ProcessState {
            name: name.to_owned(),
            clock: Clock::new(),
            stalled_until: Instant::ORIGIN,
            suspended: false,
            life: 0,
        });
        self.processes.len() - 1
    }

    /// In which life a process is.
    pub(super) fn life(&self, process: usize) -> u32 {
        self.processes.get(process).map_or(0, |state| state.life)
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        self.trace.line(self.now, text);
    }

    pub(super) fn name(&self, process: usize) -> &str {
        self.processes
            .get(process)
            .map_or("", |state| state.name.as_str())
    }
}

/// Connections.
impl World {
    /// Begins to connect.
    pub(super) fn dial(&mut self, process: usize, addr: &ServerAddr) -> u64 {
        let server = self.server_at(addr);
        let (up, down) = (self.rng.child(), self.rng.child());
        let up = Pipe::new(self.weather, up);
        let down = Pipe::new(self.weather, down);
        let id = self.id();
        self.wires.insert(id, Wire::new(process, server, up, down));
        self.say_dial(id);
        id
    }

    fn server_at(&self, addr: &ServerAddr) -> Option<usize> {
        let here = matches!(addr.host(), "127.0.0.1" | "localhost");
        let server = usize::from(addr.port()).checked_sub(FIRST_PORT)?;
        (here && server < self.cluster.servers()).then_some(server)
    }

    fn say_dial(&mut self, id: u64) {
        let mean = u64::try_from(self.weather.latency.as_nanos()).unwrap_or(u64::MAX);
        let takes = self.weather.latency + Duration::from_nanos(self.rng.below(mean.max(1)));
        self.agenda.say(self.now + takes, Due::Dial(id));
    }

    fn decide(&mut self, id: u64) {
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
        self.trace.event(self.now, 2, id);
        let server = wire.server;
        let conn = server.and_then(|server| self.cluster.accept(self.now, ServerId(server)));
        wire.conn = conn;
        wire.stage = match (server, conn) {
            (_, Some(_)) => Stage::Open,
            (Some(_), None) => Stage::Refused(io::ErrorKind::ConnectionRefused),
            (None, None) => Stage::Refused(io::ErrorKind::NotFound),
        };
        self.wakers.extend(wire.reader.take());
        let name = self.processes.get(process).map(|state| &*state.name);
        self.trace.line(self.now, || {
            let name = name.unwrap_or_default();
            let what = conn.map_or("cannot connect to", |_| "connects to");
            let server = server.map_or("nobody".to_owned(), |at| format!("server {at}"));
            format!("{name} {what} {server}")
        });
        self.collect();
    }

    fn arrive_up(&mut self, id: u64, at: Instant) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        if wire.up_said == at {
            wire.up_said = Instant::END;
        }
        if let Some((bytes, _)) = wire.up.pop(self.now) {
            self.trace.event(self.now, 3, id);
            self.trace.bytes(bytes);
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

    fn arrive_down(&mut self, id: u64, at: Instant) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        if wire.down_said == at {
            wire.down_said = Instant::END;
        }
        if !wire.is_full()
            && let Some((bytes, _)) = wire.down.pop(self.now)
        {
            self.trace.event(self.now, 4, id);
            self.trace.bytes(bytes);
            wire.arrived.extend_from_slice(bytes);
            wire.ended |= bytes.is_empty();
            self.wakers.extend(wire.reader.take());
        }
        self.pass_output(id);
        self.say_down(id);
    }

    pub(super) fn say_up(&mut self, id: u64) {
        if let Some(wire) = self.wires.get_mut(&id) {
            let due = wire.up.due().max(self.now);
            if due < wire.up_said {
                wire.up_said = due;
                self.agenda.say(due, Due::Up(id));
            }
        }
    }

    pub(super) fn say_down(&mut self, id: u64) {
        if let Some(wire) = self.wires.get_mut(&id) {
            let due = wire.down_due().max(self.now);
            if due < wire.down_said {
                wire.down_said = due;
                self.agenda.say(due, Due::Down(id));
            }
        }
    }

    /// Takes what the servers have to say after anything was done to them.
    pub(super) fn collect(&mut self) {
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
            let to = self.processes.get(wire.process);
            self.trace.line(self.now, || {
                let to = to.map_or("", |process| &process.name);
                format!("    {to} is sent {}", brief(sent))
            });
            wire.down.push(self.now, sent);
            output.drain(..taken);
            self.say_down(id);
        }
    }

    /// The process closes its end.
    pub(super) fn close(&mut self, id: u64) {
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.stage = Stage::Closed;
            (wire.reader, wire.writer) = (None, None);
            wire.down.kill();
            wire.up.end(self.now);
            self.say_up(id);
            self.forget_if_gone(id);
        }
    }

    /// The connection breaks: both ends see it, and some of what was on its way to the server arrives.
    pub(super) fn reset(&mut self, id: u64) {
        if let Some(wire) = self.wires.get_mut(&id)
            && matches!(wire.stage, Stage::Open)
        {
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
    pub(super) fn part(&mut self, process: usize, server: usize, apart: bool) {
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

/// Clocks and timers.
impl World {
    /// What the clock of a process shows.
    pub(super) fn clock(&self, process: usize) -> Instant {
        let state = self.processes.get(process);
        state.map_or(self.now, |state| state.clock.show(self.now))
    }

    /// Whether a process runs now, in the life that is meant.
    pub(super) fn is_stalled(&self, process: usize) -> bool {
        let state = self.processes.get(process);
        state.is_some_and(|state| state.stalled_until > self.now)
    }

    pub(super) fn new_timer(&mut self) -> u64 {
        self.id()
    }

    /// Sets a timer; true if it has fired already.
    pub(super) fn set_timer(
        &mut self,
        id: u64,
        process: usize,
        at: Instant,
        waker: &Waker,
    ) -> bool {
        if self.clock(process) >= at {
            self.timers.remove(&id);
            return true;
        }
        let state = TimerState {
            process,
            at,
            waker: waker.clone(),
        };
        let before = self.timers.insert(id, state);
        if before.is_none_or(|before| before.at != at) {
            self.say_timer(id);
        }
        false
    }

    pub(super) fn drop_timer(&mut self, id: u64) {
        self.timers.remove(&id);
    }

    fn say_timer(&mut self, id: u64) {
        if let Some(timer) = self.timers.get(&id)
            && let Some(state) = self.processes.get(timer.process)
            && let Some(at) = state.clock.when(timer.at)
        {
            self.agenda.say(at.max(self.now), Due::Timer(id));
        }
    }

    fn fire(&mut self, id: u64) {
        let Some(timer) = self.timers.get(&id) else {
            return;
        };
        // The timer was set anew, or the clock was: then another entry tells when.
        if self.clock(timer.process) >= timer.at
            && let Some(timer) = self.timers.remove(&id)
        {
            self.trace.event(self.now, 5, id);
            self.wakers.push(timer.waker);
        }
    }

    /// After a change of a process's clock its timers fire at other moments.
    pub(super) fn clock_changed(&mut self, process: usize) {
        let theirs = self.timers.iter().filter(|(_, one)| one.process == process);
        let theirs: Vec<u64> = theirs.map(|(id, _)| *id).collect();
        for id in theirs {
            self.say_timer(id);
        }
    }

    /// Stops a process for a while; if its machine is suspended, its clock stops with it.
    pub(super) fn stall(&mut self, process: usize, time: Duration, suspended: bool) {
        let now = self.now;
        if let Some(state) = self.processes.get_mut(process) {
            state.stalled_until = state.stalled_until.max(now + time);
            if suspended && !state.suspended {
                state.suspended = true;
                state.clock.freeze(now);
            }
            let until = state.stalled_until;
            self.agenda.say(until, Due::Resume(process));
        }
    }

    /// Lets a stalled process go on now.
    pub(super) fn end_stall(&mut self, process: usize) {
        if let Some(state) = self.processes.get_mut(process) {
            state.stalled_until = self.now;
        }
        self.resume(process);
    }

    fn resume(&mut self, process: usize) {
        let now = self.now;
        let Some(state) = self.processes.get_mut(process) else {
            return;
        };
        if state.stalled_until <= now && state.suspended {
            state.suspended = false;
            state.clock.thaw(now);
            self.clock_changed(process);
        }
    }
}

/// So many bytes are shown of what is sent.
const SHOWN: usize = 90;

/// The beginning of what is sent, for the timeline.
pub(super) fn brief(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN) {
        Some(head) => format!("{} … {} bytes", head.escape_ascii(), bytes.len()),
        None => bytes.escape_ascii().to_string(),
    }
}
