//! What waits for the reader of a watch, and how far the reader has come.
//!
//! Everything lies here in the order in which it will be told. Each piece
//! carries the *place* that is reached once it was told: the last piece's place
//! is where the watch goes on after an interruption, the last told one is the
//! reader's. What is not told can be taken back from the end, and the watch then
//! goes on from what is left.
//!
//! ```text
//!   told │ entry 7 │ entry 9 │ Synced │ flow control │ entry 12 │ ◄── received
//!        ▲ position                                             ▲ place to go on from
//! ```

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use bytes::Bytes;

use super::options::{Damage, Position, ResetReason, Update};
use super::resume::Epoch;
use crate::error::WatchError;
use crate::kv::entry::Entry;

/// What one piece takes beside its key and value: itself and its share of a
/// queue that doubles.
pub(crate) const PIECE: usize = 2 * size_of::<Piece>();

/// One thing to tell, or to do, when its turn comes.
#[derive(Debug)]
pub(crate) enum Item {
    Entry(Entry),
    Damaged(Box<Damage>),
    Synced,
    /// With the epoch that it ended.
    Reset(ResetReason, Epoch),
    /// All that came before was read: the server may send more.
    Flow(Bytes),
    End(Box<WatchError>),
}

impl Item {
    const fn is_entry(&self) -> bool {
        match self {
            Self::Entry(_) | Self::Damaged(_) => true,
            Self::Synced | Self::Reset(..) | Self::Flow(_) | Self::End(_) => false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Piece {
    item: Item,
    place: Option<Position>,
    weight: usize,
}

impl Piece {
    pub(crate) fn new(item: Item, place: Option<Position>) -> Self {
        let content = match &item {
            Item::Entry(entry) => entry.key.len() + entry.value.len(),
            Item::Damaged(damage) => {
                size_of::<Damage>() + damage.key.as_ref().map_or(0, |key| key.len())
            }
            Item::Flow(reply) => reply.len(),
            Item::Synced | Item::Reset(..) | Item::End(_) => 0,
        };
        Self {
            item,
            place,
            weight: PIECE + content,
        }
    }

    pub(crate) const fn weight(&self) -> usize {
        self.weight
    }

    const fn is_flow(&self) -> bool {
        matches!(self.item, Item::Flow(_))
    }
}

/// What a pull takes out.
#[derive(Debug, Default)]
pub(crate) struct Pulled {
    pub(crate) told: Option<Result<Update, WatchError>>,
    /// The flow-control request that is due, as all before it is told.
    pub(crate) flow: Option<Bytes>,
}

#[derive(Debug)]
pub(crate) struct Buffer {
    pieces: VecDeque<Piece>,
    /// How many of them are entries, damaged ones too.
    entries: usize,
    bytes: usize,
    told: Option<Position>,
}

impl Buffer {
    /// Starts behind what the reader was told in an earlier life.
    pub(crate) const fn new(told: Option<Position>) -> Self {
        Self {
            pieces: VecDeque::new(),
            entries: 0,
            bytes: 0,
            told,
        }
    }

    /// How many pieces wait.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// How many entries wait.
    pub(crate) const fn entries(&self) -> usize {
        self.entries
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Nothing waits that its reader would be told.
    pub(crate) fn tells_nothing(&self) -> bool {
        self.pieces.iter().all(Piece::is_flow)
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of what is told next.
    pub(crate) fn first(&self) -> usize {
        self.pieces.front().map_or(0, Piece::weight)
    }

    /// Where the watch goes on: behind all that was received.
    pub(crate) fn place(&self) -> Option<Position> {
        self.pieces.back().map_or(self.told, |piece| piece.place)
    }

    /// How far the reader has come.
    pub(crate) const fn told(&self) -> Option<Position> {
        self.told
    }

    pub(crate) fn push(&mut self, piece: Piece) {
        self.bytes += piece.weight;
        self.entries += usize::from(piece.item.is_entry());
        self.pieces.push_back(piece);
    }

    /// Appends all that another buffer holds, as far as it has come.
    pub(crate) fn append(&mut self, other: Self) {
        if let Some(place) = other.told {
            self.skip_to(place);
        }
        for mut piece in other.pieces {
            // What came before all entries of the other moves nothing on.
            piece.place = piece.place.or_else(|| self.place());
            self.push(piece);
        }
    }

    /// Appends what moves nothing on.
    pub(crate) fn push_item(&mut self, item: Item) {
        self.push(Piece::new(item, self.place()));
    }

    /// Appends a flow-control request. It takes the place of one that is still
    /// the newest: a server that waits repeats itself with every heartbeat.
    pub(crate) fn push_flow(&mut self, reply: Bytes) {
        if self.pieces.back().is_some_and(Piece::is_flow) {
            self.take_back();
        }
        self.push_item(Item::Flow(reply));
    }

    /// Takes the flow-control request that is due, as nothing is before it.
    pub(crate) fn due_flow(&mut self) -> Option<Bytes> {
        let mut due = None;
        while self.pieces.front().is_some_and(Piece::is_flow)
            && let Some(piece) = self.pieces.pop_front()
        {
            self.bytes -= piece.weight;
            self.told = piece.place;
            if let Item::Flow(reply) = piece.item {
                due = Some(reply);
            }
        }
        due
    }

    /// Appends the start of a new epoch: nothing of it was received.
    pub(crate) fn push_reset(&mut self, reason: ResetReason, before: Epoch) {
        self.push(Piece::new(Item::Reset(reason, before), None));
    }

    /// Moves on over something that is not told.
    pub(crate) fn skip_to(&mut self, place: Position) {
        match self.pieces.back_mut() {
            Some(piece) => piece.place = Some(place),
            None => self.told = Some(place),
        }
    }

    /// Takes the next thing to tell, and the flow control around it.
    pub(crate) fn pull(&mut self) -> Pulled {
        let before = self.due_flow();
        let mut told = None;
        if let Some(piece) = self.pieces.pop_front() {
            self.bytes -= piece.weight;
            self.entries -= usize::from(piece.item.is_entry());
            self.told = piece.place;
            told = match piece.item {
                Item::Entry(entry) => Some(Ok(Update::Entry(entry))),
                Item::Damaged(damage) => Some(Ok(Update::Damaged(*damage))),
                Item::Synced => Some(Ok(Update::Synced)),
                Item::Reset(reason, _) => Some(Ok(Update::Reset(reason))),
                Item::End(error) => Some(Err(*error)),
                Item::Flow(_) => None,
            };
        }
        let flow = self.due_flow().or(before);
        Pulled { told, flow }
    }

    /// Takes back the newest piece.
    pub(crate) fn take_back(&mut self) -> Option<Item> {
        let piece = self.pieces.pop_back()?;
        self.bytes -= piece.weight;
        self.entries -= usize::from(piece.item.is_entry());
        Some(piece.item)
    }
}
