//! Watches and listings in unusual places: by users with few permissions, of mirrors and copies, over
//! connections that deliver byte by byte.

use kv_proto::{BucketConfig, Source, Update, WatchError};
use kv_tests::{Direction, Proxy, unique};

use super::{await_consumers, fill, read, told};
use crate::denied::{as_user, guarded};
use crate::site::{Adapter, Site, at_once, config, tests};

tests! {
    on_both_ends {
        a_denied_watch_says_so
        a_user_with_an_inbox_of_its_own_watches
        a_mirror_is_watched_like_its_origin
        a_copy_is_watched_like_any_bucket
        bytes_may_come_one_by_one
    }
}

/// A user who may not make consumers is told so at once, with the subject; whoever may is not disturbed.
async fn a_denied_watch_says_so<A: Adapter>(site: Site<A>) {
    let server = guarded(
        &site,
        r#"publish: {deny: "$JS.API.CONSUMER.CREATE.KV_no.>"}"#,
    );
    let owner = as_user(&site, &server, "owner").await;
    for name in ["no", "yes"] {
        let bucket = owner.create_bucket(BucketConfig::new(name)).await.unwrap();
        bucket.put("a", "1").await.unwrap();
    }
    let client = as_user(&site, &server, "guest").await;
    let (no, yes) = (client.bucket("no"), client.bucket("yes"));
    let (no, yes) = (no.await.unwrap(), yes.await.unwrap());
    let mut reader = read(yes.watch_all(), &yes).await;
    for error in [
        at_once(no.watch_all()).await.unwrap_err(),
        at_once(no.keys().filter("a.>").collect())
            .await
            .unwrap_err(),
        at_once(no.history("a").collect()).await.unwrap_err(),
    ] {
        let WatchError::Denied { subject } = &error else {
            panic!("{error:?}");
        };
        let verb = "$JS.API.CONSUMER.CREATE.KV_no.";
        assert!(subject.starts_with(verb), "{subject}");
        assert!(!error.is_retryable());
    }
    assert_eq!(reader.initial().await.len(), 1);
    assert_eq!(yes.keys().collect().await.unwrap(), ["a"]);
    assert_eq!(no.get("a").await.unwrap().unwrap(), "1");
    assert_eq!(client.stats().connects, 1);
}

/// A user who may subscribe to one prefix only watches and lists below it, and reads more than what a
/// server sends without being told that it arrived.
async fn a_user_with_an_inbox_of_its_own_watches<A: Adapter>(site: Site<A>) {
    let server = guarded(&site, r#"subscribe: {allow: "_INBOX_guest.>"}"#);
    let guest = config(&server.url()).user("guest", "p");
    let guest = guest.custom_inbox_prefix("_INBOX_guest").unwrap();
    let client = site.connect_with(guest).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    fill(&bucket, 2_000, 2_000).await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    assert_eq!(reader.initial().await.len(), 2_000);
    assert_eq!(bucket.keys().collect().await.unwrap().len(), 2_000);
    assert_eq!(bucket.history("k.7").collect().await.unwrap().len(), 1);
    assert_eq!(client.stats().connects, 1);
}

/// A mirror tells the keys and revisions of its origin, before and after `Synced`, with or without
/// filters; its name is its own.
async fn a_mirror_is_watched_like_its_origin<A: Adapter>(site: Site<A>) {
    let origin = site.bucket_with(|config| config.history(5)).await;
    let config = BucketConfig::new(unique("mirror")).history(5);
    let config = config.mirror(Source::bucket(origin.name()));
    let mirror = origin.client().create_bucket(config).await.unwrap();
    let mut reader = read(mirror.watch_all(), &mirror).await;
    assert_eq!(reader.update().await, Update::Synced);
    origin.put("a.b", "1").await.unwrap();
    origin.put("b", "1").await.unwrap();
    let last = mirror.delete("b").await.unwrap();
    let entries = reader.until(last).await;
    assert_eq!(told(&entries), ["1 a.b=1", "2 b=1", "3 b Delete"]);
    assert!(entries.iter().all(|entry| entry.bucket == *mirror.name()));

    let mut reader = read(mirror.watch("a.*"), &mirror).await;
    assert_eq!(told(&reader.initial().await), ["1 a.b=1"]);
    assert_eq!(mirror.keys().collect().await.unwrap(), ["a.b"]);
    let keys = mirror.keys().filter("a.*").filter("b").collect().await;
    assert_eq!(keys.unwrap(), ["a.b"]);
    let history = mirror.history("b").collect().await.unwrap();
    assert_eq!(told(&history), ["2 b=1", "3 b Delete"]);
}

/// A bucket that is fed from another one tells what arrives under its own name.
async fn a_copy_is_watched_like_any_bucket<A: Adapter>(site: Site<A>) {
    let origin = site.bucket().await;
    origin.put("a", "1").await.unwrap();
    let config = BucketConfig::new(unique("copy")).source(Source::bucket(origin.name()));
    let copy = origin.client().create_bucket(config).await.unwrap();
    let mut reader = read(copy.watch_all().updates_only(), &copy).await;
    assert_eq!(reader.update().await, Update::Synced);
    origin.put("b", "1").await.unwrap();
    while reader.entry().await.key != "b" {}
    copy.put("own", "1").await.unwrap();
    let entry = reader.entry().await;
    assert_eq!((&*entry.key, &entry.bucket), ("own", copy.name()));
    assert_eq!(copy.keys().collect().await.unwrap(), ["a", "b", "own"]);
}

/// Every frame in pieces of one byte, both ways.
async fn bytes_may_come_one_by_one<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    for direction in [Direction::ClientToServer, Direction::ServerToClient] {
        proxy.chunk(direction, 1);
    }
    let client = site.connect(&proxy.url()).await;
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    fill(&bucket, 100, 200).await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    assert_eq!(reader.initial().await.len(), 100);
    let last = bucket.put("k.1", "new").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["101 k.1=new"]);
    assert_eq!(bucket.keys().collect().await.unwrap().len(), 100);
    drop(reader);
    await_consumers(&mut site.admin(), &bucket, 0);
    assert_eq!(client.stats().connects, 1);
}
