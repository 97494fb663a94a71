//! Laws of the configuration: what is sent means what was asked for, what is
//! not known survives an update, and nonsense never leaves.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use proptest::collection::{btree_map, vec as many};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::js::stream::StreamInfo;
use crate::name::InvalidSubject;
use crate::time::Timestamp;

/// A stream with this configuration, as a server describes it.
fn stream(config: impl Into<Value>) -> StreamInfo {
    let info = json!({"config": config.into(), "created": "2026-11-23T19:10:38.78617913Z"});
    serde_json::from_value(info).expect("a stream")
}

/// The stream that a create makes.
fn created(config: &BucketConfig) -> StreamInfo {
    let body: Value = serde_json::from_slice(&config.to_create()).expect("JSON");
    stream(body)
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (1_000_000_000..=i64::MAX.unsigned_abs()).prop_map(Duration::from_nanos),
        (1_u64..1_000).prop_map(Duration::from_secs),
    ]
}

fn source_start() -> impl Strategy<Value = SourceStart> {
    prop_oneof![
        (1..=u64::MAX).prop_map(SourceStart::Sequence),
        (0..i64::MAX / 2).prop_map(|at| SourceStart::Time(Timestamp::from_unix_nanos(at))),
    ]
}

fn source() -> impl Strategy<Value = Source> {
    let external = option::of(prop_oneof![
        Just(External::new("$JS.hub.API")),
        Just(External::new("acc.API").deliver("acc.deliver")),
    ]);
    let keys = option::of(prop_oneof![
        Just("a.>".to_owned()),
        Just("*.b.*".to_owned()),
        "[a-z]{1,4}",
    ]);
    let own = prop_oneof![
        3 => Just(Vec::new()),
        1 => many(("[a-z]{1,4}", "[a-z]{1,4}"), 1..3),
    ];
    ("[A-D]", external, keys, option::of(source_start()), own).prop_map(
        |(bucket, external, keys, start, transforms)| {
            let mut source = Source::bucket(bucket);
            source.external = external;
            source.start = start;
            if transforms.is_empty() {
                keys.into_iter().fold(source, Source::keys)
            } else {
                let rename = |source: Source, (src, dest)| source.transform(src, dest);
                transforms.into_iter().fold(source, rename)
            }
        },
    )
}

fn origins() -> impl Strategy<Value = (Option<Source>, Vec<Source>)> {
    let distinct = |mut sources: Vec<Source>| {
        sources.dedup_by_key(|source| source.stream.clone());
        sources.truncate(2);
        let twice = sources.len() == 2 && sources[0].stream == sources[1].stream;
        sources.truncate(if twice { 1 } else { 2 });
        sources
    };
    prop_oneof![
        2 => Just((None, Vec::new())),
        1 => source().prop_map(|origin| (Some(origin), Vec::new())),
        2 => many(source(), 1..4).prop_map(move |sources| (None, distinct(sources))),
    ]
}

/// Any configuration that `validate` accepts.
pub(crate) fn valid_config() -> impl Strategy<Value = BucketConfig> {
    let texts = (
        "[a-zA-Z0-9_-]{2,12}",
        option::of("[ -~]{1,20}"),
        btree_map("[a-z]{1,5}", "[ -~]{0,8}", 0..3),
    );
    let numbers = (
        1_u32..=MAX_HISTORY,
        option::of(duration()),
        option::of(1..=i32::MAX.unsigned_abs()),
        option::of(1..=i64::MAX.unsigned_abs()),
        1_u8..=MAX_REPLICAS,
        option::of(duration()),
    );
    let placement = (option::of("[a-z]{1,5}"), many("[a-z]{1,5}", 0..3))
        .prop_map(|(cluster, tags)| Placement { cluster, tags })
        .prop_filter("empty", |placement| *placement != Placement::default());
    let paths = prop_oneof![
        Just((">", "out.>")),
        Just(("$KV.*.a.>", "out.{{wildcard(1)}}.>")),
    ];
    let republish = (paths, any::<bool>())
        .prop_map(|((src, dest), only)| Republish::new(src, dest).headers_only(only));
    let rest = (
        prop_oneof![Just(Storage::File), Just(Storage::Memory)],
        any::<bool>(),
        option::of(placement),
        option::of(republish),
        origins(),
    );
    (texts, numbers, rest).prop_map(|(texts, numbers, rest)| {
        let mut config = BucketConfig::new(&*texts.0);
        config.description = texts.1;
        config.metadata = texts.2;
        let (history, ttl, max_value_size, max_bytes, replicas, limit_markers) = numbers;
        (config.history, config.ttl, config.replicas) = (history, ttl, replicas);
        (config.max_value_size, config.max_bytes) = (max_value_size, max_bytes);
        (config.storage, config.compression) = (rest.0, rest.1);
        (config.placement, config.republish) = (rest.2, rest.3);
        (config.mirror, config.sources) = rest.4;
        config.limit_markers = limit_markers.filter(|_| config.mirror.is_none());
        config
    })
}

