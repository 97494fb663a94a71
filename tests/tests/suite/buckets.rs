//! Buckets as a whole: created, opened, compared, deleted; and what a status says.

use kv_proto::{BucketConfig, BucketError, Outcome, ReadError, Storage};
use kv_tests::unique;
use serde_json::json;

use crate::site::{Adapter, SECOND, Site, all, begin, stream, tests};

tests! {
    on_both_ends {
        creating_the_same_bucket_again_opens_it
        creating_another_bucket_of_that_name_tells_the_differences
        a_bucket_that_another_client_made_otherwise_differs
        storage_cannot_be_changed
        racing_creates_of_one_bucket_all_get_it
        create_or_update_does_either
        a_missing_bucket_is_not_found
        a_stream_that_is_no_bucket_is_left_alone
        a_deleted_bucket_is_gone
        a_bucket_made_again_is_another_one
        a_status_is_fresh
    }
}

/// The very same configuration opens the bucket, whoever made it, with all that is in it.
async fn creating_the_same_bucket_again_opens_it<A: Adapter>(site: Site<A>) {
    let config = BucketConfig::new(unique("same"))
        .history(3)
        .ttl(60 * SECOND);
    let (one, two) = (site.client().await, site.client().await);
    let bucket = one.create_bucket(config.clone()).await.unwrap();
    bucket.put("a", "1").await.unwrap();
    for client in [&one, &two] {
        let same = client.create_bucket(config.clone()).await.unwrap();
        assert_eq!(same.created(), bucket.created());
        assert_eq!(same.binding(), bucket.binding());
        assert_eq!(same.get("a").await.unwrap().unwrap(), "1");
    }
}

/// Another configuration is refused with the list of what differs, wanted and existing, and nothing is
/// changed.
async fn creating_another_bucket_of_that_name_tells_the_differences<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let name = unique("other");
    let existing = BucketConfig::new(&name).history(5).description("five");
    let bucket = client.create_bucket(existing.clone()).await.unwrap();
    let wanted = BucketConfig::new(&name)
        .history(6)
        .storage(Storage::Memory)
        .max_value_size(1_000);
    let refused = client.create_bucket(wanted).await.unwrap_err();
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    assert!(refused.to_string().contains("another configuration"));
    let BucketError::Exists { differences } = refused else {
        panic!("{refused:?}");
    };
    let mut fields: Vec<_> = differences.iter().map(|one| one.field).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["description", "history", "max_value_size", "storage"]
    );
    let history = differences
        .iter()
        .find(|one| one.field == "history")
        .unwrap();
    assert_eq!((&*history.wanted, &*history.existing), ("6", "5"));
    assert_eq!(bucket.status().await.unwrap().config(), &existing);
}

/// A bucket that another client made without what ADR-8 asks for (nats.js leaves `deny_delete` off) is
/// no equal of ours; the difference is named, and opening it works.
async fn a_bucket_that_another_client_made_otherwise_differs<A: Adapter>(site: Site<A>) {
    let name = unique("foreign");
    site.admin().create_stream(&json!({
        "name": format!("KV_{name}"), "subjects": [format!("$KV.{name}.>")],
        "max_msgs_per_subject": 1, "discard": "new", "allow_rollup_hdrs": true,
        "allow_direct": true, "deny_delete": false,
    }));
    let client = site.client().await;
    let refused = client.create_bucket(BucketConfig::new(&name)).await;
    let Err(BucketError::Exists { differences }) = refused else {
        panic!("{refused:?}");
    };
    let fields: Vec<_> = differences.iter().map(|one| one.field).collect();
    assert_eq!(fields, ["deny_delete"]);
    let bucket = client.bucket(&name).await.unwrap();
    bucket.put("a", "1").await.unwrap();
}

/// The server refuses to change where a bucket is stored: its own words, and nothing has changed.
async fn storage_cannot_be_changed<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let config = BucketConfig::new(bucket.name()).storage(Storage::Memory);
    let refused = bucket.client().update_bucket(config).await.unwrap_err();
    assert!(matches!(refused, BucketError::Server(_)), "{refused:?}");
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    let status = bucket.status().await.unwrap();
    assert_eq!(status.storage(), Storage::File);
}

/// Eight clients that create the same bucket at once all get the same one.
async fn racing_creates_of_one_bucket_all_get_it<A: Adapter>(site: Site<A>) {
    let config = BucketConfig::new(unique("race")).history(2);
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(site.client().await);
    }
    let creating: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(at, client)| match at % 2 {
            0 => client.create_bucket(config.clone()),
            _ => client.create_or_update_bucket(config.clone()),
        })
        .map(|request| A::spawn(request.into_future()))
        .collect();
    let mut created: Vec<_> = all(creating)
        .await
        .into_iter()
        .map(|bucket| bucket.unwrap().created())
        .collect();
    created.dedup();
    assert_eq!(created.len(), 1);
}

