//! A watch that is read all the time, or not at all, and what it has told.

use std::collections::BTreeMap;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kv_proto::driver::{Bucket, Client, Watch};
use kv_proto::{ResetReason, Update, WatchState};

use crate::site::{Adapter, SECOND, config};
use crate::watch::HEARTBEAT;

/// A watch that nobody reads has everything ready: reading it takes no longer than this.
const AT_ONCE: Duration = Duration::from_millis(250);

/// What a watch has told, and when it was read.
type Told = Vec<(Instant, Result<Update, String>)>;

/// A watch, its reader, and its judge.
pub(super) struct Observer {
    pub(super) name: String,
    pub(super) is_polled: bool,
    client: Client,
    told: Arc<Mutex<Told>>,
    /// Of a watch that nobody reads until it is asked for.
    watch: Option<Watch>,
    reader: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    judge: Judge,
}

impl Observer {
    /// Opens a watch of all of a bucket, on a connection of its own.
    pub(super) async fn open<A: Adapter>(
        name: &str,
        url: &str,
        bucket: &str,
        is_polled: bool,
    ) -> Self {
        let client = A::connect(config(url)).await.unwrap();
        let bucket: Bucket = client.bucket(bucket).timeout(20 * SECOND).await.unwrap();
        let watch = bucket.watch_all().heartbeat(HEARTBEAT).timeout(20 * SECOND);
        let mut watch = watch.await.unwrap();
        let told = Arc::new(Mutex::new(Told::new()));
        let mut observer = Self {
            name: format!("{name}, {}", if is_polled { "polled" } else { "unpolled" }),
            is_polled,
            client,
            told: Arc::clone(&told),
            watch: None,
            reader: None,
            judge: Judge::default(),
        };
        if is_polled {
            observer.reader = Some(Box::pin(A::spawn(async move {
                while let Some(update) = watch.next().await {
                    let update = update.map_err(|error| error.to_string());
                    lock(&told).push((Instant::now(), update));
                }
            })));
        } else {
            observer.watch = Some(watch);
        }
        observer
    }

    /// Whether it is being made anew.
    pub(super) fn is_recovering(&self) -> bool {
        let state = self.watch.as_ref().map(Watch::state);
        state.is_some_and(|state| state != WatchState::Live)
    }

    /// When that revision of that key was read, if it was.
    pub(super) fn read_at(&self, key: &str, revision: u64) -> Option<Instant> {
        let told = lock(&self.told);
        let is_it = |update: &Result<Update, String>| matches!(update, Ok(Update::Entry(entry)) if *entry.key == *key && entry.revision.get() == revision);
        told.iter()
            .find(|(_, update)| is_it(update))
            .map(|(at, _)| *at)
    }

    /// Reads all that a watch that nobody read has ready.
    pub(super) async fn drain(&mut self) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        while let Ok(Some(update)) = self.client.timeout(AT_ONCE, watch.next()).await {
            let update = update.map_err(|error| error.to_string());
            lock(&self.told).push((Instant::now(), update));
        }
    }

    /// Judges what was told since the last time, against what the stream holds: the revision of each key. `first`
    /// is how many keys are told before `Synced`, and `anew` whether the bucket began anew.
    pub(super) fn judge(&mut self, kept: &BTreeMap<String, u64>, first: usize, anew: bool) {
        let told = mem::take(&mut *lock(&self.told));
        self.judge.take(&self.name, told, first, anew);
        assert!(self.judge.synced, "{}: not synced", self.name);
        for (key, revision) in kept {
            let last = self.judge.last_of.get(key);
            assert_eq!(last, Some(revision), "{}: the last of {key}", self.name);
        }
    }

    pub(super) async fn close(self) {
        drop(self.watch);
        self.client.close().await;
        if let Some(reader) = self.reader {
            reader.await;
        }
    }
}

/// What a watch has told in its present epoch.
#[derive(Debug, Default)]
struct Judge {
    last: u64,
    last_of: BTreeMap<String, u64>,
    synced: bool,
}

impl Judge {
    fn take(&mut self, name: &str, told: Told, first: usize, anew: bool) {
        let mut resets = 0;
        for (_, update) in told {
            match update {
                Ok(Update::Entry(entry)) => {
                    let revision = entry.revision.get();
                    assert!(
                        revision > self.last,
                        "{name}: {revision} after {}",
                        self.last
                    );
                    self.last = revision;
                    self.last_of.insert(entry.key.to_string(), revision);
                }
                Ok(Update::Synced) => {
                    assert!(!self.synced, "{name}: synced twice");
                    self.synced = true;
                    let told = &self.last_of;
                    assert!(told.len() >= first, "{name}: synced with {told:?}");
                }
                Ok(Update::Reset(ResetReason::Recreated)) => {
                    assert!(anew && resets == 0, "{name}: a reset that nobody expects");
                    resets += 1;
                    *self = Self::default();
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(resets, usize::from(anew), "{name}: resets");
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
