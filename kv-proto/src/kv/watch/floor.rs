//! What a consumer must have seen before its initial data is complete, when it
//! reads a replica that may be behind.
//!
//! A watch's consumer lives on one server and reads that server's copy of the
//! stream. In a cluster the copy can be some revisions behind the leader's, and
//! then everything that the consumer counts is too: a listing could miss a key
//! that was acknowledged before it began. So where the consumer does not live
//! with the leader, the leader is asked for the last revision that matches; the
//! initial data is not complete before it came. It may vanish meanwhile, so it
//! is asked for again with the heartbeats.

/// How far the initial data has to reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Floor {
    /// No matter: nobody is behind, or it cannot be found out.
    #[default]
    None,
    /// Up to the stream's last revision, unless the leader says less.
    Open {
        last: u64,
        /// The filter to ask about.
        next: usize,
        /// The highest revision that matches one of those before.
        highest: u64,
    },
    /// Up to this revision.
    At(u64),
}

impl Floor {
    /// The consumer's copy can be behind one that ends with `last`.
    pub(crate) const fn below(last: u64) -> Self {
        Self::Open {
            last,
            next: 0,
            highest: 0,
        }
    }

    /// Returns whether a consumer has come far enough that started with `first`
    /// and has delivered up to `seen`.
    pub(crate) const fn is_reached(self, first: u64, seen: u64) -> bool {
        match self {
            Self::None => true,
            Self::Open { last, .. } => seen >= last || first > last,
            Self::At(floor) => seen >= floor || first > floor,
        }
    }

    /// The filter whose last revision is to be asked for.
    pub(crate) const fn question(self) -> Option<usize> {
        match self {
            Self::Open { next, .. } => Some(next),
            Self::None | Self::At(_) => None,
        }
    }

    /// Takes the last revision that matches the filter that was asked for; 0 if
    /// there is none. There are so many filters.
    pub(crate) fn answer(&mut self, revision: u64, filters: usize) {
        if let Self::Open {
            last,
            next,
            highest,
        } = *self
        {
            let highest = highest.max(revision);
            let next = next + 1;
            *self = if next < filters {
                Self::Open {
                    last,
                    next,
                    highest,
                }
            } else {
                // What was written since is none of the initial data.
                Self::At(highest.min(last))
            };
        }
    }

    /// What it was may be gone.
    pub(crate) const fn ask_again(&mut self) {
        if let Self::At(floor) = *self {
            *self = Self::below(floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_all_filters_counts() {
        let mut floor = Floor::below(9);
        assert!(floor.is_reached(1, 9) && !floor.is_reached(1, 8));
        floor.answer(4, 3);
        floor.answer(7, 3);
        assert_eq!(floor.question(), Some(2));
        floor.answer(0, 3);
        assert_eq!(floor, Floor::At(7));
        assert!(floor.is_reached(1, 7) && !floor.is_reached(1, 6));
    }

    #[test]
    fn what_was_written_since_is_not_waited_for() {
        let mut floor = Floor::below(9);
        floor.answer(12, 1);
        assert_eq!(floor, Floor::At(9));
    }

    #[test]
    fn what_was_not_asked_for_is_not_waited_for() {
        assert!(Floor::below(9).is_reached(10, 0));
        assert!(!Floor::below(9).is_reached(9, 0));
        assert!(Floor::At(4).is_reached(5, 0));
    }

    #[test]
    fn what_vanished_is_not_waited_for() {
        let mut floor = Floor::below(9);
        floor.answer(8, 1);
        floor.ask_again();
        floor.answer(5, 1);
        assert_eq!(floor, Floor::At(5));
    }
}
