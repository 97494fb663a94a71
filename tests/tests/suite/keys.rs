//! Listings of keys.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, Key, WatchError};

use crate::site::{Adapter, SECOND, Site, all, at_once, begin, tests};
use crate::watch::fill;

tests! {
    on_both_ends {
        keys_that_have_a_value
        nothing_to_list
        keys_of_filters
        five_thousand_keys
        values_are_not_sent
        keys_that_are_written_and_deleted_meanwhile
        many_listings_at_once
        a_silent_server_is_waited_for_as_long_as_asked
    }
}

/// Reads a listing as a stream.
async fn stream(bucket: &Bucket) -> Vec<Key> {
    let mut listed = Vec::new();
    let mut keys = bucket.keys().await.unwrap();
    while let Some(key) = keys.next().await {
        listed.push(key.unwrap());
    }
    assert_eq!(keys.next().await, None);
    listed
}

/// Those that have a value, sorted, each once, however many revisions there are; not those that were
/// deleted or purged; again those that were written after that.
async fn keys_that_have_a_value<A: Adapter>(site: Site<A>) {
    for history in [1, 10] {
        let bucket = site.bucket_with(|config| config.history(history)).await;
        for key in ["c", "a", "b.x", "b", "a", "deleted", "purged", "again"] {
            bucket.put(key, "1").await.unwrap();
        }
        bucket.put("empty", "").await.unwrap();
        bucket.delete("deleted").await.unwrap();
        bucket.delete("never-was").await.unwrap();
        bucket.purge("purged").await.unwrap();
        bucket.delete("again").await.unwrap();
        bucket.create("again", "2").await.unwrap();
        let wanted = ["a", "again", "b", "b.x", "c", "empty"];
        assert_eq!(bucket.keys().collect().await.unwrap(), wanted);
        let mut streamed = stream(&bucket).await;
        streamed.sort_unstable();
        assert_eq!(streamed, wanted);
    }
}

/// An empty bucket, one whose keys are all deleted, and filters that nothing matches: at once.
async fn nothing_to_list<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let none: [&str; 0] = [];
    assert_eq!(at_once(bucket.keys().collect()).await.unwrap(), none);
    assert_eq!(at_once(stream(&bucket)).await, none);
    for key in ["a", "b"] {
        bucket.put(key, "1").await.unwrap();
        bucket.delete(key).await.unwrap();
    }
    assert_eq!(at_once(bucket.keys().collect()).await.unwrap(), none);
    assert_eq!(at_once(stream(&bucket)).await, none);
    bucket.put("c", "1").await.unwrap();
    let keys = bucket.keys().filter("d.>").filter("e");
    assert_eq!(at_once(keys.collect()).await.unwrap(), none);
    let keys = bucket.keys().filter("a").filter("b");
    assert_eq!(at_once(keys.collect()).await.unwrap(), none);
}

async fn keys_of_filters<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    for key in ["a", "a.b", "a.b.c", "b", "b.b", "c.d.e"] {
        bucket.put(key, "1").await.unwrap();
    }
    for (filters, wanted) in [
        (&["a"][..], &["a"][..]),
        (&["a.>"], &["a.b", "a.b.c"]),
        (&["*.b"], &["a.b", "b.b"]),
        (&["b", "a.*", "c.>"], &["a.b", "b", "c.d.e"]),
        (&[">"], &["a", "a.b", "a.b.c", "b", "b.b", "c.d.e"]),
        (&["x", "b"], &["b"]),
    ] {
        let keys = filters
            .iter()
            .fold(bucket.keys(), |keys, filter| keys.filter(*filter));
        assert_eq!(keys.collect().await.unwrap(), wanted, "{filters:?}");
    }
}

/// Every one of them, once, in both ways; a second listing is as good as the first.
async fn five_thousand_keys<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    fill(&bucket, 5_000, 100).await;
    for _ in 0..2 {
        let keys = bucket.keys().collect().await.unwrap();
        assert_eq!(keys.len(), 5_000);
        let mut streamed = stream(&bucket).await;
        streamed.sort_unstable();
        assert_eq!(streamed, keys);
    }
    let numbers = keys_numbered(&bucket.keys().collect().await.unwrap());
    assert!(numbers.into_iter().eq(0..5_000));
}