/// The first call creates, the second changes, both open.
async fn create_or_update_does_either<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let config = BucketConfig::new(unique("either"));
    let first = client
        .create_or_update_bucket(config.clone())
        .await
        .unwrap();
    first.put("a", "1").await.unwrap();
    let changed = config.history(9);
    let second = client
        .create_or_update_bucket(changed.clone())
        .await
        .unwrap();
    assert_eq!(second.created(), first.created());
    assert_eq!(second.get("a").await.unwrap().unwrap(), "1");
    assert_eq!(first.status().await.unwrap().config(), &changed);
}

/// To open, update and delete a bucket that does not exist is `NotFound`.
async fn a_missing_bucket_is_not_found<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let name = unique("missing");
    let config = BucketConfig::new(&name);
    let results = [
        client.bucket(&name).await.map(drop),
        client.update_bucket(config).await.map(drop),
        client.delete_bucket(&name).await,
    ];
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(
            (error.outcome(), error),
            (Outcome::NotApplied, BucketError::NotFound)
        );
    }
}

/// A stream that has a bucket's name and keeps any number of messages of a subject is no bucket: it
/// is neither opened, nor changed.
async fn a_stream_that_is_no_bucket_is_left_alone<A: Adapter>(site: Site<A>) {
    let mut admin = site.admin();
    let client = site.client().await;
    let name = unique("nobucket");
    let stream = format!("KV_{name}");
    admin.create_stream(&json!({"name": stream, "subjects": [format!("$KV.{name}.>")]}));
    let before = admin.stream_info(&stream)["config"].clone();
    let config = BucketConfig::new(&name);
    for result in [
        client.bucket(&name).await,
        client.update_bucket(config.clone()).await,
        client.create_or_update_bucket(config.clone()).await,
    ] {
        assert_eq!(result.unwrap_err(), BucketError::NotABucket);
    }
    let refused = client.create_bucket(config).await.unwrap_err();
    assert!(
        matches!(
            refused,
            BucketError::Exists { .. } | BucketError::NotABucket
        ),
        "{refused:?}"
    );
    assert_eq!(admin.stream_info(&stream)["config"], before);
}

/// After a delete the stream is gone, and so is all that was in it.
async fn a_deleted_bucket_is_gone<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let client = bucket.client();
    bucket.put("a", "1").await.unwrap();
    client.delete_bucket(bucket.name()).await.unwrap();
    let answer = site
        .admin()
        .request(&format!("$JS.API.STREAM.INFO.{}", stream(&bucket)), b"");
    assert_eq!(answer["error"]["err_code"], 10_059);
    let again = client.delete_bucket(bucket.name()).await;
    assert_eq!(again, Err(BucketError::NotFound));
    assert_eq!(bucket.get("a").await, Err(ReadError::BucketNotFound));
}

/// A bucket that is deleted and made again starts at revision 1 and is told apart by its time; a handle
/// of the former one works on the new one, and takes its lower revisions for what they are.
async fn a_bucket_made_again_is_another_one<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let client = bucket.client();
    let puts: Vec<_> = (0..50).map(|_| begin(bucket.put("a", "old"))).collect();
    assert!(all(puts).await.iter().all(Result::is_ok));
    site.admin().delete_stream(&stream(&bucket));
    let config = BucketConfig::new(bucket.name());
    let new = client.create_bucket(config).await.unwrap();
    assert!(new.created() > bucket.created());
    assert_ne!(new.binding(), bucket.binding());
    assert_eq!(bucket.get("a").await, Ok(None));
    for number in 1..=10 {
        let revision = bucket.put("a", "new").await.unwrap();
        assert_eq!(revision.get(), number);
    }
    assert_eq!(new.get("a").await.unwrap().unwrap(), "new");
}

/// A status is asked for anew each time: it counts each write, another client's too.
async fn a_status_is_fresh<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(2)).await;
    let other = site.client().await.bucket(bucket.name()).await.unwrap();
    let empty = bucket.status().await.unwrap();
    assert_eq!((empty.keys(), empty.values(), empty.bytes()), (0, 0, 0));
    assert_eq!((empty.first_revision(), empty.last_revision()), (0, 0));
    assert_eq!(empty.created(), bucket.created());

    let rows = [("a", (1, 1)), ("a", (1, 2)), ("a", (1, 2)), ("b", (2, 3))];
    let mut bytes = 0;
    for (row, (key, counts)) in (1..).zip(rows) {
        let revision = other.put(key, "value").await.unwrap();
        let status = bucket.status().await.unwrap();
        assert_eq!((status.keys(), status.values()), counts, "row {row}");
        assert_eq!(status.last_revision(), revision.get());
        assert_eq!(status.last_revision(), row);
        assert!(status.bytes() >= bytes && status.bytes() > 0);
        bytes = status.bytes();
        let entry = bucket.entry(key).await.unwrap().unwrap();
        assert_eq!(status.last_write(), Some(entry.created));
    }
    assert_eq!(bucket.status().await.unwrap().first_revision(), 2);
    bucket.purge("a").await.unwrap();
    let status = bucket.status().await.unwrap();
    assert_eq!((status.keys(), status.values()), (2, 2));
}
