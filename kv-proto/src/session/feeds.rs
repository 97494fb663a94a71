//! The life of feeds: carries out what watches decide.
//!
//! A feed is a subscription on one link and a consumer that delivers to it. It
//! is made by three steps (subscribe, create, verify), and ended by two
//! (unsubscribe, delete); whoever ends it says what the watch does next.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::cleanup::INACTIVE_THRESHOLD;
use super::{Event, Session};
use crate::error::WatchError;
use crate::js::consumer::{ConsumerRequest, DeliverPolicy};
use crate::js::delivery::{Delivery, Notice, notice};
use crate::js::subject;
use crate::kv::Machine;
use crate::kv::ask::{Ask, Asker, Heard, Question};
use crate::kv::entry::Payload;
use crate::kv::read::last_by_subject;
use crate::kv::watch::buffer::Item;
use crate::kv::watch::decode::Delivered;
use crate::kv::watch::feed::{Feed, Stage};
use crate::kv::watch::initial::Missing;
use crate::kv::watch::pulse::{Finding, Pulse};
use crate::kv::watch::subjects::Subjects;
use crate::kv::watch::{Room, Supply, Watch, WatchId, Wish};
use crate::link::LinkId;
use crate::mutant::{self, Mutant};
use crate::name::Subject;
use crate::op::Output;
use crate::out::{HIGH_WATER, Handover};
use crate::timer::{Reason, WatchTimer};
use crate::wire::{self, Headers, Message};

impl Session {
    // ---- making a feed ----------------------------------------------------

    /// The watch wants a feed as soon as a link has room.
    pub(super) fn want_feed(&mut self, id: WatchId) {
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        watch.supply = Supply::Idle;
        if !watch.hungry {
            watch.hungry = true;
            self.hungry.push_back(id);
        }
    }

    /// Makes the feeds that are wanted, while the link has room.
    pub(super) fn feed_the_hungry(&mut self) {
        if self.starved && self.watch_bytes <= self.config.limits.max_watch_bytes {
            self.let_starved_go_on();
        }
        while let Some(active) = self.active
            && !self.hungry.is_empty()
            && self.has_room(active)
            && let Some(id) = self.hungry.pop_front()
        {
            let Some(watch) = self.watches.get_mut(id) else {
                continue;
            };
            watch.hungry = false;
            if matches!(watch.supply, Supply::Idle) {
                self.make_feed(id, active);
            }
        }
    }

    fn has_room(&self, link: LinkId) -> bool {
        let known = self.links.iter().find(|known| known.id == link);
        known.is_some_and(|link| link.outbox.held() < HIGH_WATER)
    }

    fn make_feed(&mut self, id: WatchId, link: LinkId) {
        let sid = self.last_sid + 1;
        self.last_sid = sid;
        let name: [u8; 22] = self.rng.base62();
        let consumer: String = name.iter().map(|byte| char::from(*byte)).collect();
        let (Some(watch), Some(known)) = (
            self.watches.get_mut(id),
            self.links.iter_mut().find(|known| known.id == link),
        ) else {
            return;
        };
        watch.planted.begin();
        let consumer = watch.planted.name(consumer);
        let deliver_subject = known.mux.feed_subject(sid);
        let listened = watch.planted.listened(&deliver_subject);
        let received = watch.planted.received();
        known
            .outbox
            .frame(|out| wire::subscribe(out, &[&listened], None, sid));
        let policy = watch.policy();
        watch.resumed = policy != DeliverPolicy::LastPerSubject;
        let apart = known.info().version().is_some_and(Subjects::are_kept_apart);
        let filters = watch.subjects.of_consumer(apart);
        let request = ConsumerRequest {
            stream: watch.binding.stream(),
            name: &consumer,
            deliver_subject: &deliver_subject,
            policy,
            filters,
            headers_only: watch.options.meta_only,
            heartbeat: watch.options.heartbeat,
            inactive_threshold: INACTIVE_THRESHOLD,
        };
        let (to, body) = (request.subject(), request.body());
        let pulse = Pulse::new(self.now, watch.options.heartbeat);
        let place = watch.buffer.place();
        let feed = Feed::new(link, sid, consumer, self.now, pulse, policy, place).after(received);
        watch.supply = Supply::Fed(Box::new(feed));
        self.watches.bind(sid, id);
        #[cfg(feature = "mutants")]
        if mutant::is(Mutant::VerifiedTooEarly) {
            return self.verify_too_early(id, to, body);
        }
        self.ask(id, Question::Create, to, body);
    }

