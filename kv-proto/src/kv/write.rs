//! Writes: put, create, update, delete and purge, and the evidence by which
//! they end.
//!
//! ```text
//!   Publish --ack--> done                       ack below what its token saw --> Check
//!      | conflict, and a revision is to be found out        |   (nothing else came)
//!      v                                                     v
//!   Lookup --tombstone, create--> Publish               Verify --our message is there--> done
//!      |                                                     '--it is not--> unknown
//!      '--value--> exists / conflict
//!   Publish --nobody there--> Probe --bucket exists--> pause --> Publish
//!                               '--no bucket--> not applied
//! ```
//!
//! A blind put that was handed over whole and not answered is never repeated: its
//! outcome is unknown. A write that certainly had no effect may be repeated, and so may one on a condition:
//! it has a name by which it is found again (`resolve`).

mod doubts;
mod identity;
mod lookup;
mod resolve;

use core::time::Duration;

use bytes::Bytes;

use self::doubts::Doubts;
pub(crate) use self::identity::Identity;
use self::resolve::Search;
use crate::error::{Cause, Doubt, Refused, WriteError};
use crate::js::error::{ServerError, Verdict};
use crate::js::message::{ApiReply, PublishReply};
use crate::js::stream::StreamInfo;
use crate::js::subject;
use crate::kv::answerers::Vouch;
use crate::kv::binding::Binding;
use crate::kv::entry::{Operation, Revision};
use crate::kv::floors::Begun;
use crate::kv::step::{Answer, Ending, LINGER, Lines, Reply, Request, Step, Surroundings};
use crate::mutant::{self, Mutant};
use crate::mux::Class;
use crate::name::Key;
use crate::op::Output;
use crate::out::Handover;
use crate::paths::{Path, took};
use crate::time::Instant;
use crate::wire::HeaderValue;

/// How often a write that lost against others is tried again (a `create` over
/// a tombstone that keeps changing, say) before it gives up.
const MAX_TRIES: u32 = 16;

/// How long a write waits for its acknowledgement before it is sent again, if it may be. A stream without a
/// leader is silent, and so is a server that cannot write to its disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shortest time to live that a server keeps: it counts in whole seconds.
pub(crate) const MIN_TTL: Duration = Duration::from_secs(1);

/// What a write does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Create,
    Delete,
    Purge,
}

impl Kind {
    /// What readers see of it.
    const fn operation(self) -> Operation {
        match self {
            Self::Put | Self::Create => Operation::Put,
            Self::Delete => Operation::Delete,
            Self::Purge => Operation::Purge,
        }
    }
}

#[derive(Debug)]
enum Stage {
    /// The write itself.
    Publish,
    /// Nobody listened: is there a bucket?
    Probe,
    /// It conflicts: at which revision is the key? Asked of the leader, as
    /// any other replica may be behind.
    Lookup { body: Bytes },
    /// The same of any replica, because the leader may not be asked.
    DirectLookup,
    /// Another stream answered that: is it a mirror of the bucket?
    Vouch(Vouch),
    /// The acknowledgement looks like a copy of an older one: the true one may
    /// follow.
    Doubtful(Doubts),
    /// It did not follow: has the stream been rewound or created anew?
    Check(Doubts),
    /// Is our message at that revision?
    Verify {
        doubts: Doubts,
        revision: u64,
        body: Bytes,
    },
    /// It may have been applied: what is at the key?
    Search(Search),
}

#[derive(Debug)]
pub(crate) struct Write {
    binding: Binding,
    key: Key,
    value: Bytes,
    kind: Kind,
    /// The condition: the key's last revision, 0 for none.
    expect: Option<Revision>,
    ttl_seconds: Option<u64>,
    /// What it is found again by, if it has a condition.
    identity: Option<Identity>,
    /// What a create is found again by that was sent for a key without a revision, if that is in doubt and it is
    /// sent again over a tombstone.
    earlier: Option<Identity>,
    /// Why an earlier attempt may have been applied, if one may.
    doubt: Option<Doubt>,
    stage: Stage,
    tries: u32,
    /// Nobody answered the last attempt.
    unanswered: bool,
    /// A revision that the key is known to have reached.
    reached: u64,
    begun: Begun,
}

const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
const MESSAGE_ID: &str = "Nats-Msg-Id";

static EMPTY: Bytes = Bytes::new();

