//! Watches against real servers, and what their tests share.

mod breaks;
mod cancel;
mod close;
mod consumers;
mod killed;
mod leaks;
mod lives;
mod markers;
mod options;
mod places;
mod poison;
mod positions;
mod slow;
mod synced;

use std::time::Duration;

use kv_proto::driver::{Bucket, Client, OpenWatch, Watch};
use kv_proto::{Entry, Operation, ResetReason, Revision, Update, WatchError, WatchState};
use kv_tests::{Admin, eventually};

use crate::site::{SECOND, all, begin, stream};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Missed soon.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(300);

/// After so many heartbeats of silence a consumer counts as lost.
const MISSED: u32 = 2;

/// How long after its loss a consumer must be there again, with a second for a busy machine.
const RECOVERY: Duration = HEARTBEAT.saturating_mul(MISSED).saturating_add(SECOND);

/// A watch whose updates must come in time and are expected to be of a kind.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) watch: Watch,
    client: Client,
}

/// Opens a watch.
pub(crate) async fn read(request: OpenWatch, bucket: &Bucket) -> Reader {
    Reader {
        watch: request.await.expect("an open watch"),
        client: bucket.client().clone(),
    }
}

impl Reader {
    /// Whatever comes next.
    pub(crate) async fn next(&mut self) -> Option<Result<Update, WatchError>> {
        let next = self.client.timeout(PATIENCE, self.watch.next()).await;
        next.unwrap_or_else(|_| panic!("nothing within {PATIENCE:?} of {:?}", self.watch))
    }

    /// What comes next, which is no end.
    pub(crate) async fn update(&mut self) -> Update {
        match self.next().await {
            Some(Ok(update)) => update,
            end => panic!("the watch ended: {end:?}"),
        }
    }

    /// What comes next, which is an entry.
    pub(crate) async fn entry(&mut self) -> Entry {
        match self.update().await {
            Update::Entry(entry) => entry,
            other => panic!("instead of an entry: {other:?}"),
        }
    }

    /// The entries before [`Update::Synced`].
    pub(crate) async fn initial(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            match self.update().await {
                Update::Entry(entry) => entries.push(entry),
                Update::Synced => return in_order(entries),
                other => panic!("after {} entries: {other:?}", entries.len()),
            }
        }
    }

    /// The entries up to the one of that revision.
    pub(crate) async fn until(&mut self, last: Revision) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            let entry = self.entry().await;
            let revision = entry.revision;
            assert!(revision <= last, "{revision} instead of {last}");
            entries.push(entry);
            if revision == last {
                return in_order(entries);
            }
        }
    }

    /// What comes next, which is a reset.
    pub(crate) async fn reset(&mut self) -> ResetReason {
        match self.update().await {
            Update::Reset(reason) => reason,
            other => panic!("instead of a reset: {other:?}"),
        }
    }

    /// The error that comes next, and nothing after it.
    pub(crate) async fn end(&mut self) -> WatchError {
        let Some(Err(error)) = self.next().await else {
            panic!("the watch goes on");
        };
        assert_eq!(self.next().await, None);
        assert_eq!(self.watch.state(), WatchState::Ended);
        error
    }

    /// Waits, without reading, until a server delivers.
    pub(crate) fn await_live(&self) {
        eventually("the watch is live", || {
            self.watch.state() == WatchState::Live
        });
    }

    /// Waits, without reading, until the watch has noticed that nobody does.
    pub(crate) fn await_loss(&self) {
        eventually("the watch has noticed", || {
            self.watch.state() == WatchState::Recovering
        });
    }
}

/// Asserts that revisions grow.
pub(crate) fn in_order(entries: Vec<Entry>) -> Vec<Entry> {
    for pair in entries.windows(2) {
        assert!(pair[0].revision < pair[1].revision, "{pair:?}");
    }
    entries
}

/// Entries as short texts: `3 a=1` for a value, `4 a Delete` for a tombstone.
pub(crate) fn told(entries: &[Entry]) -> Vec<String> {
    let text = |entry: &Entry| {
        let (revision, key) = (entry.revision, &entry.key);
        match entry.operation {
            Operation::Put => format!("{revision} {key}={}", entry.value.escape_ascii()),
            tombstone => format!("{revision} {key} {tombstone:?}"),
        }
    };
    entries.iter().map(text).collect()
}

/// Writes `k.0`, `k.1` … of so many bytes each; returns the last revision.
pub(crate) async fn fill(bucket: &Bucket, count: usize, bytes: usize) -> Revision {
    let limit = 30 * SECOND;
    let put = |number| {
        let value = vec![b'v'; bytes];
        begin(bucket.put(format!("k.{number}"), value).timeout(limit))
    };
    let puts: Vec<_> = (0..count).map(put).collect();
    let revisions = all(puts).await.into_iter().map(|put| put.expect("a write"));
    revisions.max().expect("a revision")
}

/// Waits until a bucket has exactly so many consumers.
pub(crate) fn await_consumers(admin: &mut Admin, bucket: &Bucket, count: u64) {
    let stream = stream(bucket);
    eventually(&format!("there are {count} consumers"), || {
        let names = admin.consumer_names(&stream);
        names.len() as u64 == count && admin.consumers(&stream) == count
    });
}