    /// What [`Mutant::VerifiedTooEarly`] does.
    #[cfg(feature = "mutants")]
    fn verify_too_early(&mut self, id: WatchId, to: String, body: Bytes) {
        if let Some(watch) = self.watches.get_mut(id) {
            watch.planted.create = Some((to, body));
        }
        self.ask_for_stream(id);
    }

    /// Asks on behalf of a watch; one question at a time.
    fn ask(&mut self, id: WatchId, question: Question, to: String, body: Bytes) {
        let feed = self.watches.get(id).and_then(|watch| watch.feed());
        let Some(sid) = feed.filter(|feed| feed.ask.is_none()).map(|feed| feed.sid) else {
            return;
        };
        let ask = Ask::new(Asker::Watch(id, sid), question, to, body);
        let op = self.start_internal(Machine::Ask(ask));
        if let Some(feed) = self.watches.get_mut(id).and_then(|watch| watch.feed_mut()) {
            feed.ask = Some((op, question));
        }
    }

    fn ask_for_stream(&mut self, id: WatchId) {
        let Some(watch) = self.watches.get(id) else {
            return;
        };
        let to = format!("{}{}", subject::STREAM_INFO, watch.binding.stream());
        self.ask(id, Question::Stream, to, Bytes::new());
    }

    /// Asks what is missing to complete the initial data.
    fn ask_for_more(&mut self, id: WatchId) {
        let Some(watch) = self.watches.get(id) else {
            return;
        };
        let Some(feed) = watch.feed() else {
            return;
        };
        let stream = watch.binding.stream();
        let (question, to, body) = match watch.missing() {
            Some(Missing::Floor(filter)) => {
                let subject = watch.subjects.each().get(filter).map_or("", String::as_str);
                let to = format!("{}{stream}", subject::STREAM_MSG_GET);
                (Question::Last(filter), to, last_by_subject(subject))
            }
            Some(Missing::Count) => {
                let consumer = &feed.consumer;
                let to = format!("{}{stream}.{consumer}", subject::CONSUMER_INFO);
                (Question::Consumer, to, Bytes::new())
            }
            None => return,
        };
        self.ask(id, question, to, body);
    }

    /// Watches over the feed's heartbeat from now on.
    fn arm_pulse(&mut self, id: WatchId) {
        let Some(feed) = self.watches.get_mut(id).and_then(|watch| watch.feed_mut()) else {
            return;
        };
        if feed.pulse_timer.is_none() {
            let reason = Reason::Watch(id, WatchTimer::Pulse);
            feed.pulse_timer = Some(self.timers.arm(feed.pulse.due(), reason));
        }
    }

    // ---- ending a feed ----------------------------------------------------

    /// Ends the feed of a watch, if it has one, and leaves nothing of it: not
    /// the subscription, not the open question, not the consumer.
    pub(super) fn end_feed(&mut self, id: WatchId) {
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        let binding = watch.binding.clone();
        match core::mem::replace(&mut watch.supply, Supply::Idle) {
            Supply::Fed(feed) => self.take_down(*feed, binding.stream()),
            Supply::Resting(timer) => self.timers.cancel(timer),
            Supply::Idle | Supply::Paused | Supply::Over => {}
        }
    }

