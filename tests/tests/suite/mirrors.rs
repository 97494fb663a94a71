//! Buckets that are fed from others of the same account: mirrors and sources (natscli 928).

use std::time::Instant;

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, BucketError, Operation, Revision, Source, WriteError};
use kv_tests::Direction::{ClientToServer, ServerToClient};
use kv_tests::{Proxy, unique};
use serde_json::json;

use crate::site::{Adapter, SECOND, Site, state_of, tests};

tests! {
    on_both_ends {
        a_mirror_is_read_like_its_origin
        a_mirror_answers_reads_of_its_origin
        a_mirror_of_some_keys_answers_for_none
        writes_through_a_mirror_go_to_the_origin
        conditions_through_a_mirror_are_those_of_the_origin
        a_mirror_keeps_nothing_of_its_own
        a_bucket_copies_its_sources_and_is_written_to
        a_source_can_be_filtered
        mirrors_and_sources_are_configured_as_asked
    }
}

/// A bucket with history, and a mirror of it.
async fn mirrored<A: Adapter>(site: &Site<A>) -> (Bucket, Bucket) {
    let origin = site.bucket_with(|config| config.history(5)).await;
    let config = BucketConfig::new(unique("mirror"))
        .history(5)
        .mirror(Source::bucket(origin.name()));
    let mirror = origin.client().create_bucket(config).await.unwrap();
    (origin, mirror)
}

/// Waits until the newest revision that a bucket holds is this one.
async fn caught_up(bucket: &Bucket, last: Revision) {
    let began = Instant::now();
    while bucket.status().await.unwrap().last_revision() < last.get() {
        assert!(began.elapsed() < 10 * SECOND, "{bucket:?} is not at {last}");
        bucket.client().sleep(SECOND / 200).await;
    }
}

/// Entries, tombstones, old revisions and missing keys are the same through the mirror, revision by
/// revision, of any replica and of the leader; only the bucket's name is the mirror's.
async fn a_mirror_is_read_like_its_origin<A: Adapter>(site: Site<A>) {
    let (origin, mirror) = mirrored(&site).await;
    let first = origin.put("a.b", "1").await.unwrap();
    origin.put("a.b", "2").await.unwrap();
    origin.put("gone", "x").await.unwrap();
    let last = origin.delete("gone").await.unwrap();
    caught_up(&mirror, last).await;

    for key in ["a.b", "gone", "never"] {
        let at_origin = origin.entry(key).await.unwrap();
        let through = mirror.entry(key).await.unwrap();
        let of_leader = mirror.entry(key).leader().await.unwrap();
        assert_eq!(through, of_leader);
        let known = |entry: kv_proto::Entry| (entry.revision, entry.value, entry.operation);
        assert_eq!(through.clone().map(known), at_origin.map(known), "{key}");
        assert!(through.is_none_or(|entry| entry.bucket == *mirror.name()));
    }
    assert_eq!(mirror.get("a.b").await.unwrap().unwrap(), "2");
    assert_eq!(mirror.get("gone").await, Ok(None));
    let old = mirror.entry("a.b").revision(first).await.unwrap().unwrap();
    assert_eq!((&*old.value, old.operation), (&b"1"[..], Operation::Put));
    assert_eq!(mirror.entry("gone").revision(first).await, Ok(None));
}

/// A mirror takes a part of its origin's reads, which the client allows once it has seen whose mirror it is.
async fn a_mirror_answers_reads_of_its_origin<A: Adapter>(site: Site<A>) {
    let (origin, mirror) = mirrored(&site).await;
    let last = origin.put("a", "1").await.unwrap();
    caught_up(&mirror, last).await;
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect(&proxy.url()).await;
    let bucket = client.bucket(origin.name()).await.unwrap();
    let stream = format!("KV_{}", mirror.name());
    let (mut reads, began) = (0, Instant::now());
    while answers_of(&stream, &proxy) < 10 {
        assert!(began.elapsed() < 10 * SECOND, "{reads} without the mirror");
        assert_eq!(bucket.get("a").await.unwrap().unwrap(), "1");
        assert_eq!(bucket.get("b").await, Ok(None));
        let old = bucket.entry("a").revision(last).await.unwrap().unwrap();
        assert_eq!(old.revision, last);
        reads += 1;
    }
    let asked = proxy.transcript(ClientToServer);
    assert_eq!(count(&asked, &format!("STREAM.INFO.{stream} ")), 1);
    assert_eq!(count(&asked, "STREAM.MSG.GET."), 0);
    assert!(client.stats().foreign_replies <= 1);
}

