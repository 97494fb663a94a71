//! Reads: the last revision of a key, a given revision, and the leader's word.
//!
//! ```text
//!   Direct --nobody there--> Probe --direct gets allowed--> pause --> Direct
//!                              | not allowed                \
//!                              v                             '--no bucket--> error
//!   Leader <-------------------'
//!      ^-----.
//!   Direct --another stream answered--> Vouch --it is a mirror of this bucket--> Direct
//!            '--it is a stranger's------'--it is not--> Leader
//! ```
//!
//! A read has no effect, so whatever happens to its request it is sent again
//! until the deadline. What it shows may be older than what this client was told
//! before: then others are asked, as [`floor`] says.

mod direct;
mod floor;

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;
use serde_json::json;

use self::floor::Whom;

use crate::error::{EntryDefect, ReadError};
use crate::js::error::ServerError;
use crate::js::message::{ApiReply, StoredMessage};
use crate::js::stream::StreamInfo;
use crate::js::subject;
use crate::kv::answerers::Vouch;
use crate::kv::binding::Binding;
use crate::kv::entry::{Damaged, Entry, Revision, Stored};
use crate::kv::floors::Floor;
use crate::kv::step::{Answer, Ending, Reply, Request, Step, Surroundings};
use crate::mutant::{self, Mutant};
use crate::mux::Class;
use crate::name::Key;
use crate::op::Output;
use crate::paths::{Path, took};

/// Which revision is wanted, and from whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadOptions {
    pub(crate) revision: Option<Revision>,
    /// Ask the stream's leader instead of any replica.
    pub(crate) leader: bool,
    /// The answer may be older than what is known.
    pub(crate) any_age: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Direct,
    Leader,
    Probe,
    /// Is the stream that answered a mirror of the bucket?
    Vouch,
    /// Does the leader know of what is known of the key, and is it there?
    Verify,
}

#[derive(Debug)]
pub(crate) struct Read {
    binding: Binding,
    key: Key,
    revision: Option<Revision>,
    whom: Whom,
    /// Replicas may answer.
    direct: bool,
    stage: Stage,
    /// The stream that answered, if it has to be looked at.
    doubted: Option<Vouch>,
    /// The JSON of the request, where it has one.
    body: Bytes,
    /// Nobody answered the last attempt.
    unanswered: bool,
    /// What is known of the key, if that is not to be undercut.
    floor: Floor,
    /// What was shown last below the floor, 0 for nothing.
    shown: u64,
    /// A leader that was asked about it could not explain it.
    unexplained: bool,
    /// The leader's next answer is the truth.
    believing: bool,
    /// The leader may not be asked.
    leader_denied: bool,
}

static EMPTY: Bytes = Bytes::new();

/// The body of a leader read of a key's last revision.
pub(crate) fn last_of(binding: &Binding, key: &Key) -> Bytes {
    last_by_subject(&format!("{}{key}", binding.stored_prefix()))
}

/// The body of a leader read of the last message on a subject.
pub(crate) fn last_by_subject(subject: &str) -> Bytes {
    Bytes::from(json!({ "last_by_subj": subject }).to_string())
}

impl Read {
    /// Makes a read; `replicas` tells whether all who answer direct gets of the bucket are to be believed.
    pub(crate) fn new(
        binding: Binding,
        key: Key,
        options: ReadOptions,
        floor: Floor,
        replicas: bool,
    ) -> Self {
        let mut read = Self {
            direct: replicas && binding.allow_direct(),
            binding,
            key,
            revision: options.revision,
            whom: if options.leader {
                Whom::Leader
            } else {
                Whom::Anyone
            },
            stage: Stage::Direct,
            doubted: None,
            body: Bytes::new(),
            unanswered: false,
            floor,
            shown: 0,
            unexplained: false,
            believing: false,
            leader_denied: false,
        };
        read.ask_again();
        read
    }

    /// The question itself, to whomever it is for.
    fn ask_again(&mut self) {
        if self.direct && self.whom == Whom::Anyone {
            self.ask_anyone();
        } else {
            self.ask_the_leader();
        }
    }

    fn ask_anyone(&mut self) {
        self.stage = Stage::Direct;
        self.body = self.revision.map_or_else(Bytes::new, at_revision);
    }

