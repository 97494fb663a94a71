//! Connections and servers that break under a watch: it recovers, read or not, and tells what it missed.

use std::time::Duration;

use kv_proto::driver::{Bucket, Client};
use kv_proto::{BucketConfig, ConnectionState, Entry, Revision, Update, WatchError, WatchState};
use kv_tests::Direction::{ClientToServer, ServerToClient};
use kv_tests::{Admin, Proxy, Server, eventually};

use super::{HEARTBEAT, Reader, await_consumers, fill, in_order, read, told};
use crate::site::{Adapter, SECOND, Site, config, tests};

tests! {
    on_both_ends {
        a_watch_that_is_read_outlives_its_server
        a_watch_that_nobody_reads_outlives_its_server
        what_was_not_read_before_a_crash_is_read_after_it
        a_watch_of_updates_misses_none_before_the_first
        cuts_at_many_places_of_the_initial_data
        a_silent_connection_is_left
        a_watch_is_opened_when_there_is_a_server
    }
}

/// How a server goes down.
#[derive(Clone, Copy, Debug)]
enum Down {
    InGoodOrder,
    Killed,
}

const DOWN: [Down; 4] = [
    Down::InGoodOrder,
    Down::Killed,
    Down::Killed,
    Down::InGoodOrder,
];

impl Down {
    fn bring(self, server: &Server) {
        match self {
            Self::InGoodOrder => server.stop(),
            Self::Killed => server.kill(),
        }
    }
}

/// A server of its own, a bucket that keeps some history, and the same bucket of another client.
async fn two_clients<A: Adapter>(site: &Site<A>) -> (Server, Bucket, Bucket) {
    let server = site.own_server().start();
    let client = site.connect(&server.url()).await;
    let bucket = BucketConfig::new("b").history(20);
    let bucket = client.create_bucket(bucket).await.unwrap();
    let other = site.connect(&server.url()).await;
    let writer = other.bucket("b").await.unwrap();
    (server, bucket, writer)
}

/// Reads until the value `end`; panics at anything but entries and one `Synced`.
async fn read_to_end(mut reader: Reader) -> (Reader, Vec<Entry>) {
    let mut entries = Vec::new();
    let mut synced = 0;
    loop {
        match reader.update().await {
            Update::Entry(entry) => {
                let over = entry.value == "end";
                entries.push(entry);
                if over {
                    assert_eq!(synced, 1);
                    return (reader, in_order(entries));
                }
            }
            Update::Synced => synced += 1,
            other => panic!("after {} entries: {other:?}", entries.len()),
        }
    }
}

/// A task reads while the server stops or crashes and comes back, again and again, and another client
/// writes: the bucket keeps all that was written, so the reader is told all of it, once and in order.
async fn a_watch_that_is_read_outlives_its_server<A: Adapter>(site: Site<A>) {
    let (server, bucket, writer) = two_clients(&site).await;
    fill(&writer, 100, 10).await;
    let reader = read(bucket.watch_all(), &bucket).await;
    let task = A::spawn(read_to_end(reader));
    for (round, down) in DOWN.into_iter().enumerate() {
        writer.put("a", round.to_string()).await.unwrap();
        down.bring(&server);
        server.restart();
        writer
            .put("b", round.to_string())
            .timeout(10 * SECOND)
            .await
            .unwrap();
    }
    let last = writer.put("a", "end").await.unwrap();
    let (reader, entries) = task.await;
    assert_eq!(entries.len() as u64, last.get());
    await_consumers(&mut Admin::connect(&server), &bucket, 1);
    drop(reader);
}

/// Nobody reads while the server stops or crashes and comes back: the watch is live again, with a
/// consumer, before anybody asks; then all that was written is read.
async fn a_watch_that_nobody_reads_outlives_its_server<A: Adapter>(site: Site<A>) {
    let (server, bucket, writer) = two_clients(&site).await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    assert_eq!(reader.update().await, Update::Synced);
    for down in DOWN {
        let first = writer.put("a", "before").await.unwrap();
        down.bring(&server);
        reader.await_loss();
        server.restart();
        reader.await_live();
        await_consumers(&mut Admin::connect(&server), &bucket, 1);
        let last = writer.put("a", "after").timeout(10 * SECOND).await.unwrap();
        assert_eq!(last.get(), first.get() + 1);
        let entries = reader.until(last).await;
        assert_eq!(entries.len(), 2, "{down:?}");
    }
}

/// The initial data came and was not read when the server crashed; after it, each entry is told once.
async fn what_was_not_read_before_a_crash_is_read_after_it<A: Adapter>(site: Site<A>) {
    let (server, bucket, writer) = two_clients(&site).await;
    fill(&writer, 500, 10).await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    reader.entry().await;
    server.kill();
    reader.await_loss();
    server.restart();
    reader.await_live();
    let rest = reader.initial().await;
    assert_eq!(rest.len(), 499);
    assert_eq!(rest[0].revision, Revision::new(2));
    let last = writer.put("a", "1").timeout(10 * SECOND).await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["501 a=1"]);
}

