//! When the initial data is complete: the one rule for `Synced`.
//!
//! It is complete when as many messages came as the consumer counted at its
//! creation; or when the last revision that the stream's leader has was
//! delivered ([`Floor`]). The count alone is not enough. Entries vanish before
//! they are delivered, and then it is never reached. And in a cluster the
//! consumer counts in a copy of the stream that can be behind the leader's, so
//! there only the floor decides.
//!
//! A revision that was the last when the consumer was made can expire and let an
//! older one of its key come back, which the consumer does not deliver. Then
//! only its heartbeats tell that it looks behind the floor; two of them in a row
//! are believed.
//!
//! Nothing else proves anything. That a message says that nothing is pending
//! was seen too early in clusters; a heartbeat can come in the middle, as each
//! vanished entry costs a pause of that length; and what a server tells of a
//! consumer's pending messages is too little where older revisions of a key
//! expire meanwhile. They are reasons to ask for the floor, no more. Only who
//! may not ask the leader has to believe the server's count.

use super::floor::Floor;
use crate::js::consumer::Delivered;
use crate::mutant::{self, Mutant};
use crate::paths::Path;

/// What one consumer owes before its initial data is complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Initial {
    /// The first sequence that the consumer was asked for.
    first: u64,
    /// How many messages it counted; not known before it was created.
    counted: Option<u64>,
    /// Its copy of the stream can be behind the leader's.
    behind: bool,
    /// The server said that it has delivered what came, and nothing is left.
    confirmed: bool,
    /// Not known before the stream was looked at.
    floor: Option<Floor>,
    /// Heartbeats in a row, without a message between, of a consumer that looks
    /// behind the floor.
    passed: u8,
}

/// What to ask next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The last revision that matches the filter of this number.
    Floor(usize),
    /// How far the consumer is.
    Count,
}

impl Initial {
    pub(crate) const fn new(first: u64) -> Self {
        Self {
            first,
            counted: None,
            behind: false,
            confirmed: false,
            floor: None,
            passed: 0,
        }
    }

    /// Takes the count of a consumer that was created. It may have delivered
    /// some already.
    pub(crate) fn count(&mut self, delivered: Delivered, pending: u64) {
        self.counted = Some(pending.saturating_add(delivered.consumer_seq));
    }

    /// Takes the stream's last revision, and whether the consumer can be behind.
    pub(crate) const fn look(&mut self, last: u64, behind: bool) {
        self.floor = Some(Floor::below(last));
        self.behind = behind;
    }

    /// Takes the last revision that matches a filter.
    pub(crate) fn answer(&mut self, revision: u64, filters: usize) {
        if let Some(floor) = &mut self.floor {
            floor.answer(revision, filters);
        }
    }

    /// The leader may not be asked.
    pub(crate) const fn deny(&mut self) {
        self.floor = Some(Floor::Denied);
    }

    /// Takes what the server answers when it is asked, with so many received.
    pub(crate) fn confirm(&mut self, received: u64, delivered: Delivered, pending: u64) {
        self.confirmed |= delivered.consumer_seq == received && pending == 0;
    }

    /// A heartbeat says that the consumer looks behind this sequence.
    pub(crate) const fn pass(&mut self, last_stream: u64) {
        self.passed = match self.floor {
            Some(floor) if floor.is_reached(self.first, last_stream) => {
                self.passed.saturating_add(1)
            }
            Some(_) | None => 0,
        };
    }

    /// A message came.
    pub(crate) const fn move_on(&mut self) {
        self.passed = 0;
    }

    /// What the leader had may be gone, if not so much was delivered.
    pub(crate) fn ask_again(&mut self, seen: u64) {
        if let Some(floor) = &mut self.floor
            && !floor.is_reached(self.first, seen)
        {
            floor.ask_again();
        }
    }

    /// What to ask; nothing while an answer has to be waited for.
    pub(crate) fn missing(&self) -> Option<Missing> {
        match self.floor? {
            Floor::Denied => Some(Missing::Count),
            floor @ (Floor::Asking { .. } | Floor::At(_)) => floor.question().map(Missing::Floor),
        }
    }

