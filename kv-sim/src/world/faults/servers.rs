//! F-S: what befalls servers, streams and replies.

use std::time::Duration;

use super::{Undo, World};
use crate::fault::Reply;
use crate::oracle::STREAM;
use crate::server::{Answerer, Election, InFlight, Refusal, ReplyFault, ServerId};
use crate::world::set_up::MAX_PAYLOAD;

impl World<'_> {
    pub(super) fn restart(
        &mut self,
        server: usize,
        away: Duration,
        keep_memory: bool,
    ) -> Option<()> {
        self.cluster.stop(self.now, ServerId(server));
        let start = Undo::Start {
            server,
            keep_memory,
        };
        self.later(away, start);
        self.collected()
    }

    /// A server becomes a lame duck.
    pub(super) fn announce_end(&mut self, server: usize, time: Duration) -> Option<()> {
        self.cluster.lame_duck(self.now, ServerId(server));
        self.later(time, Undo::Stop(server));
        self.collect();
        self.note_told_to_leave();
        Some(())
    }

    pub(super) fn rewind(&mut self, count: u64) -> Option<()> {
        self.cluster.rewind(self.now, STREAM, count);
        self.collected()
    }

    pub(super) fn recreate(&mut self, after: Duration) -> Option<()> {
        self.administrate("$JS.API.STREAM.DELETE.KV_b", "", b"");
        if after.is_zero() {
            self.undo(Undo::CreateBucket);
        } else {
            self.later(after, Undo::CreateBucket);
        }
        self.collected()
    }

    /// The bucket begins anew at this very moment.
    pub(in crate::world) fn recreate_now(&mut self) {
        self.trace
            .line(self.now, || "    the bucket begins anew".into());
        self.scribe
            .notes(self.now, || "the bucket begins anew".into());
        self.coverage
            .hit_how("F-S3 re-created behind a call", "met");
        self.recreate(Duration::ZERO);
    }

    pub(super) fn elect(
        &mut self,
        leaderless: Duration,
        lost: bool,
        old_leader_answers: Duration,
    ) -> Option<()> {
        let now = self.now;
        self.is_replicated()?;
        let in_flight = if lost {
            InFlight::Lost
        } else {
            InFlight::CommittedUnacknowledged
        };
        let election = Election {
            leaderless,
            in_flight,
            old_leader_answers,
        };
        self.cluster.elect(now, STREAM, election);
        // One election after the other: the first old leader may still answer.
        let until = now + old_leader_answers;
        self.old_leader = match self.old_leader {
            Some((longer, since)) if longer >= now => Some((longer.max(until), since)),
            Some(_) | None => Some((until, now)),
        };
        self.collected()
    }

    pub(super) fn lag(&mut self, server: usize, time: Duration) -> Option<()> {
        self.is_replicated()?;
        self.cluster.lag(self.now, ServerId(server), time);
        self.collected()
    }

    pub(super) fn answer_as(&mut self, who: Answerer, count: u8) -> Option<()> {
        for _ in 0..count {
            self.cluster.answer_as(who);
        }
        (count > 0).then_some(())
    }

    pub(super) fn disturb_reply(&mut self, how: Reply, time: Duration) -> Option<()> {
        let fault = self.reply_fault(how, time);
        self.cluster.disturb_reply(fault);
        Some(())
    }

    /// What becomes of a reply, after the judge has been told of it.
    pub(super) fn reply_fault(&mut self, how: Reply, time: Duration) -> ReplyFault {
        self.history.echoes |= how == Reply::Twice;
        self.history.garbled |= how == Reply::Garbage;
        match how {
            Reply::Lost => ReplyFault::Lost,
            Reply::Late => ReplyFault::Late(time),
            Reply::Twice => ReplyFault::Twice(time),
            Reply::Garbage => ReplyFault::Garbage,
        }
    }

    pub(super) fn refuse_publish(&mut self, error: Refusal, stored: bool) -> Option<()> {
        self.cluster.refuse_publish(error, stored);
        Some(())
    }

    pub(super) fn limit_payload(&mut self, bytes: u32, time: Duration) -> Option<()> {
        self.set_max_payload(usize::try_from(bytes).unwrap_or(MAX_PAYLOAD));
        self.later(time, Undo::MaxPayload);
        Some(())
    }

    pub(super) fn set_max_payload(&mut self, bytes: usize) {
        self.max_payload = bytes;
        self.cluster.set_max_payload(self.now, bytes);
        self.collect();
        for wire in &mut self.wires {
            let told = wire
                .conn
                .is_some_and(|conn| self.cluster.is_logged_in(conn));
            if told {
                wire.announce_limit(bytes);
            } else {
                // Nobody can say which of the two it will be told.
                wire.limits.clear();
                wire.known_limit = usize::MAX;
            }
        }
    }

    pub(super) fn switch_off_jetstream(&mut self, time: Duration) -> Option<()> {
        self.cluster.set_jetstream(self.now, false);
        self.later(time, Undo::JetStream);
        self.collected()
    }

    pub(super) fn refuse_logins(&mut self, time: Duration) -> Option<()> {
        self.cluster.refuse_logins(self.now, true);
        self.later(time, Undo::Logins);
        Some(())
    }

    /// Somebody who is no client of ours stores a message under a key.
    pub(super) fn write_as_other(&mut self, key: u8, headers: &str, payload: &[u8]) -> Option<()> {
        self.administrate(&format!("$KV.b.k{key}"), headers, payload);
        Some(())
    }

    pub(super) fn purge(&mut self, key: u8) -> Option<()> {
        self.history.purges.push(self.now);
        let body = format!("{{\"filter\":\"$KV.b.k{key}\"}}");
        self.administrate("$JS.API.STREAM.PURGE.KV_b", "", body.as_bytes());
        Some(())
    }

    pub(super) fn purge_all(&mut self) -> Option<()> {
        self.history.purges.push(self.now);
        self.administrate("$JS.API.STREAM.PURGE.KV_b", "", b"");
        Some(())
    }

    pub(super) fn erase(&mut self, key: u8) -> Option<()> {
        let subject = format!("$KV.b.k{key}");
        let erased = self.cluster.erase(self.now, STREAM, &subject);
        self.collect();
        erased.then_some(())
    }

    fn is_replicated(&self) -> Option<()> {
        (self.scenario.profile.bucket.replicas > 1).then_some(())
    }

    /// Takes what the servers have to say to what was done to them.
    pub(super) fn collected(&mut self) -> Option<()> {
        self.collect();
        Some(())
    }
}
