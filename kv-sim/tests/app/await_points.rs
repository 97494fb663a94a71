//! F-C5 for the futures that applications hold: every public operation is dropped at every poll that it can be
//! dropped at, from the first to the one at which it is over.
//!
//! A future is polled again and again here, whether it was woken or not, so that there is a poll in every state of
//! what is behind it: unsent, half sent, on its way, half answered. Whatever it was, nothing may be left of it: the
//! connection stands and was never complained about, servers hold the reply inbox and no consumer, the client works
//! and closes with nothing unfinished.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use kv_proto::driver::{Bucket, Client};
use kv_proto::{BucketConfig, Revision, Update};
use kv_sim::app::{Process, Sim, Simulation};

const SECOND: Duration = Duration::from_secs(1);
/// Some ten of these make a round trip.
const TICK: Duration = Duration::from_micros(60);
/// A deletion that may have overtaken its creation is asked for again within two seconds.
const SETTLES: Duration = Duration::from_secs(6);

type Operation = Pin<Box<dyn Future<Output = ()>>>;

/// What operations are made with.
#[derive(Clone)]
struct Application {
    sim: Sim,
    process: Process,
    client: Client,
    bucket: Bucket,
}

impl Application {
    /// A client with a bucket in which `k` has a value, `gone` a tombstone, and `free` nothing.
    async fn new(sim: Sim) -> Self {
        let process = sim.process("application");
        let client = process.connect(sim.url()).await.unwrap();
        let bucket = client
            .create_bucket(BucketConfig::new("b").history(3))
            .await;
        let bucket = bucket.unwrap();
        client
            .create_bucket(BucketConfig::new("other"))
            .await
            .unwrap();
        for key in ["k", "gone", "x.1", "x.2"] {
            bucket.put(key, "old").await.unwrap();
        }
        bucket.delete("gone").await.unwrap();
        Self {
            sim,
            process,
            client,
            bucket,
        }
    }

    /// Nothing is left of what was dropped.
    async fn check(&self, name: &str) {
        self.sim.sleep(SETTLES).await;
        let held = || {
            self.sim.servers(|cluster, _| {
                assert_eq!(cluster.poll_breach(), None, "{name}");
                let connections = cluster.connection_ids();
                let heard: usize = connections
                    .iter()
                    .map(|one| cluster.subscriptions(*one))
                    .sum();
                (connections.len(), heard, cluster.consumers())
            })
        };
        assert_eq!(
            held(),
            (1, 1, 0),
            "{name}: connections, subscriptions, consumers"
        );
        let stats = self.client.stats();
        let troubles = stats.disconnects + stats.server_errors + stats.protocol_errors;
        assert_eq!((stats.connects, troubles), (1, 0), "{name}: {stats:?}");
        let value = self.bucket.get("k").await.unwrap();
        let value = value.map_or("none".into(), |value| {
            String::from_utf8(value.to_vec()).unwrap()
        });
        assert!(
            ["old", "new", "none"].contains(&value.as_str()),
            "{name}: {value}"
        );
        self.bucket.put("after", "v").await.unwrap();
        assert_eq!(
            self.bucket.get("after").await.unwrap().unwrap(),
            "v",
            "{name}"
        );
        let closed = self.client.close().await;
        assert!(closed.is_complete(), "{name}: {closed:?}");
        self.sim.sleep(SECOND).await;
        assert_eq!(held(), (0, 0, 0), "{name}, closed");
    }
}

/// Polls a future so many times at most, and drops it then.
async fn polled<T>(sim: &Sim, future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(result) = polled {
            return Some(result);
        }
        sim.sleep(TICK).await;
    }
    None
}

fn world() -> Simulation {
    Simulation::new().latency(Duration::from_micros(200))
}

type Make = fn(Application) -> Operation;

macro_rules! operations {
    ($($name:literal: |$it:ident| $body:expr;)*) => {
        /// Every public operation that can be waited for.
        const OPERATIONS: &[(&str, Make)] = &[$(
            ($name, |$it| Box::pin(async move { let _ = $body; })),
        )*];
    };
}

