//! Values that expire under a watch, and the markers that servers leave of them (nats-server 2.11).

use kv_proto::driver::Bucket;
use kv_proto::{MarkerReason, Operation, Revision, Update};

use super::{Reader, read, told};
use crate::site::{Adapter, SECOND, Site, tests};

tests! {
    on_both_ends {
        without_markers_values_vanish_in_silence
    }
    since_2_11 {
        a_marker_is_told_apart_from_a_delete
        a_marker_ends_a_key_for_listings
        a_key_that_was_created_again_after_its_marker
    }
}

const EXPIRED: Operation = Operation::Marker(MarkerReason::MaxAge);

/// A bucket that leaves markers for a minute, and three keys that end: by age, by delete, by purge.
async fn with_three_ends<A: Adapter>(site: &Site<A>) -> (Bucket, Reader) {
    let bucket = site
        .bucket_with(|config| config.limit_markers(60 * SECOND))
        .await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    bucket.create("aged", "1").ttl(SECOND).await.unwrap();
    bucket.put("deleted", "1").await.unwrap();
    bucket.put("purged", "1").await.unwrap();
    bucket.put("stays", "1").await.unwrap();
    bucket.delete("deleted").await.unwrap();
    bucket.purge("purged").await.unwrap();
    assert_eq!(reader.update().await, Update::Synced);
    (bucket, reader)
}

/// When a value outlives its time the watch is told a marker, with its own reason, which is not a delete;
/// reads say the same; a watch that starts now is told it too, or not if it leaves out deletes.
async fn a_marker_is_told_apart_from_a_delete<A: Adapter>(site: Site<A>) {
    let (bucket, mut reader) = with_three_ends(&site).await;
    let marker = reader.until(Revision::new(7)).await.pop().unwrap();
    assert_eq!((&*marker.key, marker.operation), ("aged", EXPIRED));
    assert_eq!((marker.length, marker.value.len()), (0, 0));
    assert!(marker.operation.is_tombstone());

    assert_eq!(bucket.get("aged").await, Ok(None));
    for entry in [bucket.entry("aged"), bucket.entry("aged").leader()] {
        assert_eq!(entry.await.unwrap().unwrap().operation, EXPIRED);
    }
    let mut late = read(bucket.watch_all(), &bucket).await;
    let ends = [
        "4 stays=1",
        "5 deleted Delete",
        "6 purged Purge",
        "7 aged Marker(MaxAge)",
    ];
    assert_eq!(told(&late.initial().await), ends);
    let mut late = read(bucket.watch_all().meta_only(), &bucket).await;
    let initial = late.initial().await;
    assert_eq!(initial[3].operation, EXPIRED);
    let mut live = read(bucket.watch_all().ignore_deletes(), &bucket).await;
    assert_eq!(told(&live.initial().await), ["4 stays=1"]);
}

/// A key that has expired is on no listing of keys; its history ends with the marker.
async fn a_marker_ends_a_key_for_listings<A: Adapter>(site: Site<A>) {
    let (bucket, mut reader) = with_three_ends(&site).await;
    assert_eq!(
        bucket.keys().filter("aged").collect().await.unwrap(),
        ["aged"]
    );
    reader.until(Revision::new(7)).await;
    assert_eq!(bucket.keys().collect().await.unwrap(), ["stays"]);
    let mut keys = bucket.keys().await.unwrap();
    assert_eq!(keys.next().await.unwrap().unwrap(), "stays");
    assert_eq!(keys.next().await, None);
    let history = bucket.history("aged").collect().await.unwrap();
    assert_eq!(told(&history), ["7 aged Marker(MaxAge)"]);
}

/// A create in place of the marker is told, and the key is there again.
async fn a_key_that_was_created_again_after_its_marker<A: Adapter>(site: Site<A>) {
    let (bucket, mut reader) = with_three_ends(&site).await;
    reader.until(Revision::new(7)).await;
    let last = bucket.create("aged", "2").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["8 aged=2"]);
    assert_eq!(bucket.keys().collect().await.unwrap(), ["aged", "stays"]);
}

/// Without markers a watch is not told of what expires, and goes on; listings do not have it any more.
async fn without_markers_values_vanish_in_silence<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.ttl(SECOND)).await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    assert_eq!(reader.update().await, Update::Synced);
    bucket.put("a", "1").await.unwrap();
    while bucket.entry("a").await.unwrap().is_some() {
        bucket.client().sleep(SECOND / 20).await;
    }
    assert_eq!(bucket.keys().collect().await.unwrap(), [""; 0]);
    assert_eq!(bucket.history("a").collect().await.unwrap(), []);
    let last = bucket.put("a", "2").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["1 a=1", "2 a=2"]);
}
