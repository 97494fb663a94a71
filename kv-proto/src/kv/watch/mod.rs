//! Watches and listings: one machine for all of them.
//!
//! A [`Watch`] owns what its reader is to be told ([`buffer`]) and, most of the
//! time, one [`feed`]: a consumer on the server. Feeds come and go with links,
//! gaps and silence ([`pulse`]); where the next one starts, and whether the
//! bucket is still the same, is decided in [`resume`]; when the initial data is
//! complete, in [`initial`]. A listing is a watch that ends when it is synced.
//!
//! ```text
//!             link, or room in the buffer            verified
//!   Idle ───────────────────────────────► Fed(feed) ─────────► (live)
//!    ▲  ▲                                     │
//!    │  └──── Resting ◄── failed ─────────────┤
//!    │         (back-off)                     │
//!    ├──────────── link lost, gap, silence ───┤
//!    └──────────── Paused ◄── reader is slow ─┘          Over: an error, or synced
//! ```
//!
//! Nothing here does I/O or keeps a clock: the session's `feeds` carry out what
//! is decided here.

pub(crate) mod buffer;
pub(crate) mod decode;
pub(crate) mod feed;
pub(crate) mod floor;
pub(crate) mod initial;
pub(crate) mod options;
pub(crate) mod pulse;
pub(crate) mod resume;
pub(crate) mod subjects;
mod table;

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;

use crate::error::WatchError;
use crate::js::consumer::{ConsumerInfo, DeliverPolicy};
use crate::js::error::ServerError;
use crate::kv::ask::Question;
use crate::kv::binding::Binding;
use crate::kv::entry::Revision;
use crate::mutant::{self, Mutant, WatchPlant};
use crate::op::OpId;
use crate::time::{Instant, Timestamp};
use crate::timer::{TimerId, WatchTimer};
use buffer::{Buffer, Item, Piece};
use decode::{Delivered, decode};
use feed::{Feed, Order, Stage};
use initial::Missing;
use options::{Cursor, Position, ResetReason, Start, WatchOptions, WatchState};
use resume::{Epoch, Judgement, Place, StreamFacts, compare};
use subjects::Subjects;

pub use table::WatchId;
pub(crate) use table::Watches;

/// What a watch is fed by.
#[derive(Debug)]
pub(crate) enum Supply {
    /// Nothing: it wants a feed as soon as a link has room.
    Idle,
    /// Nothing before the timer fires.
    Resting(TimerId),
    Fed(Box<Feed>),
    /// Nothing before its reader has caught up.
    Paused,
    /// Nothing ever again.
    Over,
}

/// The timers of a watch.
#[derive(Debug, Default)]
pub(crate) struct WatchTimers {
    /// How long it may take to open, or a listing may stand still.
    pub(crate) patience: Option<TimerId>,
    /// The deadline on the whole.
    pub(crate) deadline: Option<TimerId>,
}

impl WatchTimers {
    pub(crate) const fn set(&mut self, timer: WatchTimer, armed: TimerId) {
        match timer {
            WatchTimer::Patience => self.patience = Some(armed),
            WatchTimer::Deadline => self.deadline = Some(armed),
            WatchTimer::Pulse | WatchTimer::Rest => {}
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = TimerId> {
        [self.patience, self.deadline].into_iter().flatten()
    }
}

/// What a watch wants after it took in something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Nothing, and its reader learns nothing new.
    Nothing,
    /// Its reader has something to learn.
    Told,
    /// What came is nothing to it.
    Stray,
    /// Another feed, at once or, if this one was short-lived, after a rest.
    Again,
    /// Another feed after a rest, because of an error.
    Rest,
    /// To be left alone until its reader has caught up.
    Pause,
    /// Another feed after a rest: there was no room for anything of this one.
    Starve,
    /// To ask what is missing to complete the initial data.
    Ask,
    /// To verify that the bucket is the same.
    Verify,
    /// To send this answer to flow control.
    Flow(Bytes),
    /// To be over.
    End(WatchError),
    /// To be over, with all told.
    Finish,
}

/// What all watches together may hold, and what they hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) limit: usize,
    pub(crate) taken: usize,
}

