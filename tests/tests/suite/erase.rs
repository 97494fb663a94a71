//! What is removed for good: keys that match a filter, and old tombstones.

use std::time::{Duration, Instant};

use kv_proto::driver::Bucket;
use kv_proto::{
    BucketConfig, BucketError, Doubt, Key, Limits, MarkerReason, Operation, PurgedDeletes,
    Revision, Source, WatchError,
};
use kv_tests::Direction::{ClientToServer, ServerToClient};
use kv_tests::{Admin, Proxy, eventually, unique};

use crate::denied::{as_user, guarded};
use crate::site::{
    Adapter, SECOND, Site, all, at_once, begin, config, poll_once, state_of, stored_revisions,
    stream, tests,
};

tests! {
    on_both_ends {
        what_matches_goes_and_nothing_else
        of_nothing_nothing_goes
        an_erased_key_can_be_created
        a_lost_answer_removes_nothing_more
        a_watch_goes_on_after_an_erasure
        all_tombstones_go_and_no_value
        young_tombstones_stay_without_history
        tombstones_of_keys_that_match_go
        thousands_of_tombstones_go
        a_key_that_was_created_again_keeps_its_value
        writers_lose_nothing_meanwhile
        nothing_is_left_of_a_dropped_removal
        a_missing_bucket_is_told
        a_denied_purge_is_told
        a_mirror_keeps_what_it_has_copied
    }
    since_2_11 {
        markers_go_too
    }
}

async fn with_history<A: Adapter>(site: &Site<A>) -> Bucket {
    site.bucket_with(|config| config.history(5)).await
}

/// The same bucket through a proxy.
async fn behind<A: Adapter>(site: &Site<A>, bucket: &Bucket) -> (Proxy, Bucket) {
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect(&proxy.url()).await;
    let bucket = client.bucket(bucket.name()).await.unwrap();
    (proxy, bucket)
}

async fn keys_of(bucket: &Bucket) -> Vec<String> {
    let mut keys: Vec<String> = bucket
        .keys()
        .collect()
        .await
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    keys.sort_unstable();
    keys
}

#[track_caller]
fn counted(result: Result<PurgedDeletes, WatchError>) -> (u64, u64) {
    let done = result.expect("it is done");
    (done.tombstones, done.revisions)
}

/// Every revision of every key that matches goes, tombstones too; of others none.
async fn what_matches_goes_and_nothing_else<A: Adapter>(site: Site<A>) {
    let bucket = with_history(&site).await;
    let mut admin = site.admin();
    for value in ["1", "2", "3"] {
        for key in ["app.a", "app.b.c", "app", "other"] {
            bucket.put(key, value).await.unwrap();
        }
    }
    bucket.delete("app.a").await.unwrap();
    bucket.purge("app.b.c").await.unwrap();
    assert_eq!(at_once(bucket.erase("app.*")).await, Ok(4));
    assert_eq!(stored_revisions(&mut admin, &bucket, "app.a"), 0);
    assert_eq!(bucket.entry("app.a").leader().await, Ok(None));
    assert_eq!(at_once(bucket.erase("app.>")).await, Ok(1));
    assert_eq!(stored_revisions(&mut admin, &bucket, "app.b.c"), 0);
    for key in ["app", "other"] {
        assert_eq!(stored_revisions(&mut admin, &bucket, key), 3, "{key}");
        assert_eq!(bucket.get(key).await.unwrap().unwrap(), "3");
    }
    assert_eq!(at_once(bucket.erase("other")).await, Ok(3));
    assert_eq!(keys_of(&bucket).await, ["app"]);
    assert_eq!(at_once(bucket.erase(">")).await, Ok(3));
    assert_eq!(state_of(&mut admin, &bucket, "messages"), 0);
    assert_eq!(at_once(bucket.erase(">")).await, Ok(0));
    assert_eq!(bucket.put("app", "4").await.map(Revision::get), Ok(15));
}

