//! Operations: tickets that embedders hold, and the table behind them.
//!
//! An operation waits for a link with room, is sent, perhaps pauses and is
//! sent again, and ends exactly once; its result stays until it is taken.
//!
//! ```text
//!   Waiting --encoded--> Sent --answer--> Ended --taken--> (free)
//!      ^                   |                ^
//!      |--- next request --|--- deadline ---|
//!      \-- pause is over -- Paused          |
//! ```

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use bytes::Bytes;

use crate::error::{
    BucketError, ConfigDifference, Doubt, PingError, ReadError, Refused, WatchError, WriteError,
};
use crate::kv::Machine;
use crate::kv::ask::{Asker, Heard};
use crate::kv::binding::Binding;
use crate::kv::entry::{Entry, Revision};
use crate::kv::list::{NamesPage, StatusPage};
use crate::kv::status::BucketStatus;
use crate::kv::sweep::PurgedDeletes;
use crate::link::LinkId;
use crate::mux::Token;
use crate::out::Span;
use crate::tally::Tally;
use crate::time::Instant;
use crate::timer::TimerId;

/// Names an operation; a name whose operation was taken or cancelled is
/// recognised and means nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    index: u32,
    generation: u32,
}

impl OpId {
    #[cfg(test)]
    pub(crate) const fn from_raw(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// Returns a small number that no other live operation of the session has:
    /// usable as an index of a table beside it, such as one of wakers.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.index).unwrap_or(usize::MAX)
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpId({}.{})", self.index, self.generation)
    }
}

/// A typed ticket: what [`Session::take`](crate::Session::take) returns for it
/// has the type `T`.
pub struct Op<T> {
    id: OpId,
    result: PhantomData<fn() -> T>,
}

impl<T> Op<T> {
    pub(crate) const fn new(id: OpId) -> Self {
        Self {
            id,
            result: PhantomData,
        }
    }

    /// Returns the operation's name, as events carry it.
    #[must_use]
    pub const fn id(&self) -> OpId {
        self.id
    }
}

impl<T> Clone for Op<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Op<T> {}

impl<T> fmt::Debug for Op<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id, f)
    }
}

/// The result of an operation on whose time alone it depended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// How any operation ended.
#[derive(Debug)]
pub(crate) enum Output {
    Written(Result<Revision, WriteError>),
    Read(Result<Option<Entry>, ReadError>),
    Bound(Result<Binding, BucketError>),
    Status(Result<Kept<BucketStatus>, BucketError>),
    Deleted(Result<(), BucketError>),
    Names(Result<Kept<NamesPage>, BucketError>),
    Statuses(Result<Kept<StatusPage>, BucketError>),
    Elapsed(Result<Elapsed, Refused>),
    /// How long the server took to answer.
    Pinged(Result<Duration, PingError>),
    /// How many revisions were erased.
    Count(Result<u64, BucketError>),
    Swept(Result<PurgedDeletes, WatchError>),
    /// What the session asked for itself.
    Heard(Asker, Heard),
    /// The same of a part of a sweep.
    Erased(OpId, Result<u64, BucketError>),
}

impl Output {
    /// The bytes that the result holds while nobody takes it.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Read(Ok(Some(entry))) => entry.value.len().saturating_add(entry.key.len()),
            Self::Names(Ok(page)) => page.text.len(),
            Self::Statuses(Ok(page)) => page.text.len(),
            Self::Status(Ok(status)) => status.text.len(),
            Self::Bound(Err(BucketError::Exists { differences })) => {
                differences.iter().map(ConfigDifference::weight).sum()
            }
            Self::Written(_)
            | Self::Read(_)
            | Self::Bound(_)
            | Self::Status(_)
            | Self::Deleted(_)
            | Self::Names(_)
            | Self::Statuses(_)
            | Self::Elapsed(_)
            | Self::Pinged(_)
            | Self::Count(_)
            | Self::Swept(_)
            | Self::Heard(..)
            | Self::Erased(..) => 0,
        }
    }
}

/// A result that stays the text it came as until it is taken: what it says is
/// then known to take as many bytes as were received, and no more.
pub(crate) struct Kept<T> {
    text: Bytes,
    read: fn(&[u8]) -> Option<T>,
}

impl<T> Kept<T> {
    /// Keeps a text that `read` has been seen to accept.
    pub(crate) fn new(text: &[u8], read: fn(&[u8]) -> Option<T>) -> Self {
        Self {
            text: Bytes::copy_from_slice(text),
            read,
        }
    }

    fn open(self) -> Result<T, BucketError> {
        (self.read)(&self.text).ok_or(BucketError::Unknown(Doubt::Malformed))
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} bytes)", self.text.len())
    }
}

/// What an operation can result in: the type a ticket carries, and the error
/// that comes instead.
///
/// Implemented for [`Revision`] (writes), `Option<Entry>` (reads), [`Binding`]
/// (open, create, update), [`BucketStatus`], `()` (delete a bucket),
/// [`NamesPage`], [`StatusPage`], `u64` (erase), [`PurgedDeletes`],
/// [`Elapsed`] (sleep) and [`Duration`] (ping). Sealed.
#[allow(private_bounds, reason = "sealed")]
pub trait OpResult: FromOutput<Failure = Self::Error> {
    /// How the operation can fail.
    type Error;
}

