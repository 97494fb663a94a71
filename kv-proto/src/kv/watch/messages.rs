//! What a watch makes of what its feed brings.

use bytes::Bytes;

use super::buffer::{Item, Piece};
use super::decode::{Delivered, decode};
use super::feed::{Order, Stage};
use super::options::{Cursor, Position, ResetReason, Start};
use super::resume::{Place, compare};
use super::wish::{Room, Wish};
use super::{Supply, Watch};
use crate::error::WatchError;
use crate::kv::entry::Revision;
use crate::mutant::{self, Mutant};
use crate::paths::{Path, took};
use crate::time::{Instant, Timestamp};

impl Watch {
    /// A heartbeat came; a stalled one asks for the answer to flow control.
    pub(crate) fn on_heartbeat(
        &mut self,
        now: Instant,
        last: u64,
        last_stream: u64,
        stalled: Option<&[u8]>,
    ) -> Wish {
        let synced = self.epoch.synced;
        let Some(feed) = self.feed_mut() else {
            return Wish::Stray;
        };
        feed.pulse.heard(now);
        if feed.misses(last) {
            took(Path::HeartbeatMisses);
            return Wish::Again;
        }
        if let Some(reply) = stalled {
            took(Path::FlowStalled);
            return self.on_flow(now, reply);
        }
        if !synced && feed.stage == Stage::Live {
            let seen = feed.seen();
            feed.initial.pass(last_stream);
            feed.initial.ask_again(seen);
            let wish = self.look_at_initial();
            return wish.or_else(|| self.asking());
        }
        Wish::Nothing
    }

    /// The server wants to know that what it sent was read.
    pub(crate) fn on_flow(&mut self, now: Instant, reply: &[u8]) -> Wish {
        let idle = self.buffer.is_empty();
        let Some(feed) = self.feed_mut() else {
            return Wish::Stray;
        };
        feed.pulse.heard(now);
        if mutant::is(Mutant::FlowControlIgnored) {
            return Wish::Nothing;
        }
        let reply = Bytes::copy_from_slice(reply);
        if feed.stage == Stage::Live {
            if idle {
                took(Path::FlowAnswered);
                return Wish::Flow(reply);
            }
            took(Path::FlowHeld);
            self.buffer.push_flow(reply);
        } else {
            feed.held.push_flow(reply);
        }
        Wish::Nothing
    }

    /// A message of the bucket came.
    pub(crate) fn on_message(&mut self, now: Instant, room: Room, message: &Delivered<'_>) -> Wish {
        let delivery = &message.delivery;
        let (revision, stored) = (Revision::new(delivery.stream_seq), delivery.stored);
        let place = self.buffer.place();
        let Supply::Fed(feed) = &mut self.supply else {
            return Wish::Stray;
        };
        match feed.order(delivery) {
            Order::Next => {}
            Order::Stray => {
                took(Path::StrayDelivery);
                return Wish::Stray;
            }
            Order::Gap => {
                took(Path::Gap);
                return Wish::Again;
            }
        }
        feed.pulse.heard(now);
        feed.initial.move_on();
        let live = feed.stage == Stage::Live;
        if feed.overflowed || feed.suspect {
            return Wish::Nothing;
        }
        match compare(place.map(|place| place.cursor), revision, stored) {
            Place::Next => {}
            Place::Again => {
                took(Path::ToldBefore);
                return self.after_message(delivery.pending, Wish::Nothing);
            }
            Place::Another if live => {
                took(Path::RewoundLive);
                return self.reset(ResetReason::Rewound, self.epoch.incarnation);
            }
            Place::Another => {
                feed.suspect = true;
                return Wish::Nothing;
            }
        }
        if matches!(self.epoch.start, Start::Revision(first) if revision < first) {
            return self.after_message(delivery.pending, Wish::Nothing);
        }
        let reached = Position {
            incarnation: self.epoch.incarnation,
            cursor: Cursor {
                revision,
                stored: Some(stored),
            },
        };
        if live {
            self.progress = now;
        }
        let Some(item) = decode(message, &self.binding, &self.options) else {
            self.skip_to(reached);
            return self.after_message(delivery.pending, Wish::Nothing);
        };
        let piece = Piece::new(item, Some(reached));
        let fits = self.has_room_for(&piece);
        let all_fit = room.fits(piece.weight(), self.entries() == 0);
        if !fits && mutant::is(Mutant::DroppedWhenFull) {
            self.skip_to(reached);
            return Wish::Nothing;
        }
        if live {
            if !fits {
                took(Path::PausedFull);
                return Wish::Pause;
            }
            self.buffer.push(piece);
        } else if let Some(feed) = self.feed_mut() {
            // What is held is not lost: the feed is ended when it is verified.
            feed.overflowed = !(fits && all_fit);
            if feed.overflowed {
                return Wish::Nothing;
            }
            feed.held.push(piece);
        }
        let wish = if live { Wish::Told } else { Wish::Nothing };
        self.after_message(delivery.pending, wish)
    }

    /// Moves on over something that is not told.
    pub(super) fn skip_to(&mut self, place: Position) {
        match &mut self.supply {
            Supply::Fed(feed) if feed.stage != Stage::Live => feed.held.skip_to(place),
            Supply::Fed(_) | Supply::Idle | Supply::Resting(_) | Supply::Paused | Supply::Over => {
                self.buffer.skip_to(place);
            }
        }
    }

    pub(super) fn after_message(&mut self, pending: u64, wish: Wish) -> Wish {
        if self.epoch.synced {
            return wish;
        }
        if mutant::is(Mutant::SyncedTooEarly) && pending == 0 {
            if self.is_live() {
                return self.synced();
            }
            self.planted.note_nothing_pending();
        }
        let more = self.look_at_initial();
        more.or_else(|| {
            if pending == 0 && self.missing().is_some() {
                Wish::Ask
            } else {
                wish
            }
        })
    }

    pub(super) fn is_live(&self) -> bool {
        self.feed().is_some_and(|feed| feed.stage == Stage::Live)
    }

    /// Tells that the initial data is complete, once it is.
    pub(super) fn look_at_initial(&mut self) -> Wish {
        let Some(feed) = self.feed() else {
            return Wish::Nothing;
        };
        let at_once = self.epoch.start == Start::Updates;
        let complete = at_once || feed.has_all();
        if self.epoch.synced || feed.stage != Stage::Live || !complete {
            return Wish::Nothing;
        }
        took(if at_once {
            Path::ByStart
        } else {
            feed.how_it_has_all()
        });
        self.synced()
    }

    pub(super) fn synced(&mut self) -> Wish {
        self.epoch.synced = true;
        self.buffer.push_item(Item::Synced);
        if self.options.until_synced {
            return Wish::Finish;
        }
        Wish::Told
    }

    /// Ends the epoch.
    pub(super) fn reset(&mut self, reason: ResetReason, created: Timestamp) -> Wish {
        if self.options.until_synced {
            took(Path::Interrupted);
            return Wish::End(WatchError::Interrupted(reason));
        }
        self.buffer.push_reset(reason, self.epoch);
        self.epoch = self.epoch.next(created);
        Wish::Again
    }
}