    fn take_down(&mut self, feed: Feed, stream: &str) {
        self.watch_bytes -= feed.held.bytes();
        if !mutant::is(Mutant::OldMessageSlipsIn) {
            self.watches.unbind(feed.sid);
        }
        if let Some(timer) = feed.pulse_timer {
            self.timers.cancel(timer);
        }
        let asked = feed.ask.map(|(op, _)| self.withdraw(op));
        if let Some(link) = self.link_mut(feed.link)
            && !mutant::is(Mutant::NotUnsubscribed)
        {
            link.outbox
                .frame(|out| wire::unsubscribe(out, feed.sid, None));
        }
        let early = feed.stage == Stage::Creating;
        let never_asked = early && asked == Some(Handover::None);
        if !never_asked && !feed.refused {
            self.discard(stream, feed.consumer, early);
        }
    }

    /// Replaces the feed of a watch: at once, or after a rest.
    fn feed_anew(&mut self, id: WatchId, failed: bool) {
        let now = self.now;
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        let window = watch.rest(now, failed);
        self.end_feed(id);
        if window.is_zero() {
            self.want_feed(id);
            return;
        }
        let pause = self.rng.jitter(window);
        let reason = Reason::Watch(id, WatchTimer::Rest);
        let timer = self.timers.arm(now + pause, reason);
        if let Some(watch) = self.watches.get_mut(id) {
            watch.supply = Supply::Resting(timer);
        }
    }

    /// The link of these feeds is gone, or is left: they go on with the next.
    pub(super) fn leave_link(&mut self, link: LinkId) {
        let on_it = |watch: &Watch| watch.feed().is_some_and(|feed| feed.link == link);
        for id in self.watches.ids(on_it) {
            if let Some(watch) = self.watches.get_mut(id) {
                watch.forgive(self.now);
            }
            self.end_feed(id);
            self.want_feed(id);
        }
    }

    /// Ends a watch: nothing follows what is still to be read.
    pub(super) fn end_watch(&mut self, id: WatchId, error: Option<WatchError>) {
        self.end_feed(id);
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        if watch.is_over() {
            return;
        }
        watch.supply = Supply::Over;
        let before = watch.buffer.bytes();
        if let Some(error) = error {
            watch.buffer.push_item(Item::End(Box::new(error)));
        }
        self.watch_bytes += watch.buffer.bytes() - before;
        let timers = core::mem::take(&mut watch.timers);
        for timer in timers.all() {
            self.timers.cancel(timer);
        }
        self.hint_watch(id);
    }

    // ---- what happens to feeds --------------------------------------------

    /// A message came for a subscription that is not the reply inbox.
    pub(super) fn on_feed(&mut self, link: LinkId, message: &Message<'_>, owner: Option<&Bytes>) {
        let Some(id) = self.watches.of_sid(message.sid) else {
            self.stats.stray_messages += 1;
            return;
        };
        let now = self.now;
        let headers = message
            .headers
            .map(|block| Headers::parse(block, &self.config.limits));
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        let before = watch.bytes();
        let room = Room {
            limit: self.config.limits.max_watch_bytes,
            taken: self.watch_bytes,
        };
        let delivery = message.reply.and_then(Delivery::parse);
        let links = &self.links;
        // A stored message can look like a notice, but not come to this subject.
        let is_notice = || {
            let mut of_link = links.iter().filter(|known| known.id == link);
            of_link.any(|known| known.mux.is_feed(message.subject, message.sid))
        };
        let wish = match (delivery, headers) {
            (None, Some(headers)) if is_notice() => match notice(&headers) {
                Some(Notice::Heartbeat {
                    last_consumer,
                    last_stream,
                    stalled,
                }) => watch.on_heartbeat(now, last_consumer, last_stream, stalled),
                Some(Notice::FlowControl) => match message.reply {
                    Some(reply) => watch.on_flow(now, reply),
                    None => Wish::Stray,
                },
                Some(Notice::Other(_)) | None => Wish::Stray,
            },
            (Some(delivery), headers) => watch.on_message(
                now,
                room,
                &Delivered {
                    subject: message.subject,
                    headers,
                    payload: Payload {
                        bytes: message.payload,
                        owner,
                    },
                    delivery,
                },
            ),
            (None, _) => Wish::Stray,
        };
        self.watch_bytes += watch.bytes();
        self.watch_bytes -= before;
        self.grant(id, wish);
        self.shed();
    }

