//! The resolution of a write in doubt: an attempt was handed over, and whether it was applied is not known.
//!
//! ```text
//!   in doubt --may be sent again--> Publish, the very same message --ack--> done
//!      ^  |                            | conflict
//!      |  '--may not--> Last <---------'
//!      |                 |--it is ours--> done
//!      '----- pause -----+--the key is where we expect it
//!                        |--it won over us, on the same condition--> conflict
//!                        '--with history--> Next: what followed the revision that we expect?
//!                                            |--ours--> done, and overwritten since
//!                                            |--it won over us--> conflict
//!                                            '--> Base: is that revision still there?
//!                                                  |--yes: nothing between them is missing--> conflict
//!                                                  '--no--> unknown
//! ```
//!
//! A conflict is told only if the bucket is the one that it was, and its stream shows all that we were told of: if
//! not, what we wrote may have been there, and have gone with the end of the stream.
//!
//! The condition is the fence: two attempts cannot both hold, as the first that does moves the key on. The
//! id is only what a message is recognised by: servers differ in whether they look at the id or at the
//! condition first, so a duplicate and a conflict both mean that what is there may be ours. An expected
//! revision of 0 is a weaker fence: a key that was created can vanish and be created again, so there the
//! message is sent again only while the server remembers ids, and that another's message is there proves
//! nothing. One thing does: a tombstone that was there before the first attempt, by its number and by its age. While it is there the condition does
//! not hold, and what has gone does not come back. That it is there still is proved by the next message, a create on
//! the condition that it is the last; what a leader shows may be old. Until that one is acknowledged both are in doubt.

use alloc::format;
use alloc::string::ToString;

use bytes::Bytes;
use serde_json::json;

use super::{EXPECTED, Kind, MAX_TRIES, MESSAGE_ID, Stage, Write, failed_step, unknown};
use crate::error::{Cause, Doubt, WriteError};
use crate::js::message::{ApiReply, StoredMessage};
use crate::js::stream::StreamInfo;
use crate::js::subject;
use crate::kv::binding::Binding;
use crate::kv::entry::{Revision, operation_of};
use crate::kv::read;
use crate::kv::step::{Answer, Request, Step, Surroundings};
use crate::mutant::{self, Mutant};
use crate::op::Output;
use crate::paths::{Path, took};
use crate::time::{Instant, Timestamp};
use crate::wire::Headers;

/// A question about the key, asked of the leader.
#[derive(Debug)]
pub(super) struct Search {
    question: Question,
    body: Bytes,
}

#[derive(Clone, Copy, Debug)]
enum Question {
    /// What is its last message?
    Last,
    /// What is the first after the revision that we expect? The last is known.
    Next { last: Place },
    /// Is that revision still there?
    Base { last: Place },
    /// Is the bucket the one that it was, so that these revisions mean what we think?
    Life { last: Place },
}

/// Where a key is, and whether it has a value there.
#[derive(Clone, Copy, Debug)]
struct Place {
    revision: Revision,
    live: bool,
    /// When that was stored.
    stored: Timestamp,
}

/// A message as it is to us.
struct Found {
    place: Place,
    ours: bool,
    /// It was stored on the condition that we have, too.
    same_condition: bool,
}

impl Search {
    pub(super) fn request<'a>(&'a self, binding: &'a Binding) -> Request<'a> {
        let subject = match self.question {
            Question::Last | Question::Next { .. } | Question::Base { .. } => {
                subject::STREAM_MSG_GET
            }
            Question::Life { .. } => subject::STREAM_INFO,
        };
        Request::api(
            binding.origin_api(),
            subject,
            binding.acks_from(),
            &self.body,
        )
    }
}

impl Write {
    /// What was answered does not tell. If the message can be found again, it is looked for.
    pub(super) fn in_doubt(&mut self, doubt: Doubt) -> Step {
        self.tries += 1;
        let doubt = self.doubt.take().unwrap_or(doubt);
        if self.identity.is_none() || self.tries > MAX_TRIES {
            return unknown(doubt);
        }
        self.doubt = Some(doubt);
        self.search();
        Step::Send
    }

    /// Chooses how to find out: by the same message once more where that is safe, or by a look.
    pub(super) fn try_again(&mut self, now: Instant) {
        let expected = self.expect.map_or(0, Revision::get);
        let remembered = self.identity.is_some_and(|identity| {
            now.saturating_duration_since(identity.since()) < self.binding.duplicate_window()
        });
        let fenced = expected > 0 && !self.can_vanish();
        if mutant::is(Mutant::NameChanges)
            && let Some(identity) = &mut self.identity
        {
            identity.change();
        }
        took(match (fenced, remembered) {
            (true, _) => Path::SentAgainFenced,
            (false, true) => Path::SentAgainRemembered,
            (false, false) => Path::WindowOver,
        });
        if fenced || remembered {
            self.stage = Stage::Publish;
        } else {
            self.search();
        }
    }

    pub(super) fn search(&mut self) {
        self.ask(Question::Last, read::last_of(&self.binding, &self.key));
    }

