//! What a watch makes of the answers to its questions, and of there being none.

use alloc::string::String;

use super::buffer::Buffer;
use super::feed::Stage;
use super::initial::Missing;
use super::options::{Cursor, Position, ResetReason, Start};
use super::resume::{Judgement, StreamFacts};
use super::wish::Wish;
use super::{Supply, Watch};
use crate::error::WatchError;
use crate::js::consumer::ConsumerInfo;
use crate::js::error::ServerError;
use crate::kv::ask::Question;
use crate::kv::entry::Revision;
use crate::mutant::{self, Mutant};
use crate::paths::{Path, took};
use crate::time::Instant;

impl Watch {
    /// The consumer was created.
    pub(crate) fn on_created(&mut self, now: Instant, info: &ConsumerInfo) -> Wish {
        let updates = self.epoch.start == Start::Updates && self.buffer.place().is_none();
        self.server_time = info.server_time;
        let Some(feed) = self.feed_mut() else {
            return Wish::Stray;
        };
        if info.name != feed.consumer {
            took(Path::CreatedElse);
            return Wish::Rest;
        }
        took(Path::Created);
        feed.initial.count(info.delivered, info.num_pending);
        feed.host = info.host().map(String::from);
        feed.pulse.heard(now);
        if updates && feed.is_fresh() {
            if info.delivered.consumer_seq > 0 {
                return Wish::Again; // where it began is not known any more
            }
            feed.base = Some(Cursor {
                revision: Revision::new(info.delivered.stream_seq),
                stored: None,
            });
        }
        feed.stage = Stage::Verifying;
        Wish::Verify
    }

    /// The stream was looked at after the consumer was created.
    pub(crate) fn on_verified(&mut self, now: Instant, facts: &StreamFacts) -> Wish {
        let place = self.buffer.place();
        self.unanswered = false;
        let Supply::Fed(feed) = &mut self.supply else {
            return Wish::Stray;
        };
        match self.epoch.judge(place, facts) {
            Judgement::Unseen => {
                took(Path::Unseen);
                self.epoch.incarnation = facts.created;
                return Wish::Again;
            }
            Judgement::Reset(reason) => {
                took(match reason {
                    ResetReason::Recreated => Path::Recreated,
                    ResetReason::Rewound => Path::Rewound,
                });
                return self.reset(reason, facts.created);
            }
            Judgement::Same if feed.suspect => {
                took(Path::RewoundSeen);
                return self.reset(ResetReason::Rewound, facts.created);
            }
            Judgement::Same => took(Path::SameBucket),
        }
        feed.stage = Stage::Live;
        let elsewhere = match (&feed.host, &facts.leader) {
            (Some(host), Some(leader)) => host != leader,
            (Some(_) | None, _) => false,
        };
        // Who leads now may have followed, and been behind, when it counted.
        let behind = elsewhere || facts.replicated;
        feed.initial.look(facts.last_seq, behind);
        let held = core::mem::replace(&mut feed.held, Buffer::new(None));
        if let Some(base) = feed.base.take().filter(|_| place.is_none()) {
            self.buffer.skip_to(Position {
                incarnation: self.epoch.incarnation,
                cursor: base,
            });
        }
        if !self.opened || !held.is_empty() {
            self.progress = now;
        }
        let overflowed = feed.overflowed;
        let nothing_there = feed.initial.counts_nothing();
        self.buffer.append(held);
        self.opened = true;
        self.famished = overflowed && self.buffer.tells_nothing();
        if overflowed {
            // Flow control alone is nothing that a reader could make room by.
            took(if self.famished {
                Path::Starved
            } else {
                Path::PausedUnverified
            });
            return if self.famished {
                Wish::Starve
            } else {
                Wish::Pause
            };
        }
        if nothing_there && mutant::is(Mutant::EndsWhenEmpty) {
            return Wish::Finish;
        }
        if self.planted.is_nothing_pending() && !self.epoch.synced {
            return self.synced();
        }
        let wish = self.look_at_initial();
        let doubtful = self.feed().is_some_and(|feed| feed.initial.is_doubtful());
        wish.or_else(|| if doubtful { Wish::Ask } else { Wish::Told })
    }

    /// What to ask to learn that the initial data is complete.
    pub(crate) fn missing(&self) -> Option<Missing> {
        let feed = self.feed().filter(|feed| feed.stage == Stage::Live)?;
        feed.initial.missing().filter(|_| !self.epoch.synced)
    }

    /// The leader said which revision is the last that matches a filter.
    pub(crate) fn on_last(&mut self, revision: u64) -> Wish {
        let filters = self.subjects.each().len();
        let Some(feed) = self.feed_mut() else {
            return Wish::Stray;
        };
        feed.initial.answer(revision, filters);
        let wish = self.look_at_initial();
        wish.or_else(|| self.asking())
    }

    /// To ask for what is missing, if that can be asked for.
    pub(super) fn asking(&self) -> Wish {
        match self.missing() {
            Some(_) => Wish::Ask,
            None => Wish::Nothing,
        }
    }

    /// The server said how far the consumer is.
    pub(crate) fn on_confirmed(&mut self, info: &ConsumerInfo) -> Wish {
        let Some(feed) = self.feed_mut() else {
            return Wish::Stray;
        };
        let received = feed.received();
        feed.initial
            .confirm(received, info.delivered, info.num_pending);
        self.look_at_initial()
    }

    /// The server refused what the feed asked for.
    pub(crate) fn on_failure(&mut self, error: ServerError) -> Wish {
        if error.is_stream_not_found() {
            took(Path::BucketGone);
            return Wish::End(WatchError::BucketNotFound);
        }
        if error.is_no_message() {
            return self.on_last(0);
        }
        if self.is_live() {
            let gone = error.is_consumer_not_found() || error.is_consumer_offline();
            if gone {
                took(Path::ConsumerGone);
            }
            return if gone { Wish::Again } else { Wish::Nothing };
        }
        let creating = self
            .feed()
            .is_some_and(|feed| feed.stage == Stage::Creating);
        if let Some(feed) = self.feed_mut() {
            feed.refused = creating && error.code() < 500;
        }
        let passes = error.is_transient() || error.code() >= 500 || error.is_consumer_name_in_use();
        if error.is_consumer_name_in_use() {
            took(Path::NameTaken);
        }
        took(match passes || self.opened {
            true => Path::RefusedOpen,
            false => Path::RefusedFirst,
        });
        if !passes && !self.opened {
            return Wish::End(error.into());
        }
        self.on_unanswered()
    }

    /// The server does not allow what was asked. Who may not ask the leader
    /// takes what the consumer has for the whole.
    pub(crate) fn on_denied(&mut self, asked: Option<Question>, subject: String) -> Wish {
        if let (Some(Question::Last(_)), Some(feed)) = (asked, self.feed_mut()) {
            took(Path::FloorDenied);
            feed.initial.deny();
            let wish = self.look_at_initial();
            return wish.or_else(|| self.asking());
        }
        took(Path::DeniedFeed);
        Wish::End(WatchError::Denied { subject })
    }

    /// Nobody answers, or only that it cannot be answered now.
    pub(crate) fn on_unanswered(&mut self) -> Wish {
        took(Path::NobodyMakes);
        self.unanswered = true;
        self.on_silence()
    }

    /// No answer came. A question that only confirms is asked again anyway.
    pub(crate) fn on_silence(&mut self) -> Wish {
        if self.is_live() {
            Wish::Nothing
        } else if self.opened && mutant::is(Mutant::FirstFailureIsFinal) {
            Wish::End(WatchError::Unavailable)
        } else {
            Wish::Rest
        }
    }
}
