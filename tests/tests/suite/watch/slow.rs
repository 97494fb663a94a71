//! Readers that stop for a while: their watches pause, others go on, memory stays bounded, and in the end
//! nothing is lost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, Limits, Revision, Update};
use kv_tests::{Direction, Proxy, unique};

use super::{HEARTBEAT, Reader, fill, read};
use crate::site::{Adapter, SECOND, Site, all, at_once, begin, config, tests};

tests! {
    on_both_ends {
        a_reader_that_stops_holds_up_nobody
        a_reader_that_stops_in_the_initial_data
        readers_that_stop_share_a_bound
        readers_that_stop_starve_nobody
        a_value_larger_than_the_shared_bound_is_sent_once
        a_value_larger_than_the_buffer_is_let_through
        a_reader_that_is_slower_than_the_writers
    }
}

const KEYS: usize = 100;
const ROUNDS: usize = 40;
const VALUE: usize = 4_000;

/// Buffer of a watch that is soon full.
const ENTRIES: usize = 200;
const BYTES: usize = 256 * 1024;

/// What a server may send beyond a full buffer: its window, and what is on its way.
const BEYOND: u64 = 2 * 1024 * 1024;

/// A client behind a proxy that counts, with a new bucket; and the bucket of another client.
async fn behind_a_proxy<A: Adapter>(site: &Site<A>, limits: Limits) -> (Proxy, Bucket, Bucket) {
    let writer = site.bucket().await;
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect_with(config(&proxy.url()).limits(limits)).await;
    let bucket = client.bucket(writer.name()).await.unwrap();
    (proxy, bucket, writer)
}

/// What is sent to the client while somebody else writes 16 MB to `slow.*`.
async fn flood(proxy: &Proxy, writer: &Bucket) -> u64 {
    let before = proxy.bytes(Direction::ServerToClient);
    for round in 0..ROUNDS {
        let put = |number| {
            let value = vec![b'a' + round as u8 % 26; VALUE];
            begin(
                writer
                    .put(format!("slow.{number}"), value)
                    .timeout(30 * SECOND),
            )
        };
        let puts: Vec<_> = (0..KEYS).map(put).collect();
        for put in all(puts).await {
            put.unwrap();
        }
    }
    // Several heartbeats, so that what pauses a watch is not taken for its loss.
    writer.client().sleep(5 * HEARTBEAT).await;
    proxy.bytes(Direction::ServerToClient) - before
}

