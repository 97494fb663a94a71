//! What a bucket is configured to be: every option as the server stores and echoes it.

use std::time::Duration;

use kv_proto::{BucketConfig, BucketError, InvalidConfig, Outcome, Placement, Republish};
use kv_proto::{InvalidBucketName, Source, Storage};
use kv_tests::{Admin, unique};
use serde_json::{Value, json};

use crate::site::{Adapter, SECOND, Site, at_once, stream, tests};

tests! {
    on_both_ends {
        every_option_is_stored_and_echoed
        a_plain_bucket_is_what_adr_8_says
        an_update_changes_every_option_that_may_change
        an_update_keeps_what_this_client_does_not_know
        an_update_of_one_option_leaves_the_others
        limit_markers_need_a_server_that_has_them
        an_invalid_configuration_is_refused_before_anything_is_sent
        what_the_server_refuses_is_told_in_its_words
    }
}

/// A configuration in which every option that a lone server has differs from its default.
fn full(name: &str, markers: bool) -> BucketConfig {
    let republish = Republish::new(format!("$KV.{name}.>"), format!("changes.{name}.>"));
    let config = BucketConfig::new(name)
        .description("all of it, \"quoted\" & \u{2028} more")
        .history(7)
        .ttl(Duration::from_secs(3_600))
        .max_value_size(100_000)
        .max_bytes(10_000_000)
        .storage(Storage::Memory)
        .replicas(1)
        .republish(republish.headers_only(true))
        .compression(true)
        .metadata("owner", "tests")
        .metadata("empty", "");
    if markers {
        config.limit_markers(90 * SECOND)
    } else {
        config
    }
}

fn raw(admin: &mut Admin, name: &str) -> Value {
    admin.stream_info(&format!("KV_{name}"))["config"].clone()
}

/// A bucket with every option is created as asked: the status says so, to this client and to another
/// one, and so does the stream.
async fn every_option_is_stored_and_echoed<A: Adapter>(site: Site<A>) {
    let name = unique("full");
    let config = full(&name, site.expires_values());
    let client = site.client().await;
    let bucket = client.create_bucket(config.clone()).await.unwrap();
    let status = bucket.status().await.unwrap();
    assert_eq!(status.config(), &config);
    assert_eq!(status.bucket(), bucket.name());
    assert_eq!(status.stream(), stream(&bucket));
    assert_eq!((status.history(), status.ttl()), (7, Some(3_600 * SECOND)));
    assert_eq!(
        (status.storage(), status.is_compressed()),
        (Storage::Memory, true)
    );
    assert_eq!(status.allows_ttl(), site.expires_values());
    assert!(status.allows_direct_reads());
    let other = site.client().await.bucket(&name).await.unwrap();
    assert_eq!(other.status().await.unwrap(), status);

    let stream = raw(&mut site.admin(), &name);
    for (field, value) in [
        (
            "description",
            json!("all of it, \"quoted\" & \u{2028} more"),
        ),
        ("subjects", json!([format!("$KV.{name}.>")])),
        ("max_msgs_per_subject", json!(7)),
        ("max_age", json!(3_600_000_000_000_u64)),
        ("duplicate_window", json!(120_000_000_000_u64)),
        ("max_msg_size", json!(100_000)),
        ("max_bytes", json!(10_000_000)),
        ("storage", json!("memory")),
        ("compression", json!("s2")),
    ] {
        assert_eq!(stream[field], value, "{field}");
    }
    assert_eq!(stream["metadata"]["owner"], "tests");
    assert_eq!(stream["republish"]["headers_only"], true);
}

/// What is not asked for is as ADR-8 wants it.
async fn a_plain_bucket_is_what_adr_8_says<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let status = bucket.status().await.unwrap();
    assert_eq!(status.config(), &BucketConfig::new(bucket.name()));
    let stream = raw(&mut site.admin(), bucket.name());
    for (field, value) in [
        ("subjects", json!([format!("$KV.{}.>", bucket.name())])),
        ("retention", json!("limits")),
        ("discard", json!("new")),
        ("storage", json!("file")),
        ("max_msgs_per_subject", json!(1)),
        ("max_msgs", json!(-1)),
        ("max_bytes", json!(-1)),
        ("max_msg_size", json!(-1)),
        ("max_consumers", json!(-1)),
        ("max_age", json!(0)),
        ("duplicate_window", json!(120_000_000_000_u64)),
        ("num_replicas", json!(1)),
        ("allow_rollup_hdrs", json!(true)),
        ("deny_delete", json!(true)),
        ("deny_purge", json!(false)),
        ("allow_direct", json!(true)),
    ] {
        assert_eq!(stream[field], value, "{field}");
    }
}