impl Room {
    /// A watch that holds nothing may go over the limit by one piece.
    const fn fits(self, weight: usize, holds_nothing: bool) -> bool {
        self.taken.saturating_add(weight) <= self.limit
            || (holds_nothing && self.taken <= self.limit)
    }
}

impl Wish {
    fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        if self == Self::Nothing { other() } else { self }
    }
}

#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) binding: Binding,
    pub(crate) options: WatchOptions,
    pub(crate) subjects: Subjects,
    epoch: Epoch,
    pub(crate) buffer: Buffer,
    pub(crate) supply: Supply,
    pub(crate) timers: WatchTimers,
    /// It was confirmed by a server once.
    opened: bool,
    /// Nobody answered the last question.
    unanswered: bool,
    /// Feeds that failed since one lived for a while.
    attempts: u32,
    /// When the watch last came on. What a feed brings that does not get as far
    /// as being verified is nothing: the next one brings it again.
    progress: Instant,
    /// The server's time when the last consumer was made.
    pub(crate) server_time: Option<Timestamp>,
    /// It lists for this sweep; nobody else reads it.
    pub(crate) sweep: Option<OpId>,
    /// Its last feed went on from some revision: it tells of revisions that are
    /// no longer the last of their keys.
    pub(crate) resumed: bool,
    /// Its reader has read all that there was, and wants more.
    pub(crate) waiting: bool,
    /// An event for this watch is queued.
    pub(crate) hinted: bool,
    /// It is queued for a link with room.
    pub(crate) hungry: bool,
    pub(crate) planted: WatchPlant,
}

impl Watch {
    pub(crate) fn new(now: Instant, binding: Binding, options: WatchOptions) -> Self {
        let subjects = Subjects::new(binding.stored_prefix(), &options.filters);
        let (epoch, told) = Epoch::first(options.start, binding.created());
        Self {
            binding,
            subjects,
            epoch,
            buffer: Buffer::new(told),
            options,
            supply: Supply::Idle,
            timers: WatchTimers::default(),
            opened: false,
            unanswered: false,
            attempts: 0,
            progress: now,
            server_time: None,
            sweep: None,
            resumed: false,
            waiting: true,
            hinted: false,
            hungry: false,
            planted: WatchPlant::default(),
        }
    }

    pub(crate) fn state(&self) -> WatchState {
        match &self.supply {
            Supply::Over => WatchState::Ended,
            _ if !self.opened => WatchState::Opening,
            Supply::Fed(feed) if feed.stage == Stage::Live => WatchState::Live,
            Supply::Idle | Supply::Resting(_) | Supply::Fed(_) | Supply::Paused => {
                WatchState::Recovering
            }
        }
    }

    /// When the bucket that is listed was created.
    pub(crate) const fn incarnation(&self) -> Timestamp {
        self.epoch.incarnation
    }