impl Write {
    /// Makes a write.
    ///
    /// # Errors
    ///
    /// [`Cause::InvalidTtl`], [`Cause::TtlDisabled`], [`Cause::TtlUnderHistory`],
    /// [`Cause::Unreachable`] or [`Refused::TooLarge`].
    #[expect(clippy::too_many_arguments, reason = "what writes differ in")]
    #[inline] // or it is copied on the way out
    pub(crate) fn new(
        binding: Binding,
        key: Key,
        value: Bytes,
        kind: Kind,
        expect: Option<Revision>,
        ttl: Option<Duration>,
        identity: Option<Identity>,
        begun: Begun,
    ) -> Result<Self, Cause> {
        if ttl.is_some_and(|ttl| ttl < MIN_TTL) {
            return Err(Cause::InvalidTtl);
        }
        if ttl.is_some() && !binding.allow_ttl() {
            return Err(Cause::TtlDisabled);
        }
        if ttl.is_some() && matches!(kind, Kind::Put) && !binding.keeps_one() {
            return Err(Cause::TtlUnderHistory);
        }
        binding.check_origin()?;
        let write = Self {
            expect: match kind {
                Kind::Create => Some(Revision::new(0)),
                Kind::Put | Kind::Delete | Kind::Purge => expect,
            },
            ttl_seconds: ttl.map(whole_seconds),
            binding,
            key,
            value,
            kind,
            identity,
            earlier: None,
            doubt: None,
            stage: Stage::Publish,
            tries: 0,
            unanswered: false,
            reached: 0,
            begun,
        };
        if let Some(limit) = write.binding.max_message() {
            let size = write.request().size();
            if size > limit {
                return Err(Refused::TooLarge { size, limit }.into());
            }
        }
        Ok(write)
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let (api, stream) = (self.binding.origin_api(), self.binding.acks_from());
        match &self.stage {
            Stage::Publish | Stage::Doubtful(_) => self.publish(),
            Stage::Probe | Stage::Check(_) => {
                Request::api(api, subject::STREAM_INFO, stream, &EMPTY)
            }
            Stage::Lookup { body } | Stage::Verify { body, .. } => {
                Request::api(api, subject::STREAM_MSG_GET, stream, body)
            }
            Stage::DirectLookup => {
                Request::to([self.binding.direct_prefix(), &self.key, ""], &EMPTY)
            }
            Stage::Vouch(vouch) => vouch.request(&self.binding),
            Stage::Search(search) => search.request(&self.binding),
        }
    }

