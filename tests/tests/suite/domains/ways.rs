//! Ways to buckets elsewhere that are not there, or that break.

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, BucketError, Cause, ReadError, WatchError, WriteError};
use kv_tests::{Domains, unique};

use crate::site::{Adapter, SECOND, Site, at_once, tests};
use crate::watch::{Reader, read};

tests! {
    on_both_ends {
        an_unknown_domain_is_told_at_once
        a_domain_out_of_reach_is_told_at_once
        a_watch_goes_on_when_the_way_is_back
        a_watch_goes_on_when_the_leaf_is_back
        a_bucket_that_was_deleted_elsewhere_is_never_mistaken
    }
}

/// Nothing waits for a domain that nobody knows.
async fn an_unknown_domain_is_told_at_once<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    for server in [domains.hub(), domains.leaf()] {
        let config = crate::site::config(&server.url());
        // Nobody may ask for it on the leaf.
        let config = config.user("owner", "owner");
        let client = site
            .connect_with(config.jetstream_domain("hbu").unwrap())
            .await;
        let unreachable = BucketError::Unreachable {
            api: "$JS.hbu.API".into(),
        };
        let opened = at_once(client.bucket("b")).await;
        assert_eq!(opened.unwrap_err(), unreachable);
        let created = at_once(client.create_bucket(BucketConfig::new("b"))).await;
        assert_eq!(created.unwrap_err(), unreachable);
        let names = at_once(client.bucket_names().collect()).await;
        assert_eq!(names.unwrap_err(), unreachable);
        let deleted = at_once(client.delete_bucket("b")).await;
        assert_eq!(deleted, Err(unreachable));
    }
}

/// Nothing is done while the way is lost, and that is told at once; afterwards the same handle works.
async fn a_domain_out_of_reach_is_told_at_once<A: Adapter>(site: Site<A>) {
    let domains = site.own_domains();
    let client = site.in_domain(domains.leaf(), "hub").await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    let first = bucket.put("a", "1").await.unwrap();
    domains.part();

    let api = || "$JS.hub.API".to_owned();
    let write = Err(WriteError::NotApplied(Cause::Unreachable { api: api() }));
    assert_eq!(at_once(bucket.put("a", "2")).await, write);
    assert_eq!(at_once(bucket.update("a", "2", first)).await, write);
    let read = Err(ReadError::Unreachable { api: api() });
    assert_eq!(at_once(bucket.get("a")).await, read.clone().map(|()| None));
    let leader = at_once(bucket.entry("a").leader()).await;
    assert_eq!(leader.map(|_| ()), read);
    let status = at_once(bucket.status()).await.map(|_| ());
    assert_eq!(status, Err(BucketError::Unreachable { api: api() }));
    let erased = at_once(bucket.erase("a")).await.map(|_| ());
    assert_eq!(erased, Err(BucketError::Unreachable { api: api() }));
    let watch = Err(WatchError::Unreachable { api: api() });
    assert_eq!(at_once(bucket.keys().collect()).await.map(|_| ()), watch);
    let opened = at_once(bucket.watch(">")).await.map(|_| ());
    assert_eq!(opened, watch);

    domains.join();
    let entry = bucket.entry("a").await.unwrap().unwrap();
    assert_eq!((entry.revision, &*entry.value), (first, &b"1"[..]));
    bucket.update("a", "2", first).await.unwrap();
}

/// A bucket of the hub as a client of the leaf sees it and one of the hub, and a watch of the former that has
/// told of its only entry.
async fn watched_from_the_leaf<A: Adapter>(
    site: &Site<A>,
    domains: &Domains,
) -> (Bucket, Bucket, Reader) {
    let client = site.in_domain(domains.leaf(), "hub").await;
    let new = BucketConfig::new("b").history(20);
    let bucket = client.create_bucket(new).await.unwrap();
    let direct = site.connect(&domains.hub().url()).await;
    let direct = direct.bucket("b").await.unwrap();
    direct.put("a", "0").await.unwrap();
    let mut watch = read(bucket.watch(">").heartbeat(SECOND), &bucket).await;
    assert_eq!(watch.initial().await.len(), 1);
    (bucket, direct, watch)
}

/// An open watch waits for the way, and tells all that was written meanwhile, once and in order.
async fn a_watch_goes_on_when_the_way_is_back<A: Adapter>(site: Site<A>) {
    let domains = site.own_domains();
    let (_, direct, mut watch) = watched_from_the_leaf(&site, &domains).await;
    for _ in 0..2 {
        domains.part();
        let mut last = direct.put("a", "1").await.unwrap();
        for value in ["2", "3"] {
            last = direct.put("a", value).await.unwrap();
        }
        watch.await_loss();
        domains.join();
        assert_eq!(watch.until(last).await.len(), 3);
    }
}

/// The watch outlives the server that the client is connected to, which has nothing of the bucket.
async fn a_watch_goes_on_when_the_leaf_is_back<A: Adapter>(site: Site<A>) {
    let domains = site.own_domains();
    let (bucket, direct, mut watch) = watched_from_the_leaf(&site, &domains).await;
    domains.restart_leaf();
    let first = direct.put("a", "1").await.unwrap();
    assert_eq!(watch.until(first).await.len(), 1);
    let second = bucket.update("a", "2", first).timeout(10 * SECOND).await;
    assert_eq!(watch.until(second.unwrap()).await.len(), 1);
}

/// A bucket that is deleted elsewhere answers no more, and the one of that name here never in its place.
async fn a_bucket_that_was_deleted_elsewhere_is_never_mistaken<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let name = unique("same");
    let here = site.connect(&domains.leaf().url()).await;
    let there = site.in_domain(domains.leaf(), "hub").await;
    let decoy = super::decoy(&here, &name).await;
    let bucket = there
        .create_bucket(BucketConfig::new(&*name))
        .await
        .unwrap();
    there.delete_bucket(&*name).await.unwrap();
    bucket.put("a", "1").timeout(SECOND).await.unwrap_err();
    bucket.get("a").timeout(SECOND).await.unwrap_err();
    let status = at_once(bucket.status()).await.unwrap_err();
    assert_eq!(status, BucketError::NotFound);
    super::is_untouched(&decoy).await;
}