    pub(crate) const fn is_opened(&self) -> bool {
        self.opened
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.supply, Supply::Over)
    }

    pub(crate) fn feed(&self) -> Option<&Feed> {
        match &self.supply {
            Supply::Fed(feed) => Some(feed),
            Supply::Idle | Supply::Resting(_) | Supply::Paused | Supply::Over => None,
        }
    }

    pub(crate) fn feed_mut(&mut self) -> Option<&mut Feed> {
        match &mut self.supply {
            Supply::Fed(feed) => Some(feed),
            Supply::Idle | Supply::Resting(_) | Supply::Paused | Supply::Over => None,
        }
    }

    /// Bytes of the piece that the reader comes to next.
    pub(crate) fn first(&self) -> usize {
        let held = self.feed().map_or(0, |feed| feed.held.first());
        if self.buffer.is_empty() {
            held
        } else {
            self.buffer.first()
        }
    }

    /// Bytes that wait for the reader, those that are held back included.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.bytes() + self.feed().map_or(0, |feed| feed.held.bytes())
    }

    /// Bytes to account for as long as the watch exists.
    pub(crate) fn weight(&self) -> usize {
        let filters = self.options.filters.iter().map(|filter| filter.len());
        let once = filters.sum::<usize>() + self.subjects.len();
        2 * once // and the request that names them
    }

    /// Where the next feed starts.
    pub(crate) fn policy(&self) -> DeliverPolicy {
        self.epoch.policy(self.buffer.place(), self.opened)
    }

    // ---- what the server says ---------------------------------------------

    /// The consumer was created.
    pub(crate) fn on_created(&mut self, now: Instant, info: &ConsumerInfo) -> Wish {
        let updates = self.epoch.start == Start::Updates && self.buffer.place().is_none();
        self.server_time = info.server_time;
        let Some(feed) = self.feed_mut() else {
            return Wish::Stray;
        };
        if info.name != feed.consumer {
            return Wish::Rest;
        }
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
                self.epoch.incarnation = facts.created;
                return Wish::Again;
            }
            Judgement::Reset(reason) => return self.reset(reason, facts.created),
            Judgement::Same if feed.suspect => {
                return self.reset(ResetReason::Rewound, facts.created);
            }
            Judgement::Same => {}
        }
        feed.stage = Stage::Live;
        let behind = match (&feed.host, &facts.leader) {
            (Some(host), Some(leader)) => host != leader,
            (Some(_) | None, _) => false,
        };
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
        if overflowed {
            return if self.buffer.is_empty() {
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
    fn asking(&self) -> Wish {
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
            return Wish::Again;
        }
        if let Some(reply) = stalled {
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
                return Wish::Flow(reply);
            }
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
            Order::Stray => return Wish::Stray,
            Order::Gap => return Wish::Again,
        }
        feed.pulse.heard(now);
        feed.initial.move_on();
        let live = feed.stage == Stage::Live;
        if feed.overflowed || feed.suspect {
            return Wish::Nothing;
        }
        match compare(place.map(|place| place.cursor), revision, stored) {
            Place::Next => {}
            Place::Again => return self.after_message(delivery.pending, Wish::Nothing),
            Place::Another if live => {
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
    fn skip_to(&mut self, place: Position) {
        match &mut self.supply {
            Supply::Fed(feed) if feed.stage != Stage::Live => feed.held.skip_to(place),
            Supply::Fed(_) | Supply::Idle | Supply::Resting(_) | Supply::Paused | Supply::Over => {
                self.buffer.skip_to(place);
            }
        }
    }

    fn after_message(&mut self, pending: u64, wish: Wish) -> Wish {
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

    fn is_live(&self) -> bool {
        self.feed().is_some_and(|feed| feed.stage == Stage::Live)
    }

    /// Tells that the initial data is complete, once it is.
    fn look_at_initial(&mut self) -> Wish {
        let Some(feed) = self.feed() else {
            return Wish::Nothing;
        };
        let at_once = self.epoch.start == Start::Updates;
        let complete = at_once || feed.has_all();
        if self.epoch.synced || feed.stage != Stage::Live || !complete {
            return Wish::Nothing;
        }
        self.synced()
    }

    fn synced(&mut self) -> Wish {
        self.epoch.synced = true;
        self.buffer.push_item(Item::Synced);
        if self.options.until_synced {
            return Wish::Finish;
        }
        Wish::Told
    }

    /// Ends the epoch.
    fn reset(&mut self, reason: ResetReason, created: Timestamp) -> Wish {
        if self.options.until_synced {
            return Wish::End(WatchError::Interrupted(reason));
        }
        self.buffer.push_reset(reason, self.epoch);
        self.epoch = self.epoch.next(created);
        Wish::Again
    }

    // ---- credit -----------------------------------------------------------

    /// How many entries wait for the reader, those that are held back included.
    pub(crate) fn entries(&self) -> usize {
        self.buffer.entries() + self.feed().map_or(0, |feed| feed.held.entries())
    }

    /// Its reader has read all, and it has no feed for want of room.
    pub(crate) fn is_drained(&self) -> bool {
        matches!(self.supply, Supply::Paused) && self.buffer.is_empty()
    }

    /// Its reader has left something unread, and it can be asked for again.
    pub(crate) fn is_stopped(&self) -> bool {
        !self.waiting && !self.is_over() && !self.buffer.is_empty()
    }

    /// Whether the watch's own budget allows the piece.
    fn has_room_for(&self, piece: &Piece) -> bool {
        let bytes = self.bytes().saturating_add(piece.weight());
        let entries = self.entries();
        entries == 0
            || (entries < self.options.buffered_entries && bytes <= self.options.buffered_bytes)
    }

    /// Takes back the newest half of what waits for the reader, but for what is
    /// told next if there is more; it will be asked for again. Only for a watch
    /// without a feed.
    pub(crate) fn take_back_half(&mut self) {
        let keep = match self.buffer.len() {
            0 | 1 => 0,
            _ => self.buffer.first().max(self.buffer.bytes() / 2),
        };
        while self.buffer.bytes() > keep {
            match self.buffer.take_back() {
                Some(Item::Synced) => self.epoch.synced = false,
                Some(Item::Reset(_, before)) => self.epoch = before,
                Some(Item::Entry(_) | Item::Damaged(_) | Item::Flow(_) | Item::End(_)) => {}
                None => return,
            }
        }
    }

    // ---- failures ---------------------------------------------------------

    /// The server refused what the feed asked for.
    pub(crate) fn on_failure(&mut self, error: ServerError) -> Wish {
        if error.is_stream_not_found() {
            return Wish::End(WatchError::BucketNotFound);
        }
        if error.is_no_message() {
            return self.on_last(0);
        }
        if self.is_live() {
            let gone = error.is_consumer_not_found() || error.is_consumer_offline();
            return if gone { Wish::Again } else { Wish::Nothing };
        }
        let creating = self
            .feed()
            .is_some_and(|feed| feed.stage == Stage::Creating);
        if let Some(feed) = self.feed_mut() {
            feed.refused = creating && error.code() < 500;
        }
        let passes = error.is_transient() || error.code() >= 500 || error.is_consumer_name_in_use();
        if !passes && !self.opened {
            return Wish::End(error.into());
        }
        self.on_unanswered()
    }

    /// The server does not allow what was asked. Who may not ask the leader
    /// takes what the consumer has for the whole.
    pub(crate) fn on_denied(&mut self, asked: Option<Question>, subject: String) -> Wish {
        if let (Some(Question::Last(_)), Some(feed)) = (asked, self.feed_mut()) {
            feed.initial.deny();
            let wish = self.look_at_initial();
            return wish.or_else(|| self.asking());
        }
        Wish::End(WatchError::Denied { subject })
    }

    /// Nobody answers, or only that it cannot be answered now.
    pub(crate) fn on_unanswered(&mut self) -> Wish {
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

    /// What a watch ends with that could not be opened in time.
    pub(crate) const fn impatience(&self) -> WatchError {
        if self.unanswered {
            WatchError::Unavailable
        } else {
            WatchError::TimedOut
        }
    }

    /// When the server has to have made progress, as far as that is its matter.
    pub(crate) fn progress_due(&self, now: Instant, patience: Duration) -> Instant {
        if self.buffer.is_empty() {
            self.progress + patience
        } else {
            now + patience // it is the reader's turn
        }
    }

    /// The reader has taken something.
    pub(crate) const fn note_read(&mut self, now: Instant) {
        self.progress = now;
    }

    /// A feed is over: if it lived for a while, failures before it are forgotten.
    pub(crate) fn forgive(&mut self, now: Instant) -> bool {
        let lived = self.feed().is_some_and(|feed| {
            let lived = now.saturating_duration_since(feed.started);
            feed.stage == Stage::Live && lived >= self.options.heartbeat
        });
        if lived {
            self.attempts = 0;
        }
        lived
    }

    /// A feed is over: how long to rest at most before the next one.
    pub(crate) fn rest(&mut self, now: Instant, failed: bool) -> Duration {
        let lived = self.forgive(now);
        if (lived && !failed) || mutant::is(Mutant::NoRest) {
            return Duration::ZERO;
        }
        let window = REST.saturating_mul(1 << self.attempts.min(MAX_DOUBLINGS));
        self.attempts += 1;
        window.min(MAX_REST)
    }
}

/// The window of the first rest; it doubles with every feed that fails.
const REST: Duration = Duration::from_millis(100);
const MAX_DOUBLINGS: u32 = 7;
const MAX_REST: Duration = Duration::from_secs(10);