    /// A question of a watch was answered.
    pub(super) fn on_heard(&mut self, id: WatchId, sid: u64, heard: Heard) {
        let now = self.now;
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        let before = watch.bytes();
        let opened = watch.is_opened();
        let asked = match watch.feed_mut() {
            Some(feed) if feed.sid == sid => feed.ask.take().map(|(_, question)| question),
            Some(_) | None => return,
        };
        #[cfg(feature = "mutants")]
        if let Some(create) = watch.planted.create.take()
            && let Heard::Stream(facts) = heard
        {
            watch.planted.facts = Some(facts);
            return self.ask(id, Question::Create, create.0, create.1);
        }
        let wish = match heard {
            Heard::Created(info) => watch.on_created(now, &info),
            Heard::Stream(facts) => watch.on_verified(now, &facts),
            Heard::Consumer(info) => watch.on_confirmed(&info),
            Heard::Last(revision) => watch.on_last(revision),
            Heard::Failed(error) => watch.on_failure(error),
            Heard::Nobody { jetstream: false } if !opened => Wish::End(WatchError::NoJetStream),
            Heard::Nobody { .. } => watch.on_unanswered(),
            Heard::Denied(subject) => watch.on_denied(asked, subject),
            Heard::Refused(refused) if !opened => Wish::End(refused.into()),
            Heard::Refused(_) | Heard::Nothing | Heard::Deleted => watch.on_silence(),
        };
        let due = watch.buffer.due_flow();
        self.watch_bytes += watch.bytes();
        self.watch_bytes -= before;
        let opens = !opened && watch.is_opened();
        if let Some(reply) = due {
            self.answer_flow(id, &reply);
        }
        if opens {
            self.on_opened(id);
        }
        self.grant(id, wish);
        self.shed();
    }

    /// Does what a watch wants.
    pub(super) fn grant(&mut self, id: WatchId, wish: Wish) {
        match wish {
            Wish::Nothing => {}
            Wish::Told => self.hint_watch(id),
            Wish::Stray => self.stats.stray_messages += 1,
            Wish::Again => {
                self.hint_watch(id);
                self.feed_anew(id, false);
            }
            Wish::Rest => self.feed_anew(id, true),
            Wish::Pause => self.pause(id),
            Wish::Starve => {
                self.feed_anew(id, true);
                self.make_way();
            }
            Wish::Ask => {
                self.hint_watch(id);
                self.ask_for_more(id);
            }
            Wish::Verify => {
                self.arm_pulse(id);
                #[cfg(feature = "mutants")]
                if let Some(watch) = self.watches.get_mut(id)
                    && let Some(facts) = watch.planted.facts.take()
                {
                    let sid = watch.feed().map_or(0, |feed| feed.sid);
                    return self.on_heard(id, sid, Heard::Stream(facts));
                }
                self.ask_for_stream(id);
            }
            Wish::Flow(reply) => self.answer_flow(id, &reply),
            Wish::End(error) => self.end_watch(id, Some(error)),
            Wish::Finish => self.end_watch(id, None),
        }
    }

