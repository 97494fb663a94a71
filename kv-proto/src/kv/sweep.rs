//! Removing tombstones that are old: what deleted keys leave behind.

use alloc::vec::Vec;
use core::time::Duration;

use crate::error::{BucketError, Doubt, Refused, WatchError};
use crate::kv::binding::Binding;
use crate::kv::entry::{Entry, Operation, Revision};
use crate::kv::watch::WatchId;
use crate::kv::watch::options::WatchOptions;
use crate::name::KeyFilter;
use crate::op::OpId;
use crate::tally::Tally;
use crate::time::Timestamp;

/// How many keys are cleaned up at the same time.
pub(crate) const AT_ONCE: usize = 16;

const OLDER_THAN: Duration = Duration::from_secs(30 * 60);

/// Which tombstones to remove.
///
/// ```
/// use core::time::Duration;
/// use kv_proto::{KeyFilter, PurgeDeletesOptions};
///
/// let options = PurgeDeletesOptions::default()
///     .filter(KeyFilter::new("sessions.>")?)
///     .older_than(Duration::from_secs(24 * 3_600));
/// # let _ = options;
/// # Ok::<(), kv_proto::InvalidFilter>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeDeletesOptions {
    pub(crate) older_than: Duration,
    pub(crate) listing: WatchOptions,
}

impl Default for PurgeDeletesOptions {
    /// Those of all keys that are older than 30 minutes.
    fn default() -> Self {
        Self {
            older_than: OLDER_THAN,
            listing: WatchOptions::keys(),
        }
    }
}

impl PurgeDeletesOptions {
    /// Removes tombstones that are at least this old, by the server's clock;
    /// of younger deletes only the history below them. Zero removes all.
    /// Default 30 minutes, so that watches which were cut off for a while, or
    /// go on from a position, still learn of a deletion.
    #[must_use]
    pub const fn older_than(mut self, age: Duration) -> Self {
        self.older_than = age;
        self
    }

    /// Looks at the keys that match; called again, those of either filter. The
    /// filters must not overlap; at most [`MAX_FILTERS`](crate::MAX_FILTERS).
    #[must_use]
    pub fn filter(mut self, filter: KeyFilter) -> Self {
        self.listing = self.listing.filter(filter);
        self
    }

    /// Sets a deadline on the whole; what was removed by then stays removed.
    /// Default: none, as there is no telling how much there is to do.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.listing = self.listing.timeout(timeout);
        self
    }

    /// Sets how long the listing of tombstones may make no progress. The default
    /// is [`Config::request_timeout`](crate::Config::request_timeout).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.listing = self.listing.patience(patience);
        self
    }
}

/// What was removed; what an answer counted that was lost with its connection
/// is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgedDeletes {
    /// Tombstones of keys that are now gone altogether.
    pub tombstones: u64,
    /// All revisions that were removed: tombstones, and the history below them.
    pub revisions: u64,
}

/// A removal under way.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) binding: Binding,
    pub(crate) listing: WatchId,
    pub(crate) older_than: Duration,
    /// What is asked for now, and whether it is a tombstone that goes.
    pub(crate) parts: Vec<(OpId, bool)>,
    /// The listing is complete.
    pub(crate) listed: bool,
    pub(crate) done: PurgedDeletes,
}

impl Sweep {
    /// Before which revision to erase a key, and whether its tombstone goes;
    /// `None` for what stays as it is.
    pub(crate) fn erase_before(
        &self,
        entry: &Entry,
        now: Option<Timestamp>,
    ) -> Option<(Revision, bool)> {
        if !entry.operation.is_tombstone() {
            return None;
        }
        let age = now.map(|now| now.saturating_duration_since(entry.created));
        let goes = self.older_than.is_zero() || age.is_some_and(|age| age >= self.older_than);
        let after = Revision::new(entry.revision.get().saturating_add(1));
        match entry.operation {
            _ if goes => Some((after, true)),
            Operation::Delete => Some((entry.revision, false)),
            Operation::Put | Operation::Purge | Operation::Marker(_) => None,
        }
    }

    /// Counts what a part has removed.
    pub(crate) fn count(&mut self, part: OpId, revisions: u64) {
        let at = self.parts.iter().position(|(known, _)| *known == part);
        if let Some((_, tombstone)) = at.map(|at| self.parts.swap_remove(at)) {
            self.done.revisions.raise(revisions);
            self.done
                .tombstones
                .raise(u64::from(tombstone && revisions > 0));
        }
    }
}

impl From<BucketError> for WatchError {
    fn from(error: BucketError) -> Self {
        match error {
            BucketError::NotFound | BucketError::NotABucket => Self::BucketNotFound,
            BucketError::NoJetStream => Self::NoJetStream,
            BucketError::Unreachable { api } => Self::Unreachable { api },
            BucketError::Denied { subject } => Self::Denied { subject },
            BucketError::Unavailable => Self::Unavailable,
            BucketError::Refused(Refused::Closed) | BucketError::Unknown(Doubt::Closed) => {
                Self::Closed
            }
            BucketError::Refused(refused) => Self::Refused(refused),
            BucketError::Server(error) | BucketError::Unknown(Doubt::Server(error)) => {
                Self::Server(error)
            }
            BucketError::TimedOut
            | BucketError::Unknown(
                Doubt::TimedOut | Doubt::LinkLost | Doubt::Malformed | Doubt::Superseded { .. },
            )
            | BucketError::InvalidName(_)
            | BucketError::InvalidFilter(_)
            | BucketError::InvalidConfig(_)
            | BucketError::Exists { .. }
            | BucketError::Unsupported { .. } => Self::TimedOut,
        }
    }
}
