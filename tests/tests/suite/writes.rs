//! Unconditional writes: what a put, a delete and a purge leave on the server, and how large a put may be.

use kv_proto::{Cause, Operation, Refused, Revision, WriteError};
use kv_tests::{Direction, Proxy};

use crate::site::{Adapter, Site, at_once, state_of, stored, stored_revisions, tests};

tests! {
    on_both_ends {
        a_put_is_one_plain_message
        revisions_count_the_writes_of_a_bucket
        history_is_kept_up_to_its_limit
        a_delete_keeps_the_history
        a_purge_removes_the_history
        deletes_and_purges_can_be_repeated
        values_of_every_type_are_taken
        the_largest_message_is_put_and_no_larger_one
        a_value_above_the_limit_of_the_bucket_is_refused_here
        clones_and_reopened_handles_see_the_same_bucket
    }
}

/// A put stores the value without any header, and one frame goes over the wire for it.
async fn a_put_is_one_plain_message<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let before = bucket.client().stats();
    let revision = bucket.put("a", "1").await.unwrap();
    let stats = bucket.client().stats();
    assert_eq!(stats.frames_out, before.frames_out + 1);
    let message = stored(&mut site.admin(), &bucket, "a").unwrap();
    assert_eq!(message.revision, revision.get());
    assert_eq!((&*message.headers, &*message.value), ("", &b"1"[..]));
}

/// Revisions are those of the bucket: one more for each write to any key, tombstones included.
async fn revisions_count_the_writes_of_a_bucket<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let revisions = [
        bucket.put("a", "1").await.unwrap(),
        bucket.create("b", "1").await.unwrap(),
        bucket.delete("a").await.unwrap(),
        bucket.update("b", "2", Revision::new(2)).await.unwrap(),
        bucket.purge("b").await.unwrap(),
    ];
    assert_eq!(revisions.map(Revision::get), [1, 2, 3, 4, 5]);
}

/// Of each key the bucket keeps as many revisions as it was told, the newest ones.
async fn history_is_kept_up_to_its_limit<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(3)).await;
    let mut admin = site.admin();
    for number in 1..=5_u64 {
        bucket.put("a", number.to_string()).await.unwrap();
        assert_eq!(stored_revisions(&mut admin, &bucket, "a"), number.min(3));
    }
    for number in 1..=5 {
        let entry = bucket.entry("a").revision(Revision::new(number)).await;
        assert_eq!(entry.unwrap().is_some(), number > 2, "{number}");
    }
}

/// A delete is a message with `KV-Operation: DEL` and nothing else; what was there stays.
async fn a_delete_keeps_the_history<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    let mut admin = site.admin();
    bucket.put("a", "1").await.unwrap();
    bucket.put("a", "2").await.unwrap();
    let revision = bucket.delete("a").await.unwrap();
    assert_eq!(stored_revisions(&mut admin, &bucket, "a"), 3);
    let tombstone = stored(&mut admin, &bucket, "a").unwrap();
    assert_eq!(tombstone.revision, revision.get());
    assert_eq!(tombstone.headers, "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n");
    assert!(tombstone.value.is_empty());
}

/// A purge is a roll-up with `KV-Operation: PURGE`: of the key nothing but it is left, of others all.
async fn a_purge_removes_the_history<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    let mut admin = site.admin();
    for key in ["a", "b", "a", "b"] {
        bucket.put(key, "x").await.unwrap();
    }
    let revision = bucket.purge("a").await.unwrap();
    assert_eq!(stored_revisions(&mut admin, &bucket, "a"), 1);
    assert_eq!(stored_revisions(&mut admin, &bucket, "b"), 2);
    let tombstone = stored(&mut admin, &bucket, "a").unwrap();
    assert_eq!(tombstone.revision, revision.get());
    let lines = "NATS/1.0\r\nKV-Operation: PURGE\r\nNats-Rollup: sub\r\n\r\n";
    assert_eq!(tombstone.headers, lines);
    assert!(tombstone.value.is_empty());
}