proptest! {
    /// What a create sends reads back as what was asked for.
    #[test]
    fn a_bucket_survives_the_round_trip(config in valid_config()) {
        prop_assert_eq!(config.validate(), Ok(()));
        let stream = created(&config);
        prop_assert_eq!(BucketConfig::from_stream(&stream.config), config.clone());
        prop_assert_eq!(config.differences(&stream), Vec::new());
    }

    /// An update turns any bucket into any other of the same name, and sends
    /// back what it does not know.
    #[test]
    fn an_update_reaches_its_goal_and_loses_nothing(
        old in valid_config(),
        new in valid_config(),
    ) {
        let mut new = new;
        new.name = old.name.clone();
        let mut existing = created(&old).config.raw;
        existing.insert("from_the_future".to_owned(), json!({"a": [1, u64::MAX]}));
        existing.insert("allow_atomic".to_owned(), json!(true));
        let metadata = existing.entry("metadata").or_insert_with(|| json!({}));
        metadata["_nats.level"] = json!("5");

        let raw = new.apply_to(&existing);
        let updated = stream(raw.clone());
        prop_assert_eq!(BucketConfig::from_stream(&updated.config), new.clone());
        prop_assert_eq!(new.option_differences(&updated), Vec::new());
        prop_assert_eq!(&raw["from_the_future"], &existing["from_the_future"]);
        prop_assert_eq!(&raw["allow_atomic"], &json!(true));
        prop_assert_eq!(&raw["metadata"]["_nats.level"], &json!("5"));
        let (window, max_age) = (updated.config.duplicate_window, updated.config.max_age);
        prop_assert!(window > 0 || old.mirror.is_some() || new.mirror.is_some());
        prop_assert!(max_age == 0 || window <= max_age);
        // Nothing to change: nothing changes.
        prop_assert_eq!(new.apply_to(&raw), raw);
    }

    /// Any stream reads as some bucket, and any text as some configuration,
    /// without a panic; comparing never fails either.
    #[test]
    fn reading_is_total(
        name in "(KV_)?[a-zA-Z.]{0,6}",
        numbers in many(any::<i64>(), 8),
        filter in "[$KV.a*>]{0,12}",
    ) {
        let map = json!({
            "name": name, "max_msgs_per_subject": numbers[0], "max_age": numbers[1],
            "max_msg_size": numbers[2], "max_bytes": numbers[3], "num_replicas": numbers[4],
            "duplicate_window": numbers[5], "subject_delete_marker_ttl": numbers[6],
            "sources": [{"name": name, "subject_transforms": [{"src": filter, "dest": filter}]}],
            "mirror": {"name": name, "filter_subject": filter}, "subjects": null,
        });
        let stream = stream(map);
        let config = BucketConfig::from_stream(&stream.config);
        let _ = (config.validate(), config.differences(&stream), config.to_create());
        prop_assert_eq!(config.apply_to(&stream.config.raw), stream.config.raw.clone());
        prop_assert_eq!(config.option_differences(&stream), Vec::new());
    }
}

#[test]
fn the_default_is_the_stream_of_adr_8() {
    let body = Value::Object(created(&BucketConfig::new("B")).config.raw);
    let expected = json!({
        "name": "KV_B", "subjects": ["$KV.B.>"], "retention": "limits", "discard": "new",
        "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0,
        "max_msgs_per_subject": 1, "max_msg_size": -1, "storage": "file", "num_replicas": 1,
        "duplicate_window": 120_000_000_000_i64, "compression": "none",
        "allow_rollup_hdrs": true, "deny_delete": true, "deny_purge": false,
        "allow_direct": true,
    });
    assert_eq!(body, expected);
}