    /// Tells the server that what it sent was read.
    pub(super) fn answer_flow(&mut self, id: WatchId, reply: &[u8]) {
        let subject = core::str::from_utf8(reply).ok().map(Subject::new);
        let Some(Ok(subject)) = subject else {
            return;
        };
        if subject.is_wild() {
            return;
        }
        let Some(feed) = self.watches.get_mut(id).and_then(|watch| watch.feed_mut()) else {
            return;
        };
        let Some(link) = self.links.iter_mut().find(|known| known.id == feed.link) else {
            return;
        };
        if link.outbox.held() >= HIGH_WATER {
            return; // a server that waits for it asks again with its next heartbeat
        }
        // A newer request makes the older answer worthless.
        if let Some(span) = feed.flow.take() {
            link.outbox.withdraw(span);
        }
        let empty = Bytes::new();
        let span = link.outbox.publish(&empty, |out| {
            wire::publish_head(out, &[&subject, ""], &[], &[], 0);
        });
        feed.flow = Some(span);
    }

    /// The heartbeat's timer fired.
    fn on_pulse(&mut self, id: WatchId) {
        let now = self.now;
        let Some(feed) = self.watches.get_mut(id).and_then(|watch| watch.feed_mut()) else {
            return;
        };
        feed.pulse_timer = None;
        match feed.pulse.look(now) {
            Finding::Alive(at) => {
                let reason = Reason::Watch(id, WatchTimer::Pulse);
                feed.pulse_timer = Some(self.timers.arm(at, reason));
            }
            Finding::Silent if mutant::is(Mutant::UnpolledStaysSilent) => {
                self.end_feed(id);
                if let Some(watch) = self.watches.get_mut(id) {
                    watch.planted.silent = true;
                }
            }
            Finding::Silent => {
                let received = feed.received();
                if let Some(watch) = self.watches.get_mut(id) {
                    watch.planted.note_silence(received);
                }
                self.feed_anew(id, false);
            }
        }
    }

    pub(super) fn on_watch_timer(&mut self, id: WatchId, timer: WatchTimer) {
        match timer {
            WatchTimer::Pulse => self.on_pulse(id),
            WatchTimer::Rest => self.want_feed(id),
            WatchTimer::Patience => self.on_patience(id),
            WatchTimer::Deadline => {
                if let Some(watch) = self.watches.get_mut(id) {
                    watch.timers.deadline = None;
                }
                self.end_watch(id, Some(WatchError::TimedOut));
            }
        }
    }

    /// It has taken long to open, or a listing to move.
    fn on_patience(&mut self, id: WatchId) {
        let now = self.now;
        let patience = self.patience_of(id);
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        watch.timers.patience = None;
        let due = watch.progress_due(now, patience);
        if due <= now {
            let error = watch.impatience();
            return self.end_watch(id, Some(error));
        }
        let reason = Reason::Watch(id, WatchTimer::Patience);
        watch.timers.patience = Some(self.timers.arm(due, reason));
    }

    /// A server has confirmed the watch for the first time.
    fn on_opened(&mut self, id: WatchId) {
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        if !watch.options.until_synced
            && let Some(timer) = watch.timers.patience.take()
        {
            self.timers.cancel(timer);
        }
        self.hint_watch(id);
    }

    /// The server does not let this client subscribe for a feed.
    pub(super) fn on_feed_denied(&mut self, sid: u64, subject: String) {
        if let Some(id) = self.watches.of_sid(sid) {
            self.end_watch(id, Some(WatchError::Denied { subject }));
        }
    }

    pub(super) fn hint_watch(&mut self, id: WatchId) {
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        watch.waiting &= watch.buffer.is_empty();
        if let Some(sweep) = watch.sweep {
            self.swept.insert(sweep);
        } else if !watch.hinted {
            watch.hinted = true;
            self.events.push_back(Event::Watch(id));
        }
    }

    /// Ends all watches, with the client; and with them whoever waits for one.
    pub(super) fn end_watches(&mut self) {
        let all: Vec<WatchId> = self.watches.ids(|watch| !watch.is_over());
        for id in all {
            match self.watches.get(id).and_then(|watch| watch.sweep) {
                Some(sweep) => self.end(sweep, Output::Swept(Err(WatchError::Closed))),
                None => self.end_watch(id, Some(WatchError::Closed)),
            }
        }
    }
}
