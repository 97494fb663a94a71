//! The clients under comparison behind one face, and what is asked of them.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use async_nats::jetstream::{self, kv};
use bytes::Bytes;
use kv_tokio::{BucketConfig, Storage};
use tokio::runtime::{Builder, Runtime};

/// How many keys a bucket has; a multiple of every number in flight.
pub(crate) const KEYS: usize = 1024;

const VALUE_LEN: usize = 100;

/// Most latencies that are kept of one run, so that keeping them allocates nothing on the way.
const MAX_LATENCIES: usize = 16 * 1024;

/// With many operations in flight only one in so many is timed: reading the clock costs as much as a
/// tenth of an operation.
const SAMPLE_ONE_IN: usize = 8;

/// What is asked of a client.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    /// Its name in `performance.md`.
    pub(crate) name: &'static str,
    pub(crate) verb: Verb,
    pub(crate) in_flight: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Put,
    Get,
}

impl Workload {
    const fn new(name: &'static str, verb: Verb, in_flight: usize) -> Self {
        Self {
            name,
            verb,
            in_flight,
        }
    }

    /// `W2/64`
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.name, self.in_flight)
    }
}

pub(crate) const WORKLOADS: [Workload; 6] = [
    Workload::new("W1", Verb::Put, 1),
    Workload::new("W2", Verb::Put, 64),
    Workload::new("W2", Verb::Put, 256),
    Workload::new("W3", Verb::Get, 1),
    Workload::new("W4", Verb::Get, 64),
    Workload::new("W4", Verb::Get, 256),
];

/// Keys with their values.
pub(crate) type Entries = Arc<[(String, Bytes)]>;

/// Makes the entries that all clients write and read; each value tells its key and the stamp.
pub(crate) fn entries(stamp: &str) -> Entries {
    let entry = |number| {
        let key = format!("bench.key.{number:05}");
        let value = format!("{:.<VALUE_LEN$}", format!("{key} {stamp} "));
        (key, Bytes::from(value))
    };
    (0..KEYS).map(entry).collect()
}

/// When a run ends: whatever comes first.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) ops: usize,
    pub(crate) until: Option<Instant>,
}

impl Limit {
    pub(crate) fn ops(ops: usize) -> Self {
        Self { ops, until: None }
    }

    pub(crate) fn until(instant: Instant) -> Self {
        Self {
            ops: usize::MAX,
            until: Some(instant),
        }
    }
}

/// What a run did.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) ops: usize,
    /// In nanoseconds.
    pub(crate) latencies: Vec<u64>,
}

/// A bucket as a client's users see it. Anything unexpected panics, so that no error is measured.
pub(crate) trait Store: Clone + Send + Sync + 'static {
    const CLIENT: &'static str;

    /// Connects, and creates a bucket in memory with a history of one.
    fn create(url: &str, bucket: &str) -> impl Future<Output = Self>;
    /// Returns the revision.
    fn put(&self, key: &str, value: Bytes) -> impl Future<Output = u64> + Send;
    fn get(&self, key: &str) -> impl Future<Output = Bytes> + Send;
}

impl Store for kv_tokio::Bucket {
    const CLIENT: &'static str = "kv-tokio";

    async fn create(url: &str, bucket: &str) -> Self {
        let client = kv_tokio::connect(url).await.expect("connects");
        let config = BucketConfig::new(bucket).storage(Storage::Memory);
        client.create_bucket(config).await.expect("creates")
    }

    async fn put(&self, key: &str, value: Bytes) -> u64 {
        Self::put(self, key, value).await.expect("puts").get()
    }

    async fn get(&self, key: &str) -> Bytes {
        let value = Self::get(self, key).await.expect("gets");
        value.expect("a value")
    }
}

impl Store for kv::Store {
    const CLIENT: &'static str = "async-nats";

    async fn create(url: &str, bucket: &str) -> Self {
        let client = async_nats::connect(url).await.expect("connects");
        let config = kv::Config {
            bucket: bucket.to_owned(),
            storage: jetstream::stream::StorageType::Memory,
            history: 1,
            ..kv::Config::default()
        };
        let context = jetstream::new(client);
        context.create_key_value(config).await.expect("creates")
    }

    async fn put(&self, key: &str, value: Bytes) -> u64 {
        Self::put(self, key, value).await.expect("puts")
    }