pub(crate) trait FromOutput: Sized {
    type Failure;
    /// Returns `None` for another operation's output.
    fn from_output(output: Output) -> Option<Result<Self, Self::Failure>>;
}

macro_rules! results {
    ($($type:ty, $error:ty, $variant:ident, $unpack:expr;)*) => {$(
        impl OpResult for $type {
            type Error = $error;
        }

        impl FromOutput for $type {
            type Failure = $error;

            fn from_output(output: Output) -> Option<Result<Self, $error>> {
                if let Output::$variant(result) = output {
                    Some(result.and_then($unpack))
                } else {
                    None
                }
            }
        }
    )*};
}
results! {
    Revision, WriteError, Written, Ok;
    Option<Entry>, ReadError, Read, Ok;
    Binding, BucketError, Bound, Ok;
    BucketStatus, BucketError, Status, Kept::open;
    (), BucketError, Deleted, Ok;
    NamesPage, BucketError, Names, Kept::open;
    StatusPage, BucketError, Statuses, Kept::open;
    Elapsed, Refused, Elapsed, Ok;
    Duration, PingError, Pinged, Ok;
    u64, BucketError, Count, Ok;
    PurgedDeletes, WatchError, Swept, Ok;
}

/// Where an operation is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Its next request waits for a link with room.
    Waiting,
    /// Its request is in a link's outbox or beyond.
    Sent {
        link: LinkId,
        token: Token,
        span: Span,
    },
    /// It waits before its next request.
    Paused,
    /// It is over.
    Ended(Output),
}

#[derive(Debug)]
pub(crate) struct Running {
    /// `None` after the end.
    pub(crate) machine: Option<Machine>,
    pub(crate) phase: Phase,
    pub(crate) deadline: Option<TimerId>,
    /// The end of a pause, or of the time that it lingers.
    pub(crate) pause: Option<TimerId>,
    /// Bytes accounted for: those of the request until the end, then those of
    /// the result.
    pub(crate) held: usize,
    /// When its request was encoded last.
    pub(crate) asked: Instant,
    /// Its request was sent more than once on the same token.
    pub(crate) repeated: bool,
    /// An event for this operation is queued.
    pub(crate) hinted: bool,
    /// The session asks for itself.
    pub(crate) internal: bool,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    running: Option<Running>,
}

/// All operations that were accepted and whose result was not taken.
#[derive(Debug, Default)]
pub(crate) struct Ops {
    slots: Vec<Slot>,
    free: Vec<u32>,
    internal: usize,
}

impl Ops {
    pub(crate) fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    /// Those that were asked for from outside.
    pub(crate) fn asked_for(&self) -> usize {
        self.len().saturating_sub(self.internal)
    }

    #[inline] // or what is inserted is copied on the way
    #[allow(clippy::indexing_slicing, reason = "what is free is a slot")]
    pub(crate) fn insert(&mut self, running: Running) -> OpId {
        self.internal.raise(usize::from(running.internal));
        let index = self.free.pop().unwrap_or_else(|| {
            let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            self.slots.push(Slot::default());
            index
        });
        let slot = &mut self.slots[position(index)];
        slot.running = Some(running);
        OpId {
            index,
            generation: slot.generation,
        }
    }

    pub(crate) fn get_mut(&mut self, id: OpId) -> Option<&mut Running> {
        self.slots
            .get_mut(position(id.index))
            .filter(|slot| slot.generation == id.generation)
            .and_then(|slot| slot.running.as_mut())
    }

    pub(crate) fn get(&self, id: OpId) -> Option<&Running> {
        self.slots
            .get(position(id.index))
            .filter(|slot| slot.generation == id.generation)
            .and_then(|slot| slot.running.as_ref())
    }

    /// Frees the name; what still comes for it is recognised as late.
    pub(crate) fn remove(&mut self, id: OpId) {
        let slot = self.slots.get_mut(position(id.index));
        if let Some(slot) = slot.filter(|slot| slot.generation == id.generation)
            && let Some(running) = &slot.running
        {
            self.internal.lower(usize::from(running.internal));
            slot.running = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(id.index);
        }
    }

    /// Returns whether any operation still works towards its end; sleeping is
    /// no work.
    pub(crate) fn any_running(&self) -> bool {
        self.running().any(|_| true)
    }

    /// How many of those do that were asked for from outside.
    pub(crate) fn unfinished(&self) -> usize {
        self.running().filter(|running| !running.internal).count()
    }

    fn running(&self) -> impl Iterator<Item = &Running> {
        let all = self.slots.iter().filter_map(|slot| slot.running.as_ref());
        all.filter(|running| running.machine.as_ref().is_some_and(Machine::works))
    }

    /// The names of all operations, in the order of their index.
    pub(crate) fn ids(&self) -> Vec<OpId> {
        let named = (0_u32..).zip(&self.slots);
        named
            .filter(|(_, slot)| slot.running.is_some())
            .map(|(index, slot)| OpId {
                index,
                generation: slot.generation,
            })
            .collect()
    }
}

fn position(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