operations! {
    "connect": |it| it.process.connect(it.sim.url()).await;
    "connected": |it| it.process.client(kv_proto::Config::new(&it.sim.url()).unwrap()).connected().await;
    "rtt": |it| it.client.rtt().await;
    "sleep": |it| it.client.sleep(Duration::from_millis(2)).await;
    "timeout": |it| it.client.timeout(SECOND, it.bucket.get("k")).await;
    "events": |it| polled(&it.sim, it.client.events().next(), 20).await;
    "bucket": |it| it.client.bucket("b").await;
    "bucket that is not": |it| it.client.bucket("none").await;
    "create_bucket": |it| it.client.create_bucket(BucketConfig::new("new")).await;
    "create_bucket that is": |it| it.client.create_bucket(BucketConfig::new("b")).await;
    "update_bucket": |it| it.client.update_bucket(BucketConfig::new("other").history(4)).await;
    "create_or_update_bucket": |it| it.client.create_or_update_bucket(BucketConfig::new("other").history(5)).await;
    "create_or_update_bucket that is not": |it| it.client.create_or_update_bucket(BucketConfig::new("new")).await;
    "delete_bucket": |it| it.client.delete_bucket("other").await;
    "bucket_names": |it| it.client.bucket_names().collect().await;
    "bucket_statuses": |it| it.client.bucket_statuses().collect().await;
    "status": |it| it.bucket.status().await;
    "put": |it| it.bucket.put("k", "new").await;
    "put of much": |it| it.bucket.put("large", vec![7; 9_000]).await;
    "create": |it| it.bucket.create("free", "new").await;
    "create over a value": |it| it.bucket.create("k", "new").await;
    "create over a tombstone": |it| it.bucket.create("gone", "new").await;
    "update": |it| it.bucket.update("k", "new", Revision::new(1)).await;
    "update of another revision": |it| it.bucket.update("k", "new", Revision::new(2)).await;
    "delete": |it| it.bucket.delete("k").await;
    "delete expecting": |it| it.bucket.delete("k").expect(Revision::new(1)).await;
    "purge": |it| it.bucket.purge("k").await;
    "purge expecting": |it| it.bucket.purge("k").expect(Revision::new(1)).await;
    "get": |it| it.bucket.get("k").await;
    "get of nothing": |it| it.bucket.get("free").await;
    "entry": |it| it.bucket.entry("k").await;
    "entry of the leader": |it| it.bucket.entry("k").leader().await;
    "entry at a revision": |it| it.bucket.entry("k").revision(Revision::new(1)).await;
    "keys": |it| it.bucket.keys().collect().await;
    "keys opened": |it| it.bucket.keys().filter("x.>").await;
    "history": |it| it.bucket.history("k").collect().await;
    "history opened": |it| it.bucket.history("gone").await;
    "watch": |it| it.bucket.watch("x.>").await;
    "watch of everything": |it| it.bucket.watch_all().include_history().await;
    "watch for updates": |it| it.bucket.watch_all().updates_only().await;
    "watch and next": |it| {
        let mut watch = it.bucket.watch_all().await.unwrap();
        while !matches!(watch.next().await.unwrap().unwrap(), Update::Synced) {}
        watch.next().await
    };
    "purge_deletes": |it| it.bucket.purge_deletes().older_than(Duration::ZERO).await;
    "erase": |it| it.bucket.erase("x.>").await;
}

/// An operation that waits for what never comes is dropped at so many polls.
const LONGEST: usize = 150;

/// Drops an operation at each of its polls; returns how many there were.
fn dropped_everywhere(name: &'static str, make: Make, seed: u64) -> usize {
    for times in 1..LONGEST {
        let ended = world().run(seed, |sim| async move {
            let it = Application::new(sim.clone()).await;
            let ended = polled(&sim, make(it.clone()), times).await.is_some();
            it.check(&format!("{name}, dropped at poll {times} in world {seed}"))
                .await;
            ended
        });
        if ended {
            return times;
        }
    }
    LONGEST
}

#[test]
fn every_operation_is_dropped_at_every_poll() {
    let mut polls = 0;
    for (name, make) in OPERATIONS {
        for seed in 1..3 {
            let times = dropped_everywhere(name, *make, seed);
            assert!(times > 1, "{name}");
            polls += times;
        }
    }
    println!("{} operations, dropped at {polls} polls", OPERATIONS.len());
    assert!(polls > 1_000, "{polls}");
}

/// Whoever closes a client and does not wait for it has closed it all the same.
#[test]
fn a_close_that_is_not_waited_for_is_one() {
    for times in 1..20 {
        world().run(1, |sim| async move {
            let it = Application::new(sim.clone()).await;
            let watch = it.bucket.watch_all().await.unwrap();
            let put = it.process.spawn(it.bucket.put("k", "new").into_future());
            sim.sleep(TICK).await;
            polled(&sim, it.client.close(), times).await;
            sim.sleep(SECOND).await;
            put.await.unwrap().expect("what was accepted is finished");
            drop(watch);
            let left = sim.servers(|cluster, _| (cluster.connections(), cluster.consumers()));
            assert_eq!(left, (0, 0), "{times}");
        });
    }
}

/// A `next` that is dropped loses nothing, however often and wherever.
#[test]
fn no_entry_is_lost_with_the_future_that_waited_for_it() {
    for times in 1..12 {
        world().run(times as u64, |sim| async move {
            let it = Application::new(sim.clone()).await;
            let bucket = it.bucket.clone();
            let mut watch = bucket.watch_all().updates_only().await.unwrap();
            it.process.spawn(async move {
                for number in 0..30 {
                    bucket.put("k", number.to_string()).await.unwrap();
                }
            });
            let mut told = Vec::new();
            while told.len() < 30 {
                if let Some(update) = polled(&sim, watch.next(), times).await
                    && let Update::Entry(entry) = update.unwrap().unwrap()
                {
                    told.push(String::from_utf8(entry.value.to_vec()).unwrap());
                }
            }
            let all: Vec<String> = (0..30).map(|number| number.to_string()).collect();
            assert_eq!(told, all, "{times}");

            let mut listed = Vec::new();
            let mut keys = it.bucket.keys().filter("x.>").await.unwrap();
            loop {
                match polled(&sim, keys.next(), times).await {
                    Some(Some(key)) => listed.push(key.unwrap().to_string()),
                    Some(None) => break,
                    None => {}
                }
            }
            listed.sort();
            assert_eq!(listed, ["x.1", "x.2"], "{times}");

            let mut history = it.bucket.history("k").await.unwrap();
            let mut kept = 0;
            loop {
                match polled(&sim, history.next(), times).await {
                    Some(Some(entry)) => kept += usize::from(entry.is_ok()),
                    Some(None) => break,
                    None => {}
                }
            }
            assert_eq!(kept, 3, "{times}");

            let mut names = it.client.bucket_names();
            let mut all = 0;
            loop {
                match polled(&sim, names.next(), times).await {
                    Some(Some(name)) => all += usize::from(name.is_ok()),
                    Some(None) => break,
                    None => {}
                }
            }
            assert_eq!(all, 2, "{times}");
        });
    }
}
