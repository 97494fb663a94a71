//! Consumers that stop delivering while the connection lives: deleted, frozen with their server, or with
//! nothing left to deliver. What a watch needs is made anew within two heartbeats.

use std::time::Instant;

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, Entry, Revision};
use kv_tests::{Admin, Cluster, eventually};

use super::{HEARTBEAT, RECOVERY, Reader, await_consumers, fill, read, told};
use crate::site::{Adapter, SECOND, Site, config, stream, tests};

tests! {
    on_both_ends {
        a_deleted_consumer_is_missed
        a_deleted_consumer_is_missed_by_a_watch_that_nobody_reads
        a_deleted_consumer_in_the_middle_of_the_initial_data
        a_server_that_stood_still
        a_purge_of_the_stream
        a_purge_of_one_key
    }
    on_the_newest {
        a_server_of_a_cluster_that_leaves
    }
}

/// A watch that has told its initial data and notices soon when it is cut off.
async fn synced(bucket: &Bucket) -> Reader {
    let mut reader = read(bucket.watch_all().heartbeat(HEARTBEAT), bucket).await;
    reader.initial().await;
    reader
}

/// Deletes the consumers that are there; one may go by itself meanwhile.
fn delete_consumers(admin: &mut Admin, bucket: &Bucket) {
    let stream = stream(bucket);
    for name in admin.consumer_names(&stream) {
        admin.request(&format!("$JS.API.CONSUMER.DELETE.{stream}.{name}"), b"");
    }
}

/// An administrator deletes the consumer, of which the server does not tell: what is written from then on
/// is told all the same, as soon as two heartbeats were missed; time after time.
async fn a_deleted_consumer_is_missed<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(20)).await;
    let mut reader = synced(&bucket).await;
    let mut admin = site.admin();
    for round in 1..=4_u64 {
        await_consumers(&mut admin, &bucket, 1);
        delete_consumers(&mut admin, &bucket);
        let since = Instant::now();
        bucket.put("a", "1").await.unwrap();
        let last = bucket.put("a", "2").await.unwrap();
        let entries = reader.until(last).await;
        let took = since.elapsed();
        assert_eq!(entries.len(), 2);
        assert_eq!(last.get(), 2 * round);
        assert!(took < RECOVERY, "took {took:?}");
    }
}

/// The same when nobody reads: the next consumer is there within two heartbeats.
async fn a_deleted_consumer_is_missed_by_a_watch_that_nobody_reads<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(20)).await;
    let mut reader = synced(&bucket).await;
    let mut admin = site.admin();
    for _ in 0..3 {
        delete_consumers(&mut admin, &bucket);
        let since = Instant::now();
        await_consumers(&mut admin, &bucket, 1);
        let took = since.elapsed();
        assert!(took < RECOVERY, "took {took:?}");
        reader.await_live();
        bucket.put("a", "1").await.unwrap();
    }
    let entries = reader.until(Revision::new(3)).await;
    assert_eq!(told(&entries), ["1 a=1", "2 a=1", "3 a=1"]);
}

/// The consumer goes when a part of the initial data has been delivered: the rest comes, none of it
/// twice, then `Synced`.
async fn a_deleted_consumer_in_the_middle_of_the_initial_data<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    fill(&bucket, 3_000, 1_000).await;
    let request = bucket.watch_all().buffer(50, 64 * 1024);
    let mut reader = read(request.heartbeat(HEARTBEAT), &bucket).await;
    let mut admin = site.admin();
    for _ in 0..3 {
        for _ in 0..200 {
            reader.entry().await;
        }
        delete_consumers(&mut admin, &bucket);
    }
    assert_eq!(reader.initial().await.len(), 3_000 - 600);
}

/// A server that is frozen for longer than two heartbeats and then goes on: nothing is lost, nothing
/// comes twice, and one consumer is left.
async fn a_server_that_stood_still<A: Adapter>(site: Site<A>) {
    let server = site.own_server().start();
    let client = site.connect(&server.url()).await;
    let config = BucketConfig::new("b").history(20);
    let bucket = client.create_bucket(config).await.unwrap();
    let mut reader = synced(&bucket).await;
    for _ in 0..2 {
        let first = bucket.put("a", "1").await.unwrap();
        server.pause();
        reader.await_loss();
        server.resume();
        let last = bucket.put("a", "2").timeout(10 * SECOND).await.unwrap();
        let entries = reader.until(last).await;
        assert_eq!(entries[0].revision, first);
        assert_eq!(entries.len(), 2);
    }
    await_consumers(&mut Admin::connect(&server), &bucket, 1);
}

/// All messages are purged, which consumers are not told: the watch goes on with what is written next.
async fn a_purge_of_the_stream<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    fill(&bucket, 100, 10).await;
    let mut reader = synced(&bucket).await;
    assert_eq!(site.admin().purge(&stream(&bucket), None), 100);
    bucket.client().sleep(3 * HEARTBEAT).await;
    let last = bucket.put("a", "1").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["101 a=1"]);
    let mut fresh = synced(&bucket).await;
    assert_eq!(fresh.watch.position(), reader.watch.position());
    let last = bucket.delete("a").await.unwrap();
    assert_eq!(told(&fresh.until(last).await), ["102 a Delete"]);
    assert_eq!(told(&reader.until(last).await), ["102 a Delete"]);
}

/// A client's purge of a key is told, as the tombstone that it leaves.
async fn a_purge_of_one_key<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    let mut reader = synced(&bucket).await;
    bucket.put("a", "1").await.unwrap();
    bucket.put("b", "1").await.unwrap();
    let last = bucket.purge("a").await.unwrap();
    let entries = told(&reader.until(last).await);
    assert!(
        entries.ends_with(&["2 b=1".into(), "3 a Purge".into()]),
        "{entries:?}"
    );
    assert_eq!(told(&synced_entries(&bucket).await), ["2 b=1", "3 a Purge"]);
}

async fn synced_entries(bucket: &Bucket) -> Vec<Entry> {
    let mut reader = read(bucket.watch_all().include_history(), bucket).await;
    reader.initial().await
}

/// A server in lame-duck mode is left for another one of its cluster, and the watch with it: it goes on
/// there, nothing is lost, and one consumer is left.
async fn a_server_of_a_cluster_that_leaves<A: Adapter>(site: Site<A>) {
    let cluster = Cluster::start(site.version());
    let leaving = cluster.server(0);
    let client = A::connect(config(&leaving.url())).await.unwrap();
    let config = BucketConfig::new("b").replicas(3).history(64);
    let created = client.create_bucket(config).timeout(20 * SECOND);
    let bucket = created.await.unwrap();
    let mut reader = synced(&bucket).await;
    bucket.put("a", "before").await.unwrap();
    leaving.lame_duck();
    eventually("the client has moved", || {
        let server = client.server();
        server.is_some_and(|server| server.port() != leaving.port())
    });
    // The bucket may have lost its leader.
    let last = loop {
        if let Ok(revision) = bucket.put("a", "after").await {
            break revision;
        }
    };
    let entries = reader.until(last).await;
    assert_eq!(entries[0].value, "before");
    assert_eq!(entries.len() as u64, last.get());
    await_consumers(&mut Admin::connect(cluster.server(1)), &bucket, 1);
}
