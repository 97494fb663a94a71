//! Faults that meet one in so many messages, again and again: those of servers that are set up to be bad.
//!
//! They are counted and not drawn, so that who knows the number knows which message is met.

use std::collections::BTreeMap;

use super::menu::DeliveryFault;
use super::{Disturbances, Refusal};
use crate::server::Cluster;
use crate::server::stream::Outgoing;

/// A fault that meets one in so many of the messages that it can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "each has a name on a command line")]
pub enum Recurring {
    /// A write is stored and its acknowledgement never comes.
    LostAck,
    /// A write is stored, and the connection ends in place of its acknowledgement.
    SeveredAck,
    /// A publish is not stored: 503 10023, insufficient resources.
    RefusedPublish,
    /// A publish is stored and answered with an error: 503 10077.
    MisreportedPublish,
    /// A call to create, look at or delete a consumer, or to look at a stream, is not done: 503 10008.
    RefusedCall,
    /// What a consumer delivers is lost: a gap in its sequence.
    DroppedDelivery,
    /// What a consumer delivers comes twice.
    DoubledDelivery,
    /// What a consumer delivers comes after the next one.
    OvertakenDelivery,
    /// The consumer is deleted before its message comes, without a word.
    OrphanedDelivery,
    /// A heartbeat of a consumer is lost.
    LostHeartbeat,
}

impl Recurring {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::LostAck,
        Self::SeveredAck,
        Self::RefusedPublish,
        Self::MisreportedPublish,
        Self::RefusedCall,
        Self::DroppedDelivery,
        Self::DoubledDelivery,
        Self::OvertakenDelivery,
        Self::OrphanedDelivery,
        Self::LostHeartbeat,
    ];
}

/// Those that are set.
#[derive(Debug, Default)]
pub(super) struct Recurrences(BTreeMap<Recurring, Recurrence>);

#[derive(Debug)]
struct Recurrence {
    one_in: u64,
    /// How many messages could have been met since one was.
    passed: u64,
}

impl Recurrences {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts a message that can be met; whether it is.
    pub(super) fn strikes(&mut self, fault: Recurring) -> bool {
        let Some(recurrence) = self.0.get_mut(&fault) else {
            return false;
        };
        recurrence.passed += 1;
        let strikes = recurrence.passed >= recurrence.one_in;
        if strikes {
            recurrence.passed = 0;
        }
        strikes
    }

    pub(super) fn refusal(&mut self) -> Option<(Refusal, bool)> {
        if self.strikes(Recurring::RefusedPublish) {
            return Some((Refusal::Resources, false));
        }
        let misreported = self.strikes(Recurring::MisreportedPublish);
        misreported.then_some((Refusal::StoreFailed, true))
    }

    pub(super) fn delivery(&mut self) -> Option<DeliveryFault> {
        let faults = [
            (Recurring::DroppedDelivery, DeliveryFault::Dropped),
            (Recurring::DoubledDelivery, DeliveryFault::Doubled),
            (Recurring::OvertakenDelivery, DeliveryFault::Overtaken),
            (Recurring::OrphanedDelivery, DeliveryFault::Orphaned),
        ];
        let mut met = faults.into_iter().filter(|(fault, _)| self.strikes(*fault));
        met.next().map(|(_, fault)| fault)
    }
}

impl Disturbances {
    /// Decides what becomes of the acknowledgement of a write; anything else passes.
    pub(super) fn meet_acknowledgement(&mut self, message: Outgoing) -> Option<Outgoing> {
        if self.recurring.is_empty() || !is_acknowledgement(&message) {
            return Some(message);
        }
        if self.recurring.strikes(Recurring::LostAck) {
            return None;
        }
        if self.recurring.strikes(Recurring::SeveredAck) {
            self.severed.push(message.to);
            return None;
        }
        Some(message)
    }
}

/// Answers of the API begin with their type, refusals with the error.
fn is_acknowledgement(message: &Outgoing) -> bool {
    message.headers.is_empty() && message.payload.starts_with(b"{\"stream\":")
}

impl Cluster {
    /// Lets a fault meet one in so many of the messages it can meet from now on, beginning with the last of
    /// the first so many; zero ends it.
    pub fn recur(&mut self, fault: Recurring, one_in: u64) {
        let all = &mut self.disturbances.recurring.0;
        if one_in == 0 {
            all.remove(&fault);
        } else {
            all.insert(fault, Recurrence { one_in, passed: 0 });
        }
    }
}