    fn publish(&self) -> Request<'_> {
        let mut headers = Lines::none();
        match self.kind {
            Kind::Put | Kind::Create => {}
            Kind::Delete => headers.push("KV-Operation", HeaderValue::Text("DEL")),
            Kind::Purge => {
                headers.push("KV-Operation", HeaderValue::Text("PURGE"));
                headers.push("Nats-Rollup", HeaderValue::Text("sub"));
            }
        }
        if let Some(expect) = self.expect {
            headers.push(EXPECTED, HeaderValue::Number(expect.get()));
        }
        if let Some(seconds) = self.ttl_seconds {
            headers.push("Nats-TTL", HeaderValue::Number(seconds));
        }
        if let Some(identity) = &self.identity {
            headers.push(MESSAGE_ID, HeaderValue::Text(identity.text()));
        }
        Request {
            subject: [self.binding.write_prefix(), &self.key, ""],
            headers,
            payload: &self.value,
            class: Some(Class::Acks(self.binding.tag())),
        }
    }

    /// Whether the request only asks.
    pub(crate) const fn asks(&self) -> bool {
        match self.stage {
            Stage::Publish | Stage::Doubtful(_) => false,
            Stage::Probe
            | Stage::Lookup { .. }
            | Stage::DirectLookup
            | Stage::Vouch(_)
            | Stage::Check(_)
            | Stage::Verify { .. }
            | Stage::Search(_) => true,
        }
    }

    /// Bytes to account for while the write is pending.
    pub(crate) fn weight(&self) -> usize {
        // The key once more in the body of a lookup.
        2 * self.key.len() + self.value.len()
    }

    pub(crate) fn answer(&mut self, answer: Answer<'_>, around: &mut Surroundings<'_>) -> Step {
        let step = self.take(answer, around);
        if let Step::Done(Output::Written(result)) = &step
            && let Some(revision) = revision_told(result)
        {
            let (binding, key) = (&self.binding, &self.key);
            around.floors.note(binding, key, revision.get(), self.begun);
        }
        step
    }

    fn take(&mut self, answer: Answer<'_>, around: &mut Surroundings<'_>) -> Step {
        match core::mem::replace(&mut self.stage, Stage::Publish) {
            Stage::Publish => self.on_published(answer, None, around),
            Stage::Doubtful(doubts) => self.on_published(answer, Some(doubts), around),
            Stage::Probe => self.on_probed(answer, around),
            Stage::Lookup { body } => self.on_looked_up(body, answer, around),
            Stage::DirectLookup => self.on_direct_looked_up(answer, around),
            Stage::Vouch(vouch) => self.on_vouched(vouch, answer, around),
            Stage::Check(doubts) => self.on_checked(doubts, answer, around),
            Stage::Verify {
                doubts,
                revision,
                body,
            } => self.on_verified(doubts, revision, body, answer, around),
            Stage::Search(search) => self.on_searched(search, answer, around),
        }
    }

    /// How long an acknowledgement is waited for before the write is sent again, if it may be.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let waits = matches!(self.stage, Stage::Publish) && self.identity.is_some();
        waits.then_some(PATIENCE)
    }

    /// No other acknowledgement followed a doubtful one, or none came at all: it is to be looked after.
    pub(crate) fn lingered(&mut self, now: Instant) -> bool {
        match (&self.stage, self.identity.is_some()) {
            (Stage::Doubtful(_), true) => {
                took(Path::LingeredNamed);
                self.doubt.get_or_insert(Doubt::Malformed);
                self.search();
            }
            (Stage::Doubtful(doubts), false) => {
                took(Path::Lingered);
                self.stage = Stage::Check(*doubts);
            }
            (Stage::Publish, true) => {
                took(Path::SentAgainUnanswered);
                self.doubt.get_or_insert(Doubt::TimedOut);
                self.try_again(now);
            }
            _ => return false,
        }
        true
    }

    /// Ends a write from outside; `handover` is that of its last request.
    pub(crate) fn end(self, ending: Ending, handover: Handover) -> Output {
        let in_doubt = match self.stage {
            Stage::Publish | Stage::Doubtful(_) => handover == Handover::Whole,
            Stage::Check(_) | Stage::Verify { .. } => true,
            Stage::Probe
            | Stage::Lookup { .. }
            | Stage::DirectLookup
            | Stage::Vouch(_)
            | Stage::Search(_) => false,
        } || self.doubt.is_some();
        failed(match (ending, in_doubt) {
            (Ending::Deadline, true) => {
                took(Path::LateInDoubt);
                WriteError::Unknown(match self.doubt {
                    Some(Doubt::Server(error)) => error.into(),
                    Some(_) | None => Doubt::TimedOut,
                })
            }
            (Ending::Closed, true) => {
                took(Path::ClosedInDoubt);
                WriteError::Unknown(Doubt::Closed)
            }
            (Ending::Deadline, false) if self.unanswered => {
                took(Path::LateUnanswered);
                WriteError::NotApplied(Cause::Unavailable)
            }
            (Ending::Deadline, false) => {
                took(Path::LateUnsent);
                WriteError::NotApplied(Cause::TimedOut)
            }
            (Ending::Closed, false) => {
                took(Path::ClosedUnsent);
                Refused::Closed.into()
            }
        })
    }

    /// Ends a write whose frame no link can take.
    pub(crate) fn refuse(self, refused: Refused) -> Output {
        failed(match self.doubt {
            Some(doubt) => {
                took(Path::LargeInDoubt);
                WriteError::Unknown(doubt)
            }
            None => refused.into(),
        })
    }

    fn on_published(
        &mut self,
        answer: Answer<'_>,
        doubts: Option<Doubts>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        match answer {
            Answer::Reply(reply) => self.on_ack(&reply, doubts, around),
            Answer::NoResponders => {
                took(Path::Nobody);
                self.unanswered = true;
                self.stage = Stage::Probe;
                Step::Send
            }
            Answer::Denied(subject) => match doubts {
                None => {
                    took(Path::Denied);
                    self.not_applied(Cause::Denied { subject })
                }
                // What was acknowledged was not refused.
                Some(doubts) => {
                    self.stage = Stage::Doubtful(doubts);
                    Step::Ignore
                }
            },
            Answer::LinkLost(Handover::None) => {
                took(Path::LostUnsent);
                Step::Send
            }
            Answer::LinkLost(Handover::Partial) if self.doubt.is_some() => {
                took(Path::LostInPartInDoubt);
                Step::Send
            }
            Answer::LinkLost(Handover::Partial) => {
                took(Path::LostInPart);
                self.not_applied(Cause::LinkLost)
            }
            Answer::LinkLost(Handover::Whole) if self.repeats_what_was_lost() => Step::Send,
            Answer::LinkLost(Handover::Whole) if mutant::is(Mutant::LossIsNotApplied) => {
                self.not_applied(Cause::LinkLost)
            }
            Answer::LinkLost(Handover::Whole) if self.identity.is_none() => {
                took(Path::LostPut);
                unknown(Doubt::LinkLost)
            }
            Answer::LinkLost(Handover::Whole) => {
                took(Path::LostNamed);
                self.doubt.get_or_insert(Doubt::LinkLost);
                self.try_again(around.now);
                Step::Send
            }
        }
    }

    fn on_ack(
        &mut self,
        reply: &Reply<'_>,
        doubts: Option<Doubts>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        match PublishReply::parse(reply.payload.bytes) {
            Ok(PublishReply::Ack { seq: 0, .. }) => {
                took(Path::AcknowledgedNothing);
                self.in_doubt(Doubt::Malformed)
            }
            Ok(PublishReply::Ack { stream, .. }) if stream.is_empty() => {
                took(Path::NoAcknowledgement);
                self.in_doubt(Doubt::Malformed)
            }
            Err(_) => {
                took(Path::NoAcknowledgement);
                self.in_doubt(Doubt::Malformed)
            }
            Ok(PublishReply::Ack { stream, domain, .. })
                if !self.binding.is_acked_by(&stream, &domain) =>
            {
                took(Path::AcknowledgedElsewhere);
                if let Some(doubts) = doubts {
                    self.stage = Stage::Doubtful(doubts);
                }
                Step::Ignore
            }
            Ok(PublishReply::Ack { seq, duplicate, .. }) => {
                // What is no duplicate cannot be called one, and a copy of what another write was told of its own
                // duplicate names a revision that the token has seen.
                let ours = seq > reply.acked_before && (!duplicate || self.identity.is_some());
                if ours || mutant::is(Mutant::CopyIsBelieved) {
                    took(match (self.doubt.is_some(), duplicate) {
                        (false, false) => Path::Acknowledged,
                        (false, true) => Path::AcknowledgedAgain,
                        (true, false) => Path::AppliedAnew,
                        (true, true) => Path::AppliedBefore,
                    });
                    Step::Done(Output::Written(Ok(Revision::new(seq))))
                } else {
                    took(Path::AcknowledgedBelow);
                    let mut doubts = doubts.unwrap_or_else(|| Doubts::new(reply.acked_before));
                    doubts.push(seq);
                    self.stage = Stage::Doubtful(doubts);
                    Step::Linger(LINGER)
                }
            }
            Ok(PublishReply::Error(error)) if error.is_wrong_last_sequence() => {
                self.on_conflict(&error, around)
            }
            Ok(PublishReply::Error(error)) => match error.write_verdict() {
                Verdict::Retry => {
                    took(Path::Later);
                    Step::Pause(around.pause())
                }
                Verdict::Conflict { .. } => self.on_conflict(&error, around),
                Verdict::Rejected => {
                    took(Path::Rejected);
                    self.not_applied(error.into())
                }
                Verdict::Resources => {
                    took(Path::NoResources);
                    self.not_applied(error.into())
                }
                // The first attempt is still under way. Clusters of 2.11 say so for minutes of what they have
                // refused, too: what is stored tells.
                Verdict::Poll if self.identity.is_some() => {
                    took(Path::InProcess);
                    self.doubt.get_or_insert(error.into());
                    self.search();
                    Step::Pause(around.pause())
                }
                Verdict::Poll | Verdict::Unknown => {
                    took(Path::AnotherError);
                    self.in_doubt(error.into())
                }
            },
        }
    }

    /// The condition does not hold. What the answer says is enough for an
    /// update; `create` has to see what is there, and the error for a write
    /// that lost against one in flight (10164) names no revision.
    fn on_conflict(&mut self, error: &ServerError, around: &mut Surroundings<'_>) -> Step {
        if self.doubt.is_some() && !mutant::is(Mutant::ConflictWithItself) {
            took(Path::ConflictInDoubt);
            self.search();
            return Step::Send;
        }
        let expected = self.expect.map_or(0, Revision::get);
        took(match error.current_sequence() {
            Some(_) => Path::Conflict,
            None => Path::ConflictUnnumbered,
        });
        self.reached = error.current_sequence().unwrap_or(expected);
        match (self.kind, self.expect, error.current_sequence()) {
            (Kind::Put | Kind::Delete | Kind::Purge, Some(expected), Some(current)) => {
                failed_step(WriteError::Conflict {
                    expected,
                    current: Some(Revision::new(current)),
                })
            }
            (Kind::Put | Kind::Delete | Kind::Purge, None, _) => {
                self.not_applied(error.clone().into())
            }
            _ => self.look_up(around),
        }
    }

    fn on_probed(&mut self, answer: Answer<'_>, around: &mut Surroundings<'_>) -> Step {
        match answer {
            Answer::Reply(reply) => match reply.api::<StreamInfo>() {
                Some(ApiReply::Failure(error)) => match api_failure(&error) {
                    Some(cause) => {
                        took(Path::ProbedNoBucket);
                        self.not_applied(cause)
                    }
                    None => Step::Pause(around.pause()),
                },
                Some(ApiReply::Success(_)) | None => {
                    took(Path::Probed);
                    Step::Pause(around.pause())
                }
            },
            Answer::NoResponders => match around.absent(self.binding.origin_api()) {
                Some(absent) => self.not_applied(absent.into()),
                None => Step::Pause(around.pause()),
            },
            Answer::Denied(_) => Step::Pause(around.pause()),
            Answer::LinkLost(_) => Step::Send,
        }
    }

    /// A planted bug, or never.
    fn repeats_what_was_lost(&self) -> bool {
        mutant::is(Mutant::PutSentTwice) && self.expect.is_none()
    }

    /// Ends an attempt that had no effect. If an earlier one may have had, nothing is proved.
    fn not_applied(&mut self, cause: Cause) -> Step {
        match &self.doubt {
            Some(doubt) if !mutant::is(Mutant::RefusalForgetsDoubt) => {
                took(Path::RefusedInDoubt);
                unknown(doubt.clone())
            }
            Some(_) | None => failed_step(WriteError::NotApplied(cause)),
        }
    }

    fn stored_subject(&self) -> alloc::vec::Vec<u8> {
        [self.binding.stored_prefix().as_bytes(), self.key.as_bytes()].concat()
    }
}

