//! The look at a key after a conflict: `create` has to see whether what is there is a tombstone, and a write that
//! lost against one in flight is not told a revision.
//!
//! The leader is asked, as any other replica may be behind; another one only where the leader may not be.

use bytes::Bytes;

use super::{Identity, Kind, MAX_TRIES, Stage, Write, api_failure, failed_step};
use crate::error::{Cause, WriteError};
use crate::js::message::{ApiReply, StoredMessage};
use crate::kv::answerers::{Vouch, Vouched, Voucher};
use crate::kv::entry::{Damaged, Direct, Payload, Revision, Stored, server_status};
use crate::kv::read;
use crate::kv::step::{Answer, Step, Surroundings};
use crate::mutant::{self, Mutant};
use crate::paths::{Path, took};
use crate::wire::Headers;

impl Write {
    /// Finds out at which revision the key is. The pause after a repeated
    /// conflict comes before the look and not after it: what was seen is to be
    /// used at once, before it is stale.
    pub(super) fn look_up(&mut self, around: &mut Surroundings<'_>) -> Step {
        self.tries += 1;
        if self.tries > MAX_TRIES {
            return self.not_applied(Cause::Contended);
        }
        self.stage = Stage::Lookup {
            body: read::last_of(&self.binding, &self.key),
        };
        if self.tries == 1 {
            Step::Send
        } else {
            Step::Pause(around.short_pause())
        }
    }

