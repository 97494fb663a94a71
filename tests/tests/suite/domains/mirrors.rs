//! Mirrors and copies of buckets elsewhere.

use std::time::{Duration, Instant};

use kv_proto::driver::{Bucket, Client};
use kv_proto::{
    BucketConfig, BucketError, Cause, External, Operation, Revision, Source, WatchError, WriteError,
};
use kv_tests::{Admin, Domains, IMPORTED_API, IMPORTED_INBOX, unique};
use serde_json::json;

use super::{admin_of, as_user, decoy, imported, is_untouched};
use crate::site::{Adapter, SECOND, Site, at_once, tests};
use crate::watch::{read, told};

tests! {
    on_both_ends {
        a_mirror_is_read_here_and_written_there
        a_mirror_may_have_the_name_of_its_origin
        a_mirror_answers_for_no_bucket_of_its_origins_name
        what_mirrors_of_other_clients_answer_is_not_believed
        a_mirror_is_read_while_its_origin_is_out_of_reach
        a_mirror_in_another_domain_is_written_where_its_origin_is
        a_mirror_of_an_imported_bucket_is_written_there
        what_a_mirror_elsewhere_calls_its_origin_may_mean_nothing_here
        a_copy_takes_from_the_domain_and_is_written_here
    }
}

/// The origin in the hub, as seen from the hub.
async fn origin<A: Adapter>(site: &Site<A>, domains: &Domains, name: &str) -> Bucket {
    let hub = site.connect(&domains.hub().url()).await;
    let config = BucketConfig::new(name).history(5);
    hub.create_bucket(config).await.unwrap()
}

async fn mirror_of(client: &Client, name: &str, source: Source) -> Bucket {
    let config = BucketConfig::new(name).history(5).mirror(source);
    client.create_bucket(config).await.unwrap()
}

/// Waits until the newest revision that a bucket holds is this one.
async fn caught_up(bucket: &Bucket, last: Revision) {
    let began = Instant::now();
    while bucket.status().await.unwrap().last_revision() < last.get() {
        assert!(began.elapsed() < 40 * SECOND, "{bucket:?} is not at {last}");
        bucket.client().sleep(SECOND / 50).await;
    }
}

/// Reads and writes through a mirror of `origin`, which is empty.
async fn through(mirror: &Bucket, origin: &Bucket) {
    let mut watch = read(mirror.watch(">"), mirror).await;
    watch.initial().await;
    let first = mirror.put("a", "1").await.unwrap();
    let second = mirror.update("a", "2", first).await.unwrap();
    let lost = WriteError::Conflict {
        expected: first,
        current: Some(second),
    };
    assert_eq!(mirror.update("a", "x", first).await, Err(lost));
    let exists = WriteError::Exists { revision: second };
    assert_eq!(mirror.create("a", "x").await, Err(exists));
    mirror.create("b", "1").await.unwrap();
    mirror.delete("b").await.unwrap();
    mirror.create("b", "2").await.unwrap(); // over a tombstone, which the origin's leader knows
    let last = mirror.delete("b").await.unwrap();
    assert_eq!(last.get(), 6);
    assert_eq!(origin.get("a").await.unwrap().unwrap(), "2");
    assert_eq!(origin.status().await.unwrap().last_revision(), 6);

    let seen = watch.until(last).await;
    let all = [
        "1 a=1",
        "2 a=2",
        "3 b=1",
        "4 b Delete",
        "5 b=2",
        "6 b Delete",
    ];
    assert_eq!(told(&seen), all);
    assert_eq!(mirror.get("a").await.unwrap().unwrap(), "2");
    let old = mirror.entry("a").revision(first).await.unwrap().unwrap();
    assert_eq!((&*old.value, &old.bucket), (&b"1"[..], mirror.name()));
    let keys = mirror.keys().collect().await.unwrap();
    assert_eq!(keys.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["a"]);
    assert_eq!(mirror.history("b").collect().await.unwrap().len(), 4);

    let older = mirror.purge_deletes().older_than(Duration::ZERO);
    let removed = older.await.unwrap();
    assert_eq!((removed.tombstones, removed.revisions), (1, 4));
    assert_eq!(mirror.erase("a").await, Ok(2));
    assert_eq!(origin.status().await.unwrap().values(), 0);
    assert_eq!(mirror.status().await.unwrap().values(), 6);
}

/// A bucket of the origin's name here, which no write through the mirror may reach.
async fn a_mirror_is_read_here_and_written_there<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let name = unique("same");
    let here = site.connect(&domains.leaf().url()).await;
    let decoy = decoy(&here, &name).await;
    let origin = origin(&site, domains, &name).await;
    let source = Source::bucket(&*name).domain("hub");
    let mirror = mirror_of(&here, &unique("mirror"), source).await;
    assert_eq!(mirror.status().await.unwrap().domain(), Some("leaf"));
    through(&mirror, &origin).await;
    is_untouched(&decoy).await;
}

