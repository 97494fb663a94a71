//! What happens when: one queue, in which entries may be early but never late.
//!
//! Whoever is due earlier than it was said announces itself again; whoever finds that it is not due yet, too.
//! So nothing has to be searched for and taken out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kv_proto::Instant;

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A connection is decided upon.
    Dial(u64),
    /// Bytes arrive at a server.
    Up(u64),
    /// Bytes arrive at a process.
    Down(u64),
    /// A timer fires.
    Timer(u64),
    /// A process goes on after a stall.
    Resume(usize),
}

/// The queue; at equal instants, in the order in which it was said.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<(Instant, u64, Due)>>,
    said: u64,
}

impl Agenda {
    /// Says that something is due; never, at the end of time.
    pub(super) fn say(&mut self, at: Instant, due: Due) {
        if at < Instant::END {
            self.said += 1;
            self.heap.push(Reverse((at, self.said, due)));
        }
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes what is due next.
    pub(super) fn pop(&mut self) -> Option<(Instant, Due)> {
        self.heap.pop().map(|Reverse((at, _, due))| (at, due))
    }
}