/// A purge before the first revision would be one without bound: nothing goes of a bucket that is empty,
/// also when it is written to in the meantime.
async fn of_nothing_nothing_goes<A: Adapter>(site: Site<A>) {
    let bucket = with_history(&site).await;
    assert_eq!(at_once(bucket.erase(">")).await, Ok(0));
    // The empty look is lost with its link; the next one is not empty, but the first says nothing.
    let (proxy, slow) = behind(&site, &bucket).await;
    proxy.stall(ServerToClient);
    let mut erase = begin(slow.erase(">"));
    assert!(poll_once(&mut erase).is_pending());
    let asked = || proxy.transcript(ClientToServer);
    let needle = b"STREAM.INFO";
    let count = |text: Vec<u8>| text.windows(needle.len()).filter(|at| at == needle).count();
    eventually("the look", || count(asked()) >= 2); // the first one opened the bucket
    bucket.client().sleep(SECOND / 5).await;
    bucket.status().await.unwrap();
    bucket.put("a", "1").await.unwrap();
    proxy.resume(ServerToClient);
    assert_eq!(erase.await, Ok(0));
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "1");
    // One revision, which is not the first of its stream any more.
    assert_eq!(bucket.erase("b").await, Ok(0));
    assert_eq!(bucket.erase("a").await, Ok(1));
}

/// An erased key has no revision, not even a tombstone.
async fn an_erased_key_can_be_created<A: Adapter>(site: Site<A>) {
    let bucket = with_history(&site).await;
    for key in ["a", "b"] {
        bucket.put(key, "1").await.unwrap();
        bucket.delete(key).await.unwrap();
    }
    assert_eq!(bucket.erase(">").await, Ok(4));
    let none = Revision::new(0);
    let revision = bucket.update("a", "2", none).await.unwrap();
    assert_eq!(revision.get(), 5);
    bucket.create("b", "2").await.unwrap();
    assert_eq!(keys_of(&bucket).await, ["a", "b"]);
}

/// A purge whose answer was lost is repeated and removes nothing that was written in between.
async fn a_lost_answer_removes_nothing_more<A: Adapter>(site: Site<A>) {
    let origin = with_history(&site).await;
    let mut admin = site.admin();
    for value in ["1", "2"] {
        origin.put("a", value).await.unwrap();
        origin.put("b", value).await.unwrap();
    }
    let (proxy, bucket) = behind(&site, &origin).await;
    proxy.drop_matching(ServerToClient, b"\"purged\"");
    proxy.refuse(true);
    let erase = A::spawn(bucket.erase("a").timeout(30 * SECOND).into_future());
    while stored_revisions(&mut admin, &origin, "a") > 0 {
        origin.client().sleep(SECOND / 100).await;
    }
    origin.put("a", "3").await.unwrap();
    proxy.heal();
    assert_eq!(
        erase.await,
        Ok(0),
        "what the lost answer counted is not known"
    );
    assert_eq!(origin.get("a").await.unwrap().unwrap(), "3");
    assert_eq!(stored_revisions(&mut admin, &origin, "b"), 2);

    // What is not known at the deadline is said.
    proxy.stall(ServerToClient);
    let error = bucket.erase("b").timeout(SECOND / 2).await.unwrap_err();
    assert_eq!(error, BucketError::TimedOut, "the look is not answered");
    proxy.heal();
    proxy.drop_matching(ServerToClient, b"\"purged\"");
    let erase = A::spawn(bucket.erase("b").timeout(SECOND).into_future());
    while stored_revisions(&mut admin, &origin, "b") > 0 {
        origin.client().sleep(SECOND / 100).await;
    }
    proxy.refuse(true);
    proxy.cut_all();
    let error = erase.await;
    // The link can be lost and made anew before it is refused; then the repetition is answered or not.
    let known = [
        Ok(0),
        Err(BucketError::Unknown(Doubt::LinkLost)),
        Err(BucketError::Unknown(Doubt::TimedOut)),
    ];
    assert!(known.contains(&error), "{error:?}");
}

/// A watch is not told, and tells of all that comes after.
async fn a_watch_goes_on_after_an_erasure<A: Adapter>(site: Site<A>) {
    let bucket = with_history(&site).await;
    bucket.put("a", "1").await.unwrap();
    let mut watch = bucket.watch(">").await.unwrap();
    let first = watch.next().await.unwrap().unwrap();
    assert!(matches!(first, kv_proto::Update::Entry(entry) if entry.revision.get() == 1));
    let synced = watch.next().await.unwrap().unwrap();
    assert_eq!(synced, kv_proto::Update::Synced);
    for round in 0..5_u64 {
        assert_eq!(bucket.erase(">").await, Ok(1));
        bucket.put("a", "2").await.unwrap();
        let next = watch.next().await.unwrap().unwrap();
        let is_next =
            |entry: &kv_proto::Entry| entry.revision.get() == round + 2 && entry.value == "2";
        assert!(
            matches!(&next, kv_proto::Update::Entry(entry) if is_next(entry)),
            "{next:?}"
        );
    }
}