    fn ask(&mut self, question: Question, body: Bytes) {
        self.stage = Stage::Search(Search { question, body });
    }

    pub(super) fn on_searched(
        &mut self,
        search: Search,
        answer: Answer<'_>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        let question = search.question;
        let again = |write: &mut Self, step| {
            write.stage = Stage::Search(search);
            step
        };
        if let (Question::Life { last }, Answer::Reply(reply)) = (question, &answer) {
            return match reply.api::<StreamInfo>() {
                Some(ApiReply::Success(info)) if self.binding.is_of(&info) => {
                    let lost_end = self.went_with_the_end(&info, around);
                    if lost_end || self.came_since(&last, info.now, around.now) {
                        took(Path::LostEnd);
                        return superseded(last);
                    }
                    if self.stood_before(&last) {
                        return self.go_on_over(last, around);
                    }
                    self.lost_to(last, around)
                }
                Some(ApiReply::Failure(error)) if error.is_transient() => {
                    again(self, Step::Pause(around.pause()))
                }
                Some(_) => {
                    took(Path::LostBucket);
                    superseded(last)
                }
                None => again(self, Step::Pause(around.pause())),
            };
        }
        match answer {
            Answer::Reply(reply) => match StoredMessage::parse(reply.payload.bytes) {
                Ok(ApiReply::Success(message)) => {
                    let is_base = matches!(question, Question::Base { .. });
                    let at_our_key = message.subject.as_bytes() == self.stored_subject();
                    if !at_our_key && !is_base {
                        return again(self, Step::Ignore);
                    }
                    let found = at_our_key.then(|| self.recognise(&message, around));
                    self.on_found(question, found, around)
                }
                Ok(ApiReply::Failure(error)) if error.is_no_message() => {
                    self.on_found(question, None, around)
                }
                Ok(ApiReply::Failure(error)) if !error.is_transient() => self.give_up(),
                Ok(ApiReply::Failure(_)) | Err(_) => {
                    took(Path::NotNow);
                    again(self, Step::Pause(around.pause()))
                }
            },
            Answer::NoResponders => match around.absent(self.binding.origin_api()) {
                Some(_) => self.give_up(),
                None => {
                    took(Path::Unanswered);
                    self.unanswered = true;
                    again(self, Step::Pause(around.pause()))
                }
            },
            Answer::Denied(_) => self.give_up(),
            Answer::LinkLost(_) => {
                took(Path::AskedOnNextLink);
                again(self, Step::Send)
            }
        }
    }

    /// What a message is to us. Whoever writes to the bucket controls these fields, so what they prove is
    /// proved among those who keep to the rules, like a condition itself.
    fn recognise(&self, message: &StoredMessage, around: &Surroundings<'_>) -> Found {
        let (revision, stored) = (Revision::new(message.seq), message.time);
        if message.hdrs.is_empty() {
            return Found {
                place: Place {
                    revision,
                    live: true,
                    stored,
                },
                ours: false,
                same_condition: false,
            };
        }
        let headers = Headers::parse(&message.hdrs, around.limits);
        let live = headers.defect().is_some() || !operation_of(&headers).is_tombstone();
        let id = headers.first(MESSAGE_ID);
        let mut identities = [&self.identity, &self.earlier].into_iter().flatten();
        let condition = self.expect.map(|expected| format!("{expected}"));
        let condition = condition.as_deref().map(str::as_bytes);
        Found {
            place: Place {
                revision,
                live,
                stored,
            },
            ours: identities.any(|one| id == Some(one.text().as_bytes())),
            same_condition: headers.first(EXPECTED) == condition,
        }
    }

    fn on_found(
        &mut self,
        question: Question,
        found: Option<Found>,
        around: &mut Surroundings<'_>,
    ) -> Step {
        let expected = self.expect.unwrap_or_default();
        if let Some(found) = &found
            && found.ours
        {
            took(match question {
                Question::Last => Path::FoundAsLast,
                Question::Next { .. } | Question::Base { .. } | Question::Life { .. } => {
                    Path::FoundInHistory
                }
            });
            return Step::Done(Output::Written(Ok(found.place.revision)));
        }
        match (question, found) {
            (Question::Last, found) => {
                let last = found.as_ref().map_or(Place::NONE, |found| found.place);
                if last.revision == expected {
                    took(Path::StillExpected);
                    self.tries += 1;
                    if self.tries > MAX_TRIES {
                        return self.give_up();
                    }
                    self.try_again(around.now);
                    return Step::Pause(around.pause());
                }
                if found.is_some_and(|found| self.has_won(&found)) {
                    took(Path::RivalIsLast);
                    return self.confirm(last);
                }
                if self.stood_before(&last) {
                    took(Path::StoodBefore);
                    return self.confirm(last);
                }
                if last.revision < expected || self.keeps_one() {
                    took(if last.revision < expected {
                        Path::KeyWentBack
                    } else {
                        Path::Overwritten
                    });
                    return superseded(last);
                }
                let first = expected.get().saturating_add(1);
                let subject = format!("{}{}", self.binding.stored_prefix(), self.key);
                let body = json!({ "seq": first, "next_by_subj": subject });
                self.ask(Question::Next { last }, Bytes::from(body.to_string()));
                Step::Send
            }
            (Question::Next { last }, None) => {
                took(Path::NoHistory);
                superseded(last)
            }
            (Question::Next { last }, Some(found)) if self.has_won(&found) => {
                took(Path::RivalInHistory);
                self.confirm(last)
            }
            (Question::Next { last }, Some(_)) if expected.get() > 0 && !self.can_vanish() => {
                self.ask(Question::Base { last }, read::at_revision(expected));
                Step::Send
            }
            (Question::Next { last }, Some(_)) | (Question::Base { last }, None) => {
                took(Path::BaseIsGone);
                superseded(last)
            }
            (Question::Base { last }, Some(_)) => {
                took(Path::BaseIsKept);
                self.confirm(last)
            }
            (Question::Life { last }, _) => superseded(last),
        }
    }

