//! Clients at work on a bucket, and all that they were told.
//!
//! No value is written twice, so that what is stored tells which writes were applied, and how often.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kv_proto::driver::{Bucket, Client};
use kv_proto::{Entry, ReadError, Revision, Update, WriteError};

use crate::site::{Adapter, all};

/// How many of each kind of writer and reader work at once.
const EACH: usize = 6;

/// What they rest between two operations.
const REST: Duration = Duration::from_millis(15);

/// As long as any operation may take: longer than an election, as a rule.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// How many revisions a key gets: fewer than the bucket keeps.
const REVISIONS: usize = 50;

/// The last key that is written.
pub(crate) const END: &str = "end";

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A client with writers, readers and a watch at work.
pub(crate) struct Load {
    bucket: Bucket,
    stop: Arc<AtomicBool>,
    writers: Vec<Task<Vec<Write>>>,
    readers: Vec<Task<Vec<Read>>>,
    watch: Task<Vec<Update>>,
}

/// What became of all that a client asked for.
pub(crate) struct Record {
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Read>,
    pub(crate) updates: Vec<Update>,
}

/// A write, and what was said of it.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) condition: Condition,
    pub(crate) result: Result<Revision, WriteError>,
    pub(crate) took: Duration,
}

/// What must be true for a write to be applied.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Condition {
    None,
    IsNew,
    IsAt(Revision),
}

/// A read, and what was said.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) key: String,
    pub(crate) result: Result<Option<Entry>, ReadError>,
    pub(crate) took: Duration,
}

impl Load {
    /// Sets a client to work on keys that begin with `name`.
    pub(crate) async fn start<A: Adapter>(name: &str, bucket: Bucket) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let worker = |kind: &str, number: usize| Worker {
            bucket: bucket.clone(),
            name: format!("{name}.{kind}{number}"),
            stop: Arc::clone(&stop),
        };
        let mut writers: Vec<Task<Vec<Write>>> = Vec::new();
        let mut readers: Vec<Task<Vec<Read>>> = Vec::new();
        for number in 0..EACH {
            writers.push(Box::pin(A::spawn(worker("put", number).put())));
            writers.push(Box::pin(A::spawn(worker("create", number).create())));
            writers.push(Box::pin(A::spawn(worker("update", number).update())));
            readers.push(Box::pin(A::spawn(worker("put", number).get(false))));
            readers.push(Box::pin(A::spawn(worker("update", number).get(true))));
        }
        let mut watch = bucket
            .watch_all()
            .include_history()
            .await
            .expect("an open watch");
        let told = async move {
            let mut updates = Vec::new();
            while let Some(update) = watch.next().await {
                let update = update.expect("a watch that goes on");
                let last = matches!(&update, Update::Entry(entry) if entry.key.as_str() == END);
                updates.push(update);
                if last {
                    break;
                }
            }
            updates
        };
        let watch = Box::pin(A::spawn(told));
        Self {
            bucket,
            stop,
            writers,
            readers,
            watch,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        self.bucket.client()
    }

    /// Lets everybody finish; the watch goes on.
    pub(crate) async fn stop(self) -> Stopped {
        self.stop.store(true, Ordering::Relaxed);
        let writes = all(self.writers).await.into_iter().flatten().collect();
        let reads = all(self.readers).await.into_iter().flatten().collect();
        Stopped {
            bucket: self.bucket,
            writes,
            reads,
            watch: self.watch,
        }
    }
}

/// A client of which only the watch still works.
pub(crate) struct Stopped {
    bucket: Bucket,
    writes: Vec<Write>,
    reads: Vec<Read>,
    watch: Task<Vec<Update>>,
}

impl Stopped {
    /// Waits until the watch has told of [`END`].
    pub(crate) async fn finish(self) -> Record {
        let client = self.bucket.client().clone();
        let updates = client.timeout(2 * DEADLINE, self.watch).await;
        Record {
            writes: self.writes,
            reads: self.reads,
            updates: updates.expect("the watch comes to the end"),
        }
    }
}

struct Worker {
    bucket: Bucket,
    name: String,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Puts new keys, and some of them again.
    async fn put(self) -> Vec<Write> {
        let mut writes = Vec::new();
        for number in 0.. {
            let key = format!("{}.{}", self.name, number / 3);
            let value = format!("{key}#{number}");
            let request = self.bucket.put(&key, &value).timeout(DEADLINE);
            writes.push(write(key, value, Condition::None, request).await);
            if self.is_over().await {
                break;
            }
        }
        writes
    }

    /// Creates keys that nobody else creates.
    async fn create(self) -> Vec<Write> {
        let mut writes = Vec::new();
        for number in 0.. {
            let key = format!("{}.{number}", self.name);
            let value = format!("{key}#");
            let request = self.bucket.create(&key, &value).timeout(DEADLINE);
            writes.push(write(key, value, Condition::IsNew, request).await);
            if self.is_over().await {
                break;
            }
        }
        writes
    }

    /// Updates keys that nobody else writes, each from the revision that it is known to have; after a failure
    /// the stream's leader is asked which that is.
    async fn update(self) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut expected = Revision::new(0);
        for number in 0.. {
            let key = format!("{}.{}", self.name, number / REVISIONS);
            if number % REVISIONS == 0 {
                expected = Revision::new(0);
            }
            let value = format!("{key}#{number}");
            let condition = Condition::IsAt(expected);
            let request = self.bucket.update(&key, &value, expected);
            let done = write(key.clone(), value, condition, request.timeout(DEADLINE)).await;
            match &done.result {
                Ok(revision) => expected = *revision,
                Err(_) => expected = self.revision_of(&key).await,
            }
            writes.push(done);
            if self.is_over().await {
                break;
            }
        }
        writes
    }

    /// What the leader says, as soon as there is one.
    async fn revision_of(&self, key: &str) -> Revision {
        loop {
            let entry = self.bucket.entry(key).leader().timeout(DEADLINE).await;
            if let Ok(entry) = entry {
                return entry.map_or(Revision::new(0), |entry| entry.revision);
            }
        }
    }

    /// Reads the keys that a writer of that name writes.
    async fn get(self, leader: bool) -> Vec<Read> {
        let mut reads = Vec::new();
        for number in 0.. {
            let key = format!("{}.{}", self.name, number % 10);
            let request = self.bucket.entry(&key).timeout(DEADLINE);
            let request = if leader { request.leader() } else { request };
            let began = Instant::now();
            let result = request.await;
            let took = began.elapsed();
            reads.push(Read { key, result, took });
            if self.is_over().await {
                break;
            }
        }
        reads
    }

    async fn is_over(&self) -> bool {
        self.bucket.client().sleep(REST).await;
        self.stop.load(Ordering::Relaxed)
    }
}

async fn write<R>(key: String, value: String, condition: Condition, request: R) -> Write
where
    R: IntoFuture<Output = Result<Revision, WriteError>>,
{
    let began = Instant::now();
    let result = request.await;
    Write {
        key,
        value,
        condition,
        result,
        took: began.elapsed(),
    }
}