#[test]
fn options_become_the_fields_of_adr_8() {
    let config = BucketConfig::new("B")
        .description("d")
        .ttl(Duration::from_secs(60))
        .limit_markers(Duration::from_millis(1_500))
        .placement(Placement::default().cluster("c").tag("t"))
        .republish(Republish::new("", "out.>").headers_only(true))
        .compression(true)
        .storage(Storage::Memory)
        .metadata("k", "v");
    let raw = created(&config).config.raw;
    let expected = json!({
        "description": "d", "max_age": 60_000_000_000_i64, "duplicate_window": 60_000_000_000_i64,
        "allow_msg_ttl": true, "subject_delete_marker_ttl": 1_500_000_000,
        "placement": {"cluster": "c", "tags": ["t"]},
        "republish": {"dest": "out.>", "headers_only": true},
        "compression": "s2", "storage": "memory", "metadata": {"k": "v"},
    });
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(raw.get(field), Some(value), "{field}");
    }
}

#[test]
fn a_mirror_has_no_subjects_and_a_copy_moves_its_keys() {
    let mirror = created(&BucketConfig::new("M").mirror(Source::bucket("B"))).config;
    assert_eq!(mirror.raw.get("subjects"), None);
    assert_eq!(mirror.raw["mirror_direct"], json!(true));
    let mirror =
        created(&BucketConfig::new("M").mirror(Source::bucket("B").keys("a.>").domain("hub")))
            .config;
    assert_eq!(mirror.raw.get("subjects"), None);
    assert_eq!(mirror.raw.get("mirror_direct"), None);
    assert_eq!(
        mirror.raw["mirror"],
        json!({
            "name": "KV_B", "filter_subject": "$KV.B.a.>",
            "external": {"api": "$JS.hub.API", "deliver": ""},
        })
    );

    let copies = [
        (Source::bucket("B"), "$KV.B.>", "$KV.C.>"),
        (Source::bucket("B").keys("a"), "$KV.B.a", "$KV.C.a"),
        (
            Source::bucket("B").keys("*.x.*.>"),
            "$KV.B.*.x.*.>",
            "$KV.C.{{wildcard(1)}}.x.{{wildcard(2)}}.>",
        ),
    ];
    for (source, src, dest) in copies {
        let stream = created(&BucketConfig::new("C").source(source)).config;
        assert_eq!(stream.raw["subjects"], json!(["$KV.C.>"]));
        assert_eq!(
            stream.raw["sources"],
            json!([{"name": "KV_B", "subject_transforms": [{"src": src, "dest": dest}]}])
        );
    }

    // Asked for by hand, it is the same bucket.
    let by_hand =
        BucketConfig::new("C").source(Source::bucket("B").transform("$KV.B.>", "$KV.C.>"));
    let plain = BucketConfig::new("C").source(Source::bucket("B"));
    assert_eq!(plain.differences(&created(&by_hand)), []);
    assert_eq!(by_hand.differences(&created(&plain)), []);
}

