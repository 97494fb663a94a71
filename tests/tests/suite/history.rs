//! Histories of keys.

use kv_proto::{BucketConfig, MAX_HISTORY, Operation};
use kv_tests::unique;

use crate::site::{Adapter, Site, all, at_once, begin, tests};
use crate::watch::told;

tests! {
    on_both_ends {
        revisions_in_order
        no_more_than_the_bucket_keeps
        a_purge_begins_a_history_anew
        keys_without_a_history
        entries_are_those_of_reads
        as_long_as_can_be
        while_the_key_is_written
    }
}

/// The oldest first, values and tombstones, and only those of the key.
async fn revisions_in_order<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(10)).await;
    bucket.put("a", "1").await.unwrap();
    bucket.put("a.b", "1").await.unwrap();
    bucket.put("a", "2").await.unwrap();
    bucket.delete("a").await.unwrap();
    bucket.put("b", "1").await.unwrap();
    bucket.create("a", "3").await.unwrap();
    let history = bucket.history("a").collect().await.unwrap();
    assert_eq!(told(&history), ["1 a=1", "3 a=2", "4 a Delete", "6 a=3"]);
    let mut stream = bucket.history("a").await.unwrap();
    for entry in history {
        assert_eq!(stream.next().await, Some(Ok(entry)));
    }
    assert_eq!(stream.next().await, None);
    assert_eq!(stream.next().await, None);
}

/// A bucket with a history of three keeps three, whichever they are; one without keeps the last.
async fn no_more_than_the_bucket_keeps<A: Adapter>(site: Site<A>) {
    for (history, kept) in [
        (3, &["6 a=5", "7 a=6", "8 a Delete"][..]),
        (1, &["8 a Delete"]),
    ] {
        let bucket = site.bucket_with(|config| config.history(history)).await;
        bucket.put("b", "1").await.unwrap();
        for value in ["1", "2", "3", "4", "5", "6"] {
            bucket.put("a", value).await.unwrap();
        }
        bucket.delete("a").await.unwrap();
        let entries = bucket.history("a").collect().await.unwrap();
        assert_eq!(told(&entries), kept);
    }
}

/// What was before a purge is gone; the tombstone stands for it.
async fn a_purge_begins_a_history_anew<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(10)).await;
    for value in ["1", "2", "3"] {
        bucket.put("a", value).await.unwrap();
    }
    bucket.purge("a").await.unwrap();
    bucket.put("a", "4").await.unwrap();
    let history = bucket.history("a").collect().await.unwrap();
    assert_eq!(told(&history), ["4 a Purge", "5 a=4"]);
}

/// A key that never was has an empty history, at once; so has one whose neighbours were written.
async fn keys_without_a_history<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(10)).await;
    assert_eq!(at_once(bucket.history("a").collect()).await.unwrap(), []);
    bucket.put("a.b", "1").await.unwrap();
    bucket.put("b", "1").await.unwrap();
    assert_eq!(at_once(bucket.history("a").collect()).await.unwrap(), []);
    let mut history = bucket.history("a").await.unwrap();
    assert_eq!(at_once(history.next()).await, None);
    assert_eq!(history.damaged(), []);
}

/// Each entry is what a read of its revision returns, and says how many follow.
async fn entries_are_those_of_reads<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    bucket.put("a", vec![0; 100_000]).await.unwrap();
    bucket.put("a", "").await.unwrap();
    bucket.delete("a").await.unwrap();
    let history = bucket.history("a").collect().await.unwrap();
    assert_eq!(history.len(), 3);
    assert_eq!(history[0].length, 100_000);
    for (behind, mut entry) in history.into_iter().rev().enumerate() {
        assert_eq!(entry.delta, behind as u64);
        entry.delta = 0;
        let read = bucket.entry("a").revision(entry.revision).await;
        assert_eq!(read, Ok(Some(entry)));
    }
}

/// The longest history that a bucket can keep.
async fn as_long_as_can_be<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let config = BucketConfig::new(unique("b")).history(MAX_HISTORY);
    let bucket = client.create_bucket(config).await.unwrap();
    let puts: Vec<_> = (0..MAX_HISTORY + 10)
        .map(|number| begin(bucket.put("a", number.to_string())))
        .collect();
    for put in all(puts).await {
        put.unwrap();
    }
    let history = bucket.history("a").collect().await.unwrap();
    let values: Vec<_> = history.iter().map(|entry| entry.value.clone()).collect();
    let wanted: Vec<_> = (10..MAX_HISTORY + 10).map(|n| n.to_string()).collect();
    assert_eq!(values, wanted);
    assert!(
        history
            .iter()
            .all(|entry| entry.operation == Operation::Put)
    );
}

/// A history ends although the key is written all the time, and has what there was when it began.
async fn while_the_key_is_written<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(20)).await;
    bucket.put("a", "0").await.unwrap();
    let writer = A::spawn({
        let bucket = bucket.clone();
        async move {
            for number in 1..1_000 {
                bucket.put("a", number.to_string()).await.unwrap();
            }
        }
    });
    for _ in 0..20 {
        let before = bucket.entry("a").leader().await.unwrap().unwrap();
        let history = bucket.history("a").collect().await.unwrap();
        let newest = history.last().expect("an entry").revision;
        assert!(newest >= before.revision, "{newest} < {}", before.revision);
        assert!(history.is_sorted_by(|one, next| one.revision < next.revision));
    }
    writer.await;
}