/// A mirror that has not all keys answers reads of its origin like any other: it does not know the rest.
async fn a_mirror_of_some_keys_answers_for_none<A: Adapter>(site: Site<A>) {
    let origin = site.bucket().await;
    origin.put("a.1", "1").await.unwrap();
    let last = origin.put("b.1", "1").await.unwrap();
    let subject = |keys: &str| format!("$KV.{}.{keys}", origin.name());
    let name = unique("mirror");
    site.admin().create_stream(&json!({
        "name": format!("KV_{name}"), "max_msgs_per_subject": 1, "allow_direct": true, "mirror_direct": true,
        "mirror": {"name": format!("KV_{}", origin.name()), "filter_subject": subject("a.>")},
    }));
    let mirror = origin.client().bucket(&*name).await.unwrap();
    let began = Instant::now();
    while mirror.get("a.1").await.unwrap().is_none() {
        assert!(began.elapsed() < 10 * SECOND, "the mirror is empty");
    }
    let client = site.client().await;
    let bucket = client.bucket(origin.name()).await.unwrap();
    while client.stats().foreign_replies == 0 {
        assert!(began.elapsed() < 10 * SECOND, "without the mirror");
        assert_eq!(bucket.get("a.1").await.unwrap().unwrap(), "1");
    }
    for _ in 0..20 {
        let entry = bucket.entry("b.1").await.unwrap().unwrap();
        assert_eq!(entry.revision, last);
    }
}

/// How many answers the stream has given through the proxy.
fn answers_of(stream: &str, proxy: &Proxy) -> usize {
    let answers = proxy.transcript(ServerToClient);
    count(&answers, &format!("Nats-Stream: {stream}\r\n"))
}

fn count(bytes: &[u8], text: &str) -> usize {
    String::from_utf8_lossy(bytes).matches(text).count()
}

/// Every write through the mirror is stored by the origin, under the revision that it returns, and comes
/// back through the mirror.
async fn writes_through_a_mirror_go_to_the_origin<A: Adapter>(site: Site<A>) {
    let (origin, mirror) = mirrored(&site).await;
    origin.put("a", "0").await.unwrap();
    let writes = [
        mirror.put("a", "1").await.unwrap(),
        mirror.create("b", "1").await.unwrap(),
        mirror.update("b", "2", Revision::new(3)).await.unwrap(),
        mirror.delete("a").await.unwrap(),
        mirror.create("a", "3").await.unwrap(),
        mirror.purge("b").await.unwrap(),
    ];
    assert_eq!(writes.map(Revision::get), [2, 3, 4, 5, 6, 7]);
    assert_eq!(origin.get("a").await.unwrap().unwrap(), "3");
    let entry = origin.entry("b").await.unwrap().unwrap();
    assert_eq!(
        (entry.revision, entry.operation),
        (writes[5], Operation::Purge)
    );
    caught_up(&mirror, writes[5]).await;
    let entry = mirror.entry("a").await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.revision), (&b"3"[..], writes[4]));
}

/// A condition through the mirror is checked against the origin, even before the mirror has caught up.
async fn conditions_through_a_mirror_are_those_of_the_origin<A: Adapter>(site: Site<A>) {
    let (origin, mirror) = mirrored(&site).await;
    let first = origin.put("a", "1").await.unwrap();
    let exists = Err(WriteError::Exists { revision: first });
    assert_eq!(mirror.create("a", "2").await, exists);
    let second = origin.update("a", "2", first).await.unwrap();
    let lost = WriteError::Conflict {
        expected: first,
        current: Some(second),
    };
    assert_eq!(mirror.update("a", "3", first).await, Err(lost.clone()));
    assert_eq!(mirror.delete("a").expect(first).await, Err(lost));
    let third = mirror.update("a", "3", second).await.unwrap();
    mirror.delete("a").expect(third).await.unwrap();
    assert_eq!(origin.get("a").await, Ok(None));
}

