//! How asynchronous clients are worked: as many tasks as there shall be operations in flight, each on keys of
//! its own, and what is read as a whole by one task after another.

use std::future::Future;
use std::time::Instant;

use bytes::Bytes;

use super::{Buckets, Contender, Runtime};
use crate::feeder::Feeder;
use crate::stage::Stage;
use crate::workloads::{DEPTH, Data, Entries, Limit, MANY, Tally, UPDATES, Verb, Workload};

/// A bucket as a client's users see it; writes return the revision.
pub(crate) trait Store: Clone + Send + Sync + 'static {
    const CLIENT: &'static str;

    fn put(&self, key: &str, value: Bytes) -> impl Future<Output = u64> + Send;
    fn get(&self, key: &str) -> impl Future<Output = Bytes> + Send;
    fn update(&self, key: &str, value: Bytes, last: u64) -> impl Future<Output = u64> + Send;
    fn delete(&self, key: &str) -> impl Future<Output = ()> + Send;
    fn purge(&self, key: &str) -> impl Future<Output = ()> + Send;
    /// Watches until all that is there has come; returns how much that was.
    fn initial(&self) -> impl Future<Output = usize> + Send;
    /// Calls back when the watch stands, and reads so many updates.
    fn live(&self, many: usize, stands: impl FnOnce() + Send) -> impl Future<Output = ()> + Send;
    fn keys(&self) -> impl Future<Output = usize> + Send;
    fn history(&self, key: &str) -> impl Future<Output = usize> + Send;
}

/// A client on a runtime.
pub(crate) struct Connected<S> {
    runtime: Runtime,
    buckets: Buckets<S>,
    /// The names of its own ones.
    names: [String; 2],
    feeder: Feeder,
}

impl<S: Store> Connected<S> {
    pub(crate) fn new(
        stage: &Stage,
        runtime: Runtime,
        names: [String; 2],
        buckets: Buckets<S>,
    ) -> Self {
        Self {
            runtime,
            buckets,
            feeder: Feeder::new(stage, &names[1]),
            names,
        }
    }

    fn lanes(&self, workload: Workload, data: &Data, limit: Limit) -> Tally {
        let lane = |number| {
            let entries = data.of(workload).clone();
            lane(self.buckets.clone(), workload, number, entries, limit)
        };
        self.runtime.block_on(async {
            let lanes = (0..workload.in_flight).map(|number| self.runtime.spawn(lane(number)));
            let lanes: Vec<_> = lanes.collect();
            let mut all = Tally::default();
            for lane in lanes {
                all.add(lane.await);
            }
            all
        })
    }

    /// Whole watches and listings, one after the other.
    fn whole(&self, verb: Verb, limit: Limit) -> Tally {
        let mut tally = Tally::for_one_of(1);
        while !limit.is_reached(tally.ops) {
            let buckets = self.buckets.clone();
            let start = Instant::now();
            let read = self.runtime.block_on(self.runtime.spawn(async move {
                match verb {
                    Verb::Keys => buckets.many.keys().await,
                    _ => buckets.many.initial().await,
                }
            }));
            assert_eq!(read, MANY);
            tally.ops += read;
            tally.took(start.elapsed());
        }
        tally
    }

    fn live(&mut self, limit: Limit) -> Tally {
        let mut tally = Tally::default();
        while !limit.is_reached(tally.ops) {
            let (scratch, feeding) = (self.buckets.scratch.clone(), self.feeder.prepare());
            let start = feeding.starter();
            self.runtime.block_on(
                self.runtime
                    .spawn(async move { scratch.live(UPDATES, start).await }),
            );
            tally.foreign += self.feeder.finish(feeding);
            tally.ops += UPDATES;
        }
        tally
    }
}

impl<S: Store> Contender for Connected<S> {
    fn client(&self) -> &'static str {
        match self.runtime {
            Runtime::Smol => "kv-smol",
            Runtime::Tokio(..) => S::CLIENT,
        }
    }

    fn runtime(&self) -> &'static str {
        self.runtime.name()
    }

    fn own_buckets(&self) -> [&str; 2] {
        self.names.each_ref().map(String::as_str)
    }

    fn run(&mut self, workload: Workload, data: &Data, limit: Limit) -> Tally {
        match workload.verb {
            Verb::Initial | Verb::Keys => self.whole(workload.verb, limit),
            Verb::Live => self.live(limit),
            _ => self.lanes(workload, data, limit),
        }
    }
}

/// One of the tasks that each have one operation in flight.
async fn lane<S: Store>(
    buckets: Buckets<S>,
    workload: Workload,
    number: usize,
    entries: Entries,
    limit: Limit,
) -> Tally {
    let Buckets {
        own, scratch, deep, ..
    } = buckets;
    let lanes = workload.in_flight;
    let most = limit.ops.div_ceil(lanes);
    let mut tally = Tally::for_one_of(lanes);
    let mut revision = 0;
    let mine = entries.iter().skip(number).step_by(lanes).cycle();
    for (key, value) in mine.take(most) {
        let start = tally.is_sampled(lanes).then(Instant::now);
        match workload.verb {
            Verb::Put | Verb::PutLarge => {
                let before = revision;
                revision = own.put(key, value.clone()).await;
                assert!(revision > before, "{key}: {revision} after {before}");
            }
            Verb::Get | Verb::GetLarge => assert_eq!(own.get(key).await, value, "{key}"),
            Verb::Update if revision == 0 => revision = scratch.put("counter", value.clone()).await,
            Verb::Update => revision = scratch.update("counter", value.clone(), revision).await,
            Verb::Delete => scratch.delete(key).await,
            Verb::Purge => scratch.purge(key).await,
            Verb::History => assert_eq!(deep.history("deep").await, DEPTH),
            Verb::Initial | Verb::Live | Verb::Keys | Verb::Hello => {
                unreachable!("not one of many")
            }
        }
        tally.ops += 1;
        let Some(start) = start else { continue };
        let end = Instant::now();
        tally.took(end - start);
        if limit.until.is_some_and(|until| end >= until) {
            break;
        }
    }
    tally
}
