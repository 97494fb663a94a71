//! Many operations at once on one client.

use kv_proto::{BucketConfig, WriteError};
use kv_tests::{Proxy, eventually, unique};

use crate::site::{Adapter, SECOND, Site, all, begin, config, state_of, tests};

tests! {
    on_both_ends {
        ten_thousand_writes_and_reads_at_once
        a_hundred_tasks_share_a_client
        large_values_in_both_directions_do_not_block_each_other
        under_load_with_cuts_every_write_says_what_became_of_it
    }
}

/// What the value of a number looks like: sizes from a few bytes to a few kilobytes.
fn value(number: usize) -> Vec<u8> {
    let text = format!("{number}:");
    let mut value = text.into_bytes();
    value.resize(value.len() + number * 7 % 3_000, b'a' + (number % 26) as u8);
    value
}

/// Ten thousand puts are made before the first is awaited, then ten thousand gets: all succeed, every
/// revision is another one, and every value is that of its key.
async fn ten_thousand_writes_and_reads_at_once<A: Adapter>(site: Site<A>) {
    const COUNT: usize = 10_000;
    let bucket = site.bucket().await;
    let puts: Vec<_> = (0..COUNT)
        .map(|number| {
            begin(
                bucket
                    .put(format!("k.{number}"), value(number))
                    .timeout(30 * SECOND),
            )
        })
        .collect();
    let mut revisions: Vec<_> = all(puts).await.into_iter().map(Result::unwrap).collect();
    let reads: Vec<_> = (0..COUNT)
        .map(|number| begin(bucket.entry(format!("k.{number}")).timeout(30 * SECOND)))
        .collect();
    for (number, entry) in all(reads).await.into_iter().enumerate() {
        let entry = entry.unwrap().unwrap();
        assert_eq!(entry.revision, revisions[number]);
        assert!(entry.value == value(number), "the value of {number}");
    }
    revisions.sort_unstable();
    assert!(revisions.into_iter().map(u64::from).eq(1..=COUNT as u64));
    let stats = bucket.client().stats();
    assert_eq!((stats.connects, stats.stray_messages), (1, 0));
}

/// A hundred tasks write and read a hundred keys each, through clones of one handle.
async fn a_hundred_tasks_share_a_client<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let tasks: Vec<_> = (0..100)
        .map(|task| {
            let bucket = bucket.clone();
            A::spawn(async move {
                for round in 0..100 {
                    let (key, value) = (format!("t{task}.{round}"), value(task * 100 + round));
                    let revision = bucket.put(&key, &value).timeout(30 * SECOND).await.unwrap();
                    let entry = bucket
                        .entry(&key)
                        .timeout(30 * SECOND)
                        .await
                        .unwrap()
                        .unwrap();
                    assert_eq!(entry.revision, revision);
                    assert!(entry.value == value);
                }
            })
        })
        .collect();
    all(tasks).await;
    assert_eq!(state_of(&mut site.admin(), &bucket, "messages"), 10_000);
    assert_eq!(bucket.client().stats().connects, 1);
}

/// Megabytes written while megabytes are read: two peers that both only wrote would stand still for ever.
async fn large_values_in_both_directions_do_not_block_each_other<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let large = |fill: u8| vec![fill; 1_000_000];
    bucket.put("read", large(b'r')).await.unwrap();
    let reads: Vec<_> = (0..40)
        .map(|_| begin(bucket.get("read").timeout(30 * SECOND)))
        .collect();
    let puts: Vec<_> = (0..40)
        .map(|number| {
            begin(
                bucket
                    .put(format!("w{number}"), large(number))
                    .timeout(30 * SECOND),
            )
        })
        .collect();
    for read in all(reads).await {
        assert!(read.unwrap().unwrap() == large(b'r'));
    }
    for put in all(puts).await {
        put.unwrap();
    }
    assert!(bucket.get("w39").await.unwrap().unwrap() == large(39));
    assert_eq!(bucket.client().stats().connects, 1);
}

/// While a proxy cuts the connection again and again, every write ends as stored, as certainly not
/// stored, or as unknown, and what it says is true of what is stored; reads always succeed.
async fn under_load_with_cuts_every_write_says_what_became_of_it<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let config = config(&proxy.url()).request_timeout(20 * SECOND);
    let client = site.connect_with(config).await;
    let bucket = client
        .create_bucket(BucketConfig::new(unique("b")))
        .await
        .unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let bucket = bucket.clone();
            A::spawn(async move {
                let mut outcomes = Vec::new();
                for round in 0..60 {
                    let key = format!("t{task}.{round}");
                    outcomes.push((key.clone(), bucket.create(&key, &key).await));
                    bucket.entry("any").await.unwrap();
                }
                outcomes
            })
        })
        .collect();
    for cuts in 1..=8 {
        proxy.cut_after(kv_tests::Direction::ServerToClient, 3_000 + 100 * cuts);
        eventually("the cut", || client.stats().connects > cuts);
    }
    let direct = site.client().await.bucket(bucket.name()).await.unwrap();
    let mut unknown = 0;
    for (key, result) in all(tasks).await.into_iter().flatten() {
        let entry = direct.entry(&key).await.unwrap();
        match result {
            Ok(revision) => assert_eq!(entry.map(|entry| entry.revision), Some(revision), "{key}"),
            Err(WriteError::NotApplied(cause)) => assert_eq!(entry, None, "{key}: {cause}"),
            Err(WriteError::Unknown(_)) => unknown += 1,
            Err(other) => panic!("{key}: {other:?}"),
        }
    }
    assert!(
        unknown < 16 * 9,
        "each task has one write under way: {unknown}"
    );
}
