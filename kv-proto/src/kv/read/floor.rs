//! What a read does when it is shown less than is known of its key.
//!
//! ```text
//!   Direct --old--> Leader --old--> Verify --explained, and settled--> done
//!                     ^                | explained: the leader's next answer is the truth
//!                     '---- pause -----+ not explained
//! ```
//!
//! Whoever shows an old revision, or nothing, may be a replica that is behind, or a leader that was deposed and
//! does not know yet. What explains it instead is in one answer of STREAM.INFO, which tells how far its sender
//! has come and what it holds of the key, at the same moment: the bucket is another one; it has one replica and
//! so nobody who could be behind; or its sender has come as far as we know, and holds no message of the key.
//! An older revision can show again only where the newest one can end alone: where values have a time to live
//! above others that are kept. Anything else is asked again until the deadline; what leaders have said for
//! long is the truth in the end, as a bucket of several replicas can lose its end too.
//!
//! A mirror shows what it has been sent; whether that is the truth its origin knows, which is where writes go.

use alloc::format;
use alloc::string::ToString;

use bytes::Bytes;
use serde_json::json;

use super::{Read, Stage};
use crate::error::ReadError;
use crate::js::message::ApiReply;
use crate::js::stream::StreamInfo;
use crate::kv::entry::Revision;
use crate::kv::floors::Judgement;
use crate::kv::step::{Reply, Step, Surroundings};
use crate::mutant::{self, Mutant};
use crate::op::Output;
use crate::paths::{Path, took};

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Any replica, where they may answer.
    Anyone,
    /// The leader of the bucket's stream, because the caller wants it.
    Leader,
    /// The leader of the stream that numbers the revisions, because others showed too little.
    Origin,
}

impl Read {
    /// Whether what is shown, 0 for nothing, can be told; what is known is then known.
    pub(super) fn admits(&mut self, shown: u64, around: &mut Surroundings<'_>) -> bool {
        let (binding, key) = (&self.binding, &self.key);
        let begun = self.floor.begun();
        if self.revision.is_some() {
            around.floors.note(binding, key, shown, begun);
            return true;
        }
        let judgement = self.floor.judge(shown);
        let settled = match judgement {
            Judgement::Good => {
                if !self.floor.knows(shown) {
                    around.floors.note(binding, key, shown, begun);
                }
                return true;
            }
            // Whoever may not ask the leader has to make do with any replica.
            Judgement::Vague => self.believing || self.leader_denied || self.is_from_origin(),
            Judgement::Old => self.believing,
        };
        if settled {
            around.floors.settle(binding, key, &self.floor, shown);
        }
        settled || is_planted(judgement, shown, self.is_from_origin())
    }

    /// Asks somebody who should know more.
    pub(super) fn look_further(&mut self, shown: u64, around: &mut Surroundings<'_>) -> Step {
        self.shown = shown;
        match self.floor.judge(shown) {
            Judgement::Vague => {
                took(Path::BelowForgotten);
                around.stats.vague_replies += 1;
            }
            Judgement::Old | Judgement::Good => {
                took(match shown {
                    0 => Path::NothingBelowFloor,
                    _ => Path::BelowFloor,
                });
                around.stats.stale_replies += 1;
            }
        }
        if self.leader_denied || self.is_from_origin() {
            took(Path::LeaderIsBelow);
            self.verify();
            return Step::Send;
        }
        if self.binding.check_origin().is_err() {
            return self.on_silent_origin(around);
        }
        took(Path::AskedOrigin);
        self.whom = Whom::Origin;
        self.ask_the_leader();
        Step::Send
    }

    /// The leader may not be asked for the message, but perhaps whether there is one.
    pub(super) fn on_leader_denied(&mut self, around: &mut Surroundings<'_>) -> Step {
        took(Path::LeaderDenied);
        self.leader_denied = true;
        if self.floor.judge(self.shown) == Judgement::Old {
            self.verify();
            return Step::Send;
        }
        self.left_unexplained(around)
    }

    /// The state of the stream may not be asked for.
    pub(super) fn on_state_denied(&mut self, around: &mut Surroundings<'_>) -> Step {
        took(Path::StateDenied);
        let (binding, key) = (&self.binding, &self.key);
        if around.floors.doubt(binding, key, &self.floor, around.now) {
            return self.believe_whom_it_asks();
        }
        self.left_unexplained(around)
    }

