//! Consumers that nobody needs any more are deleted, and remembered until they
//! are: also over the loss of a link.
//!
//! The memory is bounded in number and in time, as a server deletes a consumer
//! without listeners by itself.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;

use super::Session;
use crate::js::subject::{self, ApiPrefix};
use crate::kv::Machine;
use crate::kv::ask::{Ask, Asker, Heard, Question};
use crate::kv::binding::Binding;
use crate::mutant::{self, Mutant};
use crate::paths::{Path, took};
use crate::tally::Tally;
use crate::time::Instant;
use crate::timer::{Reason, TimerId};

/// How long a server keeps a consumer that nobody listens to. Interest is there
/// before a consumer is made, so this only has to outlast a moment without it.
pub(super) const INACTIVE_THRESHOLD: Duration = Duration::from_secs(30);

/// When a server has surely deleted such a consumer by itself.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// The pause before a deletion that was not answered is asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// Most deletions that are remembered; beyond it servers do it by themselves.
const MAX_DELETIONS: usize = 1_024;

#[derive(Debug)]
struct Deletion {
    serial: u64,
    api: ApiPrefix,
    stream: String,
    consumer: String,
    until: Instant,
    /// When to ask for it next.
    due: Instant,
    /// It is asked for.
    asked: bool,
    /// The consumer was asked for, and the answer was not waited for.
    early: bool,
}

#[derive(Debug, Default)]
pub(super) struct Cleanup {
    deletions: VecDeque<Deletion>,
    serial: u64,
    timer: Option<TimerId>,
}

impl Cleanup {
    pub(super) fn len(&self) -> usize {
        self.deletions.len()
    }

    fn remove(&mut self, serial: u64) {
        self.deletions.retain(|one| one.serial != serial);
    }
}

impl Session {
    /// Sees to it that a consumer is deleted; an early one that perhaps is still
    /// to be made.
    pub(super) fn discard(&mut self, bucket: &Binding, consumer: String, early: bool) {
        if mutant::is(Mutant::ConsumerLeftBehind) {
            return;
        }
        if mutant::is(Mutant::DeletionForgottenOffline) && self.active.is_none() {
            return;
        }
        let cleanup = &mut self.cleanup;
        if cleanup.len() >= MAX_DELETIONS {
            let unasked = cleanup.deletions.iter().position(|one| !one.asked);
            cleanup.deletions.remove(unasked.unwrap_or_default());
        }
        cleanup.serial.raise(1);
        cleanup.deletions.push_back(Deletion {
            serial: cleanup.serial,
            api: bucket.api().clone(),
            stream: bucket.stream().into(),
            consumer,
            until: self.now + FORGET_AFTER,
            due: self.now,
            asked: false,
            early,
        });
        self.clean_up();
    }

    /// Asks for the deletions that are due, if there is a link.
    pub(super) fn clean_up(&mut self) {
        if self.active.is_none() {
            return;
        }
        let now = self.now;
        self.cleanup
            .deletions
            .retain(|one| one.asked || one.until > now);
        let mut asks = VecDeque::new();
        let mut waits = false;
        for deletion in self.cleanup.deletions.iter_mut().filter(|one| !one.asked) {
            if deletion.due > now {
                waits = true;
                continue;
            }
            deletion.asked = true;
            let Deletion {
                api,
                stream,
                consumer,
                ..
            } = deletion;
            let call = format!("{}{stream}.{consumer}", subject::CONSUMER_DELETE);
            let (asker, api) = (Asker::Cleanup(deletion.serial), api.clone());
            asks.push_back(Ask::new(asker, Question::Delete, api, call, Bytes::new()));
        }
        for ask in asks {
            took(Path::Deleted);
            self.start_internal(Machine::Ask(ask));
        }
        if waits {
            self.rest_before_cleaning();
        }
    }

    /// What became of a deletion.
    pub(super) fn on_cleaned(&mut self, serial: u64, heard: &Heard) {
        let pause = self.active.map_or(Duration::ZERO, |_| AGAIN);
        let mut deletions = self.cleanup.deletions.iter_mut();
        let Some(deletion) = deletions.find(|one| one.serial == serial) else {
            return;
        };
        // Servers serve requests side by side (seen on 2.15.1): the deletion
        // can overtake the creation.
        let early = core::mem::take(&mut deletion.early);
        deletion.asked = false;
        deletion.due = self.now + pause;
        if early && matches!(heard, Heard::Failed(error) if error.is_consumer_not_found()) {
            took(Path::DeletedTwice);
        }
        let open = match heard {
            Heard::Nothing | Heard::Nobody(_) => true,
            Heard::Failed(error) if error.is_consumer_not_found() => early,
            Heard::Failed(error) => error.is_transient() || error.code() >= 500,
            Heard::Deleted
            | Heard::Denied(_)
            | Heard::Refused(_)
            | Heard::Created(_)
            | Heard::Stream(_)
            | Heard::Consumer(_)
            | Heard::Last(_) => false,
        };
        if open {
            took(Path::DeletedLater);
            self.rest_before_cleaning();
        } else {
            self.cleanup.remove(serial);
        }
    }

    fn rest_before_cleaning(&mut self) {
        if self.cleanup.timer.is_none() && self.active.is_some() {
            let pause = AGAIN.saturating_add(self.rng.jitter(AGAIN));
            let timer = self.timers.arm(self.now + pause, Reason::Cleanup);
            self.cleanup.timer = Some(timer);
        }
    }

    pub(super) fn on_cleanup_timer(&mut self) {
        self.cleanup.timer = None;
        self.clean_up();
    }

    /// Forgets all deletions: nobody is left to ask for them.
    pub(super) fn stop_cleaning(&mut self) {
        self.cleanup.deletions.clear();
        if let Some(timer) = self.cleanup.timer.take() {
            self.timers.cancel(timer);
        }
    }
}
