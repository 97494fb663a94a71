//! The counts: each thread has its own, as a run of a simulator has one thread.

extern crate std;

use alloc::vec::Vec;
use core::cell::Cell;

use super::Path;

std::thread_local! {
    static COUNTS: [Cell<u64>; Path::ALL.len()] = const { [const { Cell::new(0) }; Path::ALL.len()] };
}

/// Counts that this thread takes a path.
pub(crate) fn took(path: Path) {
    COUNTS.with(|counts| {
        if let Some(count) = counts.get(path as usize) {
            count.set(count.get() + 1);
        }
    });
}

/// Returns the paths that this thread has taken since it last asked, and how often.
///
/// ```
/// assert!(kv_proto::paths::take().is_empty());
/// ```
#[must_use]
pub fn take() -> Vec<(Path, u64)> {
    COUNTS.with(|counts| {
        let taken = Path::ALL
            .iter()
            .zip(counts)
            .map(|(path, count)| (*path, count.take()));
        taken.filter(|(_, count)| *count > 0).collect()
    })
}
