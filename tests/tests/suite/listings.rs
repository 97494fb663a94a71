//! Listings of buckets: names and statuses, over as many pages as there are.

use std::collections::BTreeSet;

use kv_proto::{BucketConfig, Source};
use kv_tests::Admin;
use serde_json::json;

use crate::site::{Adapter, Site, tests};

tests! {
    on_both_ends {
        a_server_without_buckets_lists_none
        listings_hold_every_bucket_once_and_nothing_else
        a_listing_can_be_left_at_any_place
    }
}

/// More than a page of names (1,024) and four of statuses (256).
const BUCKETS: usize = 1_040;
const MIRRORS: usize = 15;
const OTHERS: usize = 45;

/// An empty account lists nothing, and so does one with streams that are no buckets.
async fn a_server_without_buckets_lists_none<A: Adapter>(site: Site<A>) {
    let server = site.own_server().start();
    let client = site.connect(&server.url()).await;
    assert_eq!(client.bucket_names().collect().await, Ok(vec![]));
    assert_eq!(client.bucket_statuses().collect().await, Ok(vec![]));
    Admin::connect(&server).create_stream(&json!({"name": "ORDERS", "subjects": ["orders"]}));
    assert_eq!(client.bucket_names().collect().await, Ok(vec![]));
    assert_eq!(client.bucket_statuses().collect().await, Ok(vec![]));
}

/// On a server with 1,100 streams, among them mirrors of buckets and streams that are no buckets, both
/// listings hold every bucket exactly once, mirrors too, and need no more requests than there are pages.
async fn listings_hold_every_bucket_once_and_nothing_else<A: Adapter>(site: Site<A>) {
    let server = site.own_server().start();
    let mut admin = Admin::connect(&server);
    let mut wanted = BTreeSet::new();
    let mut create = |name: String, config: serde_json::Value| {
        let mut all = json!({
            "name": name, "storage": "memory", "max_msgs_per_subject": 1, "allow_direct": true,
        });
        all.as_object_mut()
            .unwrap()
            .extend(config.as_object().unwrap().clone());
        admin.create_stream(&all);
    };
    for number in 0..BUCKETS {
        let name = format!("b{number}");
        let subjects = json!({"subjects": [format!("$KV.{name}.>")]});
        create(format!("KV_{name}"), subjects);
        wanted.insert(name);
    }
    for number in 0..MIRRORS {
        let name = format!("mirror{number}");
        create(
            format!("KV_{name}"),
            json!({"mirror": {"name": "KV_b0"}, "mirror_direct": true}),
        );
        wanted.insert(name);
    }
    for number in 0..OTHERS {
        // Before, among and after the buckets in the order of the server.
        let prefix = ["A", "KV-", "Z"][number % 3];
        create(
            format!("{prefix}{number}"),
            json!({"subjects": [format!("other.{number}")]}),
        );
    }

    let client = site.connect(&server.url()).await;
    let asked = client.stats().frames_out;
    let names = client.bucket_names().collect().await.unwrap();
    assert_eq!(client.stats().frames_out - asked, 2);
    let listed: BTreeSet<_> = names.iter().map(ToString::to_string).collect();
    assert_eq!((names.len(), listed), (wanted.len(), wanted.clone()));

    let asked = client.stats().frames_out;
    let statuses = client.bucket_statuses().collect().await.unwrap();
    assert_eq!(client.stats().frames_out - asked, 5);
    let listed: BTreeSet<_> = statuses
        .iter()
        .map(|one| one.bucket().to_string())
        .collect();
    assert_eq!((statuses.len(), listed), (wanted.len(), wanted));
    let mirrors = statuses.iter().filter(|one| one.mirror().is_some());
    assert_eq!(mirrors.count(), MIRRORS);
}

/// Items come one by one; a listing that is dropped half-way leaves the client as it was, and a status
/// is that of its bucket.
async fn a_listing_can_be_left_at_any_place<A: Adapter>(site: Site<A>) {
    let server = site.own_server().start();
    let client = site.connect(&server.url()).await;
    for name in ["a", "b", "c"] {
        let config = BucketConfig::new(name).description(name);
        let bucket = client.create_bucket(config).await.unwrap();
        bucket.put("key", name).await.unwrap();
    }
    let mirror = BucketConfig::new("m").mirror(Source::bucket("a"));
    client.create_bucket(mirror).await.unwrap();

    for taken in 0..4 {
        let mut names = client.bucket_names();
        let mut statuses = client.bucket_statuses();
        for _ in 0..taken {
            names.next().await.unwrap().unwrap();
            let status = statuses.next().await.unwrap().unwrap();
            let bucket = client.bucket(status.bucket()).await.unwrap();
            let same = bucket.status().await.unwrap();
            assert_eq!(
                (status.config(), status.created()),
                (same.config(), same.created())
            );
            assert_eq!(
                (status.values(), status.bytes()),
                (same.values(), same.bytes())
            );
        }
    }
    let mut names = client.bucket_names();
    let mut listed = Vec::new();
    while let Some(name) = names.next().await {
        listed.push(name.unwrap().to_string());
    }
    listed.sort_unstable();
    assert_eq!(listed, ["a", "b", "c", "m"]);
    assert!(names.next().await.is_none());
}
