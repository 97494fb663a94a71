//! Deadlines. Each one carries its reason: what fires, and for whom.
//!
//! An indexed binary heap: arming with a later time than all others is O(1),
//! cancelling is exact (nothing stale is left behind), and equal times fire in
//! the order in which they were armed.

#![allow(
    clippy::indexing_slicing,
    reason = "places and slots are made here, and nothing from outside is one"
)]

use alloc::vec::Vec;

use crate::kv::watch::WatchId;
use crate::link::LinkId;
use crate::op::OpId;
use crate::time::Instant;

/// Why the session wants to be called at a certain time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The operation's one deadline is over.
    Deadline(OpId),
    /// The operation waited before its next attempt.
    Retry(OpId),
    /// Some question may be unanswered for so long that it is asked again.
    Silence,
    /// The link should be ready by now.
    Handshake(LinkId),
    /// Time to see whether the link's peer is alive.
    Liveness(LinkId),
    /// The link has had time enough to finish what was in flight.
    Drained(LinkId),
    /// The pool may dial again.
    Dial,
    /// Consumers are to be deleted for which that was not confirmed.
    Cleanup,
    /// Something about a watch.
    Watch(WatchId, WatchTimer),
    /// The session has had time enough to close.
    Close,
}

/// What a timer of a watch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchTimer {
    /// A heartbeat may be missing.
    Pulse,
    /// It rested before the next feed.
    Rest,
    /// It should be open by now, or a listing should have moved.
    Patience,
    /// The deadline on the whole is over.
    Deadline,
}

/// Names an armed timer; a name that fired or was cancelled is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId {
    slot: usize,
    serial: u64,
}

#[derive(Debug)]
struct Slot {
    serial: u64,
    /// `None`: free.
    reason: Option<Reason>,
    /// Where the heap has this slot.
    place: usize,
}

/// What the heap is ordered by, in the heap itself: comparing does not touch the slots.
#[derive(Clone, Copy, Debug)]
struct Armed {
    at: Instant,
    serial: u64,
    slot: usize,
}

impl Armed {
    fn is_before(&self, other: &Self) -> bool {
        (self.at, self.serial) < (other.at, other.serial)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    slots: Vec<Slot>,
    free: Vec<usize>,
    heap: Vec<Armed>,
    serial: u64,
}

impl Timers {
    /// Arms a timer. The end of time is never: what saturates there does not
    /// fire, or everything that repeats would fire there for ever.
    pub(crate) fn arm(&mut self, at: Instant, reason: Reason) -> TimerId {
        if at == Instant::END {
            return TimerId {
                slot: usize::MAX,
                serial: 0,
            };
        }
        self.serial += 1;
        let place = self.heap.len();
        let filled = Slot {
            serial: self.serial,
            reason: Some(reason),
            place,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = filled;
                slot
            }
            None => {
                self.slots.push(filled);
                self.slots.len() - 1
            }
        };
        let serial = self.serial;
        let armed = Armed { at, serial, slot };
        self.heap.push(armed);
        self.rise(place, armed);
        TimerId { slot, serial }
    }

    pub(crate) fn cancel(&mut self, id: TimerId) {
        let armed = self
            .slots
            .get(id.slot)
            .is_some_and(|slot| slot.serial == id.serial && slot.reason.is_some());
        if armed {
            self.remove(id.slot);
        }
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Reason> {
        let first = self.heap.first().filter(|armed| armed.at <= now)?;
        self.remove(first.slot)
    }

    /// Returns when the earliest timer is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|armed| armed.at)
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    fn remove(&mut self, slot: usize) -> Option<Reason> {
        let place = self.slots[slot].place;
        if let Some(last) = self.heap.pop()
            && place < self.heap.len()
        {
            let place = self.sink(place);
            self.rise(place, last);
        }
        self.free.push(slot);
        self.slots[slot].reason.take()
    }

    /// Moves an empty place to the bottom. What fills it came from there, so it will not rise far: that takes half of
    /// the comparisons of letting it sink.
    fn sink(&mut self, mut place: usize) -> usize {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            let child = match (self.heap.get(left), self.heap.get(right)) {
                (Some(one), Some(other)) if other.is_before(one) => right,
                (Some(_), _) => left,
                (None, _) => return place,
            };
            self.put(place, self.heap[child]);
            place = child;
        }
    }

    /// Fills a place, or the one above it that is due.
    fn rise(&mut self, mut place: usize, armed: Armed) {
        while place > 0 {
            let above = (place - 1) / 2;
            if !armed.is_before(&self.heap[above]) {
                break;
            }
            self.put(place, self.heap[above]);
            place = above;
        }
        self.put(place, armed);
    }

    fn put(&mut self, place: usize, armed: Armed) {
        self.heap[place] = armed;
        self.slots[armed.slot].place = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Law: timers fire in the order of (time, armed first), each exactly
        /// once, and never after they were cancelled.
        #[test]
        fn fires_like_a_sorted_list(
            steps in proptest::collection::vec((0_u8..4, 0_u64..50), 0..200)
        ) {
            let mut timers = Timers::default();
            let mut model: Vec<(Instant, u64, TimerId)> = Vec::new();
            for (serial, (kind, number)) in (0_u64..).zip(steps) {
                let at = Instant::from_nanos(number);
                match kind {
                    0 | 1 => {
                        let id = timers.arm(at, Reason::Handshake(LinkId::from_raw(serial)));
                        model.push((at, serial, id));
                    }
                    2 if !model.is_empty() => {
                        let index = usize::try_from(number).unwrap() % model.len();
                        let (_, _, id) = model.remove(index);
                        timers.cancel(id);
                        timers.cancel(id);
                    }
                    _ => {
                        model.sort_by_key(|(at, serial, _)| (*at, *serial));
                        while let Some(reason) = timers.pop_due(at) {
                            let (due, serial, id) = model.remove(0);
                            prop_assert!(due <= at);
                            prop_assert_eq!(reason, Reason::Handshake(LinkId::from_raw(serial)));
                            timers.cancel(id);
                        }
                    }
                }
                prop_assert_eq!(timers.next(), model.iter().map(|(at, ..)| *at).min());
            }
        }
    }
}
