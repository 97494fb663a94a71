//! The fields of a stream behind the options of a bucket, one by one.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::{Map, Value, json};

use super::validate::RESERVED_METADATA;
use super::{
    BucketConfig, External, Placement, Republish, Source, SourceStart, Storage, SubjectTransform,
};
use crate::js::stream::{PlacementFields, RepublishFields, SourceFields, TransformFields};
use crate::name::BucketName;

/// How long the server remembers message ids, unless the bucket forgets its
/// values earlier.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Writes the age, and the window of message ids that follows from it. A
/// window that somebody chose is kept as far as the new age allows. A mirror
/// stores nothing by itself and needs none: clusters drop it, and then answer
/// the same create with 10058 (seen on 2.10 to 2.15).
pub(super) fn write_ttl(config: &BucketConfig, _: &BucketName, map: &mut Map<String, Value>) {
    let read = |map: &Map<String, Value>, field| {
        let nanos = map.get(field).and_then(Value::as_i64);
        nanos.and_then(positive).map(Duration::from_nanos)
    };
    let usual =
        |ttl: Option<Duration>| ttl.map_or(DUPLICATE_WINDOW, |ttl| ttl.min(DUPLICATE_WINDOW));
    let old_ttl = read(map, "max_age");
    let chosen = read(map, "duplicate_window").filter(|window| *window != usual(old_ttl));
    let window = match (chosen, config.ttl) {
        (None, _) if config.mirror.is_some() => None,
        (None, ttl) => Some(usual(ttl)),
        (Some(window), None) => Some(window),
        (Some(window), Some(ttl)) => Some(window.min(ttl)),
    };
    put(map, "max_age", Some(config.ttl.map_or(0, nanoseconds)));
    put(map, "duplicate_window", window.map(nanoseconds));
}

/// Writes the labels; the server's own stay.
pub(super) fn write_metadata(config: &BucketConfig, _: &BucketName, map: &mut Map<String, Value>) {
    let mut metadata = match map.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        _ => Map::new(),
    };
    metadata.retain(|key, _| key.starts_with(RESERVED_METADATA));
    for (key, value) in &config.metadata {
        put(&mut metadata, key, Some(value.clone()));
    }
    put(
        map,
        "metadata",
        Some(metadata).filter(|metadata| !metadata.is_empty()),
    );
}

/// Writes the markers. The permission for single values to expire stays: no
/// server takes it back.
pub(super) fn write_limit_markers(
    config: &BucketConfig,
    _: &BucketName,
    map: &mut Map<String, Value>,
) {
    if config.limit_markers.is_some() {
        put(map, "allow_msg_ttl", Some(true));
    }
    put(
        map,
        "subject_delete_marker_ttl",
        config.limit_markers.map(nanoseconds),
    );
}

/// Writes the origin of a mirror. A mirror has no subjects of its own, and
/// answers reads for an origin beside it. It must not for one elsewhere: servers
/// would take it for a bucket here of the same name, and mix the two.
pub(super) fn write_mirror(config: &BucketConfig, name: &BucketName, map: &mut Map<String, Value>) {
    let mirror = config
        .mirror
        .as_ref()
        .map(|origin| source_value(origin, None));
    let subjects = vec![format!("$KV.{name}.>")];
    put(map, "subjects", mirror.is_none().then_some(subjects));
    let origin = config.mirror.as_ref();
    let beside = origin.is_some_and(|origin| origin.external.is_none());
    put(map, "mirror_direct", beside.then_some(true));
    put(map, "mirror", mirror);
}

/// Sets a field, or removes it.
pub(super) fn put(map: &mut Map<String, Value>, field: &str, value: Option<impl Into<Value>>) {
    match value {
        Some(value) => map.insert(field.to_owned(), value.into()),
        None => map.remove(field),
    };
}

pub(super) fn placement_value(placement: &Placement) -> Value {
    let mut map = Map::new();
    put(&mut map, "cluster", placement.cluster.clone());
    let tags = Some(placement.tags.clone()).filter(|tags| !tags.is_empty());
    put(&mut map, "tags", tags);
    Value::Object(map)
}

pub(super) fn republish_value(republish: &Republish) -> Value {
    let mut map = Map::new();
    let src = Some(republish.src.clone()).filter(|src| !src.is_empty());
    put(&mut map, "src", src);
    put(&mut map, "dest", Some(republish.dest.clone()));
    put(
        &mut map,
        "headers_only",
        republish.headers_only.then_some(true),
    );
    Value::Object(map)
}

/// Writes a source of the bucket `into`, or the origin of a mirror.
pub(super) fn source_value(source: &Source, into: Option<&BucketName>) -> Value {
    let moved = into
        .filter(|_| source.transforms.is_empty())
        .and_then(|into| source.default_transform(into));
    let mut map = Map::new();
    put(&mut map, "name", Some(source.stream.clone()));
    match source.start {
        Some(SourceStart::Sequence(start)) => put(&mut map, "opt_start_seq", Some(start)),
        Some(SourceStart::Time(start)) => put(&mut map, "opt_start_time", Some(start.to_string())),
        None => {}
    }
    // The renaming is the filter: servers refuse both.
    let filter = source.filter_subject.clone().filter(|_| moved.is_none());
    put(&mut map, "filter_subject", filter);
    let external = source.external.as_ref().map(|external| {
        let deliver = external.deliver.as_deref().unwrap_or_default();
        json!({"api": external.api, "deliver": deliver})
    });
    put(&mut map, "external", external);
    let transforms = source.transforms.iter().chain(&moved);
    let transforms: Vec<Value> = transforms
        .map(|transform| json!({"src": transform.src, "dest": transform.dest}))
        .collect();
    let transforms = Some(transforms).filter(|transforms| !transforms.is_empty());
    put(&mut map, "subject_transforms", transforms);
    Value::Object(map)
}

pub(super) fn read_source(source: &SourceFields) -> Source {
    let transform = |transform: &TransformFields| SubjectTransform {
        src: transform.src.clone(),
        dest: transform.dest.clone(),
    };
    Source {
        stream: source.name.clone(),
        external: source.external.as_ref().map(|external| External {
            api: external.api.clone(),
            deliver: some_text(&external.deliver),
        }),
        start: match (source.opt_start_seq, source.opt_start_time) {
            (0, time) => time.map(SourceStart::Time),
            (sequence, _) => Some(SourceStart::Sequence(sequence)),
        },
        filter_subject: some_text(&source.filter_subject),
        transforms: source.subject_transforms.iter().map(transform).collect(),
    }
}

pub(super) fn read_placement(placement: &PlacementFields) -> Placement {
    Placement {
        cluster: some_text(&placement.cluster),
        tags: placement.tags.clone(),
    }
}

pub(super) fn read_republish(republish: &RepublishFields) -> Republish {
    Republish {
        src: republish.src.clone(),
        dest: republish.dest.clone(),
        headers_only: republish.headers_only,
    }
}

pub(super) fn storage_name(storage: Storage) -> &'static str {
    match storage {
        Storage::File => "file",
        Storage::Memory => "memory",
    }
}

pub(super) fn compression_name(compression: bool) -> &'static str {
    if compression { "s2" } else { "none" }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads the server's zero and -1 as "without".
pub(super) fn positive(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value > 0)
}

pub(super) fn some_text(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}
