//! Create: one winner, tombstones are replaced, live values never.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kv_proto::driver::Bucket;
use kv_proto::{Outcome, Revision, WriteError};
use kv_tests::eventually;

use crate::site::{Adapter, SECOND, Site, all, poll_once, stored, stored_revisions, tests};

tests! {
    on_both_ends {
        a_new_key_is_created_and_an_existing_one_is_not
        create_replaces_tombstones
        of_racing_creates_one_wins
        of_creates_racing_for_a_tombstone_one_wins
        creates_get_through_against_a_client_that_keeps_deleting
    }
}

/// The first create stores its value under the condition that there is none; every later one tells the
/// revision of the live value and changes nothing.
async fn a_new_key_is_created_and_an_existing_one_is_not<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    bucket.put("other", "x").await.unwrap();
    let mut admin = site.admin();
    let first = bucket.create("a", "1").await.unwrap();
    let headers = stored(&mut admin, &bucket, "a").unwrap().headers;
    assert!(headers.contains("Nats-Expected-Last-Subject-Sequence: 0\r\n"));

    let exists = |revision| Err(WriteError::Exists { revision });
    assert_eq!(bucket.create("a", "2").await, exists(first));
    let second = bucket.put("a", "").await.unwrap();
    let refused = bucket.create("a", "3").await;
    assert_eq!(refused, exists(second));
    assert_eq!(refused.unwrap_err().outcome(), Outcome::NotApplied);
    assert_eq!(stored_revisions(&mut admin, &bucket, "a"), 2);
}

/// A deleted and a purged key are created anew, on the condition that their tombstone is still the last
/// revision; what history a delete left stays.
async fn create_replaces_tombstones<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    let mut admin = site.admin();
    for (key, kept) in [("deleted", 3), ("purged", 2)] {
        bucket.put(key, "old").await.unwrap();
        let tombstone = match key {
            "deleted" => bucket.delete(key).await.unwrap(),
            _ => bucket.purge(key).await.unwrap(),
        };
        let revision = bucket.create(key, "new").await.unwrap();
        assert!(revision > tombstone);
        let entry = bucket.entry(key).await.unwrap().unwrap();
        assert_eq!((&*entry.value, entry.revision), (&b"new"[..], revision));
        let message = stored(&mut admin, &bucket, key).unwrap();
        let condition = format!("Nats-Expected-Last-Subject-Sequence: {tombstone}\r\n");
        assert!(message.headers.contains(&condition), "{message:?}");
        assert_eq!(stored_revisions(&mut admin, &bucket, key), kept, "{key}");
        let exists = Err(WriteError::Exists { revision });
        assert_eq!(bucket.create(key, "newer").await, exists);
    }
}

/// Lets eight clients create the same key at the same time, round after round.
async fn race<A: Adapter>(site: &Site<A>, prepare: impl AsyncFn(&Bucket, &str)) {
    let bucket = site.bucket_with(|config| config.history(10)).await;
    let mut rivals = Vec::new();
    for _ in 0..8 {
        rivals.push(site.client().await.bucket(bucket.name()).await.unwrap());
    }
    for round in 0..25 {
        let key = format!("lock.{round}");
        prepare(&bucket, &key).await;
        let started: Vec<_> = rivals
            .iter()
            .enumerate()
            .map(|(rival, bucket)| A::spawn(bucket.create(&key, rival.to_string()).into_future()))
            .collect();
        let results = all(started).await;
        let winners: Vec<_> = results
            .iter()
            .enumerate()
            .filter_map(|(rival, result)| Some((rival, *result.as_ref().ok()?)))
            .collect();
        let [(winner, revision)] = winners[..] else {
            panic!("{results:?}");
        };
        let lost = Err(WriteError::Exists { revision });
        let losers = results.iter().filter(|result| **result == lost);
        assert_eq!(losers.count(), 7, "{results:?}");
        let entry = bucket.entry(&key).leader().await.unwrap().unwrap();
        assert_eq!(entry.value, winner.to_string());
        assert_eq!(entry.revision, revision);
    }
}

/// Of eight clients that create the same new key, exactly one wins; all others are told its revision,
/// and its value is what is stored.
async fn of_racing_creates_one_wins<A: Adapter>(site: Site<A>) {
    race(&site, async |_, _| {}).await;
}

/// The same over a tombstone, where each create takes several steps.
async fn of_creates_racing_for_a_tombstone_one_wins<A: Adapter>(site: Site<A>) {
    race(&site, async |bucket, key| {
        bucket.put(key, "old").await.unwrap();
        bucket.delete(key).await.unwrap();
    })
    .await;
}

/// While another client writes one tombstone after the other, which changes the revision that a create
/// has to expect (nats-server 5162), creates succeed all the same.
async fn creates_get_through_against_a_client_that_keeps_deleting<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let other = site.client().await.bucket(bucket.name()).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let deleting = A::spawn({
        let over = over.clone();
        async move {
            while !over.load(Ordering::Relaxed) {
                other.delete("a").await.unwrap();
                other.client().sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut last = Revision::default();
    for round in 0..20 {
        let revision = bucket.create("a", "mine").timeout(5 * SECOND).await;
        let revision = revision.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(revision > last);
        last = revision;
        let mut gone = false;
        while !gone {
            gone = bucket.get("a").leader().await.unwrap().is_none();
        }
    }
    over.store(true, Ordering::Relaxed);
    let mut deleting = deleting;
    eventually("the deleter has ended", || {
        poll_once(&mut deleting).is_ready()
    });
}
