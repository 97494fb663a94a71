//! How operations flow: from the queue to a link, from an answer to the next
//! step, and to their end.

use bytes::Bytes;

use super::{Event, Life, Session};
use crate::error::{BucketError, ReadError, Refused};
use crate::kv::Machine;
use crate::kv::ask::Asker;
use crate::kv::entry::{Payload, server_status};
use crate::kv::step::{Answer, Ending, Reply, Request, Step, Surroundings};
use crate::link::{Link, LinkId};
use crate::log::trace;
use crate::mutant::{self, Mutant};
use crate::op::{OpId, Output, Phase};
use crate::out::{HIGH_WATER, Handover};
use crate::paths::{Path, took};
use crate::tally::Tally;
use crate::timer::Reason;
use crate::wire::{self, Headers, Message};

impl Session {
    /// Encodes what waits, while the link has room.
    pub(super) fn pump(&mut self) {
        loop {
            self.sweep();
            self.feed_the_hungry();
            self.send_waiting();
            if self.swept.is_empty() {
                return;
            }
        }
    }

    fn send_waiting(&mut self) {
        let Some(active) = self.active else {
            return;
        };
        while let Some(link) = self.links.iter().find(|link| link.id == active)
            && link.outbox.held() < HIGH_WATER
            && let Some(id) = self.waiting.pop_front()
        {
            self.send(id, active);
        }
    }

