//! What is asked of every client, and of which data.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How many keys the bucket has that is written and read; a multiple of every number in flight.
pub(crate) const KEYS: usize = 1024;

/// How many keys the bucket has that is listed and watched.
pub(crate) const MANY: usize = 100_000;

/// How many revisions the key has whose history is read.
pub(crate) const DEPTH: usize = 64;

/// Most histories in one go: a client may leave a consumer behind for each, and a stream has no more than
/// a thousand.
pub(crate) const HISTORIES: usize = 250;

/// How many updates a live watch is sent in one go.
pub(crate) const UPDATES: usize = 20_000;

pub(crate) const VALUE_LEN: usize = 100;

/// Under the server's limit of 1 MiB.
const LARGE_LEN: usize = 1_000_000;

/// Most latencies that are kept of one run, so that keeping them allocates nothing on the way.
const MAX_LATENCIES: usize = 16 * 1024;

/// With many operations in flight only one in so many is timed: reading the clock costs as much as a
/// tenth of an operation.
const SAMPLE_ONE_IN: usize = 8;

/// What is asked of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) verb: Verb,
    pub(crate) in_flight: usize,
}

/// What one operation is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Put,
    Get,
    /// One entry of the initial data of a watch for all of many keys.
    Initial,
    /// One update of a watch.
    Live,
    /// One key of a listing of many.
    Keys,
    /// One write that expects the revision of the one before it.
    Update,
    /// All revisions of a key.
    History,
    PutLarge,
    GetLarge,
    Delete,
    Purge,
    /// A process that connects, makes a bucket, puts, gets, and deletes the bucket.
    Hello,
}

impl Verb {
    /// Revisions that so many operations add to the bucket of their own.
    pub(crate) fn written(self, ops: usize) -> usize {
        match self {
            Self::Put | Self::Live | Self::Update | Self::PutLarge | Self::Delete | Self::Purge => {
                ops
            }
            Self::Get
            | Self::Initial
            | Self::Keys
            | Self::History
            | Self::GetLarge
            | Self::Hello => 0,
        }
    }
}

impl Workload {
    const fn new(name: &'static str, verb: Verb, in_flight: usize) -> Self {
        Self {
            name,
            verb,
            in_flight,
        }
    }

    /// `put/64`
    pub(crate) fn label(self) -> String {
        match self.in_flight {
            1 => self.name.to_owned(),
            many => format!("{}/{many}", self.name),
        }
    }

    pub(crate) fn is_large(self) -> bool {
        matches!(self.verb, Verb::PutLarge | Verb::GetLarge)
    }
}

/// All, in the order in which they are run: puts before what reads them.
pub(crate) const WORKLOADS: [Workload; 16] = [
    Workload::new("put", Verb::Put, 1),
    Workload::new("put", Verb::Put, 64),
    Workload::new("put", Verb::Put, 256),
    Workload::new("get", Verb::Get, 1),
    Workload::new("get", Verb::Get, 64),
    Workload::new("get", Verb::Get, 256),
    Workload::new("watch-initial", Verb::Initial, 1),
    Workload::new("watch-live", Verb::Live, 1),
    Workload::new("keys", Verb::Keys, 1),
    Workload::new("history", Verb::History, 1),
    Workload::new("put-1MB", Verb::PutLarge, 1),
    Workload::new("get-1MB", Verb::GetLarge, 1),
    Workload::new("update", Verb::Update, 1),
    Workload::new("delete", Verb::Delete, 1),
    Workload::new("purge", Verb::Purge, 1),
    Workload::new("hello", Verb::Hello, 1),
];

/// Keys with their values.
pub(crate) type Entries = Arc<[(String, Bytes)]>;

/// What is written and read.
#[derive(Clone)]
pub(crate) struct Data {
    pub(crate) small: Entries,
    pub(crate) large: Entries,
}

impl Data {
    /// Makes what all clients write and read; each value tells its key and the stamp.
    pub(crate) fn new(stamp: &str) -> Self {
        Self {
            small: entries(KEYS, VALUE_LEN, stamp),
            large: entries(1, LARGE_LEN, stamp),
        }
    }

    pub(crate) fn of(&self, workload: Workload) -> &Entries {
        if workload.is_large() {
            &self.large
        } else {
            &self.small
        }
    }
}

/// So many keys with values of a length.
pub(crate) fn entries(keys: usize, len: usize, stamp: &str) -> Entries {
    let entry = |number| {
        let key = format!("bench.{len}.{number:05}");
        let mut value = format!("{key} {stamp} ").into_bytes();
        value.resize(len, b'.');
        (key, Bytes::from(value))
    };
    (0..keys).map(entry).collect()
}

/// What stands in the bucket of many keys.
pub(crate) fn many() -> Entries {
    entries(MANY, VALUE_LEN, "many")
}

/// When a run ends: whatever comes first. What is read as a whole is read to its end.
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

    pub(crate) fn is_reached(self, ops: usize) -> bool {
        ops >= self.ops || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// What a run did.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) ops: usize,
    /// In nanoseconds.
    pub(crate) latencies: Vec<u64>,
    /// CPU time that this process spent on something else than the client.
    pub(crate) foreign: Duration,
    /// CPU time of the client, if it ran in other processes.
    pub(crate) elsewhere: Option<Duration>,
}

impl Tally {
    /// One that has room for the latencies of its share of the lanes.
    pub(crate) fn for_one_of(lanes: usize) -> Self {
        Self {
            latencies: Vec::with_capacity(MAX_LATENCIES / lanes),
            ..Self::default()
        }
    }

    /// Whether the next operation is timed.
    pub(crate) fn is_sampled(&self, in_flight: usize) -> bool {
        in_flight == 1 || self.ops.is_multiple_of(SAMPLE_ONE_IN)
    }

    pub(crate) fn took(&mut self, time: Duration) {
        if self.latencies.len() < self.latencies.capacity() {
            let nanos = u64::try_from(time.as_nanos());
            self.latencies.push(nanos.unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.ops += other.ops;
        self.latencies.extend(other.latencies);
        self.foreign += other.foreign;
    }
}