/// A mirror has no subjects; its status names the origin and tells how far it is behind.
async fn a_mirror_keeps_nothing_of_its_own<A: Adapter>(site: Site<A>) {
    let (origin, mirror) = mirrored(&site).await;
    let last = mirror.put("a", "1").await.unwrap();
    caught_up(&mirror, last).await;
    let status = mirror.status().await.unwrap();
    let source = status.mirror().expect("a mirror");
    assert_eq!(source.stream, format!("KV_{}", origin.name()));
    assert_eq!((source.lag, source.error), (0, None));
    assert_eq!(state_of(&mut site.admin(), &origin, "messages"), 1);
    let client = mirror.client();
    client.delete_bucket(mirror.name()).await.unwrap();
    assert_eq!(origin.get("a").await.unwrap().unwrap(), "1");
    let gone = client.bucket(mirror.name()).await.unwrap_err();
    assert_eq!(gone, BucketError::NotFound);
}

/// Keys of two sources arrive under the copying bucket's own name and with revisions of its own, later
/// changes too; writes to the copy stay there.
async fn a_bucket_copies_its_sources_and_is_written_to<A: Adapter>(site: Site<A>) {
    let (eu, us) = (site.bucket().await, site.bucket().await);
    eu.put("eu.a", "1").await.unwrap();
    us.put("us.a", "1").await.unwrap();
    let config = BucketConfig::new(unique("all"))
        .source(Source::bucket(eu.name()))
        .source(Source::bucket(us.name()));
    let copy = site.client().await.create_bucket(config).await.unwrap();
    caught_up(&copy, Revision::new(2)).await;
    for key in ["eu.a", "us.a"] {
        let entry = copy.entry(key).await.unwrap().unwrap();
        assert_eq!(
            (entry.bucket, &*entry.value),
            (copy.name().clone(), &b"1"[..])
        );
    }
    let own = copy.put("own", "1").await.unwrap();
    assert_eq!(own, Revision::new(3));
    assert_eq!(eu.get("own").await, Ok(None));
    copy.update("own", "2", own).await.unwrap();

    eu.delete("eu.a").await.unwrap();
    caught_up(&copy, Revision::new(5)).await;
    assert_eq!(copy.get("eu.a").await, Ok(None));
    let tombstone = copy.entry("eu.a").await.unwrap().unwrap();
    assert_eq!(tombstone.operation, Operation::Delete);
    assert_eq!(copy.get("us.a").await.unwrap().unwrap(), "1");
    assert_eq!(copy.status().await.unwrap().sources().len(), 2);
}

/// Only the keys that the filter takes are copied.
async fn a_source_can_be_filtered<A: Adapter>(site: Site<A>) {
    let origin = site.bucket().await;
    for key in ["user.a", "log.a", "user.b"] {
        origin.put(key, key).await.unwrap();
    }
    let source = Source::bucket(origin.name()).keys("user.*");
    let config = BucketConfig::new(unique("users")).source(source);
    let copy = origin.client().create_bucket(config).await.unwrap();
    caught_up(&copy, Revision::new(2)).await;
    assert_eq!(copy.get("user.b").await.unwrap().unwrap(), "user.b");
    assert_eq!(copy.get("log.a").await, Ok(None));
    assert_eq!(copy.status().await.unwrap().keys(), 2);
}

/// The status of a mirror and of a copy says what was asked for, and creating them again opens them.
async fn mirrors_and_sources_are_configured_as_asked<A: Adapter>(site: Site<A>) {
    let origin = site.bucket().await;
    let client = origin.client();
    let configs = [
        BucketConfig::new(unique("mirror")).mirror(Source::bucket(origin.name())),
        BucketConfig::new(unique("copy")).source(Source::bucket(origin.name())),
        BucketConfig::new(unique("some")).source(Source::bucket(origin.name()).keys("a.>")),
    ];
    for config in configs {
        let bucket = client.create_bucket(config.clone()).await.unwrap();
        assert_eq!(bucket.status().await.unwrap().config(), &config);
        let again = client.create_bucket(config.clone()).await.unwrap();
        assert_eq!(again.created(), bucket.created());
        let described = config.description("described");
        client.update_bucket(described.clone()).await.unwrap();
        assert_eq!(bucket.status().await.unwrap().config(), &described);
    }
}