    fn ask_the_leader(&mut self) {
        self.stage = Stage::Leader;
        self.body = match self.revision {
            Some(revision) => at_revision(revision),
            None => last_of(&self.binding, &self.key),
        };
    }

    fn probe(&mut self) {
        self.unanswered = true;
        self.stage = Stage::Probe;
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let (api, stream) = (self.binding.api(), self.binding.stream());
        match (self.stage, self.revision) {
            (Stage::Direct, None) => Request {
                class: Some(Class::Entries),
                ..Request::to([self.binding.direct_prefix(), &self.key, ""], &self.body)
            },
            (Stage::Direct, Some(_)) => Request {
                class: Some(Class::Entries),
                ..Request::api(api, subject::DIRECT_GET, stream, &self.body)
            },
            (Stage::Leader, _) if self.whom == Whom::Origin => {
                self.of_origin(subject::STREAM_MSG_GET)
            }
            (Stage::Leader, _) => Request::api(api, subject::STREAM_MSG_GET, stream, &self.body),
            (Stage::Verify, _) => self.of_origin(subject::STREAM_INFO),
            (Stage::Probe, _) => Request::api(api, subject::STREAM_INFO, stream, &EMPTY),
            (Stage::Vouch, _) => match &self.doubted {
                Some(vouch) => vouch.request(&self.binding),
                None => Request::api(api, subject::STREAM_INFO, stream, &EMPTY),
            },
        }
    }

