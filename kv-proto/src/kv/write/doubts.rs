//! Acknowledgements in doubt: one at or below what its reply token has seen looks like a copy of an older
//! one. If no better one follows, the stream is asked: it may have begun anew, or have lost its end, and then
//! the message that is stored at that revision tells whose it is.

use bytes::Bytes;

use super::{Stage, Write, unknown};
use crate::error::Doubt;
use crate::js::message::{ApiReply, StoredMessage};
use crate::js::stream::StreamInfo;
use crate::kv::entry::{Revision, Stored};
use crate::kv::read;
use crate::kv::step::{Answer, Step, Surroundings};
use crate::op::Output;
use crate::paths::{Path, took};

/// Acknowledgements that may be copies of older ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubts {
    /// The highest sequence that was acknowledged before on the same token.
    before: u64,
    acks: [u64; MAX_DOUBTS],
    count: usize,
    /// The stream has certainly begun anew, so that `before` means nothing.
    anew: bool,
}

/// Doubtful acknowledgements that are kept of one write; more are no harm, but
/// nobody has seen two.
const MAX_DOUBTS: usize = 4;

impl Doubts {
    pub(super) fn new(before: u64) -> Self {
        Self {
            before,
            acks: [0; MAX_DOUBTS],
            count: 0,
            anew: false,
        }
    }

    pub(super) fn push(&mut self, ack: u64) {
        if let Some(place) = self.acks.get_mut(self.count) {
            *place = ack;
            self.count += 1;
        }
    }

    fn pop(&mut self) -> Option<u64> {
        self.count = self.count.checked_sub(1)?;
        self.acks.get(self.count).copied()
    }
}

impl Write {
    pub(super) fn on_checked(
        &mut self,
        doubts: Doubts,
        answer: Answer<'_>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        match answer {
            Answer::Reply(reply) => match reply.api::<StreamInfo>() {
                Some(ApiReply::Success(info)) if info.config.name == self.binding.acks_from() => {
                    let anew =
                        info.state.last_seq < doubts.before || self.binding.is_older_than(&info);
                    took(if anew {
                        Path::CheckedAnew
                    } else {
                        Path::CheckedSame
                    });
                    self.verify(Doubts { anew, ..doubts })
                }
                Some(ApiReply::Failure(error)) if error.is_transient() => {
                    self.stage = Stage::Check(doubts);
                    Step::Pause(around.pause())
                }
                _ => unknown(Doubt::Malformed),
            },
            Answer::NoResponders | Answer::Denied(_) => unknown(Doubt::Malformed),
            Answer::LinkLost(_) => {
                self.stage = Stage::Check(doubts);
                Step::Send
            }
        }
    }

    /// Asks for the message at the next doubtful revision.
    fn verify(&mut self, mut doubts: Doubts) -> Step {
        let Some(revision) = doubts.pop() else {
            return unknown(Doubt::Malformed);
        };
        self.stage = Stage::Verify {
            doubts,
            revision,
            body: read::at_revision(Revision::new(revision)),
        };
        Step::Send
    }

    pub(super) fn on_verified(
        &mut self,
        doubts: Doubts,
        revision: u64,
        body: Bytes,
        answer: Answer<'_>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        let again = |write: &mut Self, step| {
            write.stage = Stage::Verify {
                doubts,
                revision,
                body,
            };
            step
        };
        match answer {
            Answer::Reply(reply) => match StoredMessage::parse(reply.payload.bytes) {
                Ok(ApiReply::Success(message)) if message.seq != revision => {
                    again(self, Step::Ignore)
                }
                Ok(ApiReply::Success(message)) => {
                    let at_our_key = message.subject.as_bytes() == self.stored_subject();
                    let is_ours = Stored::from_leader(message, around.limits).is_ok_and(|stored| {
                        stored.operation == self.kind.operation() && stored.value == self.value
                    });
                    // The last write that was acknowledged there may have been the same.
                    let is_other = revision == doubts.before && !doubts.anew;
                    if at_our_key && is_ours && !is_other {
                        took(Path::VerifiedOurs);
                        Step::Done(Output::Written(Ok(Revision::new(revision))))
                    } else {
                        took(Path::VerifiedOther);
                        self.verify(doubts)
                    }
                }
                Ok(ApiReply::Failure(error)) if error.is_transient() => {
                    again(self, Step::Pause(around.pause()))
                }
                Ok(ApiReply::Failure(_)) | Err(_) => self.verify(doubts),
            },
            Answer::LinkLost(_) => again(self, Step::Send),
            Answer::NoResponders | Answer::Denied(_) => unknown(Doubt::Malformed),
        }
    }
}
