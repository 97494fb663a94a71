//! What is left of watches that were dropped: nothing, on the server and in the client.

use std::time::Instant;

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, ConnectionState, Limits, Refused, Update, WatchError};
use kv_tests::{Admin, Proxy, eventually, unique};
use serde_json::Value;

use super::{await_consumers, fill, read};
use crate::site::{Adapter, SECOND, Site, all, at_once, begin, config, poll_once, stream, tests};

tests! {
    on_both_ends {
        a_thousand_watches_leave_no_consumer
        listings_leave_no_consumer
        watches_that_were_not_opened_leave_no_consumer
        a_watch_that_is_dropped_without_a_connection
        one_consumer_after_many_connections
        more_watches_than_allowed_are_refused_here
    }
}

/// Watches of a client below: a leak of a few is enough to be noticed.
const WATCHES: usize = 8;

/// A client that may have few watches, behind a proxy, and a bucket with ten keys.
async fn with_few_watches<A: Adapter>(site: &Site<A>) -> (Proxy, Bucket) {
    let limits = Limits {
        max_watches: WATCHES,
        ..Limits::default()
    };
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect_with(config(&proxy.url()).limits(limits)).await;
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    fill(&bucket, 10, 10).await;
    (proxy, bucket)
}

/// Asserts that the client can have as many watches as before, and that the server holds none.
async fn assert_nothing_left(admin: &mut Admin, bucket: &Bucket) {
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        watches.push(bucket.watch_all().await.unwrap());
    }
    await_consumers(admin, bucket, WATCHES as u64);
    drop(watches);
    await_consumers(admin, bucket, 0);
    let stats = bucket.client().stats();
    assert_eq!(stats.protocol_errors, 0);
}

/// A thousand watches are opened and dropped at several points: at once, in the initial data, behind it.
async fn a_thousand_watches_leave_no_consumer<A: Adapter>(site: Site<A>) {
    let (_proxy, bucket) = with_few_watches(&site).await;
    for round in 0..1_000 {
        let mut watch = bucket.watch_all().await.unwrap();
        for _ in 0..round % 12 {
            watch.next().await.unwrap().unwrap();
        }
    }
    assert_nothing_left(&mut site.admin(), &bucket).await;
}

/// The same of listings, read to the end or not.
async fn listings_leave_no_consumer<A: Adapter>(site: Site<A>) {
    let (_proxy, bucket) = with_few_watches(&site).await;
    for round in 0..100 {
        let mut keys = bucket.keys().await.unwrap();
        for _ in 0..round % 12 {
            keys.next().await.transpose().unwrap();
        }
        assert_eq!(bucket.keys().collect().await.unwrap().len(), 10);
        let mut history = bucket.history("k.1").await.unwrap();
        if round % 2 == 0 {
            history.next().await.unwrap().unwrap();
        }
        assert_eq!(bucket.history("k.2").collect().await.unwrap().len(), 1);
    }
    // One that is over holds nothing, though it is still there.
    let mut over = Vec::new();
    for _ in 0..=WATCHES {
        let mut keys = bucket.keys().await.unwrap();
        while let Some(key) = keys.next().await {
            key.unwrap();
        }
        over.push(keys);
    }
    assert_nothing_left(&mut site.admin(), &bucket).await;
}

/// Futures of watches that are dropped while they open.
async fn watches_that_were_not_opened_leave_no_consumer<A: Adapter>(site: Site<A>) {
    let (_proxy, bucket) = with_few_watches(&site).await;
    for round in 0..200_u32 {
        let mut opening = begin(bucket.watch_all());
        let mut keys = begin(bucket.keys());
        let mut history = begin(bucket.history("k.1").collect());
        let _ = poll_once(&mut opening);
        let _ = poll_once(&mut keys);
        let _ = poll_once(&mut history);
        bucket
            .client()
            .sleep(SECOND / 100_000 * (round % 100))
            .await;
    }
    drop(bucket.watch_all());
    assert_nothing_left(&mut site.admin(), &bucket).await;
}

/// How long the server keeps a consumer that nobody listens to.
fn threshold(admin: &mut Admin, bucket: &Bucket) -> u64 {
    let stream = stream(bucket);
    let name = admin.consumer_names(&stream).remove(0);
    let info: Value = admin.request(&format!("$JS.API.CONSUMER.INFO.{stream}.{name}"), b"");
    let threshold = info["config"]["inactive_threshold"].as_u64();
    threshold.expect("a threshold") / 1_000_000_000
}

/// A watch is dropped while there is no connection: its consumer is deleted as soon as there is one
/// again, and not when the server has had enough of it.
async fn a_watch_that_is_dropped_without_a_connection<A: Adapter>(site: Site<A>) {
    let (proxy, bucket) = with_few_watches(&site).await;
    let mut admin = site.admin();
    let watch = bucket.watch_all().await.unwrap();
    await_consumers(&mut admin, &bucket, 1);
    assert!(threshold(&mut admin, &bucket) > 3);
    proxy.refuse(true);
    proxy.cut_all();
    eventually("the connection is lost", || {
        bucket.client().state() == ConnectionState::Reconnecting
    });
    drop(watch);
    assert_eq!(admin.consumers(&stream(&bucket)), 1);
    let since = Instant::now();
    proxy.heal();
    await_consumers(&mut admin, &bucket, 0);
    let took = since.elapsed();
    assert!(took < 2 * SECOND, "took {took:?}");
    assert_nothing_left(&mut admin, &bucket).await;
}

/// Each connection needs a consumer of its own; in the end there is one for each watch.
async fn one_consumer_after_many_connections<A: Adapter>(site: Site<A>) {
    let (proxy, bucket) = with_few_watches(&site).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(read(bucket.watch_all().updates_only(), &bucket).await);
    }
    for reader in &mut readers {
        assert_eq!(reader.update().await, Update::Synced);
    }
    for round in 1..=20 {
        proxy.cut_all();
        eventually("the client is connected again", || {
            bucket.client().stats().connects > round
        });
        if round % 4 == 0 {
            let last = bucket.put("a", "1").await.unwrap();
            for reader in &mut readers {
                assert_eq!(reader.until(last).await.len(), 1);
            }
        }
    }
    let mut admin = site.admin();
    await_consumers(&mut admin, &bucket, 3);
    drop(readers);
    assert_nothing_left(&mut admin, &bucket).await;
}

/// One watch too many is refused at once, and there is room for it when another one is dropped.
async fn more_watches_than_allowed_are_refused_here<A: Adapter>(site: Site<A>) {
    let (_proxy, bucket) = with_few_watches(&site).await;
    let requests = (0..WATCHES).map(|_| begin(bucket.watch_all()));
    let mut watches: Vec<_> = all(requests)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let full = WatchError::Refused(Refused::Full);
    assert!(full.is_retryable());
    assert_eq!(at_once(begin(bucket.watch_all())).await.unwrap_err(), full);
    assert_eq!(bucket.keys().collect().await.unwrap_err(), full);
    watches.pop();
    assert_eq!(bucket.keys().collect().await.unwrap().len(), 10);
    drop(watches);
    assert_nothing_left(&mut site.admin(), &bucket).await;
}
