//! What the thread of the sockets and the handles share: the servers, their clock and their faults.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kv_proto::Instant;
use mio::Waker;

use super::clock::Clock;
use super::fault::Fault;
use super::schedule::Schedule;
use crate::server::{Cluster, Config};

/// The one lock, and the way to wake up who waits for sockets.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    waker: Waker,
    clock: Clock,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) cluster: Cluster,
    pub(super) ended: bool,
    faults: Vec<Fault>,
    schedule: Schedule,
}

impl Shared {
    pub(super) fn new(config: Config, seed: u64, faults: &[Fault], waker: Waker) -> Arc<Self> {
        let clock = Clock::start();
        let mut state = State {
            cluster: Cluster::new(config, seed),
            ended: false,
            faults: Vec::new(),
            schedule: Schedule::default(),
        };
        state.set_faults(faults, clock.now());
        Arc::new(Self {
            state: Mutex::new(state),
            waker,
            clock,
        })
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A panic of somebody else's action leaves the servers as settled as it left them.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something from another thread, and has its consequences sent.
    pub(super) fn act<T>(&self, action: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let done = action(&mut state, self.clock.now());
        drop(state);
        self.wake().ok(); // whoever does not wake up has ended
        done
    }

    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.wake().ok();
    }

    fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }
}

impl State {
    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    pub(super) fn set_faults(&mut self, faults: &[Fault], now: Instant) {
        for fault in std::mem::take(&mut self.faults) {
            if let Fault::Message(fault, _) = fault {
                self.cluster.recur(fault, 0);
            }
        }
        self.schedule = Schedule::default();
        for fault in faults {
            match *fault {
                Fault::Message(fault, one_in) => self.cluster.recur(fault, one_in.get()),
                Fault::Servers(calamity, every) => self.schedule.add(calamity, every, now),
            }
        }
        self.faults = faults.to_vec();
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let faults = self.schedule.next_timeout();
        self.cluster.poll_timeout().into_iter().chain(faults).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.schedule.handle_timeout(&mut self.cluster, now);
        if self.cluster.poll_timeout().is_some_and(|due| due <= now) {
            self.cluster.handle_timeout(now);
        }
        self.cluster.forget_notes();
    }
}
