//! How a stream expresses the configuration of a bucket, both ways.
//!
//! [`OPTIONS`] is the map between the two: one row for each option says how it
//! is written and shown. A create writes all rows; an update writes only those
//! that differ from what exists, so that nothing is lost that this version does
//! not know; a comparison shows those that differ.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::fields::{
    compression_name, placement_value, positive, put, read_placement, read_republish, read_source,
    republish_value, signed, some_text, source_value, storage_name, write_limit_markers,
    write_metadata, write_mirror, write_ttl,
};
use super::source::stream_name;
use super::validate::RESERVED_METADATA;
use super::{BucketConfig, Storage};
use crate::js::stream::{StreamFields, StreamInfo};
use crate::name::BucketName;

/// An option in which a bucket differs from what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} {wanted} != {existing}")]
#[non_exhaustive]
pub struct ConfigDifference {
    /// The name of the option, or of the stream's field behind it.
    pub field: &'static str,
    /// What was asked for.
    pub wanted: String,
    /// What the bucket has.
    pub existing: String,
}

impl ConfigDifference {
    /// The bytes that it holds.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.wanted.len() + self.existing.len()
    }
}

/// What a server needs to support for a configuration to mean what it says. A
/// server that does not may drop the option without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// The feature, for humans.
    pub(crate) feature: &'static str,
    /// The lowest API level.
    pub(crate) level: u32,
    /// The first server version with that level.
    pub(crate) version: &'static str,
}

/// One option of a bucket: how it is compared, shown, and written into the
/// configuration of a stream. Writing replaces what is there.
struct Row {
    field: &'static str,
    same: fn(&BucketConfig, &BucketConfig) -> bool,
    show: fn(&BucketConfig) -> String,
    write: fn(&BucketConfig, &BucketName, &mut Map<String, Value>),
}

macro_rules! row {
    ($field:ident, $show:expr, $write:expr) => {
        Row {
            field: stringify!($field),
            same: |one, other| one.$field == other.$field,
            show: |config| $show(&config.$field),
            write: $write,
        }
    };
}

const OPTIONS: [Row; 14] = [
    row!(description, show_option, |config, _, map| {
        put(map, "description", config.description.clone())
    }),
    row!(history, show, |config, _, map| {
        put(map, "max_msgs_per_subject", Some(config.history))
    }),
    row!(ttl, show_option, write_ttl),
    row!(max_value_size, show_option, |config, _, map| {
        put(
            map,
            "max_msg_size",
            Some(config.max_value_size.map_or(-1, i64::from)),
        )
    }),
    row!(max_bytes, show_option, |config, _, map| {
        put(map, "max_bytes", Some(config.max_bytes.map_or(-1, signed)))
    }),
    row!(storage, show, |config, _, map| {
        put(map, "storage", Some(storage_name(config.storage)))
    }),
    row!(replicas, show, |config, _, map| {
        put(map, "num_replicas", Some(config.replicas))
    }),
    row!(placement, show_option, |config, _, map| {
        put(
            map,
            "placement",
            config.placement.as_ref().map(placement_value),
        )
    }),
    row!(republish, show_option, |config, _, map| {
        put(
            map,
            "republish",
            config.republish.as_ref().map(republish_value),
        )
    }),
    row!(compression, show, |config, _, map| {
        put(
            map,
            "compression",
            Some(compression_name(config.compression)),
        )
    }),
    row!(metadata, show, write_metadata),
    row!(limit_markers, show_option, write_limit_markers),
    row!(mirror, show_option, write_mirror),
    row!(sources, show, |config, name, map| {
        let sources = config
            .sources
            .iter()
            .map(|source| source_value(source, Some(name)));
        let sources: Vec<Value> = sources.collect();
        put(
            map,
            "sources",
            Some(sources).filter(|sources| !sources.is_empty()),
        )
    }),
];

impl BucketConfig {
    /// Returns what the server needs to support, if it is more than any server
    /// has that keeps buckets.
    pub(crate) fn required_level(&self) -> Option<Requirement> {
        self.limit_markers.map(|_| Requirement {
            feature: "limit markers",
            level: 1,
            version: "2.11",
        })
    }

    /// Returns the body of `STREAM.CREATE`, for a configuration that
    /// [`Self::validate`] accepts; without a name there is none.
    pub(crate) fn to_create(&self) -> Vec<u8> {
        match &self.name {
            Ok(name) => Value::Object(self.create_map(name))
                .to_string()
                .into_bytes(),
            Err(_) => Vec::new(),
        }
    }

    /// Returns the body of `STREAM.UPDATE`, which turns the existing stream
    /// into this bucket: options that differ are replaced, everything else is
    /// sent back as it came.
    pub(crate) fn apply_to(&self, existing: &Map<String, Value>) -> Map<String, Value> {
        let mut map = existing.clone();
        let (Ok(name), Ok(fields)) = (&self.name, StreamFields::deserialize(existing)) else {
            return map;
        };
        let (wanted, current) = (self.normalized(), Self::from_stream(&fields));
        for row in OPTIONS.iter().filter(|row| !(row.same)(&wanted, &current)) {
            (row.write)(&wanted, name, &mut map);
        }
        map
    }

    /// Returns in which options a stream differs from this configuration. To
    /// be called with what an update echoes: a server that does not know an
    /// option may drop it without a word.
    pub(crate) fn option_differences(&self, existing: &StreamInfo) -> Vec<ConfigDifference> {
        let (wanted, current) = (self.normalized(), Self::from_stream(&existing.config));
        let rows = OPTIONS.iter().filter(|row| !(row.same)(&wanted, &current));
        let difference = |row: &Row| ConfigDifference {
            field: row.field,
            wanted: (row.show)(&wanted),
            existing: (row.show)(&current),
        };
        rows.map(difference).collect()
    }