    /// Whether it is worth asking before the server gives a reason to.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.behind && self.missing().is_some()
    }

    pub(crate) fn counts_nothing(&self) -> bool {
        self.counted == Some(0)
    }

    /// Returns whether all has come, with so many received up to this sequence.
    pub(crate) fn is_complete(&self, received: u64, seen: u64) -> bool {
        let (Some(counted), Some(floor)) = (self.counted, self.floor) else {
            return false;
        };
        if mutant::is(Mutant::NeverSyncedOnNothing) && counted == 0 {
            return false;
        }
        let denied = floor == Floor::Denied;
        let by_count = received >= counted && (!self.behind || denied);
        by_count
            || self.passed >= 2
            || floor.is_reached(self.first, seen)
            || (denied && self.confirmed)
    }

    /// The rule by which all has come.
    pub(crate) fn how_complete(&self, received: u64, seen: u64) -> Path {
        let denied = self.floor == Some(Floor::Denied);
        let reaches = |floor: Floor| floor.is_reached(self.first, seen);
        if self.counted.is_some_and(|counted| received >= counted) && (!self.behind || denied) {
            Path::ByCount
        } else if self.floor.is_some_and(reaches) {
            Path::ByFloor
        } else if self.passed >= 2 {
            Path::ByPassing
        } else {
            Path::ByConfirmation
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(consumer_seq: u64) -> Delivered {
        Delivered {
            consumer_seq,
            stream_seq: 99,
        }
    }

    fn looked(counted: u64, last: u64, behind: bool) -> Initial {
        let mut initial = Initial::new(1);
        initial.count(at(0), counted);
        initial.look(last, behind);
        initial
    }

    #[test]
    fn complete_when_as_many_came_as_were_counted() {
        let mut initial = Initial::new(1);
        assert!(!initial.is_complete(9, 9), "before it was counted");
        initial.count(at(1), 2);
        assert!(!initial.is_complete(9, 9), "before the stream was seen");
        initial.look(50, false);
        assert!(!initial.is_complete(2, 30));
        assert!(initial.is_complete(3, 31));
    }

    #[test]
    fn an_empty_set_is_complete_at_once() {
        assert!(looked(0, 50, false).is_complete(0, 0));
    }

    #[test]
    fn who_may_be_behind_owes_what_the_leader_has() {
        let mut initial = looked(2, 50, true);
        assert!(!initial.is_complete(2, 30));
        assert_eq!(initial.missing(), Some(Missing::Floor(0)));
        initial.answer(40, 1);
        assert!(!initial.is_complete(2, 30));
        assert!(initial.is_complete(3, 40));
    }

    #[test]
    fn what_vanished_is_not_waited_for() {
        let mut initial = looked(5, 50, false);
        initial.answer(45, 1);
        assert!(!initial.is_complete(3, 40));
        assert_eq!(initial.missing(), None);
        initial.ask_again(40);
        initial.answer(40, 1);
        assert!(initial.is_complete(3, 40));
    }

    #[test]
    fn what_came_back_is_not_waited_for() {
        let mut initial = looked(5, 50, false);
        initial.answer(45, 1);
        initial.pass(44);
        initial.pass(50);
        initial.move_on();
        initial.pass(50);
        assert!(!initial.is_complete(3, 40));
        initial.pass(50);
        assert!(initial.is_complete(3, 40));
    }

    #[test]
    fn who_may_not_ask_believes_the_count() {
        let mut initial = looked(5, 50, true);
        initial.deny();
        assert_eq!(initial.missing(), Some(Missing::Count));
        initial.confirm(3, at(4), 0); // one is on its way
        assert!(!initial.is_complete(3, 40));
        initial.confirm(4, at(4), 1); // one is still to be delivered
        assert!(!initial.is_complete(4, 41));
        initial.confirm(4, at(4), 0);
        assert!(initial.is_complete(4, 41));
    }
}