/// The numbers of the keys that [`fill`] wrote.
fn keys_numbered(keys: &[Key]) -> BTreeSet<usize> {
    let number = |key: &Key| key.strip_prefix("k.")?.parse().ok();
    keys.iter().filter_map(number).collect()
}

/// A listing of large values costs little more than their keys.
async fn values_are_not_sent<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    fill(&bucket, 50, 200_000).await;
    let before = bucket.client().stats().bytes_in;
    assert_eq!(bucket.keys().collect().await.unwrap().len(), 50);
    let came = bucket.client().stats().bytes_in - before;
    assert!(came < 50_000, "{came} bytes came");
}

/// Writes, deletes and creates keys again and again until told to stop.
async fn stir(bucket: Bucket, over: Arc<AtomicBool>) {
    let mut round = 0;
    while !over.load(Ordering::Relaxed) {
        round += 1;
        let key = format!("busy.{}", round % 20);
        let put = begin(bucket.put(&key, "1"));
        let new = begin(bucket.put(format!("busy.new.{round}"), "1"));
        put.await.unwrap();
        new.await.unwrap();
        bucket.delete(&key).await.unwrap();
    }
}

/// While other keys come and go, those that were there all the time are on every listing, and those that
/// were deleted before are on none.
async fn keys_that_are_written_and_deleted_meanwhile<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    fill(&bucket, 1_000, 10).await;
    for number in 0..100 {
        bucket.delete(format!("k.{number}")).await.unwrap();
    }
    let over = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..4)
        .map(|_| A::spawn(stir(bucket.clone(), over.clone())))
        .collect();
    for _ in 0..20 {
        let keys = bucket.keys().collect().await.unwrap();
        assert!(
            keys.is_sorted_by(|one, next| one < next),
            "sorted, each once"
        );
        assert!(keys_numbered(&keys).into_iter().eq(100..1_000));
        let streamed = stream(&bucket).await;
        assert!(keys_numbered(&streamed).into_iter().eq(100..1_000));
    }
    over.store(true, Ordering::Relaxed);
    all(tasks).await;
    let keys = bucket.keys().filter("busy.*").collect().await.unwrap();
    assert_eq!(keys, [""; 0]);
}

/// Fifty listings of a client at the same time do not disturb each other.
async fn many_listings_at_once<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    fill(&bucket, 500, 10).await;
    let listings: Vec<_> = (0..50)
        .map(|number| {
            let keys = bucket.keys().filter(format!("k.{number}")).filter("x");
            (A::spawn(keys.collect()), A::spawn(bucket.keys().collect()))
        })
        .collect();
    for (number, (one, every)) in listings.into_iter().enumerate() {
        assert_eq!(one.await.unwrap(), [&*format!("k.{number}")]);
        assert_eq!(every.await.unwrap().len(), 500);
    }
}

/// A server that is frozen: a listing ends when nothing came for as long as it was to be patient, or when
/// its deadline is over; one that waits longer gets through when the server goes on.
async fn a_silent_server_is_waited_for_as_long_as_asked<A: Adapter>(site: Site<A>) {
    let server = site.own_server().start();
    let client = site.connect(&server.url()).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    bucket.put("a", "1").await.unwrap();
    server.pause();
    let limit = Duration::from_millis(200);
    let since = Instant::now();
    let patient = A::spawn(bucket.keys().patience(10 * SECOND).collect());
    let limited = bucket.keys().timeout(limit).collect().await;
    assert_eq!(limited, Err(WatchError::TimedOut));
    let impatient = bucket.history("a").patience(limit).collect().await;
    assert_eq!(impatient, Err(WatchError::TimedOut));
    let took = since.elapsed();
    assert!(took >= 2 * limit && took < 2 * limit + SECOND, "{took:?}");
    server.resume();
    assert_eq!(patient.await.unwrap(), ["a"]);
}
