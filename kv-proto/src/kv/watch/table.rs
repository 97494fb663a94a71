//! The table of watches, and which subscription feeds which of them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use super::Watch;

/// Names a watch or a listing; a name whose watch was dropped is recognised
/// and means nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId {
    index: u32,
    generation: u32,
}

impl WatchId {
    /// Returns a small number that no other live watch of the session has:
    /// usable as an index of a table beside it, such as one of wakers.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.index).unwrap_or(usize::MAX)
    }
}

impl fmt::Debug for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchId({}.{})", self.index, self.generation)
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    watch: Option<Box<Watch>>,
}

#[derive(Debug, Default)]
pub(crate) struct Watches {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// By subscription id.
    feeds: BTreeMap<u64, WatchId>,
}

impl Watches {
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, watch: Watch) -> WatchId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let id = WatchId {
            index,
            generation: self
                .slots
                .get(position(index))
                .map_or(0, |slot| slot.generation),
        };
        if let Some(slot) = self.slots.get_mut(position(index)) {
            slot.watch = Some(Box::new(watch));
        }
        id
    }

    pub(crate) fn get(&self, id: WatchId) -> Option<&Watch> {
        self.slots
            .get(position(id.index))
            .filter(|slot| slot.generation == id.generation)
            .and_then(|slot| slot.watch.as_deref())
    }

    pub(crate) fn get_mut(&mut self, id: WatchId) -> Option<&mut Watch> {
        self.slots
            .get_mut(position(id.index))
            .filter(|slot| slot.generation == id.generation)
            .and_then(|slot| slot.watch.as_deref_mut())
    }

    pub(crate) fn remove(&mut self, id: WatchId) -> Option<Box<Watch>> {
        let slot = self
            .slots
            .get_mut(position(id.index))
            .filter(|slot| slot.generation == id.generation)?;
        let watch = slot.watch.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(watch)
    }

    /// All watches, in the order of their index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (WatchId, &Watch)> {
        let named = (0_u32..).zip(&self.slots);
        named.filter_map(|(index, slot)| {
            let id = WatchId {
                index,
                generation: slot.generation,
            };
            Some((id, slot.watch.as_deref()?))
        })
    }

    /// The names of those that fit.
    pub(crate) fn ids(&self, fits: impl Fn(&Watch) -> bool) -> Vec<WatchId> {
        let fitting = self.iter().filter(|(_, watch)| fits(watch));
        fitting.map(|(id, _)| id).collect()
    }

    /// Messages of this subscription are for that watch.
    pub(crate) fn bind(&mut self, sid: u64, id: WatchId) {
        self.feeds.insert(sid, id);
    }

    pub(crate) fn unbind(&mut self, sid: u64) {
        self.feeds.remove(&sid);
    }

    pub(crate) fn of_sid(&self, sid: u64) -> Option<WatchId> {
        self.feeds.get(&sid).copied()
    }
}

fn position(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
