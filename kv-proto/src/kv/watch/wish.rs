//! What a watch asks of its session.

use bytes::Bytes;

use crate::error::WatchError;

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
    pub(super) const fn fits(self, weight: usize, holds_nothing: bool) -> bool {
        self.taken.saturating_add(weight) <= self.limit
            || (holds_nothing && self.taken <= self.limit)
    }
}

impl Wish {
    pub(super) fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        if self == Self::Nothing { other() } else { self }
    }
}
