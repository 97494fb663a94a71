//! The world around the processes: time, servers, connections, clocks and timers. A plain value behind one
//! lock; wakers are collected under it and called when it is free.

mod clocks;
mod connections;

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

use kv_proto::Instant;

use super::agenda::{Agenda, Due};
use super::chronicle::{Chronicle, Kind};
use super::wire::Wire;
use crate::clock::Clock;
use crate::net::Weather;
use crate::server::rng::Rng;
use crate::server::{self, Cluster};

/// A process of the application.
#[derive(Debug)]
pub(super) struct ProcessState {
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
    pub(super) chronicle: Chronicle,
    pub(super) events: u64,
}

impl World {
    pub(super) fn new(
        config: server::Config,
        weather: Weather,
        mut rng: Rng,
        chronicle: Chronicle,
    ) -> Self {
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
            chronicle,
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
            self.chronicle.event(self.now, Kind::Server, 0);
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
        self.chronicle.process(name);
        self.processes.push(ProcessState {
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

    pub(super) fn note(&mut self, text: &str) {
        self.chronicle.note(self.now, text);
    }

    pub(super) fn name(&self, process: usize) -> &str {
        self.chronicle.name(process)
    }
}