async fn a_mirror_may_have_the_name_of_its_origin<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let name = unique("same");
    let here = site.connect(&domains.leaf().url()).await;
    let origin = origin(&site, domains, &name).await;
    let mirror = mirror_of(&here, &name, Source::bucket(&*name).domain("hub")).await;
    through(&mirror, &origin).await;
}

/// Servers let a mirror answer direct reads for its origin, and go by its name alone: a mirror of another
/// domain's bucket would answer for the one of that name here.
async fn a_mirror_answers_for_no_bucket_of_its_origins_name<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let name = unique("same");
    let here = site.connect(&domains.leaf().url()).await;
    let decoy = decoy(&here, &name).await;
    let origin = origin(&site, domains, &name).await;
    let last = origin.put("a", "origin").await.unwrap();
    let source = Source::bucket(&*name).domain("hub");
    let mirror = mirror_of(&here, &unique("mirror"), source).await;
    caught_up(&mirror, last).await;
    let elsewhere = site.in_domain(domains.hub(), "leaf").await;
    let elsewhere = elsewhere.bucket(&*name).await.unwrap();
    for _ in 0..20 {
        assert_eq!(decoy.get("a").await.unwrap().unwrap(), "decoy");
        assert_eq!(elsewhere.get("a").await.unwrap().unwrap(), "decoy");
        assert_eq!(origin.get("a").await.unwrap().unwrap(), "origin");
        assert_eq!(mirror.get("a").await.unwrap().unwrap(), "origin");
    }
}

/// Other clients make mirrors that do so all the same. Nothing that they answer is taken for this bucket's: not a
/// value, not an old revision, and once one was noticed, not that there is none.
async fn what_mirrors_of_other_clients_answer_is_not_believed<A: Adapter>(site: Site<A>) {
    let domains = site.own_domains();
    let here = site.connect(&domains.leaf().url()).await;
    let decoy = decoy(&here, "same").await;
    let origin = origin(&site, &domains, "same").await;
    for key in ["a", "z", "c"] {
        origin.put(key, "origin").await.unwrap();
    }
    let last = origin.put("a", "origin").await.unwrap();
    Admin::connect(domains.leaf()).create_stream(&json!({
        "name": "KV_mirror", "max_msgs_per_subject": 5, "allow_direct": true, "mirror_direct": true,
        "mirror": {"name": "KV_same", "external": {"api": "$JS.hub.API"}},
    }));
    let mirror = here.bucket("mirror").await.unwrap();
    caught_up(&mirror, last).await;
    let elsewhere = site.in_domain(domains.hub(), "leaf").await;
    let elsewhere = elsewhere.bucket("same").await.unwrap();
    let another = site.connect(&domains.leaf().url()).await;
    let another = another.bucket("same").await.unwrap();
    for _ in 0..40 {
        for bucket in [&decoy, &elsewhere] {
            assert_eq!(bucket.get("a").await.unwrap().unwrap(), "decoy");
        }
        let old = another.entry("c").revision(Revision::new(3)).await;
        assert_eq!(&*old.unwrap().unwrap().value, b"decoy");
        assert_eq!(mirror.get("a").await.unwrap().unwrap(), "origin");
    }
    for bucket in [&decoy, &elsewhere, &another] {
        assert!(bucket.client().stats().foreign_replies > 0);
        for _ in 0..20 {
            assert_eq!(bucket.get("b").await.unwrap().unwrap(), "decoy");
            assert_eq!(bucket.get("z").await, Ok(None));
        }
    }
    is_untouched(&decoy).await;
}

/// Without its origin a mirror is read, listed and watched as ever; writes are refused at once, and had no
/// effect.
async fn a_mirror_is_read_while_its_origin_is_out_of_reach<A: Adapter>(site: Site<A>) {
    let domains = site.own_domains();
    let here = site.connect(&domains.leaf().url()).await;
    let origin = origin(&site, &domains, "b").await;
    let mirror = mirror_of(&here, "m", Source::bucket("b").domain("hub")).await;
    let first = mirror.put("a", "1").await.unwrap();
    let last = mirror.delete("gone").await.unwrap();
    caught_up(&mirror, last).await;
    domains.part();

    assert_eq!(mirror.get("a").await.unwrap().unwrap(), "1");
    let entry = mirror.entry("a").leader().await.unwrap().unwrap();
    assert_eq!(entry.revision, first);
    assert_eq!(mirror.keys().collect().await.unwrap().len(), 1);
    let mut watch = read(mirror.watch(">"), &mirror).await;
    assert_eq!(watch.initial().await.len(), 2);
    let reopened = here.bucket("m").await.unwrap();
    assert_eq!(reopened.get("a").await.unwrap().unwrap(), "1");

    let api = "$JS.hub.API".to_owned();
    let unreachable = || Cause::Unreachable { api: api.clone() };
    let refused = || Err(WriteError::NotApplied(unreachable()));
    assert_eq!(at_once(mirror.put("a", "2")).await, refused());
    assert_eq!(at_once(mirror.update("a", "2", first)).await, refused());
    assert_eq!(at_once(mirror.create("c", "2")).await, refused());
    assert_eq!(at_once(mirror.delete("a")).await, refused());
    let erased = at_once(mirror.erase("a")).await;
    assert_eq!(erased, Err(BucketError::Unreachable { api: api.clone() }));
    let older = mirror.purge_deletes().older_than(Duration::ZERO);
    let swept = at_once(older).await.map(|_| ());
    assert_eq!(swept, Err(WatchError::Unreachable { api }));

    domains.join();
    assert_eq!(origin.status().await.unwrap().last_revision(), last.get());
    let next = mirror.update("a", "2", first).await.unwrap();
    caught_up(&mirror, next).await;
    assert_eq!(watch.entry().await.revision, next);
    assert_eq!(origin.get("a").await.unwrap().unwrap(), "2");
}

