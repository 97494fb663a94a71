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
use crate::js::subject;
use crate::kv::Machine;
use crate::kv::ask::{Ask, Asker, Question};
use crate::kv::binding::Binding;
use crate::kv::read::last_by_subject;
use crate::kv::watch::buffer::Item;
use crate::kv::watch::feed::{Feed, Stage};
use crate::kv::watch::initial::Missing;
use crate::kv::watch::pulse::Pulse;
use crate::kv::watch::subjects::Subjects;
use crate::kv::watch::{Supply, Watch, WatchId};
use crate::link::LinkId;
use crate::mutant::{self, Mutant};
use crate::op::Output;
use crate::out::{HIGH_WATER, Handover};
use crate::paths::{Path, took};
use crate::tally::Tally;
use crate::timer::{Reason, WatchTimer};
use crate::wire::{self};

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
        let sid = self.last_sid.saturating_add(1);
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
        if watch.is_opened() {
            took(match watch.buffer.place() {
                Some(_) => Path::ResumedBehind,
                None => Path::StartedOver,
            });
        }
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
        let (call, body) = (request.call(), request.body());
        let pulse = Pulse::new(self.now, watch.options.heartbeat);
        let place = watch.buffer.place();
        let feed = Feed::new(link, sid, consumer, self.now, pulse, policy, place).after(received);
        watch.supply = Supply::Fed(Box::new(feed));
        self.watches.bind(sid, id);
        #[cfg(feature = "mutants")]
        if mutant::is(Mutant::VerifiedTooEarly) {
            return self.verify_too_early(id, call, body);
        }
        self.ask(id, Question::Create, call, body);
    }

    /// What [`Mutant::VerifiedTooEarly`] does.
    #[cfg(feature = "mutants")]
    fn verify_too_early(&mut self, id: WatchId, call: String, body: Bytes) {
        if let Some(watch) = self.watches.get_mut(id) {
            watch.planted.create = Some((call, body));
        }
        self.ask_for_stream(id);
    }

    /// Asks on behalf of a watch; one question at a time.
    pub(super) fn ask(&mut self, id: WatchId, question: Question, call: String, body: Bytes) {
        let Some(watch) = self.watches.get(id) else {
            return;
        };
        let Some(feed) = watch.feed().filter(|feed| feed.ask.is_none()) else {
            return;
        };
        let (asker, api) = (Asker::Watch(id, feed.sid), watch.binding.api().clone());
        let ask = Ask::new(asker, question, api, call, body);
        let op = self.start_internal(Machine::Ask(ask));
        if let Some(feed) = self.watches.get_mut(id).and_then(|watch| watch.feed_mut()) {
            feed.ask = Some((op, question));
        }
    }

    pub(super) fn ask_for_stream(&mut self, id: WatchId) {
        let Some(watch) = self.watches.get(id) else {
            return;
        };
        let call = format!("{}{}", subject::STREAM_INFO, watch.binding.stream());
        self.ask(id, Question::Stream, call, Bytes::new());
    }

    /// Asks what is missing to complete the initial data.
    pub(super) fn ask_for_more(&mut self, id: WatchId) {
        let Some(watch) = self.watches.get(id) else {
            return;
        };
        let Some(feed) = watch.feed() else {
            return;
        };
        let stream = watch.binding.stream();
        let (question, call, body) = match watch.missing() {
            Some(Missing::Floor(filter)) => {
                took(Path::AskedFloor);
                let subject = watch.subjects.each().get(filter).map_or("", String::as_str);
                let call = format!("{}{stream}", subject::STREAM_MSG_GET);
                (Question::Last(filter), call, last_by_subject(subject))
            }
            Some(Missing::Count) => {
                took(Path::AskedCount);
                let consumer = &feed.consumer;
                let call = format!("{}{stream}.{consumer}", subject::CONSUMER_INFO);
                (Question::Consumer, call, Bytes::new())
            }
            None => return,
        };
        self.ask(id, question, call, body);
    }

    /// Watches over the feed's heartbeat from now on.
    pub(super) fn arm_pulse(&mut self, id: WatchId) {
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
            Supply::Fed(feed) => self.take_down(*feed, &binding),
            Supply::Resting(timer) => self.timers.cancel(timer),
            Supply::Idle | Supply::Paused | Supply::Over => {}
        }
    }

    fn take_down(&mut self, feed: Feed, bucket: &Binding) {
        self.watch_bytes.lower(feed.held.bytes());
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
        let creating = feed.stage == Stage::Creating;
        let never_asked = creating && asked == Some(Handover::None);
        // A refusal proves little: the consumer may be there all the same.
        let early = creating && !feed.refused;
        if !never_asked {
            self.discard(bucket, feed.consumer, early);
        }
    }

    /// Replaces the feed of a watch: at once, or after a rest.
    pub(super) fn feed_anew(&mut self, id: WatchId, failed: bool) {
        let now = self.now;
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        let window = watch.rest(now, failed);
        self.end_feed(id);
        took(if window.is_zero() {
            Path::AtOnce
        } else {
            Path::Rested
        });
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
            took(Path::LeftLink);
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
        self.watch_bytes
            .raise(watch.buffer.bytes().saturating_sub(before));
        let timers = core::mem::take(&mut watch.timers);
        for timer in timers.all() {
            self.timers.cancel(timer);
        }
        self.hint_watch(id);
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
