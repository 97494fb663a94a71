//! What comes for watches, messages and answers, and what they want then.

use alloc::string::String;

use bytes::Bytes;

use super::Session;
use crate::error::WatchError;
use crate::js::delivery::{Delivery, Notice, notice};
use crate::kv::ask::Heard;
#[cfg(feature = "mutants")]
use crate::kv::ask::Question;
use crate::kv::entry::Payload;
use crate::kv::watch::decode::Delivered;
use crate::kv::watch::{Room, Watch, WatchId, Wish};
use crate::link::LinkId;
use crate::name::Subject;
use crate::out::HIGH_WATER;
use crate::paths::{Path, took};
use crate::tally::Tally;
use crate::wire::{self, Headers, Message};

impl Session {
    /// A message came for a subscription that is not the reply inbox.
    pub(super) fn on_feed(&mut self, link: LinkId, message: &Message<'_>, owner: Option<&Bytes>) {
        let Some(id) = self.watches.of_sid(message.sid) else {
            self.stats.stray_messages.raise(1);
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
        self.watch_bytes.raise(watch.bytes());
        self.watch_bytes.lower(before);
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
            Heard::Nobody(Some(absent)) if !opened => Wish::End(absent.into()),
            Heard::Nobody(_) => watch.on_unanswered(),
            Heard::Denied(subject) => watch.on_denied(asked, subject),
            Heard::Refused(refused) if !opened => Wish::End(refused.into()),
            Heard::Refused(_) | Heard::Nothing | Heard::Deleted => watch.on_silence(),
        };
        let due = watch.buffer.due_flow();
        self.watch_bytes.raise(watch.bytes());
        self.watch_bytes.lower(before);
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
            Wish::Stray => self.stats.stray_messages.raise(1),
            Wish::Again => {
                self.hint_watch(id);
                self.feed_anew(id, false);
            }
            Wish::Rest => self.feed_anew(id, true),
            Wish::Pause => self.pause(id),
            Wish::Starve => {
                self.feed_anew(id, true);
                self.make_way(true);
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
        if let Some((span, _)) = feed.flow.take() {
            link.outbox.withdraw(span);
        }
        let empty = Bytes::new();
        let span = link.outbox.publish(&empty, |out| {
            wire::publish_head(out, &[&subject, ""], &[], &[], 0);
        });
        feed.flow = Some((span, subject));
    }

    /// The server does not let this client publish there; if it was to answer
    /// flow control, the watch would stall without a word.
    pub(super) fn on_flow_denied(&mut self, link: LinkId, subject: &str) {
        let answered = |watch: &Watch| {
            let feed = watch.feed().filter(|feed| feed.link == link);
            let flow = feed.and_then(|feed| feed.flow.as_ref());
            flow.is_some_and(|(_, answered)| answered == subject)
        };
        for id in self.watches.ids(answered) {
            took(Path::DeniedFlow);
            let subject = subject.into();
            self.end_watch(id, Some(WatchError::Denied { subject }));
        }
    }

    /// The server does not let this client subscribe for a feed.
    pub(super) fn on_feed_denied(&mut self, sid: u64, subject: String) {
        if let Some(id) = self.watches.of_sid(sid) {
            took(Path::DeniedListening);
            self.end_watch(id, Some(WatchError::Denied { subject }));
        }
    }
}
