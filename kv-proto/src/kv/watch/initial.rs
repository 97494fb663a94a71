//! When the initial data is complete: the one rule for `Synced`.
//!
//! A consumer says at its creation how many messages it will deliver. The
//! count alone is not enough: entries vanish before they are delivered, and then
//! the count is never reached; what a message says is still pending was seen to
//! be zero too early in clusters. So the initial data is complete when as many
//! messages came as were counted, or when the server, asked about it, has
//! delivered exactly what came and knows of nothing more. It is asked when a
//! message says that nothing is pending, and by each heartbeat: a heartbeat
//! itself proves nothing, as each vanished entry can cost a pause of that length.

use crate::js::consumer::Delivered;
use crate::mutant::{self, Mutant};

/// What one consumer owes before its initial data is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Initial {
    /// How many messages it counted; not known before it was created.
    counted: Option<u64>,
    /// The server said that it has delivered what came, and nothing is left.
    confirmed: bool,
}

impl Initial {
    /// Takes the count of a consumer that was created. It may have delivered
    /// some already.
    pub(crate) fn count(&mut self, delivered: Delivered, pending: u64) {
        self.counted = Some(pending.saturating_add(delivered.consumer_seq));
    }

    pub(crate) fn counts_nothing(&self) -> bool {
        self.counted == Some(0)
    }

    /// Takes what the server answers when it is asked, with so many received.
    pub(crate) fn confirm(&mut self, received: u64, delivered: Delivered, pending: u64) {
        self.confirmed |= delivered.consumer_seq == received && pending == 0;
    }

    /// Returns whether all has come, with so many received and the last
    /// message saying how many are pending.
    pub(crate) fn is_complete(&self, received: u64) -> bool {
        let Some(counted) = self.counted else {
            return false;
        };
        if mutant::is(Mutant::NeverSyncedOnNothing) && counted == 0 {
            return false;
        }
        received >= counted || self.confirmed
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

    #[test]
    fn complete_when_as_many_came_as_were_counted() {
        let mut initial = Initial::default();
        assert!(!initial.is_complete(9), "before it was counted");
        initial.count(at(1), 2);
        assert!(!initial.is_complete(2));
        assert!(initial.is_complete(3));
    }

    #[test]
    fn an_empty_set_is_complete_at_once() {
        let mut initial = Initial::default();
        initial.count(at(0), 0);
        assert!(initial.is_complete(0));
    }

    #[test]
    fn what_vanished_is_not_waited_for() {
        let mut initial = Initial::default();
        initial.count(at(0), 5);
        initial.confirm(3, at(4), 0); // one is on its way
        assert!(!initial.is_complete(3));
        initial.confirm(4, at(4), 1); // one is still to be delivered
        assert!(!initial.is_complete(4));
        initial.confirm(4, at(4), 0);
        assert!(initial.is_complete(4));
    }
}