/// The revision that a writer is told its key has reached.
const fn revision_told(result: &Result<Revision, WriteError>) -> Option<Revision> {
    match result {
        Ok(revision) | Err(WriteError::Exists { revision }) => Some(*revision),
        Err(WriteError::Conflict { current, .. }) => *current,
        Err(WriteError::InvalidKey(_) | WriteError::NotApplied(_) | WriteError::Unknown(_)) => None,
    }
}

/// Rounds up to what the server counts in, so that nothing expires early.
fn whole_seconds(ttl: Duration) -> u64 {
    ttl.as_secs()
        .saturating_add(u64::from(ttl.subsec_nanos() > 0))
}

/// The cause that an API error proves about the bucket, if it proves one.
fn api_failure(error: &ServerError) -> Option<Cause> {
    if error.is_stream_not_found() {
        Some(Cause::BucketNotFound)
    } else if error.is_not_enabled() {
        Some(Cause::NoJetStream)
    } else {
        None
    }
}

fn failed(error: WriteError) -> Output {
    Output::Written(Err(error))
}

fn failed_step(error: WriteError) -> Step {
    Step::Done(failed(error))
}

fn unknown(doubt: Doubt) -> Step {
    failed_step(WriteError::Unknown(doubt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_expires_early_or_never_by_overflow() {
        let ns = Duration::from_nanos;
        for (ttl, seconds) in [
            (ns(1_000_000_000), 1),
            (ns(1_000_000_001), 2),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(whole_seconds(ttl), seconds);
        }
    }
}
