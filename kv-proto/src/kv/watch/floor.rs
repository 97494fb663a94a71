//! How far the initial data reaches: the last revision that matches, as the
//! stream's leader knows it.
//!
//! Delivery is in the order of revisions. So whoever has been delivered that
//! revision, or a later one, has been told of everything before it, whatever
//! became of the rest. It may vanish before it is delivered, so it is asked for
//! again with the heartbeats, and then it is an earlier one.

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Floor {
    /// Not more than the stream's last revision, when the consumer was seen to
    /// be there; the filters before `next` have been asked about, and the
    /// highest that matches one of them is `highest`.
    Asking {
        last: u64,
        next: usize,
        highest: u64,
    },
    /// This revision.
    At(u64),
    /// The leader may not be asked.
    Denied,
}

impl Floor {
    /// At most there; nobody was asked yet.
    pub(crate) const fn below(last: u64) -> Self {
        Self::Asking {
            last,
            next: 0,
            highest: 0,
        }
    }

    /// Returns whether a consumer has come so far that started with `first` and
    /// has delivered up to `seen`.
    pub(crate) const fn is_reached(self, first: u64, seen: u64) -> bool {
        match self {
            Self::Asking { last, .. } => seen >= last || first > last,
            Self::At(floor) => seen >= floor || first > floor,
            Self::Denied => false,
        }
    }

    /// The filter whose last revision is to be asked for.
    pub(crate) const fn question(self) -> Option<usize> {
        match self {
            Self::Asking { next, .. } => Some(next),
            Self::At(_) | Self::Denied => None,
        }
    }

    /// Takes the last revision that matches the filter that was asked for; 0 if
    /// there is none. There are so many filters.
    pub(crate) fn answer(&mut self, revision: u64, filters: usize) {
        if let Self::Asking {
            last,
            next,
            highest,
        } = *self
        {
            let highest = highest.max(revision);
            let next = next.saturating_add(1);
            *self = if next < filters {
                Self::Asking {
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
        floor.ask_again();
        floor.answer(0, 1);
        assert!(floor.is_reached(1, 0));
    }
}
