//! Which configurations are refused here, before any server is asked.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use thiserror::Error;

use super::source::stream_name;
use super::{BucketConfig, MAX_HISTORY, MAX_REPLICAS, Republish, Source};
use crate::name::{BucketName, InvalidBucketName, InvalidSubject, Subject};

/// Shortest time to live. The server takes 100 ms for a bucket and one second
/// for a value or a marker, and expires in steps of about a second.
const MIN_TTL: Duration = Duration::from_secs(1);

/// Longest time to live: the server counts nanoseconds in an `i64`.
const MAX_TTL: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());

/// Longest description in bytes (nats-server `JSMaxDescriptionLen`).
const MAX_DESCRIPTION: usize = 4 * 1024;

/// Most bytes of all keys and values of the metadata together: 128 KiB
/// (nats-server `JSMaxMetadataLen`), from which servers since 2.11 take those
/// of their own labels.
const MAX_METADATA: usize = 128 * 1024 - 256;

/// Longest name of a stream in bytes.
const MAX_STREAM_NAME: usize = 255;

/// Keys of the metadata that are the server's own.
pub(super) const RESERVED_METADATA: &str = "_nats";

/// Why a [`BucketConfig`] is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// The name is not that of a bucket.
    #[error("invalid name")]
    Name(#[from] InvalidBucketName),
    /// The history is not 1 to 64.
    #[error("history is {history}, not 1 to {MAX_HISTORY}")]
    History {
        /// The history asked for.
        history: u32,
    },
    /// The time to live is below one second or above 292 years.
    #[error("ttl is {ttl:?}, not one second to 292 years")]
    Ttl {
        /// The time to live asked for.
        ttl: Duration,
    },
    /// The time to live of limit markers is below one second or above 292 years.
    #[error("ttl of limit markers is {ttl:?}, not one second to 292 years")]
    LimitMarkers {
        /// The time to live asked for.
        ttl: Duration,
    },
    /// The largest value is zero or above 2 GiB.
    #[error("max value size is {bytes}, not 1 to {}", i32::MAX)]
    MaxValueSize {
        /// The size asked for.
        bytes: u32,
    },
    /// The size of the bucket is zero or above 8 EiB.
    #[error("max bytes is {bytes}, not 1 to {}", i64::MAX)]
    MaxBytes {
        /// The size asked for.
        bytes: u64,
    },
    /// The number of replicas is not 1 to 5.
    #[error("replicas is {replicas}, not 1 to {MAX_REPLICAS}")]
    Replicas {
        /// The number asked for.
        replicas: u8,
    },
    /// The description is too long.
    #[error("description has {len} bytes, more than {MAX_DESCRIPTION}")]
    Description {
        /// Its length in bytes.
        len: usize,
    },
    /// The metadata is too large.
    #[error("metadata has {len} bytes, more than {MAX_METADATA}")]
    Metadata {
        /// The bytes of all keys and values together.
        len: usize,
    },
    /// A key of the metadata is reserved for the server.
    #[error("metadata key {key:?} is reserved for the server")]
    ReservedMetadata {
        /// The key.
        key: String,
    },
    /// The cluster or a tag of the placement is empty.
    #[error("placement has an empty cluster or tag")]
    Placement,
    /// The source of the republishing is not a subject.
    #[error("invalid source of republishing")]
    RepublishSource(#[source] InvalidSubject),
    /// The destination of the republishing is not a subject.
    #[error("invalid destination of republishing")]
    RepublishDestination(#[source] InvalidSubject),
    /// The destination of the republishing lies inside of the bucket.
    #[error("republishing to {dest:?} would feed the bucket to itself")]
    RepublishCycle {
        /// The destination.
        dest: String,
    },
    /// A destination cannot be computed from its source: `>` ends both or
    /// neither, and instead of `*` there are functions.
    #[error("{dest:?} cannot be computed from {src:?}")]
    Mapping {
        /// The source.
        src: String,
        /// The destination.
        dest: String,
    },
    /// A bucket cannot be a mirror and have sources.
    #[error("a mirror cannot have sources")]
    MirrorWithSources,
    /// A mirror cannot have limit markers: it mirrors those of its origin.
    #[error("a mirror cannot have limit markers of its own")]
    MirrorWithLimitMarkers,
    /// A mirror or source has no valid stream name, or a mirror no bucket's.
    #[error("{stream:?} cannot be mirrored or copied from")]
    SourceName {
        /// The name of the stream.
        stream: String,
    },
    /// A bucket cannot feed itself.
    #[error("the bucket would be fed from itself")]
    SourceItself,
    /// The same source is given twice.
    #[error("source {stream:?} is given twice")]
    SourceTwice {
        /// The name of the stream.
        stream: String,
    },
    /// A subject of a mirror or source is invalid: filter, renaming or prefix.
    #[error("invalid subject for {stream:?}")]
    SourceSubject {
        /// The name of the stream.
        stream: String,
        /// What is wrong with the subject.
        source: InvalidSubject,
    },
    /// A source cannot have a filter beside renamings: each renaming is a filter.
    #[error("source {stream:?} has a filter and renamings")]
    SourceFilter {
        /// The name of the stream.
        stream: String,
    },
}

impl BucketConfig {
    /// Checks everything that can be known without a server.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] names the first option that is refused.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let name = self.name()?;
        self.check_limits()?;
        self.check_texts()?;
        if let Some(republish) = &self.republish {
            check_republish(republish, name)?;
        }
        self.check_sources(name)
    }

    fn check_limits(&self) -> Result<(), InvalidConfig> {
        let lasting = MIN_TTL..=MAX_TTL;
        let (history, replicas) = (self.history, self.replicas);
        if !(1..=MAX_HISTORY).contains(&history) {
            return Err(InvalidConfig::History { history });
        }
        if !(1..=MAX_REPLICAS).contains(&replicas) {
            return Err(InvalidConfig::Replicas { replicas });
        }
        if let Some(ttl) = self.ttl.filter(|ttl| !lasting.contains(ttl)) {
            return Err(InvalidConfig::Ttl { ttl });
        }
        if let Some(ttl) = self.limit_markers.filter(|ttl| !lasting.contains(ttl)) {
            return Err(InvalidConfig::LimitMarkers { ttl });
        }
        let sizes = 1..=i32::MAX.unsigned_abs();
        if let Some(bytes) = self.max_value_size.filter(|size| !sizes.contains(size)) {
            return Err(InvalidConfig::MaxValueSize { bytes });
        }
        let sizes = 1..=i64::MAX.unsigned_abs();
        if let Some(bytes) = self.max_bytes.filter(|size| !sizes.contains(size)) {
            return Err(InvalidConfig::MaxBytes { bytes });
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<(), InvalidConfig> {
        let len = self.description.as_ref().map_or(0, String::len);
        if len > MAX_DESCRIPTION {
            return Err(InvalidConfig::Description { len });
        }
        let mut len = 0;
        for (key, value) in &self.metadata {
            if key.starts_with(RESERVED_METADATA) {
                return Err(InvalidConfig::ReservedMetadata { key: key.clone() });
            }
            len += key.len() + value.len();
        }
        if len > MAX_METADATA {
            return Err(InvalidConfig::Metadata { len });
        }
        if let Some(placement) = &self.placement {
            let mut texts = placement.cluster.iter().chain(&placement.tags);
            if texts.any(String::is_empty) {
                return Err(InvalidConfig::Placement);
            }
        }
        Ok(())
    }

    fn check_sources(&self, name: &BucketName) -> Result<(), InvalidConfig> {
        if let Some(mirror) = &self.mirror {
            if !self.sources.is_empty() {
                return Err(InvalidConfig::MirrorWithSources);
            }
            if self.limit_markers.is_some() {
                return Err(InvalidConfig::MirrorWithLimitMarkers);
            }
            if mirror.bucket_name().is_none() {
                return Err(InvalidConfig::SourceName {
                    stream: mirror.stream.clone(),
                });
            }
            return check_source(mirror, name);
        }
        for (at, source) in self.sources.iter().enumerate() {
            check_source(source, name)?;
            if self
                .sources
                .iter()
                .take(at)
                .any(|other| collide(source, other))
            {
                return Err(InvalidConfig::SourceTwice {
                    stream: source.stream.clone(),
                });
            }
        }
        Ok(())
    }
}

fn check_republish(republish: &Republish, bucket: &BucketName) -> Result<(), InvalidConfig> {
    let (src, dest) = (&republish.src, &republish.dest);
    let src = if src.is_empty() { ">" } else { src };
    Subject::new(src).map_err(InvalidConfig::RepublishSource)?;
    let reached = check_destination(dest).map_err(InvalidConfig::RepublishDestination)?;
    check_mapping(src, dest)?;
    if overlap(&reached, &format!("$KV.{bucket}.>")) {
        return Err(InvalidConfig::RepublishCycle { dest: dest.clone() });
    }
    Ok(())
}

fn check_mapping(src: &str, dest: &str) -> Result<(), InvalidConfig> {
    let open = |subject: &str| subject.rsplit('.').next() == Some(">");
    if open(src) != open(dest) || dest.split('.').any(|token| token == "*") {
        return Err(InvalidConfig::Mapping {
            src: src.to_owned(),
            dest: dest.to_owned(),
        });
    }
    Ok(())
}

fn check_source(source: &Source, into: &BucketName) -> Result<(), InvalidConfig> {
    let stream = &source.stream;
    let foreign = |c: char| c <= ' ' || c == '\x7f' || ['.', '*', '>', '/', '\\'].contains(&c);
    if stream.is_empty() || stream.len() > MAX_STREAM_NAME || stream.contains(foreign) {
        return Err(InvalidConfig::SourceName {
            stream: stream.clone(),
        });
    }
    if source.external.is_none() && *stream == stream_name(into) {
        return Err(InvalidConfig::SourceItself);
    }
    if source.filter_subject.is_some() && !source.transforms.is_empty() {
        return Err(InvalidConfig::SourceFilter {
            stream: stream.clone(),
        });
    }
    check_subjects(source).map_err(|reason| InvalidConfig::SourceSubject {
        stream: stream.clone(),
        source: reason,
    })?;
    let mut transforms = source.transforms.iter();
    transforms.try_for_each(|transform| check_mapping(&transform.src, &transform.dest))
}

fn check_subjects(source: &Source) -> Result<(), InvalidSubject> {
    if let Some(filter) = &source.filter_subject {
        Subject::new(filter)?;
    }
    for transform in &source.transforms {
        Subject::new(&transform.src)?;
        check_destination(&transform.dest)?;
    }
    if let Some(external) = &source.external {
        if Subject::new(&external.api)?.is_wild() {
            return Err(InvalidSubject::Wildcard { at: 0 });
        }
        if let Some(deliver) = &external.deliver {
            Subject::new(deliver)?;
        }
    }
    Ok(())
}

/// Returns whether the server takes two sources for the same one.
fn collide(one: &Source, other: &Source) -> bool {
    one.stream == other.stream
        && one.external == other.external
        && one.filter_subject == other.filter_subject
        && one.transforms == other.transforms
}

/// Checks the destination of a mapping, and returns the subjects it can
/// produce: each function such as `{{wildcard(1)}}` can become any token.
fn check_destination(dest: &str) -> Result<String, InvalidSubject> {
    let mut subjects = String::new();
    let mut rest = dest;
    while let Some((literal, function)) = rest.split_once("{{") {
        let Some((_, tail)) = function.split_once("}}") else {
            break;
        };
        subjects.push_str(literal);
        subjects.push('*');
        rest = tail;
    }
    subjects.push_str(rest);
    Subject::new(&subjects)?;
    Ok(subjects)
}

/// Returns whether a subject exists that both filters match.
fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            (Some(_), Some(_)) => return false,
        }
    }
}