    /// A call about the stream that numbers the revisions.
    fn of_origin(&self, call: &'static str) -> Request<'_> {
        let (api, stream) = (self.binding.origin_api(), self.binding.acks_from());
        Request::api(api, call, stream, &self.body)
    }

    /// Bytes to account for while the read is pending.
    pub(crate) fn weight(&self) -> usize {
        self.key.len() + self.body.len()
    }

    pub(crate) fn answer(&mut self, answer: Answer<'_>, around: &mut Surroundings<'_>) -> Step {
        match (self.stage, answer) {
            (Stage::Direct, Answer::Reply(reply)) => self.on_direct(&reply, around),
            (Stage::Leader, Answer::Reply(reply)) => self.on_leader(&reply, around),
            (Stage::Probe, Answer::Reply(reply)) => self.on_probed(&reply, around),
            (Stage::Verify, Answer::Reply(reply)) => self.on_verified(&reply, around),
            (Stage::Vouch, answer) => self.on_vouched(answer, around),
            (Stage::Direct, Answer::NoResponders) if mutant::is(Mutant::NobodyIsNotFound) => {
                Step::Done(Output::Read(Ok(None)))
            }
            (Stage::Leader | Stage::Verify, Answer::NoResponders) if self.asks_for_a_mirror() => {
                self.on_silent_origin(around)
            }
            (Stage::Direct | Stage::Leader | Stage::Verify, Answer::NoResponders) => {
                took(Path::ReadNobody);
                self.probe();
                Step::Send
            }
            (Stage::Probe, Answer::NoResponders) => match around.absent(self.binding.api()) {
                Some(absent) => failed(absent.into()),
                None => {
                    self.ask_again();
                    Step::Pause(around.pause())
                }
            },
            (Stage::Probe, Answer::Denied(_)) => {
                self.ask_again();
                Step::Pause(around.pause())
            }
            (Stage::Leader, Answer::Denied(_)) if self.whom == Whom::Origin => {
                self.on_leader_denied(around)
            }
            (Stage::Verify, Answer::Denied(_)) => self.on_state_denied(around),
            (Stage::Direct | Stage::Leader, Answer::Denied(subject)) => {
                failed(ReadError::Denied { subject })
            }
            (_, Answer::LinkLost(_)) => {
                took(Path::ReadLost);
                Step::Send
            }
        }
    }

    /// Ends a read from outside.
    pub(crate) fn end(self, ending: Ending) -> Output {
        Output::Read(Err(match ending {
            Ending::Deadline if self.unexplained => {
                took(Path::Stale);
                self.stale()
            }
            Ending::Deadline if self.unanswered => ReadError::Unavailable,
            Ending::Deadline => ReadError::TimedOut,
            Ending::Closed => ReadError::Closed,
        }))
    }

    fn on_leader(&mut self, reply: &Reply<'_>, around: &mut Surroundings<'_>) -> Step {
        match StoredMessage::parse(reply.payload.bytes) {
            Ok(ApiReply::Success(message)) => {
                let stored = Stored::from_leader(message, around.limits);
                self.judge(stored, around)
            }
            Ok(ApiReply::Failure(error)) if error.is_no_message() => self.on_nothing(around),
            Ok(ApiReply::Failure(error)) => self.on_failure(error, around),
            Err(_) => failed(ReadError::Malformed {
                revision: None,
                defect: EntryDefect::Body,
            }),
        }
    }

    fn on_probed(&mut self, reply: &Reply<'_>, around: &mut Surroundings<'_>) -> Step {
        match reply.api::<StreamInfo>() {
            Some(ApiReply::Success(info)) if info.config.name != self.binding.stream() => {
                Step::Ignore
            }
            Some(ApiReply::Success(info)) if !info.config.allow_direct => {
                took(Path::ReadDirectOff);
                self.direct = false;
                self.ask_the_leader();
                Step::Send
            }
            Some(ApiReply::Success(_)) | None => {
                self.ask_again();
                Step::Pause(around.pause())
            }
            Some(ApiReply::Failure(error)) if error.is_transient() => {
                self.ask_again();
                Step::Pause(around.pause())
            }
            Some(ApiReply::Failure(error)) => self.on_failure(error, around),
        }
    }

    fn on_failure(&mut self, error: ServerError, around: &mut Surroundings<'_>) -> Step {
        if error.is_stream_not_found() && self.asks_for_a_mirror() {
            self.on_silent_origin(around)
        } else if error.is_stream_not_found() {
            took(Path::ReadNoBucket);
            failed(ReadError::BucketNotFound)
        } else if error.is_not_enabled() {
            failed(ReadError::NoJetStream)
        } else if error.is_transient() {
            self.unanswered = true;
            Step::Pause(around.pause())
        } else {
            failed(error.into())
        }
    }

    /// The key has no revision, or not that one.
    fn on_nothing(&mut self, around: &mut Surroundings<'_>) -> Step {
        if !self.admits(0, around) {
            return self.look_further(0, around);
        }
        Step::Done(Output::Read(Ok(None)))
    }

    /// Compares what came with what was asked for, and with what is known.
    fn judge(
        &mut self,
        stored: Result<Stored<'_>, Damaged>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        let stored = match stored {
            Ok(stored) => stored,
            // Damage to another key's revision is nothing to this one.
            Err(Damaged {
                subject: Some(subject),
                ..
            }) if !self.is_our_key(&subject) => {
                return self.on_other_key();
            }
            Err(Damaged {
                revision, defect, ..
            }) => {
                if let Some(revision) = revision
                    && !self.admits(revision.get(), around)
                {
                    return self.look_further(revision.get(), around);
                }
                return failed(ReadError::Malformed { revision, defect });
            }
        };
        if self
            .revision
            .is_some_and(|wanted| wanted != stored.revision)
        {
            return Step::Ignore; // a copy of an answer to somebody else
        }
        if !self.is_our_key(&stored.subject) {
            return self.on_other_key();
        }
        if !self.admits(stored.revision.get(), around) {
            return self.look_further(stored.revision.get(), around);
        }
        Step::Done(Output::Read(Ok(Some(Entry {
            bucket: self.binding.name().clone(),
            key: self.key.clone(),
            length: u64::try_from(stored.value.len()).unwrap_or(u64::MAX),
            value: stored.value,
            revision: stored.revision,
            created: stored.created,
            operation: stored.operation,
            delta: 0,
        }))))
    }
}

impl Read {
    fn is_our_key(&self, subject: &[u8]) -> bool {
        self.binding.key_of(subject) == Some(self.key.as_bytes())
    }

    /// A revision that exists and belongs to another key is none of ours; what else is of another key is a
    /// copy of an answer to somebody else.
    fn on_other_key(&mut self) -> Step {
        match self.revision {
            Some(_) => {
                took(Path::ReadOther);
                Step::Done(Output::Read(Ok(None)))
            }
            None => {
                took(Path::ReadStray);
                Step::Ignore
            }
        }
    }
}

/// The body of a request for the message at a revision.
pub(crate) fn at_revision(revision: Revision) -> Bytes {
    let json: Vec<u8> = format!("{{\"seq\":{revision}}}").into_bytes();
    Bytes::from(json)
}

fn failed(error: ReadError) -> Step {
    Step::Done(Output::Read(Err(error)))
}