/// With an age of zero all tombstones go with their history, and no value.
async fn all_tombstones_go_and_no_value<A: Adapter>(site: Site<A>) {
    let bucket = with_history(&site).await;
    let mut admin = site.admin();
    for value in ["1", "2", "3"] {
        for key in ["kept", "deleted", "purged", "again"] {
            bucket.put(key, value).await.unwrap();
        }
    }
    bucket.delete("deleted").await.unwrap();
    bucket.purge("purged").await.unwrap();
    bucket.delete("again").await.unwrap();
    bucket.create("again", "4").await.unwrap();
    let done = bucket.purge_deletes().await;
    assert_eq!(counted(done), (0, 3), "the history of one is gone");
    let done = bucket.purge_deletes().older_than(Duration::ZERO).await;
    assert_eq!(counted(done), (2, 2));
    for key in ["deleted", "purged"] {
        assert_eq!(stored_revisions(&mut admin, &bucket, key), 0, "{key}");
        bucket.update(key, "5", Revision::new(0)).await.unwrap();
    }
    assert_eq!(stored_revisions(&mut admin, &bucket, "kept"), 3);
    assert_eq!(stored_revisions(&mut admin, &bucket, "again"), 5);
    let done = bucket.purge_deletes().older_than(Duration::ZERO).await;
    assert_eq!(counted(done), (0, 0));
    assert_eq!(
        keys_of(&bucket).await,
        ["again", "deleted", "kept", "purged"]
    );
    let stream = stream(&bucket);
    eventually("no consumer is left", || admin.consumers(&stream) == 0);
}

/// A tombstone that is younger stays, so that whoever was away learns of it; what is below it goes.
async fn young_tombstones_stay_without_history<A: Adapter>(site: Site<A>) {
    let bucket = with_history(&site).await;
    let mut admin = site.admin();
    for key in ["old", "young"] {
        bucket.put(key, "1").await.unwrap();
        bucket.put(key, "2").await.unwrap();
    }
    bucket.delete("old").await.unwrap();
    bucket.client().sleep(2 * SECOND).await;
    let last = bucket.delete("young").await.unwrap();
    let done = bucket.purge_deletes().older_than(SECOND).await;
    assert_eq!(counted(done), (1, 5));
    assert_eq!(stored_revisions(&mut admin, &bucket, "old"), 0);
    assert_eq!(stored_revisions(&mut admin, &bucket, "young"), 1);
    let entry = bucket.entry("young").await.unwrap().unwrap();
    assert_eq!((entry.revision, entry.operation), (last, Operation::Delete));
    bucket.create("young", "3").await.unwrap();
    assert_eq!(keys_of(&bucket).await, ["young"]);
}

/// Only keys that match are looked at.
async fn tombstones_of_keys_that_match_go<A: Adapter>(site: Site<A>) {
    let bucket = with_history(&site).await;
    let mut admin = site.admin();
    for key in ["a.x", "a.y.z", "b", "c"] {
        bucket.put(key, "1").await.unwrap();
        bucket.delete(key).await.unwrap();
    }
    let zero = || bucket.purge_deletes().older_than(Duration::ZERO);
    let done = zero().filter("a.>").filter("b").await;
    assert_eq!(counted(done), (3, 6));
    assert_eq!(state_of(&mut admin, &bucket, "messages"), 2);
    assert_eq!(counted(zero().filter("none.*").await), (0, 0));
    let refused = zero().filter("a.*").filter("a.x").await;
    assert!(matches!(refused, Err(WatchError::InvalidOptions(_))));
    let refused = zero().filter("a..b").await;
    assert!(matches!(refused, Err(WatchError::InvalidFilter(_))));
}

/// Many tombstones among values; the one who asks is not the only one.
async fn thousands_of_tombstones_go<A: Adapter>(site: Site<A>) {
    const KEYS: u64 = 3_000;
    let bucket = with_history(&site).await;
    let mut admin = site.admin();
    let puts = (0..KEYS).map(|n| begin(bucket.put(format!("k.{n}"), "1")));
    for put in all(puts.collect::<Vec<_>>()).await {
        put.unwrap();
    }
    let deletes = (0..KEYS).filter(|n| n % 3 > 0);
    let deletes = deletes.map(|n| begin(bucket.delete(format!("k.{n}"))));
    for delete in all(deletes.collect::<Vec<_>>()).await {
        delete.unwrap();
    }
    let zero = || begin(bucket.purge_deletes().older_than(Duration::ZERO));
    let both = all([zero(), zero()]).await;
    let revisions = both.into_iter().map(|done| counted(done).1);
    assert_eq!(revisions.sum::<u64>(), KEYS / 3 * 4);
    assert_eq!(state_of(&mut admin, &bucket, "messages"), KEYS / 3);
    assert_eq!(bucket.keys().collect().await.unwrap().len(), 1_000);
}

