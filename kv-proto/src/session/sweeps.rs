//! Removing revisions: what matches a filter, and tombstones that are old.

use core::time::Duration;

use super::Session;
use crate::error::{BucketError, WatchError};
use crate::kv::Machine;
use crate::kv::binding::Binding;
use crate::kv::erase::{Bound, Erase};
use crate::kv::sweep::{AT_ONCE, PurgeDeletesOptions, PurgedDeletes, Sweep};
use crate::kv::watch::options::Update;
use crate::name::KeyFilter;
use crate::op::{Op, OpId, Output};
use crate::options::CallOptions;
use crate::time::Instant;

/// Removing revisions for good.
///
/// Nothing is left in the place of what is removed, so watches are not told.
impl Session {
    /// Removes all revisions of the keys that match, as of now: what is written
    /// meanwhile stays. It is repeated safely until its deadline. Results in the
    /// number of revisions removed; what an answer counted that was lost with
    /// its connection is not in it.
    ///
    /// Of a mirror, the origin's revisions are removed; a server does not take
    /// away what a mirror has copied.
    ///
    /// # Errors
    ///
    /// [`BucketError::Refused`] by this session, or [`BucketError::Unreachable`].
    pub fn erase(
        &mut self,
        now: Instant,
        bucket: &Binding,
        filter: &KeyFilter,
        options: CallOptions,
    ) -> Result<Op<u64>, BucketError> {
        let erase = Erase::new(bucket, filter, None, None)?;
        let id = self.start(now, Machine::Erase(erase), options.timeout)?;
        Ok(Op::new(id))
    }

    /// Removes tombstones that are older than a while, with the history below
    /// them. A key that gets a value meanwhile keeps it.
    ///
    /// Of a mirror, the origin's revisions are removed; a server does not take
    /// away what a mirror has copied.
    ///
    /// # Errors
    ///
    /// [`WatchError::InvalidOptions`], [`WatchError::Refused`] by this session,
    /// or [`WatchError::Unreachable`].
    pub fn purge_deletes(
        &mut self,
        now: Instant,
        bucket: &Binding,
        options: PurgeDeletesOptions,
    ) -> Result<Op<PurgedDeletes>, WatchError> {
        let PurgeDeletesOptions {
            older_than,
            listing,
        } = options;
        bucket.check_origin().map_err(WatchError::from)?;
        let timeout = listing.timeout.unwrap_or(Duration::MAX);
        let op = self.start(now, Machine::Sweep, Some(timeout))?;
        let listing = match self.enter_watch(now, bucket, listing, Some(op)) {
            Ok(listing) => listing,
            Err(error) => {
                self.cancel(op);
                return Err(error);
            }
        };
        let sweep = Sweep {
            binding: bucket.clone(),
            listing,
            older_than,
            parts: alloc::vec::Vec::new(),
            listed: false,
            done: PurgedDeletes::default(),
        };
        self.sweeps.insert(op, sweep);
        self.pump();
        Ok(Op::new(op))
    }

    /// Goes on with the sweeps that have something to look at.
    pub(super) fn sweep(&mut self) {
        while let Some(op) = self.swept.pop_first() {
            if let Some(result) = self.sweep_on(op) {
                self.end(op, Output::Swept(result));
            }
        }
    }

    /// Erases what is listed, some at a time. Returns the end, if it is there.
    fn sweep_on(&mut self, op: OpId) -> Option<Result<PurgedDeletes, WatchError>> {
        loop {
            let sweep = self.sweeps.get(&op)?;
            let taken = self.pending_bytes.saturating_add(self.filter_bytes);
            let limits = &self.config.limits;
            let full = taken >= limits.max_pending_bytes || self.ops.len() >= limits.max_ops;
            if sweep.parts.len() >= AT_ONCE || (full && !sweep.parts.is_empty()) {
                return None;
            }
            let listing = sweep.listing;
            let of_origin = !sweep.binding.is_mirror();
            let watch = self.watches.get(listing)?;
            let server_time = watch.server_time;
            let created = of_origin.then(|| watch.incarnation());
            // What a mirror shows, or a listing that was resumed, can be an old revision.
            let doubtful = watch.resumed || !of_origin;
            match self.next_update(listing) {
                Some(Ok(Update::Entry(entry))) => {
                    let sweep = self.sweeps.get_mut(&op)?;
                    let Some((before, tombstone)) = sweep.erase_before(&entry, server_time) else {
                        continue;
                    };
                    let bound = Some(Bound {
                        before,
                        created,
                        tombstone: Some(entry.revision),
                        confirm: doubtful,
                    });
                    let erase = match Erase::new(&sweep.binding, &entry.key, bound, Some(op)) {
                        Ok(erase) => erase,
                        Err(error) => return Some(Err(error.into())),
                    };
                    let patience = self.patience_of(listing);
                    let part = self.start_internal_within(Machine::Erase(erase), patience);
                    self.sweeps.get_mut(&op)?.parts.push((part, tombstone));
                }
                Some(Ok(Update::Synced)) => self.sweeps.get_mut(&op)?.listed = true,
                Some(Ok(Update::Damaged(_) | Update::Reset(_))) => {}
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    let sweep = self.sweeps.get(&op)?;
                    let over = sweep.listed && sweep.parts.is_empty();
                    return over.then_some(Ok(sweep.done));
                }
            }
        }
    }

    /// A part of a sweep is over.
    pub(super) fn on_erased(&mut self, op: OpId, part: OpId, result: Result<u64, BucketError>) {
        let Some(sweep) = self.sweeps.get_mut(&op) else {
            return;
        };
        match result {
            Ok(revisions) => {
                sweep.count(part, revisions);
                self.swept.insert(op);
            }
            Err(error) => {
                sweep.parts.retain(|(known, _)| *known != part);
                self.end(op, Output::Swept(Err(error.into())));
            }
        }
    }

    /// Stops what an operation set in motion, if it is a sweep.
    pub(super) fn end_sweep(&mut self, op: OpId) {
        let Some(sweep) = self.sweeps.remove(&op) else {
            return;
        };
        for (part, _) in sweep.parts {
            self.withdraw(part);
        }
        self.drop_watch(sweep.listing);
    }
}