    pub(super) fn on_looked_up(
        &mut self,
        body: Bytes,
        answer: Answer<'_>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        let again = |write: &mut Self, step| {
            write.stage = Stage::Lookup { body };
            step
        };
        match answer {
            Answer::Reply(reply) => match StoredMessage::parse(reply.payload.bytes) {
                Ok(ApiReply::Success(message)) => {
                    if message.subject.as_bytes() != self.stored_subject() {
                        return again(self, Step::Ignore);
                    }
                    let revision = Revision::new(message.seq);
                    let stored = Stored::from_leader(message, around.limits);
                    // An entry that cannot be read is no tombstone.
                    let live = stored.map_or(true, |stored| !stored.operation.is_tombstone());
                    took(if live {
                        Path::LookedValue
                    } else {
                        Path::LookedTombstone
                    });
                    self.on_current(Some((revision, live)), around)
                }
                Ok(ApiReply::Failure(error)) if error.is_no_message() => {
                    took(Path::LookedNothing);
                    self.on_current(None, around)
                }
                Ok(ApiReply::Failure(error)) => match api_failure(&error) {
                    Some(cause) => self.not_applied(cause),
                    None if error.is_transient() => again(self, Step::Pause(around.pause())),
                    None => self.not_applied(error.into()),
                },
                Err(_) => again(self, Step::Pause(around.pause())),
            },
            Answer::NoResponders => match around.absent(self.binding.origin_api()) {
                Some(absent) => self.not_applied(absent.into()),
                None => {
                    self.unanswered = true;
                    again(self, Step::Pause(around.pause()))
                }
            },
            Answer::Denied(_) => {
                took(Path::LookedReplica);
                self.stage = Stage::DirectLookup;
                Step::Send
            }
            Answer::LinkLost(_) => again(self, Step::Send),
        }
    }

    pub(super) fn on_direct_looked_up(
        &mut self,
        answer: Answer<'_>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        let again = |write: &mut Self, step| {
            write.stage = Stage::DirectLookup;
            step
        };
        match answer {
            Answer::Reply(reply) => match &reply.headers {
                Some(headers)
                    if server_status(headers).is_some_and(|status| status.code == 404) =>
                {
                    let stranger = around.answerers.has_stranger(&self.binding);
                    if stranger && self.kind != Kind::Create {
                        return self.look_again(around);
                    }
                    self.on_replica(None, around)
                }
                Some(headers) => match self.read_direct(headers, reply.payload, around) {
                    Err(doubt) => self.on_foreign(doubt, around),
                    Ok(Ok(stored)) if *stored.subject != *self.stored_subject() => {
                        again(self, Step::Ignore)
                    }
                    Ok(Ok(stored)) => {
                        let live = !stored.operation.is_tombstone();
                        self.on_replica(Some((stored.revision, live)), around)
                    }
                    Ok(Err(damaged)) => match damaged.revision {
                        Some(revision) => self.on_replica(Some((revision, true)), around),
                        None => again(self, Step::Pause(around.pause())),
                    },
                },
                None => again(self, Step::Pause(around.pause())),
            },
            Answer::NoResponders => {
                self.unanswered = true;
                again(self, Step::Pause(around.pause()))
            }
            Answer::Denied(subject) => self.not_applied(Cause::Denied { subject }),
            Answer::LinkLost(_) => again(self, Step::Send),
        }
    }

    /// Reads the reply of a direct get, if it is to be believed; otherwise, who is to be asked about it, if anybody.
    fn read_direct<'a>(
        &self,
        headers: &Headers<'a>,
        payload: Payload<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<Result<Stored<'a>, Damaged>, Option<Vouch>> {
        let Direct { stream, stored } = Direct::read(headers, payload);
        let voucher = stream.map(|name| around.answerers.judge(&self.binding, name, around.now));
        match voucher {
            Some(Voucher::Unknown(vouch)) => Err(Some(vouch)),
            Some(Voucher::Stranger) => Err(None),
            Some(Voucher::Good) | None => Ok(stored),
        }
    }

    /// Another stream answered: it is looked at, or asked again until the bucket answers itself.
    fn on_foreign(&mut self, doubt: Option<Vouch>, around: &mut Surroundings<'_>) -> Step {
        around.stats.foreign_replies += 1;
        match doubt {
            Some(vouch) => {
                self.stage = Stage::Vouch(vouch);
                Step::Send
            }
            None => self.look_again(around),
        }
    }

    pub(super) fn on_vouched(
        &mut self,
        vouch: Vouch,
        answer: Answer<'_>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        let vouched = vouch.answer(&self.binding, answer, around);
        self.stage = Stage::Vouch(vouch);
        match vouched {
            Vouched::Mirror => {
                self.stage = Stage::DirectLookup;
                Step::Send
            }
            Vouched::Not => self.look_again(around),
            Vouched::Ignore => Step::Ignore,
            Vouched::Again => Step::Send,
        }
    }

    /// Asks other replicas, not without end.
    fn look_again(&mut self, around: &mut Surroundings<'_>) -> Step {
        self.tries += 1;
        if self.tries > MAX_TRIES {
            return self.not_applied(Cause::Contended);
        }
        self.stage = Stage::DirectLookup;
        Step::Pause(around.pause())
    }

    /// The key's revision after a conflict is known.
    fn on_current(
        &mut self,
        current: Option<(Revision, bool)>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        let revision = current.map_or(Revision::new(0), |(revision, _)| revision);
        let occupied = current.is_some_and(|(_, live)| live);
        match self.kind {
            Kind::Create if occupied => failed_step(WriteError::Exists { revision }),
            Kind::Create => {
                self.expect_tombstone(revision, around);
                Step::Send
            }
            Kind::Put | Kind::Delete | Kind::Purge => match self.expect {
                Some(expected) if expected != revision => failed_step(WriteError::Conflict {
                    expected,
                    current: Some(revision),
                }),
                // The rival's write came to nothing: the condition still holds.
                Some(_) | None => {
                    took(Path::LookedUnchanged);
                    Step::Send
                }
            },
        }
    }

    /// Some replica's word on the key. One that is behind what the key is known to have reached must not
    /// decide; that a key is free is safe to believe, as the condition is checked again.
    fn on_replica(
        &mut self,
        current: Option<(Revision, bool)>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        let revision = current.map_or(0, |(revision, _)| revision.get());
        let decides = self.kind != Kind::Create || current.is_some_and(|(_, live)| live);
        if !decides || revision >= self.reached {
            return self.on_current(current, around);
        }
        took(Path::LookedBehind);
        self.look_again(around)
    }

    /// A `create` is tried again over a tombstone. That is another message than the one before, and some
    /// servers remember the id of what they have refused.
    pub(super) fn expect_tombstone(&mut self, revision: Revision, around: &mut Surroundings<'_>) {
        self.expect = (!mutant::is(Mutant::CreateWithoutCondition)).then_some(revision);
        self.ttl_seconds
            .take_if(|_| mutant::is(Mutant::CreateForgetsTtl));
        let reached = around.floors.end_of(&self.binding);
        let renewed = self
            .identity
            .map(|_| Identity::new(around.rng, around.now, reached));
        self.identity = renewed;
    }
}
