//! How often operations allocate, client and runtime together, on one thread.
//!
//! A file of its own, as counting slows down who allocates.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use allocation_counter::measure;
use kv_sim::ServeConfig;
use kv_sim::server::Version;
use kv_tokio::{Bucket, BucketConfig, Revision, Update};
use tokio::runtime::{Builder, Runtime};

/// So many that what grows now and then, such as a queue or a read buffer, does not show.
const OPS: u16 = 2_000;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Asserts how many allocations there are for each of so many operations, made twice: what is made once and kept
/// does not count.
fn assert_each(name: &str, most: f64, mut run: impl FnMut()) {
    run();
    let counted = measure(&mut run).count_total;
    let each = f64::from(u32::try_from(counted).unwrap()) / f64::from(OPS);
    assert!(each < most + 0.1, "{name}: {each}, not {most}");
}

async fn entries(bucket: &Bucket) {
    let mut watch = bucket.watch_all().await.unwrap();
    let mut told = 0;
    while let Some(Update::Entry(_)) = watch.next().await.transpose().unwrap() {
        told += 1;
    }
    assert_eq!(told, OPS);
}

async fn keys(bucket: &Bucket) {
    let mut keys = bucket.keys().await.unwrap();
    let mut listed = 0;
    while let Some(key) = keys.next().await {
        key.unwrap();
        listed += 1;
    }
    assert_eq!(listed, OPS);
}

/// A put keeps its key, a read that and its value, and so does an entry that is told.
#[test]
fn operations_allocate_what_they_keep() {
    let server = kv_sim::serve(ServeConfig::new(Version::V2_15)).unwrap();
    let runtime = runtime();
    let bucket = runtime.block_on(async {
        let client = kv_tokio::connect(server.url()).await.unwrap();
        let config = BucketConfig::new("counted");
        client.create_bucket(config).await.unwrap()
    });
    let names: Vec<String> = (0..OPS).map(|number| format!("key.{number}")).collect();
    let value = bytes::Bytes::from(vec![b'v'; 100]);

    assert_each("put", 1.0, || {
        runtime.block_on(async {
            for name in &names {
                bucket.put(name, value.clone()).await.unwrap();
            }
        });
    });
    assert_each("get", 2.0, || {
        runtime.block_on(async {
            for name in &names {
                assert_eq!(bucket.get(name).await.unwrap(), Some(value.clone()));
            }
        });
    });
    assert_each("watch", 2.0, || runtime.block_on(entries(&bucket)));
    assert_each("keys", 1.0, || runtime.block_on(keys(&bucket)));
    let mut last = Revision::new(0);
    assert_each("update", 1.0, || {
        runtime.block_on(async {
            for _ in &names {
                let updated = bucket.update("counter", value.clone(), last).await;
                last = updated.unwrap();
            }
        });
    });
    assert_each("delete", 1.0, || {
        runtime.block_on(async {
            for name in &names {
                bucket.delete(name).await.unwrap();
            }
        });
    });
}
