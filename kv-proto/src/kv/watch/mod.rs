pub(crate) mod options;
use core::fmt;
/// Names a watch or a listing; a name whose watch was dropped is recognised and
/// means nothing.
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