/// How far the only consumer of a bucket is.
fn delivered(admin: &mut Admin, bucket: &Bucket) -> Option<u64> {
    let stream = stream(bucket);
    let name = admin.consumer_names(&stream).pop()?;
    let info = admin.request(&format!("$JS.API.CONSUMER.INFO.{stream}.{name}"), b"");
    info["delivered"]["consumer_seq"].as_u64()
}

/// A key that got a value after its tombstone was listed, and before it is purged, keeps the value.
async fn a_key_that_was_created_again_keeps_its_value<A: Adapter>(site: Site<A>) {
    let origin = with_history(&site).await;
    let mut admin = site.admin();
    for key in ["a", "b", "c"] {
        origin.put(key, "1").await.unwrap();
        origin.delete(key).await.unwrap();
    }
    let (proxy, bucket) = behind(&site, &origin).await;
    proxy.stall(ServerToClient);
    let sweep = A::spawn(
        bucket
            .purge_deletes()
            .older_than(Duration::ZERO)
            .into_future(),
    );
    // The server has sent all three tombstones, and the client has seen none.
    while delivered(&mut admin, &origin) != Some(3) {
        origin.client().sleep(SECOND / 100).await;
    }
    let created = origin.create("a", "2").await.unwrap();
    let put = origin.put("b", "2").await.unwrap();
    proxy.resume(ServerToClient);
    assert_eq!(counted(sweep.await), (3, 6));
    for (key, revision) in [("a", created), ("b", put)] {
        let entry = origin.entry(key).leader().await.unwrap().unwrap();
        assert_eq!((entry.revision, &*entry.value), (revision, &b"2"[..]));
        assert_eq!(stored_revisions(&mut admin, &origin, key), 1);
    }
    assert_eq!(stored_revisions(&mut admin, &origin, "c"), 0);
}

