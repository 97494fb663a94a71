//! Values that expire: by the bucket's age, and one by one (nats-server 2.11 and newer).

use std::time::{Duration, Instant};

use kv_proto::driver::Bucket;
use kv_proto::{Cause, MarkerReason, Operation, WriteError};
use kv_tests::{Direction, Proxy};

use crate::site::{Adapter, SECOND, Site, at_once, stored, stored_revisions, tests};

tests! {
    on_both_ends {
        a_bucket_forgets_what_is_too_old
        a_ttl_that_the_bucket_does_not_allow_is_refused_here
        a_ttl_below_a_second_is_refused_here
    }
    since_2_11 {
        a_created_value_expires_and_leaves_a_marker
        a_create_over_a_tombstone_keeps_its_ttl
        a_ttl_is_rounded_up_to_whole_seconds
        a_purge_tombstone_expires_without_a_trace
        a_lock_is_renewed_until_it_is_not
        a_value_does_not_expire_where_history_would_come_to_light
    }
}

/// How long a server may take beyond a time to live: it expires in steps of about a second.
const SLACK: Duration = Duration::from_secs(4);

/// Waits until the last revision of a key is not `operation` any more; panics if that comes before `ttl`
/// is over, or much later. Returns the operation that followed, if there is an entry.
async fn await_expiry(
    bucket: &Bucket,
    key: &str,
    operation: Operation,
    since: Instant,
    ttl: Duration,
) -> Option<Operation> {
    loop {
        let age = since.elapsed();
        let entry = bucket.entry(key).await.unwrap();
        let now = entry.map(|entry| entry.operation);
        if now != Some(operation) {
            let age = since.elapsed();
            assert!(age > ttl - SECOND / 10, "expired after {age:?} of {ttl:?}");
            return now;
        }
        assert!(age < ttl + SLACK, "still there after {age:?} of {ttl:?}");
        bucket.client().sleep(SECOND / 50).await;
    }
}

fn ttl_header(headers: &str) -> Option<&str> {
    headers
        .lines()
        .find_map(|line| line.strip_prefix("Nats-TTL: "))
}

/// In a bucket with a time to live, a value is gone when it is that old, and can be created again.
async fn a_bucket_forgets_what_is_too_old<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.ttl(SECOND)).await;
    let since = Instant::now();
    bucket.put("a", "1").await.unwrap();
    let left = await_expiry(&bucket, "a", Operation::Put, since, SECOND).await;
    assert_eq!(left, None);
    bucket.create("a", "2").await.unwrap();
}

/// A time to live on a bucket without limit markers is refused before a byte is sent: seen by a proxy.
async fn a_ttl_that_the_bucket_does_not_allow_is_refused_here<A: Adapter>(site: Site<A>) {
    let name = site.bucket().await.name().clone();
    let proxy = Proxy::start(site.server().addr());
    let bucket = site.connect(&proxy.url()).await.bucket(name).await.unwrap();
    let sent = proxy.bytes(Direction::ClientToServer);
    let disabled = Err(WriteError::NotApplied(Cause::TtlDisabled));
    let create = bucket.create("a", "1").ttl(SECOND);
    assert_eq!(at_once(create).await, disabled);
    assert_eq!(at_once(bucket.put("a", "1").ttl(SECOND)).await, disabled);
    assert_eq!(at_once(bucket.purge("a").ttl(SECOND)).await, disabled);
    assert_eq!(proxy.bytes(Direction::ClientToServer), sent);
    assert_eq!(bucket.get("a").await, Ok(None));
}

/// A time to live below one second, the server's resolution, is refused before a byte is sent.
async fn a_ttl_below_a_second_is_refused_here<A: Adapter>(site: Site<A>) {
    let bucket = if site.expires_values() {
        site.bucket_with(|config| config.limit_markers(SECOND))
            .await
    } else {
        site.bucket().await
    };
    let sent = bucket.client().stats().bytes_out;
    let invalid = Err(WriteError::NotApplied(Cause::InvalidTtl));
    for short in [Duration::ZERO, Duration::from_millis(999)] {
        assert_eq!(bucket.create("a", "1").ttl(short).await, invalid);
        assert_eq!(bucket.put("a", "1").ttl(short).await, invalid);
        assert_eq!(bucket.purge("a").ttl(short).await, invalid);
    }
    assert_eq!(bucket.client().stats().bytes_out, sent);
}

/// A value with a time to live becomes a marker when it expires, which is an entry but no value; a
/// create replaces the marker; and a marker that is left alone goes too.
async fn a_created_value_expires_and_leaves_a_marker<A: Adapter>(site: Site<A>) {
    let bucket = site
        .bucket_with(|config| config.limit_markers(2 * SECOND))
        .await;
    assert!(bucket.status().await.unwrap().allows_ttl());
    let mut admin = site.admin();
    let since = Instant::now();
    for key in ["a", "b"] {
        bucket.create(key, "1").ttl(SECOND).await.unwrap();
        let headers = stored(&mut admin, &bucket, key).unwrap().headers;
        assert_eq!(ttl_header(&headers), Some("1"));
    }

    let marker = Operation::Marker(MarkerReason::MaxAge);
    for key in ["a", "b"] {
        let left = await_expiry(&bucket, key, Operation::Put, since, SECOND).await;
        assert_eq!(left, Some(marker));
        assert_eq!(bucket.get(key).await, Ok(None));
    }
    let entry = bucket.entry("a").leader().await.unwrap().unwrap();
    assert_eq!((entry.operation, entry.value.len()), (marker, 0));
    let revision = bucket.create("a", "2").await.unwrap();
    assert!(revision > entry.revision);
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "2");

    let left = await_expiry(&bucket, "b", marker, since + SECOND, 2 * SECOND).await;
    assert_eq!(left, None);
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "2");
}

