//! Removing revisions through the stream: nothing is left in their place, and
//! no watch is told.
//!
//! ```text
//!   [Look --last revision-->] [Confirm -->] Purge --> how many went
//!     ^                                      |
//!     '----------- is it the same? ----------'  the answer is lost, or "not now"
//! ```
//!
//! A purge is always bounded by a revision, the last one at the time of the
//! call or an earlier one: what is written meanwhile stays, and to repeat it
//! after a lost answer removes nothing more. Only in a bucket that was deleted
//! and created again would the revision bound something else, so before a
//! purge is repeated the bucket is looked at. `Confirm` asks whether a tombstone
//! is the last of its key, where that is not known.

use alloc::format;
use alloc::string::String;

use bytes::Bytes;

use crate::error::{BucketError, Doubt, Outcome, Refused};
use crate::js::error::{ManagementOutcome, ServerError};
use crate::js::message::{ApiReply, LastMessage};
use crate::js::purge::{Purged, purge_before};
use crate::js::stream::StreamInfo;
use crate::js::subject;
use crate::kv::binding::Binding;
use crate::kv::entry::Revision;
use crate::kv::manage;
use crate::kv::read::last_by_subject;
use crate::kv::step::{Answer, Ending, Reply, Request, Step, Surroundings};
use crate::limits::MAX_API_REPLY;
use crate::op::{OpId, Output};
use crate::out::Handover;
use crate::paths::{Path, took};
use crate::time::Timestamp;

#[derive(Debug)]
enum Stage {
    /// What is the last revision, and is it the bucket that it was?
    Look,
    /// What is the last revision of the key?
    Confirm {
        body: Bytes,
    },
    Purge {
        body: Bytes,
    },
}

/// What goes of a bucket's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// The first revision that stays.
    pub(crate) before: Revision,
    /// When the bucket that is meant was created; `None` if that is not known.
    pub(crate) created: Option<Timestamp>,
    /// The tombstone that was seen; it has to be there still.
    pub(crate) tombstone: Option<Revision>,
    /// Whether it is to be confirmed that it is the last of its key.
    pub(crate) confirm: bool,
}

#[derive(Debug)]
pub(crate) struct Erase {
    binding: Binding,
    filter: String,
    bound: Option<Bound>,
    stage: Stage,
    /// The sweep that it is a part of.
    sweep: Option<OpId>,
    unanswered: bool,
    /// An earlier purge may have taken effect.
    doubt: Option<Doubt>,
}

/// What the body of a purge has beside the filter.
const FRAME: usize = 64;

static EMPTY: Bytes = Bytes::new();

impl Erase {
    /// Erases what matches the filter, up to the last revision or within the given bound.
    ///
    /// # Errors
    ///
    /// [`BucketError::Unreachable`].
    pub(crate) fn new(
        binding: &Binding,
        filter: &str,
        bound: Option<Bound>,
        sweep: Option<OpId>,
    ) -> Result<Self, BucketError> {
        binding.check_origin()?;
        let mut erase = Self {
            binding: binding.clone(),
            filter: format!("{}{filter}", binding.stored_prefix()),
            bound,
            stage: Stage::Look,
            sweep,
            unanswered: false,
            doubt: None,
        };
        if let Some(bound) = bound {
            erase.stage = erase.within(bound);
        }
        Ok(erase)
    }

    /// What to do when the bucket is known to be the one that is meant.
    fn within(&self, bound: Bound) -> Stage {
        if bound.confirm {
            Stage::Confirm {
                body: last_by_subject(&self.filter),
            }
        } else {
            self.purging(bound)
        }
    }

    fn purging(&self, bound: Bound) -> Stage {
        Stage::Purge {
            body: purge_before(&self.filter, bound.before.get()),
        }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let (call, body) = match &self.stage {
            Stage::Look => (subject::STREAM_INFO, &EMPTY),
            Stage::Confirm { body } => (subject::STREAM_MSG_GET, body),
            Stage::Purge { body } => (subject::STREAM_PURGE, body),
        };
        Request::api(
            self.binding.origin_api(),
            call,
            self.binding.acks_from(),
            body,
        )
    }

    /// Bytes to account for while the request is pending.
    pub(crate) fn weight(&self) -> usize {
        2 * self.filter.len() + FRAME
    }

    pub(crate) fn answer(&mut self, answer: Answer<'_>, around: &mut Surroundings<'_>) -> Step {
        match answer {
            Answer::Reply(reply) => self.on_reply(&reply, around),
            Answer::NoResponders => match around.absent(self.binding.origin_api()) {
                Some(absent) => self.failed(absent.into()),
                None => self.rest(around),
            },
            Answer::Denied(subject) => self.failed(BucketError::Denied { subject }),
            Answer::LinkLost(handover) => {
                if self.purges() && handover == Handover::Whole {
                    took(Path::PurgeLost);
                    self.doubt = Some(Doubt::LinkLost);
                }
                self.stage = Stage::Look;
                Step::Send
            }
        }
    }