/// Reads through the last revision; panics unless revisions grow and what is told last of each
/// key is what the bucket holds.
async fn catch_up(reader: &mut Reader, writer: &Bucket, last: Revision) {
    let mut told = BTreeMap::new();
    let mut newest = 0;
    while newest < last.get() {
        match reader.update().await {
            Update::Entry(entry) => {
                assert!(entry.revision.get() > newest, "{entry:?} after {newest}");
                newest = entry.revision.get();
                told.insert(entry.key, entry.revision);
            }
            Update::Synced => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told.len(), KEYS + 1);
    for (key, revision) in told {
        let entry = writer.entry(&key).await.unwrap().unwrap();
        assert_eq!(entry.revision, revision, "{key}");
    }
}

/// While a reader has stopped and 16 MB are written for it, little more than its buffer is sent to it;
/// another watch of the same client is told of each change at once, and writes and reads are answered.
/// Then the reader goes on, and misses nothing.
async fn a_reader_that_stops_holds_up_nobody<A: Adapter>(site: Site<A>) {
    let (proxy, bucket, writer) = behind_a_proxy(&site, Limits::default()).await;
    let request = bucket.watch("slow.*").buffer(ENTRIES, BYTES);
    let mut slow = read(request.heartbeat(HEARTBEAT), &bucket).await;
    assert_eq!(slow.update().await, Update::Synced);
    let mut fast = read(bucket.watch("fast"), &bucket).await;
    assert_eq!(fast.update().await, Update::Synced);
    let others = A::spawn(async move {
        let began = Instant::now();
        while began.elapsed() < 3 * SECOND {
            let revision = at_once(bucket.put("fast", "1")).await.unwrap();
            assert_eq!(at_once(fast.until(revision)).await.len(), 1);
            let entry = at_once(bucket.entry("fast")).await.unwrap().unwrap();
            assert_eq!(entry.revision, revision);
            bucket.client().sleep(Duration::from_millis(20)).await;
        }
        bucket.client().stats().connects
    });
    let sent = flood(&proxy, &writer).await;
    assert!(sent < BYTES as u64 + BEYOND, "{sent} bytes were sent");
    assert_eq!(others.await, 1, "connections");
    let last = writer.put("slow.end", "end").await.unwrap();
    catch_up(&mut slow, &writer, last).await;
    // And once more, from where it is.
    flood(&proxy, &writer).await;
    let last = writer.put("slow.end", "end").await.unwrap();
    catch_up(&mut slow, &writer, last).await;
}

/// The same in the initial data, which has 16 MB.
async fn a_reader_that_stops_in_the_initial_data<A: Adapter>(site: Site<A>) {
    let (proxy, bucket, writer) = behind_a_proxy(&site, Limits::default()).await;
    fill(&writer, KEYS * ROUNDS, VALUE).await;
    let before = proxy.bytes(Direction::ServerToClient);
    let request = bucket.watch_all().buffer(ENTRIES, BYTES);
    let mut reader = read(request.heartbeat(HEARTBEAT), &bucket).await;
    writer.client().sleep(5 * HEARTBEAT).await;
    let sent = proxy.bytes(Direction::ServerToClient) - before;
    assert!(sent < BYTES as u64 + BEYOND, "{sent} bytes were sent");
    let value = at_once(bucket.get("k.7")).await.unwrap().unwrap();
    assert_eq!(value.len(), VALUE);
    let initial = reader.initial().await;
    assert_eq!(initial.len(), KEYS * ROUNDS);
    assert!(initial.iter().all(|entry| entry.value.len() == VALUE));
}

/// Watches of a client that may hold little for all of them together.
async fn with_a_shared_bound<A: Adapter>(
    site: &Site<A>,
    watches: usize,
) -> (Proxy, Bucket, Bucket, Vec<Reader>) {
    let limits = Limits {
        max_watch_bytes: BYTES,
        ..Limits::default()
    };
    let (proxy, bucket, writer) = behind_a_proxy(site, limits).await;
    let mut readers = Vec::new();
    for _ in 0..watches {
        let request = bucket.watch("slow.*").heartbeat(HEARTBEAT);
        readers.push(read(request, &bucket).await);
    }
    (proxy, bucket, writer, readers)
}

/// All watches of a client together keep to its limit, however much each may buffer; then all catch up.
async fn readers_that_stop_share_a_bound<A: Adapter>(site: Site<A>) {
    let (proxy, bucket, writer, readers) = with_a_shared_bound(&site, 4).await;
    let sent = flood(&proxy, &writer).await;
    assert!(sent < BYTES as u64 + 4 * BEYOND, "{sent} bytes were sent");
    at_once(bucket.get("slow.0")).await.unwrap().unwrap();
    let last = writer.put("slow.end", "end").await.unwrap();
    let tasks = readers.into_iter().map(|mut reader| {
        let writer = writer.clone();
        A::spawn(async move { catch_up(&mut reader, &writer, last).await })
    });
    all(tasks.collect::<Vec<_>>()).await;
    assert_eq!(bucket.client().stats().connects, 1);
}

/// Readers that have stopped for good do not keep another one from catching up, though they hold all
/// that may be held.
async fn readers_that_stop_starve_nobody<A: Adapter>(site: Site<A>) {
    let (proxy, _bucket, writer, mut readers) = with_a_shared_bound(&site, 4).await;
    flood(&proxy, &writer).await;
    let last = writer.put("slow.end", "end").await.unwrap();
    catch_up(&mut readers[3], &writer, last).await;
    catch_up(&mut readers[0], &writer, last).await;
}

/// A value larger than all watches together may hold is sent once, and not again and again, while its
/// reader has stopped; and what comes behind it when it was read.
async fn a_value_larger_than_the_shared_bound_is_sent_once<A: Adapter>(site: Site<A>) {
    let (proxy, bucket, writer, mut readers) = with_a_shared_bound(&site, 2).await;
    for number in 0..10 {
        let size = if number % 2 == 0 { 2 * BYTES } else { 10 };
        let value = vec![b'x'; size];
        writer.put(format!("slow.{number}"), value).await.unwrap();
    }
    let before = proxy.bytes(Direction::ServerToClient);
    writer.client().sleep(5 * HEARTBEAT).await;
    let sent = proxy.bytes(Direction::ServerToClient) - before;
    assert!(sent < 2 * BEYOND, "{sent} bytes were sent");
    for reader in &mut readers {
        assert_eq!(reader.update().await, Update::Synced);
        let entries = reader.until(Revision::new(10)).await;
        assert_eq!(entries.len(), 10);
    }
    assert_eq!(bucket.client().stats().connects, 1);
}

/// A single entry is always let through, and so are those that follow it.
async fn a_value_larger_than_the_buffer_is_let_through<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    for key in ["a", "b", "c"] {
        bucket.put(key, vec![b'x'; 300_000]).await.unwrap();
    }
    let request = bucket.watch_all().buffer(1, 1);
    let mut reader = read(request.heartbeat(HEARTBEAT), &bucket).await;
    let initial = reader.initial().await;
    let lengths: Vec<_> = initial.iter().map(|entry| entry.value.len()).collect();
    assert_eq!(lengths, [300_000; 3]);
    let last = fill(&bucket, 10, 10).await;
    assert_eq!(reader.until(last).await.len(), 10);
}

/// A reader with a small buffer that never stops, and is never fast enough: the bucket keeps all that
/// is written, so it is told all of it.
async fn a_reader_that_is_slower_than_the_writers<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let config = BucketConfig::new(unique("b")).history(64);
    let bucket = client.create_bucket(config).await.unwrap();
    let request = bucket.watch_all().buffer(20, 64 * 1024);
    let mut reader = read(request.heartbeat(HEARTBEAT), &bucket).await;
    assert_eq!(reader.update().await, Update::Synced);
    let writer = A::spawn({
        let bucket = bucket.clone();
        async move {
            let mut last = None;
            for _ in 0..10 {
                last = Some(fill(&bucket, 200, 100).await);
            }
            last.unwrap()
        }
    });
    for expected in 1..=2_000 {
        let entry = reader.entry().await;
        assert_eq!(entry.revision.get(), expected);
        if expected % 100 == 0 {
            client.sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(writer.await.get(), 2_000);
}