    /// The origin of a mirror cannot be asked now: the mirror may come to know by itself. Where it is forgotten
    /// what is known, its word is all there is.
    pub(super) fn on_silent_origin(&mut self, around: &mut Surroundings<'_>) -> Step {
        self.whom = Whom::Anyone;
        if self.floor.judge(self.shown) == Judgement::Vague {
            self.leader_denied = true;
            self.ask_whom_it_may();
            return Step::Send;
        }
        self.left_unexplained(around)
    }

    /// Whether a mirror's origin is asked.
    pub(super) fn asks_for_a_mirror(&self) -> bool {
        self.whom == Whom::Origin && self.binding.is_mirror()
    }

    pub(super) fn on_verified(&mut self, reply: &Reply<'_>, around: &mut Surroundings<'_>) -> Step {
        match reply.api::<StreamInfo>() {
            Some(ApiReply::Success(info)) if info.config.name != self.binding.acks_from() => {
                Step::Ignore
            }
            Some(ApiReply::Success(info)) => self.explain(&info, around),
            None => Step::Pause(around.pause()),
            Some(ApiReply::Failure(error)) => self.on_failure(error, around),
        }
    }

    /// Looks in the state of the stream for the reason why so little is shown of the key.
    fn explain(&mut self, info: &StreamInfo, around: &mut Surroundings<'_>) -> Step {
        self.unanswered = false;
        let (binding, key) = (&self.binding, &self.key);
        if !mutant::is(Mutant::FloorOutlivesBucket) {
            around.floors.begin_anew(binding, info.created);
            if self.floor.is_of_another_life(info.created) {
                took(Path::ExplainedAnew);
                around.stats.floors_dropped += 1;
                self.floor = around.floors.of(binding, key, around.now);
                self.unexplained = false;
                self.ask_whom_it_may();
                return Step::Send;
            }
        }
        let alone = info.config.num_replicas <= 1;
        let (reached, last) = (self.floor.reached(), info.state.last_seq);
        if last >= reached && info.state.subjects.is_empty() {
            took(Path::ExplainedGone);
            around.floors.settle(binding, key, &self.floor, 0);
            return Step::Done(Output::Read(Ok(None)));
        }
        // Which of the older ones it is only a leader can say.
        let can_end_alone = info.config.allow_msg_ttl
            && info.config.max_msgs_per_subject != 1
            && !self.leader_denied;
        let explained = alone
            || (last >= reached && can_end_alone)
            || around.floors.doubt(binding, key, &self.floor, around.now);
        took(match (explained, alone, last >= reached && can_end_alone) {
            (false, _, _) => Path::Unexplained,
            (true, true, _) => Path::ExplainedAlone,
            (true, false, true) => Path::ExplainedEnded,
            (true, false, false) => Path::ExplainedByTime,
        });
        if !explained {
            return self.left_unexplained(around);
        }
        if last < reached {
            around.floors.lose_end(binding, last, around.now);
            around.stats.floors_dropped += 1;
        }
        self.believe_whom_it_asks()
    }

    /// Asks again after a pause.
    pub(super) fn left_unexplained(&mut self, around: &mut Surroundings<'_>) -> Step {
        self.unexplained = self.floor.judge(self.shown) == Judgement::Old;
        self.ask_whom_it_may();
        Step::Pause(around.pause())
    }

    /// What it ends with if nothing better is shown in time.
    pub(super) fn stale(&self) -> ReadError {
        ReadError::Stale {
            seen: (self.shown > 0).then(|| Revision::new(self.shown)),
            floor: Revision::new(self.floor.reached()),
        }
    }

    fn believe_whom_it_asks(&mut self) -> Step {
        self.believing = true;
        self.ask_whom_it_may();
        Step::Send
    }

    fn ask_whom_it_may(&mut self) {
        if self.leader_denied && self.direct {
            self.ask_anyone();
        } else {
            self.ask_again();
        }
    }

    fn verify(&mut self) {
        self.stage = Stage::Verify;
        let stored = format!("{}{}", self.binding.stored_prefix(), self.key);
        self.body = Bytes::from(json!({ "subjects_filter": stored }).to_string());
    }

    /// Whether whoever numbers the revisions is asked.
    fn is_from_origin(&self) -> bool {
        match self.whom {
            Whom::Origin => true,
            Whom::Leader | Whom::Anyone => self.stage == Stage::Leader && !self.binding.is_mirror(),
        }
    }
}

/// A planted bug, or never.
fn is_planted(judgement: Judgement, shown: u64, from_origin: bool) -> bool {
    let old = judgement == Judgement::Old;
    mutant::is(Mutant::FloorIgnored)
        || (mutant::is(Mutant::NothingIsAboveTheFloor) && old && shown == 0)
        || (mutant::is(Mutant::LeaderIsBelieved) && old && from_origin)
}
