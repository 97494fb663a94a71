//! Streams that keep a message only as long as somebody waits for it: by interest, and work queues.

use super::Stream;
use super::config::Retention;
use crate::mutant::{self, Mutant};
use crate::server::consumer::config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use crate::server::error::ApiError;
use crate::server::journal::Removal;
use crate::server::subject;
use crate::server::version::Version;

impl Stream {
    /// Whether the next message is not kept: a stream by interest keeps nothing that nobody waits for.
    pub(super) fn drops_next(&self, subject: &[u8]) -> bool {
        let mut consumers = self.consumers.values();
        let unwanted = self.config.retention == Retention::Interest
            && !consumers.any(|consumer| consumer.wants(subject));
        let next = self.store.last_seq() + 1;
        unwanted || mutant::strikes(Mutant::AcknowledgedAndDropped, next)
    }

    /// Removes what a consumer has done with, unless another one waits for it.
    pub(crate) fn drop_done(&mut self) {
        let mut done = Vec::new();
        for consumer in self.consumers.values_mut() {
            done.append(&mut consumer.done);
        }
        if self.config.retention != Retention::Limits {
            self.drop_unneeded(&done);
        }
    }

    /// Removes what only a consumer has waited for that is gone.
    pub(crate) fn drop_orphaned(&mut self, floor: u64) {
        if self.config.retention != Retention::Interest {
            return;
        }
        let from = floor.max(self.store.first_seq());
        let left = self.store.iter().map(|message| message.seq);
        let left: Vec<u64> = left.filter(|seq| *seq >= from).collect();
        self.drop_unneeded(&left);
    }

    fn drop_unneeded(&mut self, seqs: &[u64]) {
        for seq in seqs {
            let Some(message) = self.store.get(*seq) else {
                continue;
            };
            let mut consumers = self.consumers.values();
            if !consumers.any(|consumer| consumer.needs(*seq, &message.subject)) {
                self.remove(*seq, Removal::Deleted);
            }
        }
    }

    /// Whether a work queue takes this as a new consumer.
    pub(crate) fn check_queue(
        &self,
        config: &ConsumerConfig,
        name: &str,
        version: Version,
    ) -> Result<(), ApiError> {
        if self.config.retention != Retention::WorkQueue || config.direct {
            return Ok(());
        }
        if config.ack_policy != AckPolicy::Explicit {
            return Err(ApiError::QUEUE_NEEDS_ACKS);
        }
        let partial = config.deliver_policy != DeliverPolicy::All;
        if partial && version >= Version::V2_14 {
            return Err(ApiError::QUEUE_NEEDS_ALL);
        }
        if !self.consumers.is_empty() && config.filters().is_empty() {
            return Err(ApiError::QUEUE_HAS_UNFILTERED);
        }
        if !self.consumers.is_empty() {
            self.check_unique(config, name)?;
        }
        if partial {
            return Err(ApiError::QUEUE_NEEDS_ALL);
        }
        Ok(())
    }

    /// Whether no other consumer of a work queue waits for the same messages.
    pub(crate) fn check_unique(&self, config: &ConsumerConfig, name: &str) -> Result<(), ApiError> {
        if self.config.retention != Retention::WorkQueue {
            return Ok(());
        }
        let own = config.filters();
        let mut others = self.consumers.iter().filter(|(other, _)| *other != name);
        let clash = others.any(|(_, other)| {
            let theirs = other.config.filters();
            let mut all = own.iter();
            let all_of_it = theirs.is_empty() && !own.is_empty();
            all_of_it || all.any(|one| theirs.iter().any(|two| subject::overlap(one, two)))
        });
        if clash {
            return Err(ApiError::QUEUE_NOT_UNIQUE);
        }
        Ok(())
    }
}
