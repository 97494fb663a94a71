//! What watches may hold together, and who gives way when it is too much.
//!
//! Whoever reads goes on: room is made at the cost of those who have left most
//! unread. They lose nothing but time, as what they give back is asked for again
//! when they have read the rest.

use alloc::vec::Vec;

use super::Session;
use crate::kv::watch::{Supply, Watch, WatchId};
use crate::paths::{Path, took};
use crate::tally::Tally;

impl Session {
    /// Takes the feed from a watch whose reader has too much to read.
    pub(super) fn pause(&mut self, id: WatchId) {
        self.suspend(id);
        self.after_reading(id);
    }

    fn suspend(&mut self, id: WatchId) {
        self.end_feed(id);
        if let Some(watch) = self.watches.get_mut(id) {
            watch.supply = Supply::Paused;
            self.starved |= watch.is_drained();
        }
        self.hint_watch(id);
    }

    /// When all readers together have too much to read, those with the most
    /// give back the newest half of it. One large piece is let through.
    pub(super) fn shed(&mut self) {
        let limit = self.config.limits.max_watch_bytes;
        while self.watch_bytes > limit {
            let first = |(id, watch): (WatchId, &Watch)| (watch.first(), id);
            let Some((excused, owner)) = self.watches.iter().map(first).max() else {
                return;
            };
            if self.watch_bytes.saturating_sub(excused) <= limit {
                took(Path::LetThrough);
                return;
            }
            // Whose only piece is given back waits: more than the limit is
            // still held then, so it does not come again at once.
            let victim = self.holders(2).pop().or_else(|| {
                let mut alone = self.holders(1);
                let others = alone.iter().rposition(|(_, id)| *id != owner);
                others.map(|last| alone.remove(last)).or(alone.pop())
            });
            match victim {
                Some((_, id)) => self.give_back(id),
                None => return,
            }
        }
    }

    /// The watches that could give back something and have at least so many
    /// pieces, with their bytes, the largest last.
    fn holders(&self, least: usize) -> Vec<(usize, WatchId)> {
        let open = self.watches.iter().filter(|(_, watch)| !watch.is_over());
        let holders = open.filter(|(_, watch)| watch.buffer.len() >= least);
        let mut holders: Vec<_> = holders
            .map(|(id, watch)| (watch.buffer.bytes(), id))
            .collect();
        holders.sort_unstable();
        holders
    }

    fn give_back(&mut self, id: WatchId) {
        took(Path::GaveBack);
        self.end_feed(id);
        if let Some(watch) = self.watches.get_mut(id) {
            let before = watch.buffer.bytes();
            watch.take_back_half();
            self.watch_bytes
                .lower(before.saturating_sub(watch.buffer.bytes()));
        }
        self.suspend(id);
    }

    /// A watch that was paused goes on when its reader has caught up.
    pub(super) fn after_reading(&mut self, id: WatchId) {
        self.starved |= self.watches.get(id).is_some_and(Watch::is_drained);
        self.let_starved_go_on();
    }

    /// Who has caught up goes on, if there is room or others can make it.
    pub(super) fn let_starved_go_on(&mut self) {
        if !self.starved {
            return;
        }
        self.make_way(false);
        if self.watch_bytes > self.config.limits.max_watch_bytes {
            return;
        }
        self.starved = false;
        // Whose reader has not asked again must not take the room at once that
        // was made for somebody else.
        let famine = !self.watches.ids(|watch| watch.famished).is_empty();
        for id in self.watches.ids(Watch::is_drained) {
            let waits = self.watches.get(id).is_some_and(|watch| watch.waiting);
            if famine && !waits {
                self.starved = true;
            } else if self.watches.get_mut(id).is_some_and(Watch::count_feed) {
                took(Path::WentOnLater);
                self.feed_anew(id, true);
            } else {
                took(Path::WentOn);
                self.want_feed(id);
            }
        }
    }

    /// Nobody is kept waiting by readers who have not come to what is there:
    /// they give it back, but for the next piece; and that too, if the limit is
    /// exceeded and somebody waits to read. With `patient`, whoever was told of
    /// something lately still has the time to read it: else readers who come now
    /// and then would take the room from one another, and none would read.
    pub(super) fn make_way(&mut self, patient: bool) {
        let now = self.now;
        let limit = self.config.limits.max_watch_bytes;
        let stops = |watch: &Watch| watch.is_stopped() && !(patient && watch.came_on_lately(now));
        while self.watch_bytes > limit / 2
            && let Some((_, id)) = self.holders(2).pop()
        {
            self.give_back(id);
        }
        let waits = |watch: &Watch| watch.waiting && watch.entries() == 0 && !watch.is_over();
        let somebody_waits = !self.watches.ids(waits).is_empty();
        while self.watch_bytes > limit && somebody_waits {
            let stopped = self.watches.ids(stops);
            let Some(id) = stopped.first() else {
                break;
            };
            self.give_back(*id);
        }
    }
}