/// Values that come and go while tombstones are removed again and again: what was put is there until it is
/// deleted.
async fn writers_lose_nothing_meanwhile<A: Adapter>(site: Site<A>) {
    let bucket = with_history(&site).await;
    let end = Instant::now() + 2 * SECOND;
    let writers = (0..8).map(|writer| {
        let bucket = bucket.clone();
        A::spawn(async move {
            let (key, mut rounds) = (Key::new(&format!("k.{writer}")).unwrap(), 0_u32);
            while Instant::now() < end {
                rounds += 1;
                let value = rounds.to_string();
                let put = bucket.put(key.clone(), value.clone()).await.unwrap();
                let entry = bucket.entry(key.clone()).leader().await.unwrap();
                let entry = entry.expect("what was put is there");
                assert_eq!((entry.revision, &*entry.value), (put, value.as_bytes()));
                let last = bucket.update(key.clone(), "last", put).await.unwrap();
                if rounds % 5 > 0 {
                    bucket.delete(key.clone()).expect(last).await.unwrap();
                }
            }
            rounds
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut removed = 0;
    while Instant::now() < end {
        let done = bucket.purge_deletes().older_than(Duration::ZERO).await;
        removed += counted(done).0;
    }
    let rounds: u32 = all(writers).await.into_iter().sum();
    assert!(removed > 0 && rounds > 100, "{removed} of {rounds}");
}

/// Dropped at any moment, a removal leaves nothing behind: no consumer, and no place that the next one lacks.
async fn nothing_is_left_of_a_dropped_removal<A: Adapter>(site: Site<A>) {
    let origin = with_history(&site).await;
    let mut admin = site.admin();
    let deletes = (0..200).map(|number| begin(origin.delete(format!("k.{number}"))));
    for delete in all(deletes.collect::<Vec<_>>()).await {
        delete.unwrap();
    }
    let limits = Limits {
        max_ops: 4,
        max_watches: 2,
        ..Limits::default()
    };
    let client = site
        .connect_with(config(&site.server().url()).limits(limits))
        .await;
    let bucket = client.bucket(origin.name()).await.unwrap();
    let zero = || begin(bucket.purge_deletes().older_than(Duration::ZERO));
    for micros in [0, 50, 100, 200, 300, 500, 1_000, 2_000, 4_000] {
        for _ in 0..5 {
            let mut sweep = zero();
            if micros > 0 {
                let _ = poll_once(&mut sweep);
                client.sleep(Duration::from_micros(micros)).await;
            }
        }
    }
    zero().await.unwrap();
    assert_eq!(state_of(&mut admin, &origin, "messages"), 0);
    let stream = stream(&origin);
    eventually("no consumer is left", || admin.consumers(&stream) == 0);
}

/// Of a bucket that is gone nothing is removed.
async fn a_missing_bucket_is_told<A: Adapter>(site: Site<A>) {
    let bucket = with_history(&site).await;
    bucket.delete("a").await.unwrap();
    let client = bucket.client();
    client.delete_bucket(bucket.name()).await.unwrap();
    let zero = bucket.purge_deletes().older_than(Duration::ZERO);
    assert_eq!(at_once(zero).await, Err(WatchError::BucketNotFound));
    assert_eq!(at_once(bucket.erase(">")).await, Err(BucketError::NotFound));
}

/// A user who may not purge streams is told so, and nothing is removed.
async fn a_denied_purge_is_told<A: Adapter>(site: Site<A>) {
    let server = guarded(&site, r#"publish: {deny: "$JS.API.STREAM.PURGE.>"}"#);
    let owner = as_user(&site, &server, "owner").await;
    let owned = owner.create_bucket(BucketConfig::new("b")).await.unwrap();
    for number in 0..50 {
        owned.delete(format!("k.{number}")).await.unwrap();
    }
    let guest = as_user(&site, &server, "guest").await;
    let bucket = guest.bucket("b").await.unwrap();
    let subject = "$JS.API.STREAM.PURGE.KV_b".to_owned();
    let denied = BucketError::Denied {
        subject: subject.clone(),
    };
    assert_eq!(at_once(bucket.erase(">")).await, Err(denied));
    let zero = bucket.purge_deletes().older_than(Duration::ZERO);
    assert_eq!(at_once(zero).await, Err(WatchError::Denied { subject }));
    assert_eq!(owned.status().await.unwrap().values(), 50);
    assert_eq!(guest.stats().connects, 1);
    bucket.put("k.0", "1").await.unwrap();
}

/// Through a mirror, revisions go from its origin. Servers do not take away what a mirror has copied.
async fn a_mirror_keeps_what_it_has_copied<A: Adapter>(site: Site<A>) {
    let origin = with_history(&site).await;
    let config = BucketConfig::new(unique("mirror"))
        .history(5)
        .mirror(Source::bucket(origin.name()));
    let mirror = origin.client().create_bucket(config).await.unwrap();
    let mut admin = site.admin();
    origin.put("a", "1").await.unwrap();
    origin.put("b", "1").await.unwrap();
    let last = origin.delete("b").await.unwrap();
    while mirror.status().await.unwrap().last_revision() < last.get() {
        origin.client().sleep(SECOND / 100).await;
    }
    let done = mirror.purge_deletes().older_than(Duration::ZERO).await;
    assert_eq!(counted(done), (1, 2));
    assert_eq!(at_once(mirror.erase("a")).await, Ok(1));
    assert_eq!(state_of(&mut admin, &origin, "messages"), 0);
    assert_eq!(state_of(&mut admin, &mirror, "messages"), 3);
    // So the tombstone is listed again, and nothing is left of it to remove.
    let created = mirror.put("b", "2").await.unwrap();
    let done = mirror.purge_deletes().older_than(Duration::ZERO).await;
    assert_eq!(counted(done), (0, 0));
    let entry = origin.entry("b").await.unwrap().unwrap();
    assert_eq!(entry.revision, created);
}

/// The markers that servers leave are tombstones like others.
async fn markers_go_too<A: Adapter>(site: Site<A>) {
    // With history, servers raise a time to live to that of the markers.
    let bucket = site
        .bucket_with(|config| config.limit_markers(60 * SECOND))
        .await;
    let mut admin = site.admin();
    bucket.create("a", "1").ttl(SECOND).await.unwrap();
    bucket.put("b", "1").await.unwrap();
    let marker = Operation::Marker(MarkerReason::MaxAge);
    let began = Instant::now();
    while bucket.entry("a").leader().await.unwrap().unwrap().operation != marker {
        assert!(began.elapsed() < 10 * SECOND, "no marker comes");
        bucket.client().sleep(SECOND / 20).await;
    }
    let done = bucket.purge_deletes().older_than(60 * SECOND).await;
    assert_eq!(counted(done), (0, 0));
    let done = bucket.purge_deletes().older_than(Duration::ZERO).await;
    assert_eq!(counted(done), (1, 1));
    assert_eq!(stored_revisions(&mut admin, &bucket, "a"), 0);
    assert_eq!(keys_of(&bucket).await, ["b"]);
}