/// One row for each refusal.
#[test]
fn nonsense_is_refused_by_name() {
    let bucket = || BucketConfig::new("B");
    let millis = Duration::from_millis;
    let twice = Source::bucket("A").keys("x");
    let overflow = Duration::from_nanos(1 << 63);
    let rows = [
        (bucket().history(0), InvalidConfig::History { history: 0 }),
        (bucket().history(65), InvalidConfig::History { history: 65 }),
        (
            bucket().ttl(millis(999)),
            InvalidConfig::Ttl { ttl: millis(999) },
        ),
        (
            bucket().ttl(millis(0)),
            InvalidConfig::Ttl { ttl: millis(0) },
        ),
        (bucket().ttl(overflow), InvalidConfig::Ttl { ttl: overflow }),
        (
            bucket().limit_markers(millis(999)),
            InvalidConfig::LimitMarkers { ttl: millis(999) },
        ),
        (
            bucket().replicas(0),
            InvalidConfig::Replicas { replicas: 0 },
        ),
        (
            bucket().replicas(6),
            InvalidConfig::Replicas { replicas: 6 },
        ),
        (
            bucket().max_value_size(0),
            InvalidConfig::MaxValueSize { bytes: 0 },
        ),
        (
            bucket().max_value_size(1 << 31),
            InvalidConfig::MaxValueSize { bytes: 1 << 31 },
        ),
        (bucket().max_bytes(0), InvalidConfig::MaxBytes { bytes: 0 }),
        (
            bucket().max_bytes(1 << 63),
            InvalidConfig::MaxBytes { bytes: 1 << 63 },
        ),
        (
            bucket().description("d".repeat(4_097)),
            InvalidConfig::Description { len: 4_097 },
        ),
        (
            bucket().metadata("k", "v".repeat(130_816)),
            InvalidConfig::Metadata { len: 130_817 },
        ),
        (
            bucket().metadata("_nats.level", "9"),
            InvalidConfig::ReservedMetadata {
                key: "_nats.level".to_owned(),
            },
        ),
        (
            bucket().placement(Placement::default().tag("")),
            InvalidConfig::Placement,
        ),
        (
            bucket().placement(Placement::default().cluster("")),
            InvalidConfig::Placement,
        ),
        (
            bucket().republish(Republish::new("a..b", "x")),
            InvalidConfig::RepublishSource(InvalidSubject::EmptyToken { at: 2 }),
        ),
        (
            bucket().republish(Republish::new(">", "")),
            InvalidConfig::RepublishDestination(InvalidSubject::Empty),
        ),
        (
            bucket().republish(Republish::new("a.*", "b.*")),
            InvalidConfig::Mapping {
                src: "a.*".to_owned(),
                dest: "b.*".to_owned(),
            },
        ),
        (
            bucket().republish(Republish::new("", "b")),
            InvalidConfig::Mapping {
                src: ">".to_owned(),
                dest: "b".to_owned(),
            },
        ),
        (
            bucket().source(Source::bucket("A").transform("a", "b.>")),
            InvalidConfig::Mapping {
                src: "a".to_owned(),
                dest: "b.>".to_owned(),
            },
        ),
        (
            bucket().republish(Republish::new("x.*.>", "$KV.{{wildcard(1)}}.>")),
            InvalidConfig::RepublishCycle {
                dest: "$KV.{{wildcard(1)}}.>".to_owned(),
            },
        ),
        (
            bucket().republish(Republish::new(">", ">")),
            InvalidConfig::RepublishCycle {
                dest: ">".to_owned(),
            },
        ),
        (
            bucket()
                .mirror(Source::bucket("A"))
                .source(Source::bucket("C")),
            InvalidConfig::MirrorWithSources,
        ),
        (
            bucket()
                .mirror(Source::bucket("A"))
                .limit_markers(millis(1_000)),
            InvalidConfig::MirrorWithLimitMarkers,
        ),
        (
            bucket().mirror(Source::stream("ORDERS")),
            InvalidConfig::SourceName {
                stream: "ORDERS".to_owned(),
            },
        ),
        (
            bucket().source(Source::stream("a.b")),
            InvalidConfig::SourceName {
                stream: "a.b".to_owned(),
            },
        ),
        (
            bucket().mirror(Source::bucket("B")),
            InvalidConfig::SourceItself,
        ),
        (
            bucket().source(Source::bucket("B")),
            InvalidConfig::SourceItself,
        ),
        (
            bucket()
                .source(twice.clone())
                .source(twice.start(SourceStart::Sequence(5))),
            InvalidConfig::SourceTwice {
                stream: "KV_A".to_owned(),
            },
        ),
        (
            bucket().source(Source::bucket("A").keys("x y")),
            InvalidConfig::SourceSubject {
                stream: "KV_A".to_owned(),
                source: InvalidSubject::Character { at: 7, byte: b' ' },
            },
        ),
        (
            bucket().mirror(Source::bucket("A").domain("")),
            InvalidConfig::SourceSubject {
                stream: "KV_A".to_owned(),
                source: InvalidSubject::EmptyToken { at: 4 },
            },
        ),
        (
            bucket().source(Source::bucket("A").keys("x").transform("a", "b")),
            InvalidConfig::SourceFilter {
                stream: "KV_A".to_owned(),
            },
        ),
    ];
    for (config, error) in rows {
        let text = error.to_string();
        assert!(
            !text.starts_with(char::is_uppercase) && !text.ends_with('.'),
            "{text}"
        );
        assert_eq!(config.validate(), Err(error), "{config:?}");
    }
    let unnamed = BucketConfig::new("no.dots").history(0).validate();
    assert!(
        matches!(unnamed, Err(InvalidConfig::Name(_))),
        "{unnamed:?}"
    );
}

#[test]
fn the_limits_themselves_are_allowed() {
    let config = BucketConfig::new("B")
        .history(MAX_HISTORY)
        .replicas(MAX_REPLICAS)
        .ttl(Duration::from_secs(1))
        .limit_markers(Duration::from_secs(1))
        .max_bytes(i64::MAX.unsigned_abs())
        .max_value_size(i32::MAX.unsigned_abs())
        .description("d".repeat(4_096))
        .metadata("k", "v".repeat(130_815))
        .republish(Republish::new("$KV.B.*", "$KV.B2.{{ wildcard(1) }}"))
        .source(Source::bucket("B").domain("hub"));
    assert_eq!(config.validate(), Ok(()));
    assert_eq!(
        config
            .ttl(Duration::from_nanos(i64::MAX.unsigned_abs()))
            .validate(),
        Ok(())
    );
}