/// A client behind a proxy, and a bucket of the shared server that keeps some history.
async fn behind_a_proxy<A: Adapter>(site: &Site<A>) -> (Proxy, Bucket, Bucket) {
    let writer = site.bucket_with(|config| config.history(20)).await;
    let proxy = Proxy::start(site.server().addr());
    let config = config(&proxy.url()).ping_interval(Duration::from_millis(200));
    let client = site.connect_with(config).await;
    let bucket = client.bucket(writer.name()).await.unwrap();
    (proxy, bucket, writer)
}

fn disconnect(proxy: &Proxy, client: &Client) {
    proxy.refuse(true);
    proxy.cut_all();
    eventually("the connection is lost", || {
        client.state() == ConnectionState::Reconnecting
    });
}

/// A watch of updates that has told nothing yet is cut off: what is written meanwhile counts as written
/// after it was opened.
async fn a_watch_of_updates_misses_none_before_the_first<A: Adapter>(site: Site<A>) {
    let (proxy, bucket, writer) = behind_a_proxy(&site).await;
    writer.put("a", "old").await.unwrap();
    let mut reader = read(bucket.watch_all().updates_only(), &bucket).await;
    assert_eq!(reader.update().await, Update::Synced);
    for _ in 0..2 {
        disconnect(&proxy, bucket.client());
        proxy.heal();
        reader.await_live();
    }
    disconnect(&proxy, bucket.client());
    writer.put("a", "new").await.unwrap();
    proxy.heal();
    assert_eq!(told(&[reader.entry().await]), ["2 a=new"]);
}

/// The connection breaks after so many bytes of what a watch is sent, from its opening through its
/// initial data: each time the watch opens, and tells everything once.
async fn cuts_at_many_places_of_the_initial_data<A: Adapter>(site: Site<A>) {
    let (proxy, bucket, writer) = behind_a_proxy(&site).await;
    fill(&writer, 100, 100).await;
    let mut cut = 0;
    loop {
        let connects = bucket.client().stats().connects;
        proxy.cut_after(ServerToClient, cut);
        let mut reader = read(bucket.watch_all(), &bucket).await;
        let initial = reader.initial().await;
        assert_eq!(initial.len(), 100, "cut after {cut}");
        if bucket.client().stats().connects == connects {
            break; // All of it has passed.
        }
        cut += 557;
    }
    assert!(cut > 15_000, "the initial data has {cut} bytes");
    assert_eq!(bucket.client().stats().protocol_errors, 0);
}

/// A connection on which nothing passes any more is found out by pings, or by missed heartbeats; the
/// watch goes on over the next one.
async fn a_silent_connection_is_left<A: Adapter>(site: Site<A>) {
    let (proxy, bucket, writer) = behind_a_proxy(&site).await;
    let mut reader = read(bucket.watch_all().heartbeat(HEARTBEAT), &bucket).await;
    assert_eq!(reader.update().await, Update::Synced);
    for direction in [ClientToServer, ServerToClient] {
        proxy.half_open(direction);
    }
    let last = writer.put("a", "1").await.unwrap();
    reader.await_loss();
    proxy.heal();
    proxy.cut_all();
    assert_eq!(told(&reader.until(last).await), ["1 a=1"]);
    assert_eq!(reader.watch.state(), WatchState::Live);
}

/// Without a connection a watch waits to be opened, but no longer than it may; it is opened when the
/// connection is back.
async fn a_watch_is_opened_when_there_is_a_server<A: Adapter>(site: Site<A>) {
    let (proxy, bucket, writer) = behind_a_proxy(&site).await;
    writer.put("a", "1").await.unwrap();
    disconnect(&proxy, bucket.client());
    let limit = Duration::from_millis(100);
    let error = bucket.watch_all().timeout(limit).await.unwrap_err();
    assert_eq!(error, WatchError::TimedOut);
    assert!(error.is_retryable());
    let keys = bucket.keys().patience(limit).collect().await;
    assert_eq!(keys, Err(WatchError::TimedOut));
    let history = bucket.history("a").timeout(limit).collect().await;
    assert_eq!(history, Err(WatchError::TimedOut));

    let opening = {
        let bucket = bucket.clone();
        A::spawn(async move { read(bucket.watch_all().timeout(10 * SECOND), &bucket).await })
    };
    proxy.heal();
    let mut reader = opening.await;
    assert_eq!(told(&reader.initial().await), ["1 a=1"]);
}
