//! Watches and listings: one machine for all of them.
//!
//! A [`Watch`] owns what its reader is to be told ([`buffer`]) and, most of the
//! time, one [`feed`]: a consumer on the server. Feeds come and go with links,
//! gaps and silence ([`pulse`]); where the next one starts, and whether the
//! bucket is still the same, is decided in [`resume`]; when the initial data is
//! complete, in [`initial`]. A listing is a watch that ends when it is synced.
//! What comes in is taken in `messages` and `answers`, each of which returns a
//! [`Wish`]; how much may wait for the reader is decided in `credit`, how long
//! to wait for anything in `patience`.
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
//! Nothing here does I/O or keeps a clock: the session's `feeds` and `deliveries`
//! carry out what is decided here.

mod answers;
pub(crate) mod buffer;
mod credit;
pub(crate) mod decode;
pub(crate) mod feed;
pub(crate) mod floor;
pub(crate) mod initial;
mod messages;
pub(crate) mod options;
mod patience;
pub(crate) mod pulse;
pub(crate) mod resume;
pub(crate) mod subjects;
mod table;
mod wish;

use alloc::boxed::Box;

use crate::js::consumer::DeliverPolicy;
use crate::kv::binding::Binding;
use crate::mutant::WatchPlant;
use crate::op::OpId;
use crate::time::{Instant, Timestamp};
use crate::timer::{TimerId, WatchTimer};
use buffer::Buffer;
use feed::{Feed, Stage};
use options::{WatchOptions, WatchState};
use resume::Epoch;
use subjects::Subjects;

pub use table::WatchId;
pub(crate) use table::Watches;
pub(crate) use wish::{Room, Wish};

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
    /// There was no room for anything of its last feed.
    pub(crate) famished: bool,
    /// Feeds after a pause, since the reader has taken something.
    in_vain: u32,
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
            famished: false,
            in_vain: 0,
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
        let exact = self.options.ignore_deletes || self.options.until_synced;
        let exact = exact && !self.binding.keeps_one();
        self.epoch.policy(self.buffer.place(), self.opened, exact)
    }
}