    async fn get(&self, key: &str) -> Bytes {
        let value = Self::get(self, key).await.expect("gets");
        value.expect("a value")
    }
}

/// The runtime a client runs on.
#[derive(Clone, Copy)]
pub(crate) enum Flavor {
    CurrentThread,
    MultiThread,
}

impl Flavor {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CurrentThread => "current_thread",
            Self::MultiThread => "multi_thread",
        }
    }

    fn build(self) -> Runtime {
        let mut builder = match self {
            Self::CurrentThread => Builder::new_current_thread(),
            Self::MultiThread => Builder::new_multi_thread(),
        };
        let runtime = builder.worker_threads(2).enable_all().build();
        runtime.expect("a runtime")
    }
}

/// A client on a runtime of its own, with a bucket of its own.
pub(crate) trait Contender {
    fn client(&self) -> &'static str;
    fn flavor(&self) -> Flavor;
    fn bucket(&self) -> &str;
    /// Works until the limit and returns when nothing is in flight any more.
    fn run(&self, workload: Workload, entries: &Entries, limit: Limit) -> Tally;
}

/// All of them; rivals on the same runtime stand side by side.
pub(crate) fn contenders(url: &str, flavors: &[Flavor]) -> Vec<Box<dyn Contender>> {
    let pair = |flavor: &Flavor| -> [Box<dyn Contender>; 2] {
        [
            Box::new(Connected::<kv_tokio::Bucket>::new(url, *flavor)),
            Box::new(Connected::<kv::Store>::new(url, *flavor)),
        ]
    };
    flavors.iter().flat_map(pair).collect()
}

struct Connected<S> {
    runtime: Runtime,
    flavor: Flavor,
    bucket: String,
    store: S,
}

impl<S: Store> Connected<S> {
    fn new(url: &str, flavor: Flavor) -> Self {
        let runtime = flavor.build();
        let bucket = kv_tests::unique(S::CLIENT);
        let store = runtime.block_on(S::create(url, &bucket));
        Self {
            runtime,
            flavor,
            bucket,
            store,
        }
    }
}

impl<S: Store> Contender for Connected<S> {
    fn client(&self) -> &'static str {
        S::CLIENT
    }

    fn flavor(&self) -> Flavor {
        self.flavor
    }

    fn bucket(&self) -> &str {
        &self.bucket
    }

    fn run(&self, workload: Workload, entries: &Entries, limit: Limit) -> Tally {
        let lane = |number| lane(self.store.clone(), workload, number, entries.clone(), limit);
        self.runtime.block_on(async {
            let lanes = (0..workload.in_flight).map(|number| tokio::spawn(lane(number)));
            let lanes: Vec<_> = lanes.collect();
            let mut all = Tally::default();
            for lane in lanes {
                let tally = lane.await.expect("a lane ends well");
                all.ops += tally.ops;
                all.latencies.extend(tally.latencies);
            }
            all
        })
    }
}

/// One of the tasks that each have one operation in flight, on keys of their own.
async fn lane<S: Store>(
    store: S,
    workload: Workload,
    number: usize,
    entries: Entries,
    limit: Limit,
) -> Tally {
    let lanes = workload.in_flight;
    let most = limit.ops.div_ceil(lanes);
    let sample_one_in = if lanes == 1 { 1 } else { SAMPLE_ONE_IN };
    let mut tally = Tally {
        ops: 0,
        latencies: Vec::with_capacity(MAX_LATENCIES / lanes),
    };
    let mut revision = 0;
    let mine = entries.iter().skip(number).step_by(lanes).cycle();
    for (key, value) in mine.take(most) {
        let sampled = tally.ops.is_multiple_of(sample_one_in);
        let start = sampled.then(Instant::now);
        match workload.verb {
            Verb::Put => {
                let before = revision;
                revision = store.put(key, value.clone()).await;
                assert!(revision > before, "{key}: {revision} after {before}");
            }
            Verb::Get => assert_eq!(store.get(key).await, value, "{key}"),
        }
        tally.ops += 1;
        let Some(start) = start else { continue };
        let end = Instant::now();
        if tally.latencies.len() < tally.latencies.capacity() {
            let nanos = end.duration_since(start).as_nanos();
            tally
                .latencies
                .push(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
        if limit.until.is_some_and(|until| end >= until) {
            break;
        }
    }
    tally
}