/// The client is on the leaf and works in the hub, where a mirror of a bucket of the leaf is; and one of a
/// bucket beside it in the hub.
async fn a_mirror_in_another_domain_is_written_where_its_origin_is<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let here = site.connect(&domains.leaf().url()).await;
    let there = site.in_domain(domains.leaf(), "hub").await;
    let name = unique("same");
    let origin_here = here.create_bucket(BucketConfig::new(&*name).history(5));
    let origin_here = origin_here.await.unwrap();
    let origin_there = there.create_bucket(BucketConfig::new(&*name).history(5));
    let origin_there = origin_there.await.unwrap();
    let source = Source::bucket(&*name);
    let of_here = mirror_of(&there, &unique("m"), source.clone().domain("leaf")).await;
    through(&of_here, &origin_here).await;
    assert_eq!(origin_there.status().await.unwrap().last_revision(), 0);
    let of_there = mirror_of(&there, &unique("m"), source).await;
    through(&of_there, &origin_there).await;
    assert_eq!(origin_here.status().await.unwrap().last_revision(), 6);
}

async fn a_mirror_of_an_imported_bucket_is_written_there<A: Adapter>(site: Site<A>) {
    let server = site.accounts(true);
    let acme = site.connect_with(as_user(&server, "acme")).await;
    let app = site.connect_with(as_user(&server, "app")).await;
    let origin = acme.create_bucket(BucketConfig::new("same").history(5));
    let origin = origin.await.unwrap();
    let decoy = decoy(&app, "same").await;
    let way = External::new(IMPORTED_API).deliver(IMPORTED_INBOX);
    let source = Source::bucket("same").external(way);
    let mirror = mirror_of(&app, "mirror", source).await;
    through(&mirror, &origin).await;
    is_untouched(&decoy).await;
}

/// A mirror in the imported account names its origin in terms of that account, which mean nothing in ours: it is
/// read, and nothing is written anywhere.
async fn what_a_mirror_elsewhere_calls_its_origin_may_mean_nothing_here<A: Adapter>(site: Site<A>) {
    let server = site.accounts(true);
    let app = site.connect_with(as_user(&server, "app")).await;
    let decoy = decoy(&app, "same").await;
    let mut admin = admin_of(&server, "acme");
    admin.create_stream(&json!({
        "name": "KV_mirror", "max_msgs_per_subject": 1, "allow_direct": true,
        "mirror": {"name": "KV_same", "external": {"api": "$JS.hub.API"}},
    }));
    let there = site.connect_with(imported(&server)).await;
    let mirror = there.bucket("mirror").await.unwrap();
    assert_eq!(mirror.get("a").await, Ok(None));
    let api = "$JS.hub.API".to_owned();
    let refused = WriteError::NotApplied(Cause::Unreachable { api: api.clone() });
    assert_eq!(at_once(mirror.put("a", "1")).await, Err(refused));
    let erased = at_once(mirror.erase("a")).await;
    assert_eq!(erased, Err(BucketError::Unreachable { api }));
    is_untouched(&decoy).await;
}

/// A copy has revisions of its own, and its writes stay with it.
async fn a_copy_takes_from_the_domain_and_is_written_here<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let name = unique("same");
    let here = site.connect(&domains.leaf().url()).await;
    let decoy = decoy(&here, &name).await;
    let origin = origin(&site, domains, &name).await;
    origin.put("eu.a", "1").await.unwrap();
    let config = BucketConfig::new(unique("copy")).source(Source::bucket(&*name).domain("hub"));
    let copy = here.create_bucket(config.clone()).await.unwrap();
    caught_up(&copy, Revision::new(1)).await;
    assert_eq!(copy.get("eu.a").await.unwrap().unwrap(), "1");
    assert_eq!(copy.put("own", "1").await.unwrap().get(), 2);
    assert_eq!(origin.get("own").await, Ok(None));
    origin.delete("eu.a").await.unwrap();
    caught_up(&copy, Revision::new(3)).await;
    let tombstone = copy.entry("eu.a").await.unwrap().unwrap();
    assert_eq!(tombstone.operation, Operation::Delete);
    assert_eq!(copy.status().await.unwrap().config(), &config);
    assert_eq!(copy.erase("own").await, Ok(1));
    is_untouched(&decoy).await;
}