    fn send(&mut self, id: OpId, on: LinkId) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == on) else {
            return;
        };
        let Some(running) = self.ops.get_mut(id) else {
            return;
        };
        let Some(machine) = &running.machine else {
            return;
        };
        if matches!((machine, &running.phase), (Machine::Ping, Phase::Waiting)) {
            let Some(span) = link.ping_for(self.now) else {
                return self.refuse(id, Refused::Full);
            };
            let (link, token) = (link.id, link.mux.claim(id, None));
            running.phase = Phase::Sent { link, token, span };
            return;
        }
        let Some(request) = machine
            .request()
            .filter(|_| matches!(running.phase, Phase::Waiting))
        else {
            return;
        };
        let (size, limit) = (request.size(), link.max_payload());
        if size > limit {
            self.refuse(id, Refused::TooLarge { size, limit });
            return;
        }
        if let Some(subject) = link.inbox_denied.clone() {
            let token = link.mux.claim(id, None);
            running.phase = Phase::Sent {
                link: link.id,
                token,
                span: link.outbox.frame(|_| {}),
            };
            self.answer(id, Answer::Denied(subject));
            return;
        }
        let token = link.mux.claim(id, request.class);
        let reply = [link.mux.prefix(), link.mux.text(token)];
        let Request {
            subject,
            headers,
            payload,
            ..
        } = &request;
        let span = link.outbox.publish(payload, |out| {
            wire::publish_head(out, subject, &reply, headers.as_slice(), payload.len());
        });
        trace!(link = %link.id, len = span.len(), "request encoded");
        self.stats.frames_out.raise(1);
        self.stats.bytes_out.raise(span.len());
        running.phase = Phase::Sent {
            link: link.id,
            token,
            span,
        };
        if let Some(patience) = machine.patience() {
            let timer = self.timers.arm(self.now + patience, Reason::Retry(id));
            running.pause = Some(timer);
        }
        running.asked = self.now;
        running.repeated = false;
        if machine.asks() {
            self.watch_for_silence();
        }
    }

    /// Ends an operation whose request no link can take.
    pub(super) fn refuse(&mut self, id: OpId, refused: Refused) {
        self.let_go(id);
        let machine = self
            .ops
            .get_mut(id)
            .and_then(|running| running.machine.take());
        if let Some(machine) = machine {
            self.end(id, machine.refuse(refused));
        }
    }

    /// Routes a message that came to the reply inbox.
    pub(super) fn on_reply(&mut self, id: LinkId, message: &Message<'_>, owner: Option<&Bytes>) {
        let Some(link) = self.links.iter().find(|link| link.id == id) else {
            return;
        };
        let route = link.mux.route(message.subject);
        // What comes before the question has left answers an older one of the same token.
        let asked = route.filter(|(op, _)| {
            let span = self.sent_on(*op, id);
            span.is_some_and(|span| link.outbox.is_whole(span))
        });
        let Some((op, token)) = asked else {
            took(if route.is_some() {
                Path::RepliedEarly
            } else {
                Path::RepliedTwice
            });
            self.stats.stray_messages.raise(1);
            return;
        };
        let acked_before = link.mux.acked(token);
        if let Some(link) = self.link_mut(id) {
            link.answered();
        }
        let headers = message
            .headers
            .map(|block| Headers::parse(block, &self.config.limits));
        if mutant::is(Mutant::BadHeadersEndLink) && headers.is_some_and(|h| h.defect().is_some()) {
            return self.end_link(id, Link::unexpected());
        }
        let status = headers.as_ref().and_then(server_status);
        let nobody = message.payload.is_empty() && status.is_some_and(|s| s.code == 503);
        if nobody {
            took(Path::NobodyOnLink);
        }
        let answer = if nobody {
            Answer::NoResponders
        } else {
            Answer::Reply(Reply {
                headers,
                payload: Payload {
                    bytes: message.payload,
                    owner,
                },
                acked_before,
            })
        };
        self.answer(op, answer);
    }

    /// Hands an answer to the operation that was sent.
    pub(super) fn answer(&mut self, id: OpId, answer: Answer<'_>) {
        let Some(running) = self.ops.get_mut(id) else {
            return;
        };
        let Phase::Sent { link, token, .. } = running.phase else {
            return;
        };
        let Some(machine) = &mut running.machine else {
            return;
        };
        let lost = matches!(answer, Answer::LinkLost(_));
        let mux = self.links.iter_mut().find(|known| known.id == link);
        let mut around = Surroundings {
            rng: &mut self.rng,
            limits: &self.config.limits,
            floors: &mut self.floors,
            answerers: &mut self.answerers,
            stats: &mut self.stats,
            now: self.now,
            jetstream: mux.as_ref().is_some_and(|link| link.info().jetstream),
        };
        let step = machine.answer(answer, &mut around);
        match step {
            Step::Ignore => {
                self.stats.stray_messages.raise(1);
                return;
            }
            Step::Linger(time) => {
                let timer = self.timers.arm(self.now + time, Reason::Retry(id));
                if let Some(earlier) = running.pause.replace(timer) {
                    self.timers.cancel(earlier);
                }
                return;
            }
            Step::Send | Step::Pause(_) | Step::Done(_) => {}
        }
        if let Some(timer) = running.pause.take() {
            self.timers.cancel(timer);
        }
        if let Some(link) = mux {
            // Only what says whom it is for can be told from a second copy of it.
            match &step {
                Step::Done(Output::Written(Ok(revision))) => {
                    link.mux.complete(token, Some(revision.get()));
                }
                Step::Done(Output::Read(Ok(Some(_)))) if !running.repeated => {
                    link.mux.complete(token, None);
                }
                Step::Send | Step::Pause(_) | Step::Ignore | Step::Linger(_) | Step::Done(_) => {
                    link.mux.abandon(token)
                }
            }
        }
        self.take_step(id, step, lost);
        self.end_drained(link);
    }

    fn take_step(&mut self, id: OpId, step: Step, lost: bool) {
        if mutant::is(Mutant::DeadlineRestarts) {
            self.restart_deadline(id);
        }
        let Some(running) = self.ops.get_mut(id) else {
            return;
        };
        match step {
            Step::Send | Step::Ignore | Step::Linger(_) => {
                running.phase = Phase::Waiting;
                // What was on a lost link was asked for before what waits.
                if lost {
                    self.waiting.push_front(id);
                } else {
                    self.waiting.push_back(id);
                }
            }
            Step::Pause(pause) => {
                let timer = self.timers.arm(self.now + pause, Reason::Retry(id));
                running.phase = Phase::Paused;
                running.pause = Some(timer);
            }
            Step::Done(output) => self.end(id, output),
        }
    }

    /// What [`Mutant::DeadlineRestarts`] does.
    fn restart_deadline(&mut self, id: OpId) {
        let at = self.now + self.config.request_timeout;
        if let Some(deadline) = self.ops.get_mut(id).and_then(|op| op.deadline.as_mut()) {
            self.timers.cancel(*deadline);
            *deadline = self.timers.arm(at, Reason::Deadline(id));
        }
    }

    pub(super) fn on_retry(&mut self, id: OpId) {
        let Some(running) = self.ops.get_mut(id) else {
            return;
        };
        running.pause = None;
        match running.phase {
            Phase::Paused => {}
            Phase::Sent { link, token, span } => {
                let Some(machine) = running.machine.as_mut() else {
                    return;
                };
                let link = self.links.iter_mut().find(|known| known.id == link);
                if link
                    .as_ref()
                    .is_some_and(|link| !link.outbox.is_whole(span))
                {
                    // What has not left is not answered: patience begins when it has.
                    let again = machine.patience().map(|patience| self.now + patience);
                    running.pause = again.map(|at| self.timers.arm(at, Reason::Retry(id)));
                    return;
                }
                if !machine.lingered(self.now) {
                    return;
                }
                if let Some(link) = link {
                    link.mux.abandon(token);
                }
            }
            Phase::Waiting | Phase::Ended(_) => return,
        }
        running.phase = Phase::Waiting;
        self.waiting.push_back(id);
    }

    pub(super) fn on_deadline(&mut self, id: OpId) {
        if let Some(running) = self.ops.get_mut(id) {
            running.deadline = None;
        }
        self.end_op(id, Ending::Deadline);
        self.finish_if_idle();
    }

    /// Ends an operation from outside, with what is known of its request.
    pub(super) fn end_op(&mut self, id: OpId, ending: Ending) {
        let was_sent_on = self.link_of(id);
        let handover = self.let_go(id);
        let machine = self
            .ops
            .get_mut(id)
            .and_then(|running| running.machine.take());
        if let Some(machine) = machine {
            self.end(id, machine.end(ending, handover));
        }
        if let Some(link) = was_sent_on {
            self.end_drained(link);
        }
    }

    fn link_of(&self, id: OpId) -> Option<LinkId> {
        match self.ops.get(id)?.phase {
            Phase::Sent { link, .. } => Some(link),
            Phase::Waiting | Phase::Paused | Phase::Ended(_) => None,
        }
    }

    /// Takes an operation off whatever it waits for. A frame that was not
    /// begun is withdrawn; a begun one will be finished, so it counts as
    /// handed over whole.
    fn let_go(&mut self, id: OpId) -> Handover {
        let Some(running) = self.ops.get_mut(id) else {
            return Handover::None;
        };
        if let Some(timer) = running.pause.take() {
            self.timers.cancel(timer);
        }
        match running.phase {
            Phase::Sent { link, token, span } => {
                let known = self.links.iter_mut().find(|known| known.id == link);
                let Some(known) = known else {
                    return Handover::Whole;
                };
                if known.withdraw(span) {
                    took(Path::Withdrawn);
                    known.mux.complete(token, None);
                    Handover::None
                } else {
                    took(Path::Orphaned);
                    let request = running.machine.as_ref().and_then(Machine::request);
                    if let Some(request) = request {
                        known.orphan(request.subject.concat(), span);
                    }
                    if !mutant::is(Mutant::SlotLeaked) {
                        known.mux.abandon(token);
                    }
                    Handover::Whole
                }
            }
            Phase::Paused | Phase::Waiting | Phase::Ended(_) => Handover::None,
        }
    }

    /// Stores how an operation ended.
    pub(super) fn end(&mut self, id: OpId, mut output: Output) {
        let Some(running) = self.ops.get_mut(id) else {
            return;
        };
        if let Some(timer) = running.deadline.take() {
            self.timers.cancel(timer);
        }
        match output {
            Output::Heard(asker, heard) => {
                self.forget_part(id);
                return match asker {
                    Asker::Watch(watch, sid) => self.on_heard(watch, sid, heard),
                    Asker::Cleanup(serial) => self.on_cleaned(serial, &heard),
                };
            }
            Output::Erased(sweep, result) => {
                self.forget_part(id);
                return self.on_erased(sweep, id, result);
            }
            Output::Swept(_) => self.end_sweep(id),
            Output::Bound(Ok(ref binding)) => self.floors.meet(binding),
            Output::Deleted(Ok(())) => {
                // The bucket's sequences start again if it is created again.
                for link in &mut self.links {
                    link.mux.forget();
                }
            }
            Output::Written(_)
            | Output::Read(_)
            | Output::Bound(Err(_))
            | Output::Status(_)
            | Output::Deleted(Err(_))
            | Output::Names(_)
            | Output::Statuses(_)
            | Output::Elapsed(_)
            | Output::Pinged(_)
            | Output::Count(_) => {}
        }
        let Some(running) = self.ops.get_mut(id) else {
            return;
        };
        self.pending_bytes.lower(running.held);
        let limit = self.config.limits.max_result_bytes;
        running.held = output.weight();
        if running.held > limit.saturating_sub(self.result_bytes) {
            took(Path::NoRoomForResult);
            output = overflow(output);
            running.held = output.weight();
        }
        self.result_bytes.raise(running.held);
        running.machine = None;
        running.phase = Phase::Ended(output);
        if !running.hinted {
            running.hinted = true;
            self.events.push_back(Event::Op(id));
        }
    }

    /// Forgets an operation of the session's own.
    fn forget_part(&mut self, id: OpId) {
        if let Some(gone) = self.ops.get(id) {
            self.pending_bytes.lower(gone.held);
            self.ops.remove(id);
        }
    }

    /// Forgets an operation: nobody will take its result. A frame that was
    /// not begun is withdrawn, a begun one is finished.
    pub fn cancel(&mut self, id: OpId) {
        self.withdraw(id);
        if matches!(self.life, Life::Closing(_)) {
            self.finish_if_idle();
        }
    }

    /// Forgets an operation, and tells how much of its frame was handed over.
    pub(super) fn withdraw(&mut self, id: OpId) -> Handover {
        let was_sent_on = self.link_of(id);
        let handover = self.let_go(id);
        self.end_sweep(id);
        let Some(gone) = self.ops.get(id) else {
            return handover;
        };
        if let Some(timer) = gone.deadline {
            self.timers.cancel(timer);
        }
        match gone.phase {
            Phase::Ended(_) => self.result_bytes.lower(gone.held),
            Phase::Waiting | Phase::Sent { .. } | Phase::Paused => {
                self.pending_bytes.lower(gone.held);
            }
        }
        self.ops.remove(id);
        self.sweep_queues();
        if let Some(link) = was_sent_on {
            self.end_drained(link);
        }
        handover
    }

    /// Keeps queues from filling up with names of operations that are gone.
    pub(super) fn sweep_queues(&mut self) {
        const SLACK: usize = 64;
        let most = 2_usize
            .saturating_mul(self.ops.len().saturating_add(self.watches.len()))
            .saturating_add(SLACK);
        if self.waiting.len() > most {
            let ops = &self.ops;
            self.waiting.retain(|id| ops.get(*id).is_some());
        }
        if self.events.len() > most {
            let (ops, watches) = (&self.ops, &self.watches);
            self.events.retain(|event| match event {
                Event::Op(id) => ops.get(*id).is_some(),
                Event::Watch(id) => watches.get(*id).is_some(),
                Event::Connection => true,
            });
        }
        if self.hungry.len() > most {
            let watches = &self.watches;
            self.hungry.retain(|id| watches.get(*id).is_some());
        }
    }
}

/// What becomes of a result that there is no room for.
fn overflow(output: Output) -> Output {
    match output {
        Output::Read(_) => Output::Read(Err(ReadError::ResultsFull)),
        Output::Names(_) => Output::Names(Err(Refused::Full.into())),
        Output::Statuses(_) => Output::Statuses(Err(Refused::Full.into())),
        Output::Status(_) => Output::Status(Err(Refused::Full.into())),
        Output::Bound(Err(BucketError::Exists { .. })) => {
            let differences = alloc::vec::Vec::new();
            Output::Bound(Err(BucketError::Exists { differences }))
        }
        weightless @ (Output::Written(_)
        | Output::Bound(_)
        | Output::Deleted(_)
        | Output::Elapsed(_)
        | Output::Pinged(_)
        | Output::Count(_)
        | Output::Swept(_)
        | Output::Heard(..)
        | Output::Erased(..)) => weightless,
    }
}