#[test]
fn only_limit_markers_need_more_than_2_10() {
    assert_eq!(
        BucketConfig::new("B").compression(true).required_level(),
        None
    );
    let markers = BucketConfig::new("B").limit_markers(Duration::from_secs(1));
    let required = markers.required_level().map(|it| (it.level, it.version));
    assert_eq!(required, Some((1, "2.11")));
}

/// A 2.10 server answers a create with markers as if nothing were wrong.
#[test]
fn an_option_that_the_server_dropped_shows() {
    let config = BucketConfig::new("B")
        .history(5)
        .limit_markers(Duration::from_secs(3));
    let mut echo = created(&config).config.raw;
    echo.remove("allow_msg_ttl");
    echo.remove("subject_delete_marker_ttl");
    echo.insert("max_msgs_per_subject".to_owned(), json!(1));
    echo.insert("deny_delete".to_owned(), json!(false));
    let echo = stream(echo);

    let shown = |differences: Vec<ConfigDifference>| -> Vec<String> {
        differences.iter().map(ToString::to_string).collect()
    };
    let options = ["history 5 != 1", "limit_markers 3s != none"];
    assert_eq!(shown(config.option_differences(&echo)), options);
    let all = [
        "history 5 != 1",
        "limit_markers 3s != none",
        "deny_delete true != false",
    ];
    assert_eq!(shown(config.differences(&echo)), all);
}

#[test]
fn the_window_of_message_ids_follows_the_age_unless_somebody_chose_it() {
    let seconds = |seconds: i64| seconds * 1_000_000_000;
    let rows = [
        // old age, old window, new age, new window
        (0, 120, 60, 60),
        (60, 60, 0, 120),
        (60, 60, 3_600, 120),
        (3_600, 120, 30, 30),
        (0, 44, 0, 44),
        (0, 44, 60, 44),
        (0, 44, 10, 10),
        (60, 44, 0, 44),
        (0, 600, 3_600, 600),
    ];
    for (old_age, old_window, new_age, new_window) in rows {
        let mut existing = created(&BucketConfig::new("B")).config.raw;
        existing.insert("max_age".to_owned(), json!(seconds(old_age)));
        existing.insert("duplicate_window".to_owned(), json!(seconds(old_window)));
        let mut wanted = BucketConfig::new("B");
        wanted.ttl = u64::try_from(new_age)
            .ok()
            .filter(|age| *age > 0)
            .map(Duration::from_secs);
        let map = wanted.apply_to(&existing);
        assert_eq!(map["max_age"], json!(seconds(new_age)));
        assert_eq!(
            map["duplicate_window"],
            json!(seconds(new_window)),
            "{old_age} {old_window} {new_age}"
        );
    }
}

/// A bucket of another client keeps its oddities when a single option changes.
#[test]
fn an_update_touches_only_what_differs() {
    let raw = json!({
        "name": "KV_B", "subjects": ["$KV.B.>", "extra"], "discard": "old", "allow_direct": false,
        "max_msgs_per_subject": 10, "duplicate_window": 0, "max_bytes": 0,
        "placement": {"preferred": "n1"}, "allow_msg_ttl": true,
        "metadata": {"_nats.ver": "2.15.1", "_natsy": "?", "team": "a"},
        "sources": [{"name": "KV_A", "unknown": 1}],
    });
    let existing = stream(raw.clone()).config;
    let wanted = BucketConfig::from_stream(&existing)
        .history(11)
        .metadata("x", "y");
    let mut expected = raw;
    expected["max_msgs_per_subject"] = json!(11);
    expected["metadata"]["x"] = json!("y");
    assert_eq!(Value::Object(wanted.apply_to(&existing.raw)), expected);
}

#[test]
fn names_come_in_every_form_and_an_invalid_one_waits() {
    let name = BucketName::new("B").expect("a name");
    let text = String::from("B");
    for config in [
        BucketConfig::new("B"),
        BucketConfig::new(String::from("B")),
        BucketConfig::new(&text),
        BucketConfig::new(&name),
        BucketConfig::new(name.clone()),
    ] {
        assert_eq!(config.name(), Ok(&name));
    }
    assert!(BucketConfig::new("").name().is_err());
    let orders = stream(json!({"name": "ORDERS"})).config;
    assert!(BucketConfig::from_stream(&orders).validate().is_err());
}
