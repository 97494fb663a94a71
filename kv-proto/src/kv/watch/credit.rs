//! What waits for the reader of a watch, and its own budget for that.

use super::buffer::{Item, Piece};
use super::{Supply, Watch};
use crate::time::Instant;

/// How many feeds follow one another at once though the reader takes nothing.
const FED_IN_VAIN: u32 = 2;

impl Watch {
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

    /// Counts a feed that follows a pause; true if those before it brought its
    /// reader nothing, as others took the room each time.
    pub(crate) const fn count_feed(&mut self) -> bool {
        self.in_vain = self.in_vain.saturating_add(1);
        self.in_vain > FED_IN_VAIN
    }

    /// It came on, or its reader did, within the time of a heartbeat.
    pub(crate) fn came_on_lately(&self, now: Instant) -> bool {
        now < self.progress + self.options.heartbeat
    }

    /// Whether the watch's own budget allows the piece.
    pub(super) fn has_room_for(&self, piece: &Piece) -> bool {
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
}
