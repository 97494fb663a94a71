//! Removing revisions through the stream: nothing is left in their place, and
//! no watch is told.
//!
//! ```text
//!   [Look --last revision-->] Purge --> how many went
//! ```
//!
//! A purge is always bounded by a revision, the last one at the time of the
//! call or an earlier one: what is written meanwhile stays, and to repeat it
//! after a lost answer removes nothing more.

use alloc::format;
use alloc::string::String;

use bytes::Bytes;

use crate::error::{BucketError, Doubt, Refused};
use crate::js::error::ServerError;
use crate::js::message::ApiReply;
use crate::js::purge::{Purged, purge_before};
use crate::js::stream::StreamInfo;
use crate::js::subject;
use crate::kv::binding::Binding;
use crate::kv::entry::Revision;
use crate::kv::manage;
use crate::kv::step::{Answer, Ending, Reply, Request, Step, Surroundings};
use crate::op::{OpId, Output};
use crate::out::Handover;

#[derive(Debug)]
enum Stage {
    /// What is the last revision?
    Look,
    Purge {
        body: Bytes,
    },
}

#[derive(Debug)]
pub(crate) struct Erase {
    /// The whole subject to ask on.
    stream: String,
    purge: String,
    filter: String,
    stage: Stage,
    /// The sweep that it is a part of.
    sweep: Option<OpId>,
    unanswered: bool,
}

static EMPTY: Bytes = Bytes::new();

impl Erase {
    /// Erases what matches the filter, up to the last revision or before the given one.
    pub(crate) fn new(
        binding: &Binding,
        filter: &str,
        before: Option<Revision>,
        sweep: Option<OpId>,
    ) -> Self {
        let mut erase = Self {
            stream: binding.origin_subject(subject::STREAM_INFO),
            purge: binding.origin_subject(subject::STREAM_PURGE),
            filter: format!("{}{filter}", binding.stored_prefix()),
            stage: Stage::Look,
            sweep,
            unanswered: false,
        };
        if let Some(before) = before {
            erase.stage = erase.purging_before(before.get());
        }
        erase
    }

    fn purging_before(&self, sequence: u64) -> Stage {
        Stage::Purge {
            body: purge_before(&self.filter, sequence),
        }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        match &self.stage {
            Stage::Look => Request::api(&self.stream, "", &EMPTY),
            Stage::Purge { body } => Request::api(&self.purge, "", body),
        }
    }

    /// Bytes to account for while the request is pending.
    pub(crate) fn weight(&self) -> usize {
        self.request().payload.len() + self.stream.len() + self.purge.len() + self.filter.len()
    }

    pub(crate) fn answer(
        mut self,
        answer: Answer<'_>,
        around: &mut Surroundings<'_>,
    ) -> Step<Self> {
        match answer {
            Answer::Reply(reply) => self.on_reply(&reply, around),
            Answer::NoResponders if !around.jetstream => self.failed(BucketError::NoJetStream),
            Answer::NoResponders => {
                self.unanswered = true;
                Step::Pause(self, around.pause())
            }
            Answer::Denied(subject) => self.failed(BucketError::Denied { subject }),
            Answer::LinkLost(_) => Step::Send(self),
        }
    }

    fn on_reply(mut self, reply: &Reply<'_>, around: &mut Surroundings<'_>) -> Step<Self> {
        match &self.stage {
            Stage::Look => match reply.api::<StreamInfo>() {
                Some(ApiReply::Success(info)) => {
                    self.stage = self.purging_before(info.state.last_seq.saturating_add(1));
                    Step::Send(self)
                }
                Some(ApiReply::Failure(error)) => self.on_failure(error, around),
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

    fn on_failure(mut self, error: ServerError, around: &mut Surroundings<'_>) -> Step<Self> {
        if error.is_transient() {
            self.unanswered = true;
            return Step::Pause(self, around.pause());
        }
        self.failed(manage::refused(error))
    }

    /// Ends a request from outside; `handover` is that of its last message.
    pub(crate) fn end(self, ending: Ending, handover: Handover) -> Output {
        let in_doubt = matches!(self.stage, Stage::Purge { .. }) && handover == Handover::Whole;
        let error = match (ending, in_doubt) {
            (Ending::Deadline, true) => BucketError::Unknown(Doubt::TimedOut),
            (Ending::Closed, true) => BucketError::Unknown(Doubt::Closed),
            (Ending::Deadline, false) if self.unanswered => BucketError::Unavailable,
            (Ending::Deadline, false) => BucketError::TimedOut,
            (Ending::Closed, false) => Refused::Closed.into(),
        };
        self.output(Err(error))
    }

    fn failed(self, error: BucketError) -> Step<Self> {
        Step::Done(self.output(Err(error)))
    }

    pub(crate) fn output(self, result: Result<u64, BucketError>) -> Output {
        match self.sweep {
            Some(sweep) => Output::Erased(sweep, result),
            None => Output::Count(result),
        }
    }
}