/// Deleting and purging what is deleted, purged or was never there succeeds each time.
async fn deletes_and_purges_can_be_repeated<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut last = Revision::default();
    for operation in [Operation::Delete, Operation::Purge, Operation::Delete] {
        for _ in 0..2 {
            let revision = if operation == Operation::Purge {
                bucket.purge("never.was").await.unwrap()
            } else {
                bucket.delete("never.was").await.unwrap()
            };
            assert!(revision > last);
            last = revision;
            let entry = bucket.entry("never.was").await.unwrap().unwrap();
            assert_eq!((entry.revision, entry.operation), (revision, operation));
        }
    }
}

/// Texts, slices, arrays, vectors and `Bytes` are values.
async fn values_of_every_type_are_taken<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let bytes = bucket.get("a").await.unwrap().unwrap_or_default();
    let puts = [
        bucket.put("a", "x").await,
        bucket.put("a", String::from("x")).await,
        bucket.put("a", &b"x"[..]).await,
        bucket.put("a", *b"x").await,
        bucket.put("a", b"x").await,
        bucket.put("a", vec![b'x']).await,
        bucket.put("a", &vec![b'x']).await,
    ];
    assert!(puts.iter().all(Result::is_ok), "{puts:?}");
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "x");
    bucket.put("a", bytes).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "");
}

/// A message of exactly the server's `max_payload` is stored. One byte more, headers included, is
/// refused before a byte is sent, names the limit, and does not touch the connection: other operations,
/// under way and later, go on.
async fn the_largest_message_is_put_and_no_larger_one<A: Adapter>(site: Site<A>) {
    let server = site.own_server().max_payload(4096).start();
    let proxy = Proxy::start(server.addr());
    let client = site.connect(&proxy.url()).await;
    let config = kv_proto::BucketConfig::new("b");
    let bucket = client.create_bucket(config).await.unwrap();
    let value = vec![7; 4097];

    bucket.put("a", &value[..4096]).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), value[..4096]);

    let sent = proxy.bytes(Direction::ClientToServer);
    let too_large = |size| {
        let refused = Refused::TooLarge { size, limit: 4096 };
        Err(WriteError::NotApplied(Cause::Refused(refused)))
    };
    assert_eq!(at_once(bucket.put("a", &value)).await, too_large(4097));
    let block = CONDITION.len();
    let update = |size: usize| bucket.update("a", &value[..size], Revision::new(1));
    assert_eq!(at_once(update(4097 - block)).await, too_large(4097));
    assert_eq!(proxy.bytes(Direction::ClientToServer), sent);

    let revision = update(4096 - block).await.unwrap();
    assert_eq!(revision, Revision::new(2));
    assert!(bucket.put("b", "small").await.is_ok());
    let stats = client.stats();
    assert_eq!((stats.connects, proxy.connections()), (1, 1));
}

/// The header block of a write on a condition, with its id.
const CONDITION: &str = "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 1\r\n\
                         Nats-Msg-Id: 0123456789012345678901\r\n\r\n";

/// The bucket's `max_value_size` counts headers too. Exactly it is stored; more is refused before a byte
/// is sent.
async fn a_value_above_the_limit_of_the_bucket_is_refused_here<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.max_value_size(100)).await;
    bucket.put("a", [0; 100]).await.unwrap();
    let sent = bucket.client().stats().bytes_out;
    let too_large = |size| {
        let refused = Refused::TooLarge { size, limit: 100 };
        Err(WriteError::NotApplied(Cause::Refused(refused)))
    };
    assert_eq!(bucket.put("a", [0; 101]).await, too_large(101));
    let block = CONDITION.len();
    let value = vec![0; 101 - block];
    assert_eq!(bucket.create("b", &value).await, too_large(101));
    assert_eq!(bucket.client().stats().bytes_out, sent);
    bucket.create("b", &value[1..]).await.unwrap();
    assert_eq!(state_of(&mut site.admin(), &bucket, "messages"), 2);
}

/// A clone of a handle, and one that another client opens, are the same bucket.
async fn clones_and_reopened_handles_see_the_same_bucket<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let clone = bucket.clone();
    clone.put("a", "1").await.unwrap();
    let other = site.client().await.bucket(bucket.name()).await.unwrap();
    assert_eq!(other.binding(), bucket.binding());
    assert_eq!(other.created(), bucket.created());
    assert_eq!(other.get("a").await.unwrap().unwrap(), "1");
    drop(clone);
    other.put("a", "2").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "2");
}