    pub(crate) const fn purges(&self) -> bool {
        matches!(self.stage, Stage::Purge { .. })
    }

    /// Tries again after a pause.
    fn rest(&mut self, around: &mut Surroundings<'_>) -> Step {
        took(Path::RemovedLater);
        self.unanswered = true;
        self.stage = Stage::Look;
        Step::Pause(around.pause())
    }

    fn on_reply(&mut self, reply: &Reply<'_>, around: &mut Surroundings<'_>) -> Step {
        match &self.stage {
            Stage::Look => match reply.api::<StreamInfo>() {
                Some(ApiReply::Success(info)) => self.on_seen(&info),
                Some(ApiReply::Failure(error)) => self.on_failure(error, around),
                None => self.failed(BucketError::Unknown(Doubt::Malformed)),
            },
            Stage::Confirm { .. } => match reply.api::<LastMessage>() {
                Some(ApiReply::Success(last)) => self.on_last(last.message.seq),
                Some(ApiReply::Failure(error)) if error.is_no_message() => self.on_last(0),
                Some(ApiReply::Failure(error)) => self.on_failure(error, around),
                // What is so large is no tombstone.
                None if reply.payload.bytes.len() > MAX_API_REPLY => self.on_last(0),
                None => self.failed(BucketError::Unknown(Doubt::Malformed)),
            },
            Stage::Purge { .. } => match reply.api::<Purged>() {
                Some(ApiReply::Success(purged)) if purged.success => {
                    Step::Done(self.output(Ok(purged.purged)))
                }
                Some(ApiReply::Failure(error)) => self.on_failure(error, around),
                Some(ApiReply::Success(_)) | None => {
                    self.failed(BucketError::Unknown(Doubt::Malformed))
                }
            },
        }
    }

    fn on_seen(&mut self, info: &StreamInfo) -> Step {
        if info.config.name != self.binding.acks_from() {
            return Step::Ignore;
        }
        let end = Revision::new(info.state.last_seq.saturating_add(1));
        let bound = self.bound.unwrap_or(Bound {
            before: end,
            created: Some(info.created),
            tombstone: None,
            confirm: false,
        });
        if bound.created.is_some_and(|created| created != info.created) {
            took(Path::RemovedElse);
            return self.failed(BucketError::NotFound);
        }
        // What was lost off the end is written anew, to stay. If the tombstone is
        // lost, what was below it is there again.
        if bound.tombstone.is_some_and(|tombstone| tombstone >= end) {
            took(Path::RemovedNothing);
            return Step::Done(self.output(Ok(0)));
        }
        let before = bound.before.min(end);
        let bound = Bound { before, ..bound };
        self.bound = Some(bound);
        self.stage = self.within(bound);
        Step::Send
    }

    fn on_last(&mut self, last: u64) -> Step {
        match self.bound {
            Some(bound) if bound.tombstone == Some(Revision::new(last)) => {
                self.stage = self.purging(bound);
                Step::Send
            }
            Some(_) | None => {
                took(Path::RemovedBetter);
                Step::Done(self.output(Ok(0)))
            }
        }
    }

    fn on_failure(&mut self, error: ServerError, around: &mut Surroundings<'_>) -> Step {
        if error.is_transient() {
            return self.rest(around);
        }
        if self.purges() && error.management_outcome() == ManagementOutcome::Unknown {
            return self.failed(BucketError::Unknown(error.into()));
        }
        self.failed(manage::refused(error))
    }

    /// Ends a request from outside; `handover` is that of its last message.
    pub(crate) fn end(self, ending: Ending, handover: Handover) -> Output {
        let in_doubt = self.purges() && handover == Handover::Whole;
        let error = match (ending, in_doubt) {
            (Ending::Deadline, true) => BucketError::Unknown(Doubt::TimedOut),
            (Ending::Closed, true) => BucketError::Unknown(Doubt::Closed),
            (Ending::Deadline, false) if self.unanswered => BucketError::Unavailable,
            (Ending::Deadline, false) => BucketError::TimedOut,
            (Ending::Closed, false) => Refused::Closed.into(),
        };
        self.output(Err(error))
    }

    fn failed(&mut self, error: BucketError) -> Step {
        Step::Done(self.output(Err(error)))
    }

    /// The result. A failure that proves that the last purge had no effect
    /// proves nothing about an earlier one.
    pub(crate) fn output(&self, result: Result<u64, BucketError>) -> Output {
        let result = match (result, &self.doubt) {
            (Err(error), Some(doubt)) if error.outcome() == Outcome::NotApplied => {
                Err(BucketError::Unknown(doubt.clone()))
            }
            (result, _) => result,
        };
        match self.sweep {
            Some(sweep) => Output::Erased(sweep, result),
            None => Output::Count(result),
        }
    }
}