    /// Returns all differences that make a create collide with an existing
    /// stream: those of the options, and those of what every bucket has in
    /// common but other clients may have set otherwise.
    ///
    /// There may be none although the server sees some: clusters up to 2.12
    /// call the same sources "a different configuration" when they are sent
    /// again, or do not answer at all. The bucket is then what was asked for.
    pub(crate) fn differences(&self, existing: &StreamInfo) -> Vec<ConfigDifference> {
        let mut differences = self.option_differences(existing);
        let Ok(name) = &self.name else {
            return differences;
        };
        let Ok(wanted) = StreamFields::deserialize(&self.create_map(name)) else {
            return differences;
        };
        for (field, read) in COMMON {
            let (wanted, existing) = (read(&wanted), read(&existing.config));
            if wanted != existing && !differences.iter().any(|known| covers(known.field, field)) {
                differences.push(ConfigDifference {
                    field,
                    wanted,
                    existing,
                });
            }
        }
        differences
    }

    /// Returns what a stream means as a bucket.
    ///
    /// Total: a stream that is no bucket gives a configuration that
    /// [`Self::validate`] refuses.
    pub(crate) fn from_stream(stream: &StreamFields) -> Self {
        let bucket = stream.name.strip_prefix("KV_").unwrap_or_default();
        let mut config = Self::of(BucketName::new(bucket));
        config.description = some_text(&stream.description);
        config.history = u32::try_from(stream.max_msgs_per_subject.max(0)).unwrap_or(u32::MAX);
        config.ttl = positive(stream.max_age).map(Duration::from_nanos);
        config.max_value_size =
            positive(stream.max_msg_size).map(|size| u32::try_from(size).unwrap_or(u32::MAX));
        config.max_bytes = positive(stream.max_bytes);
        if stream.storage == storage_name(Storage::Memory) {
            config.storage = Storage::Memory;
        }
        config.replicas = u8::try_from(stream.num_replicas.max(1)).unwrap_or(u8::MAX);
        config.placement = stream.placement.as_ref().map(read_placement);
        config.republish = stream.republish.as_ref().map(read_republish);
        config.compression = stream.compression == compression_name(true);
        config.metadata = stream.metadata.clone();
        config.limit_markers = positive(stream.subject_delete_marker_ttl).map(Duration::from_nanos);
        config.mirror = stream.mirror.as_ref().map(read_source);
        config.sources = stream.sources.iter().map(read_source).collect();
        config.normalized()
    }

    /// Returns the same configuration in the one form that is compared.
    fn normalized(&self) -> Self {
        let mut config = self.clone();
        config.description = config.description.filter(|text| !text.is_empty());
        config.placement = config
            .placement
            .filter(|placement| placement.cluster.is_some() || !placement.tags.is_empty());
        if let Some(republish) = &mut config.republish
            && republish.src.is_empty()
        {
            republish.src = ">".to_owned();
        }
        config
            .metadata
            .retain(|key, _| !key.starts_with(RESERVED_METADATA));
        if let Ok(name) = &config.name {
            let sources = config.sources.into_iter();
            config.sources = sources
                .map(|source| source.without_default_transform(name))
                .collect();
        }
        config
    }

    fn create_map(&self, name: &BucketName) -> Map<String, Value> {
        let mut map = Map::new();
        put(&mut map, "name", Some(stream_name(name)));
        put(&mut map, "retention", Some("limits"));
        put(&mut map, "discard", Some("new"));
        put(&mut map, "max_consumers", Some(-1));
        put(&mut map, "max_msgs", Some(-1));
        put(&mut map, "allow_rollup_hdrs", Some(true));
        put(&mut map, "deny_delete", Some(true));
        put(&mut map, "deny_purge", Some(false));
        put(&mut map, "allow_direct", Some(true));
        for row in &OPTIONS {
            (row.write)(self, name, &mut map);
        }
        map
    }
}

/// A field of the stream, and how it is shown.
type Field = (&'static str, fn(&StreamFields) -> String);

/// What every bucket has in common, or follows from an option, as text.
const COMMON: [Field; 13] = [
    ("subjects", |stream| show(&stream.subjects)),
    ("retention", |stream| stream.retention.clone()),
    ("discard", |stream| stream.discard.clone()),
    ("max_msgs", |stream| show_option(&positive(stream.max_msgs))),
    ("duplicate_window", |stream| match &stream.mirror {
        Some(_) => show_option::<Duration>(&None),
        None => show_option(&positive(stream.duplicate_window).map(Duration::from_nanos)),
    }),
    ("allow_rollup_hdrs", |stream| {
        show(&stream.allow_rollup_hdrs)
    }),
    ("deny_delete", |stream| show(&stream.deny_delete)),
    ("deny_purge", |stream| show(&stream.deny_purge)),
    ("allow_direct", |stream| show(&stream.allow_direct)),
    ("sealed", |stream| show(&stream.sealed)),
    ("mirror_direct", |stream| show(&stream.mirror_direct)),
    ("allow_msg_ttl", |stream| show(&stream.allow_msg_ttl)),
    ("allow_atomic", |stream| show(&stream.allow_atomic)),
];

/// Returns whether a difference in an option says that in the field already.
fn covers(option: &str, field: &str) -> bool {
    matches!(
        (option, field),
        ("ttl", "duplicate_window")
            | ("limit_markers", "allow_msg_ttl")
            | ("mirror", "subjects" | "mirror_direct")
    )
}

fn show(value: &impl Debug) -> String {
    format!("{value:?}")
}

fn show_option<T: Debug>(value: &Option<T>) -> String {
    match value {
        Some(value) => show(value),
        None => "none".to_owned(),
    }
}