/// A create that has to replace a tombstone, which takes it a second attempt, keeps its time to live:
/// the header is on the stored message, and the value expires.
async fn a_create_over_a_tombstone_keeps_its_ttl<A: Adapter>(site: Site<A>) {
    let bucket = site
        .bucket_with(|config| config.limit_markers(SECOND))
        .await;
    let mut admin = site.admin();
    for key in ["deleted", "purged"] {
        bucket.put(key, "0").await.unwrap();
    }
    bucket.delete("deleted").await.unwrap();
    bucket.purge("purged").await.unwrap();
    let since = Instant::now();
    for key in ["deleted", "purged"] {
        bucket.create(key, "1").ttl(SECOND).await.unwrap();
        let headers = stored(&mut admin, &bucket, key).unwrap().headers;
        assert_eq!(ttl_header(&headers), Some("1"), "{headers}");
    }
    for key in ["deleted", "purged"] {
        await_expiry(&bucket, key, Operation::Put, since, SECOND).await;
        assert_eq!(bucket.get(key).await, Ok(None));
    }
}

/// Fractions of a second, which the server would cut off, are rounded up: nothing expires early.
async fn a_ttl_is_rounded_up_to_whole_seconds<A: Adapter>(site: Site<A>) {
    let bucket = site
        .bucket_with(|config| config.limit_markers(SECOND))
        .await;
    let mut admin = site.admin();
    let rows = [
        (1_000, "1"),
        (1_001, "2"),
        (59_999, "60"),
        (3_600_000, "3600"),
    ];
    for (row, (millis, header)) in rows.into_iter().enumerate() {
        let key = format!("k{row}");
        let ttl = Duration::from_millis(millis);
        bucket.create(&key, "1").ttl(ttl).await.unwrap();
        let headers = stored(&mut admin, &bucket, &key).unwrap().headers;
        assert_eq!(ttl_header(&headers), Some(header), "{millis} ms");
    }
}

/// A purge with a time to live leaves a tombstone that expires by itself, without a marker.
async fn a_purge_tombstone_expires_without_a_trace<A: Adapter>(site: Site<A>) {
    // With history, servers raise a time to live to that of the markers.
    let bucket = site
        .bucket_with(|config| config.limit_markers(60 * SECOND))
        .await;
    let mut admin = site.admin();
    let last = bucket.put("a", "1").await.unwrap();
    let since = Instant::now();
    bucket.purge("a").expect(last).ttl(SECOND).await.unwrap();
    let tombstone = stored(&mut admin, &bucket, "a").unwrap();
    assert!(tombstone.headers.contains("KV-Operation: PURGE\r\n"));
    assert_eq!(ttl_header(&tombstone.headers), Some("1"), "{tombstone:?}");
    let left = await_expiry(&bucket, "a", Operation::Purge, since, SECOND).await;
    assert_eq!(left, None);
    assert_eq!(stored_revisions(&mut admin, &bucket, "a"), 0);
}

/// An update with a time to live replaces the value and its time: a lock lives as long as it is renewed, and
/// a put without one makes it last.
async fn a_lock_is_renewed_until_it_is_not<A: Adapter>(site: Site<A>) {
    let bucket = site
        .bucket_with(|config| config.limit_markers(SECOND))
        .await;
    let mut revision = bucket.create("lock", "me").ttl(2 * SECOND).await.unwrap();
    let mut since = Instant::now();
    for _ in 0..4 {
        bucket.client().sleep(SECOND).await;
        let renewed = Instant::now();
        let update = bucket.update("lock", "me", revision).ttl(2 * SECOND);
        revision = update.await.unwrap();
        since = renewed;
    }
    let left = await_expiry(&bucket, "lock", Operation::Put, since, 2 * SECOND).await;
    assert_eq!(left, Some(Operation::Marker(MarkerReason::MaxAge)));

    bucket.put("lock", "you").ttl(SECOND).await.unwrap();
    bucket.put("lock", "me").await.unwrap();
    bucket.client().sleep(3 * SECOND).await;
    assert_eq!(bucket.get("lock").await.unwrap().unwrap(), "me");
}

/// With more than one revision of each key, an expiring value would uncover the one before it: put and update
/// refuse that before a byte is sent.
async fn a_value_does_not_expire_where_history_would_come_to_light<A: Adapter>(site: Site<A>) {
    let bucket = site
        .bucket_with(|config| config.limit_markers(SECOND).history(2))
        .await;
    let revision = bucket.create("a", "1").ttl(SECOND).await.unwrap();
    let sent = bucket.client().stats().bytes_out;
    let refused = Err(WriteError::NotApplied(Cause::TtlUnderHistory));
    assert_eq!(bucket.put("a", "2").ttl(SECOND).await, refused);
    assert_eq!(bucket.update("a", "2", revision).ttl(SECOND).await, refused);
    assert_eq!(bucket.client().stats().bytes_out, sent);
}