/// From the defaults to the full set of options and back, all but the storage.
async fn an_update_changes_every_option_that_may_change<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let client = bucket.client();
    bucket.put("a", "1").await.unwrap();
    let mut full = full(bucket.name(), site.expires_values());
    full.storage = Storage::File;
    let same = client.update_bucket(full.clone()).await.unwrap();
    assert_eq!(same.created(), bucket.created());
    assert_eq!(bucket.status().await.unwrap().config(), &full);
    assert_eq!(same.get("a").await.unwrap().unwrap(), "1");

    let plain = BucketConfig::new(bucket.name());
    client.update_bucket(plain.clone()).await.unwrap();
    assert_eq!(bucket.status().await.unwrap().config(), &plain);
}

/// A stream with settings that no [`BucketConfig`] expresses goes through an update unharmed: in what
/// the server stores, only the options asked for differ.
async fn an_update_keeps_what_this_client_does_not_know<A: Adapter>(site: Site<A>) {
    let name = unique("rich");
    let mut admin = site.admin();
    let mut config = json!({
        "name": format!("KV_{name}"), "subjects": [format!("$KV.{name}.>"), format!("more.{name}")],
        "max_msgs_per_subject": 3, "discard": "new", "allow_rollup_hdrs": true, "deny_delete": false,
        "allow_direct": true, "max_consumers": 9, "max_msgs": 1_000, "first_seq": 100,
        "duplicate_window": 30_000_000_000_u64, "metadata": {"a": "b", "c": "d"},
        "consumer_limits": {"inactive_threshold": 5_000_000_000_u64, "max_ack_pending": 17},
        "subject_transform": {"src": format!("more.{name}"), "dest": format!("$KV.{name}.more")},
    });
    if site.expires_values() {
        config["allow_atomic"] = json!(true);
        config["allow_msg_ttl"] = json!(true);
    }
    admin.create_stream(&config);
    let before = raw(&mut admin, &name);
    let client = site.client().await;
    let bucket = client.bucket(&name).await.unwrap();
    let status = bucket.status().await.unwrap();
    let update = status.config().clone().history(5).description("new");
    client.update_bucket(update).await.unwrap();

    let mut wanted = before.clone();
    wanted["max_msgs_per_subject"] = json!(5);
    wanted["description"] = json!("new");
    let after = raw(&mut admin, &name);
    assert_eq!(after, wanted);
    assert_ne!(after, before);
}

/// Starting from the status, one option is changed and the rest stays; so also by `create_or_update`.
async fn an_update_of_one_option_leaves_the_others<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let name = unique("one");
    let config = full(&name, site.expires_values());
    let bucket = client
        .create_or_update_bucket(config.clone())
        .await
        .unwrap();
    let created = bucket.created();
    let changed = config.description("changed").metadata("owner", "me");
    let bucket = client
        .create_or_update_bucket(changed.clone())
        .await
        .unwrap();
    assert_eq!(bucket.created(), created);
    assert_eq!(bucket.status().await.unwrap().config(), &changed);
    let lower = changed.clone().history(2);
    client.update_bucket(lower.clone()).await.unwrap();
    assert_eq!(bucket.status().await.unwrap().config(), &lower);
}

