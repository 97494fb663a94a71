//! The bug that is planted: the one state of the process in this crate, which
//! is there with the feature `mutants` alone.

use core::sync::atomic::{AtomicU8, Ordering};

use super::Mutant;

/// The number of the bug; 0 for none.
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants one bug in every session of this process, instead of the one that
/// was planted before; `None` makes all of them correct again.
///
/// ```
/// use kv_proto::mutant::{self, Mutant};
///
/// for mutant in Mutant::ALL {
///     mutant::plant(Some(*mutant));
///     println!("{}: {}", mutant.name(), mutant.summary());
///     // Run the tests, and expect them to fail.
/// }
/// mutant::plant(None);
/// ```
pub fn plant(mutant: Option<Mutant>) {
    PLANTED.store(mutant.map_or(0, |mutant| mutant as u8), Ordering::Relaxed);
}

/// Returns whether a bug is planted.
pub(crate) fn is(mutant: Mutant) -> bool {
    PLANTED.load(Ordering::Relaxed) == mutant as u8
}