    /// Another write has taken our place, if the bucket is still the one that it was.
    fn confirm(&mut self, last: Place) -> Step {
        self.ask(Question::Life { last }, Bytes::new());
        Step::Send
    }

    /// Whether what we wrote may have been there and have gone: the stream has lost its end meanwhile.
    fn went_with_the_end(&self, info: &StreamInfo, around: &mut Surroundings<'_>) -> bool {
        let first = self.earlier.or(self.identity);
        let since = first.map_or(around.now, |one| one.since());
        let last = info.state.last_seq;
        let floors = &mut around.floors;
        floors.has_lost_end(&self.binding, last, since, around.now)
    }

    /// Whether the message was stored in our place: on the same condition, which cannot hold twice.
    fn has_won(&self, found: &Found) -> bool {
        let expected = self.expect.map_or(0, Revision::get);
        expected > 0 && found.same_condition && !self.can_vanish()
    }

    /// Whether what we wrote may have ended by itself and have brought to light what it was written over.
    fn can_vanish(&self) -> bool {
        self.ttl_seconds.is_some() && !self.keeps_one()
    }

    /// Whether the stream that we write to keeps no more than one revision. Of a mirror's origin that is not
    /// known.
    fn keeps_one(&self) -> bool {
        self.binding.keeps_one() && !self.binding.is_mirror()
    }

    /// Another write has taken our place, so that ours had no effect and cannot have one.
    fn lost_to(&mut self, last: Place, around: &mut Surroundings<'_>) -> Step {
        took(Path::LostToRival);
        (self.doubt, self.earlier) = (None, None);
        let expected = self.expect.unwrap_or_default();
        match self.kind {
            Kind::Create if last.live => failed_step(WriteError::Exists {
                revision: last.revision,
            }),
            Kind::Create => {
                self.tries += 1;
                if self.tries > MAX_TRIES {
                    return self.not_applied(Cause::Contended);
                }
                took(Path::LostOverTombstone);
                self.expect_tombstone(last.revision, around);
                Step::Send
            }
            Kind::Put | Kind::Delete | Kind::Purge => failed_step(WriteError::Conflict {
                expected,
                current: Some(last.revision),
            }),
        }
    }

    /// Whether what is last is a tombstone that was there before a create for a key without a revision.
    fn stood_before(&self, last: &Place) -> bool {
        let reached = self.identity.map_or(0, |one| one.reached());
        let is_first = self.kind == Kind::Create && self.expect == Some(Revision::new(0));
        let revision = last.revision.get();
        is_first && !last.live && (1..=reached).contains(&revision)
    }

    /// Whether a tombstone that has the number of one that stood there before is younger than the first attempt, on
    /// its server's clock: the stream has lost its end, and its numbers were used again.
    fn came_since(&self, last: &Place, now: Option<Timestamp>, here: Instant) -> bool {
        let sent = self.identity.map_or(here, |one| one.since());
        let age = now.map(|now| now.saturating_duration_since(last.stored));
        let is_old = age.is_some_and(|age| age >= here.saturating_duration_since(sent));
        self.stood_before(last) && !is_old
    }

    /// Sends a create again over a tombstone that stood before it, still in doubt: if that takes its place, it was
    /// there all the time, and the attempt before cannot have been applied.
    fn go_on_over(&mut self, last: Place, around: &mut Surroundings<'_>) -> Step {
        self.tries += 1;
        if self.tries > MAX_TRIES {
            return self.give_up();
        }
        self.earlier = self.identity;
        self.expect_tombstone(last.revision, around);
        Step::Send
    }

    /// Ends it with the doubt that it is in.
    fn give_up(&mut self) -> Step {
        took(Path::GivenUp);
        unknown(self.doubt.clone().unwrap_or(Doubt::Malformed))
    }
}

impl Place {
    /// The key has no message.
    const NONE: Self = Self {
        revision: Revision::new(0),
        live: false,
        stored: Timestamp::from_unix_nanos(0),
    };
}

/// The key has moved on, and what is left does not tell whether by us.
fn superseded(last: Place) -> Step {
    unknown(Doubt::Superseded {
        current: last.revision,
    })
}