/// A server before 2.11 would drop limit markers without a word. It is told apart before anything is
/// created: the error names the version, and no stream is left behind, nor is one changed.
async fn limit_markers_need_a_server_that_has_them<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let name = unique("markers");
    let config = BucketConfig::new(&name).limit_markers(5 * SECOND);
    let results = [
        at_once(client.create_bucket(config.clone())).await,
        at_once(client.create_or_update_bucket(config.clone())).await,
    ];
    if site.expires_values() {
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let status = client.bucket(&name).await.unwrap().status().await.unwrap();
        assert_eq!(status.config(), &config);
        return;
    }
    let unsupported = BucketError::Unsupported {
        feature: "limit markers",
        needs: "2.11",
    };
    for result in results {
        assert_eq!(result.unwrap_err(), unsupported);
    }
    assert_eq!(
        client.bucket(&name).await.unwrap_err(),
        BucketError::NotFound
    );
    let plain = BucketConfig::new(&name);
    let bucket = client.create_bucket(plain.clone()).await.unwrap();
    let refused = client.update_bucket(config).await.unwrap_err();
    assert_eq!(
        (refused.outcome(), refused),
        (Outcome::NotApplied, unsupported)
    );
    assert_eq!(bucket.status().await.unwrap().config(), &plain);
}

/// A configuration that no server should be asked for is a typed error of create, update and both, and
/// not a byte is sent.
async fn an_invalid_configuration_is_refused_before_anything_is_sent<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let sent = client.stats().bytes_out;
    let plain = || BucketConfig::new("b");
    let short = SECOND / 2;
    let metadata_key = "_nats.x";
    let rows = [
        (
            BucketConfig::new(""),
            InvalidConfig::Name(InvalidBucketName::Empty),
        ),
        (
            BucketConfig::new("a.b"),
            InvalidConfig::Name(InvalidBucketName::Character { at: 1, byte: b'.' }),
        ),
        (plain().history(0), InvalidConfig::History { history: 0 }),
        (plain().history(65), InvalidConfig::History { history: 65 }),
        (plain().ttl(short), InvalidConfig::Ttl { ttl: short }),
        (
            plain().limit_markers(short),
            InvalidConfig::LimitMarkers { ttl: short },
        ),
        (
            plain().max_value_size(0),
            InvalidConfig::MaxValueSize { bytes: 0 },
        ),
        (plain().max_bytes(0), InvalidConfig::MaxBytes { bytes: 0 }),
        (plain().replicas(0), InvalidConfig::Replicas { replicas: 0 }),
        (plain().replicas(6), InvalidConfig::Replicas { replicas: 6 }),
        (
            plain().description("d".repeat(4_097)),
            InvalidConfig::Description { len: 4_097 },
        ),
        (
            plain().metadata(metadata_key, ""),
            InvalidConfig::ReservedMetadata {
                key: metadata_key.into(),
            },
        ),
        (
            plain().placement(Placement::default().tag("")),
            InvalidConfig::Placement,
        ),
        (
            plain().republish(Republish::new(">", "$KV.b.>")),
            InvalidConfig::RepublishCycle {
                dest: "$KV.b.>".into(),
            },
        ),
        (
            plain().mirror(Source::bucket("b")),
            InvalidConfig::SourceItself,
        ),
        (
            plain()
                .mirror(Source::bucket("c"))
                .source(Source::bucket("d")),
            InvalidConfig::MirrorWithSources,
        ),
    ];
    for (config, why) in rows {
        let refused = BucketError::InvalidConfig(why);
        for request in [
            client.create_bucket(config.clone()),
            client.update_bucket(config.clone()),
            client.create_or_update_bucket(config),
        ] {
            assert_eq!(request.await.unwrap_err(), refused);
        }
    }
    let too_long = "n".repeat(253);
    for name in ["", "a.b", "a b", "a\r\n", &*too_long] {
        let refused = client.bucket(name).await.unwrap_err();
        assert!(
            matches!(refused, BucketError::InvalidName(_)),
            "{refused:?}"
        );
        let refused = client.delete_bucket(name).await.unwrap_err();
        assert!(
            matches!(refused, BucketError::InvalidName(_)),
            "{refused:?}"
        );
    }
    assert_eq!(client.stats().bytes_out, sent);
}

/// Three replicas on a lone server are the server's to refuse: 10074, at once, and nothing is created.
async fn what_the_server_refuses_is_told_in_its_words<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let name = unique("replicas");
    let config = BucketConfig::new(&name).replicas(3);
    let refused = at_once(client.create_bucket(config)).await.unwrap_err();
    let BucketError::Server(error) = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.err_code(), Some(10_074));
    assert!(!error.description().is_empty());
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    assert_eq!(
        client.bucket(&name).await.unwrap_err(),
        BucketError::NotFound
    );
}
