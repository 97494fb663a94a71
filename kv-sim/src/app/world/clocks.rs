//! Clocks of processes, the timers that go by them, and stalls.

use std::task::Waker;
use std::time::Duration;

use kv_proto::Instant;

use super::{TimerState, World};
use crate::app::agenda::Due;
use crate::app::chronicle::Kind;

impl World {
    /// What the clock of a process shows.
    pub(in crate::app) fn clock(&self, process: usize) -> Instant {
        let state = self.processes.get(process);
        state.map_or(self.now, |state| state.clock.show(self.now))
    }

    /// Whether a process runs now, in the life that is meant.
    pub(in crate::app) fn is_stalled(&self, process: usize) -> bool {
        let state = self.processes.get(process);
        state.is_some_and(|state| state.stalled_until > self.now)
    }

    pub(in crate::app) fn new_timer(&mut self) -> u64 {
        self.id()
    }

    /// Sets a timer; true if it has fired already.
    pub(in crate::app) fn set_timer(
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

    pub(in crate::app) fn drop_timer(&mut self, id: u64) {
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

    pub(super) fn fire(&mut self, id: u64) {
        let Some(timer) = self.timers.get(&id) else {
            return;
        };
        // The timer was set anew, or the clock was: then another entry tells when.
        if self.clock(timer.process) >= timer.at
            && let Some(timer) = self.timers.remove(&id)
        {
            self.chronicle.event(self.now, Kind::Timer, id);
            self.wakers.push(timer.waker);
        }
    }

    /// After a change of a process's clock its timers fire at other moments.
    pub(in crate::app) fn clock_changed(&mut self, process: usize) {
        let theirs = self.timers.iter().filter(|(_, one)| one.process == process);
        let theirs: Vec<u64> = theirs.map(|(id, _)| *id).collect();
        for id in theirs {
            self.say_timer(id);
        }
    }

    /// Stops a process for a while; if its machine is suspended, its clock stops with it.
    pub(in crate::app) fn stall(&mut self, process: usize, time: Duration, suspended: bool) {
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
    pub(in crate::app) fn end_stall(&mut self, process: usize) {
        if let Some(state) = self.processes.get_mut(process) {
            state.stalled_until = self.now;
        }
        self.resume(process);
    }

    pub(super) fn resume(&mut self, process: usize) {
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
