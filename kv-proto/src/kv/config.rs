//! The configuration of a bucket (ADR-8), apart from how a stream expresses it.
//!
//! A configuration is plain data: setters do not fail, and [`BucketConfig::validate`]
//! says everything at once that no server should be asked for. Every operation
//! that sends a configuration validates it first.

mod fields;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod validate;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

pub use self::source::{External, Source, SourceStart, SubjectTransform};
pub use self::stream::ConfigDifference;
pub use self::validate::InvalidConfig;
use crate::name::{BucketName, InvalidBucketName};

/// Most revisions of a key that a bucket keeps (ADR-8).
pub const MAX_HISTORY: u32 = 64;

/// Most replicas of a bucket.
pub const MAX_REPLICAS: u8 = 5;

/// What a bucket is to be, or is.
///
/// The fields are public to be read; the setters of the same names chain. An
/// update replaces all of them, so start from the configuration of
/// [`BucketStatus::config`](crate::BucketStatus::config) to change one.
///
/// ```
/// use core::time::Duration;
/// use kv_proto::{BucketConfig, InvalidConfig};
///
/// let config = BucketConfig::new("config")
///     .history(5)
///     .ttl(Duration::from_secs(3_600));
/// config.validate()?;
/// assert_eq!(config.history, 5);
///
/// let wrong = BucketConfig::new("config").history(65);
/// assert_eq!(wrong.validate(), Err(InvalidConfig::History { history: 65 }));
/// # Ok::<(), InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BucketConfig {
    name: Result<BucketName, InvalidBucketName>,
    /// A text for humans.
    pub description: Option<String>,
    /// How many revisions of each key are kept, 1 to [`MAX_HISTORY`].
    pub history: u32,
    /// How long a revision is kept, at least one second; `None` for ever.
    pub ttl: Option<Duration>,
    /// Largest value in bytes, its headers included; `None` without limit.
    pub max_value_size: Option<u32>,
    /// Most bytes of the whole bucket; `None` without limit.
    pub max_bytes: Option<u64>,
    /// Where the values are stored.
    pub storage: Storage,
    /// How many servers store the bucket, 1 to [`MAX_REPLICAS`].
    pub replicas: u8,
    /// Which servers store the bucket.
    pub placement: Option<Placement>,
    /// Where each change is published again.
    pub republish: Option<Republish>,
    /// Whether values are compressed on disk.
    pub compression: bool,
    /// Labels. Keys that start with `_nats` are the server's own and never here.
    pub metadata: BTreeMap<String, String>,
    /// How long the marker stays that tells watchers of an expired key.
    pub limit_markers: Option<Duration>,
    /// The bucket that this one mirrors.
    pub mirror: Option<Source>,
    /// The buckets whose changes this one copies.
    pub sources: Vec<Source>,
}

/// Where values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory: lost when the servers that hold the bucket stop.
    Memory,
}

/// Which servers are to store a bucket.
///
/// ```
/// use kv_proto::Placement;
///
/// let placement = Placement::default().cluster("east").tag("ssd");
/// assert_eq!(placement.tags, ["ssd"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Placement {
    /// The cluster by name.
    pub cluster: Option<String>,
    /// Tags that a server needs to have, all of them.
    pub tags: Vec<String>,
}

/// Where the server publishes each change of a bucket again, for subscribers
/// of core NATS.
///
/// ```
/// use kv_proto::{BucketConfig, Republish};
///
/// let republish = Republish::new("$KV.config.>", "changes.config.>").headers_only(true);
/// BucketConfig::new("config").republish(republish).validate()?;
/// # Ok::<(), kv_proto::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Republish {
    /// The subjects that are published again; empty means all.
    pub src: String,
    /// The subjects to publish them to.
    pub dest: String,
    /// Whether the copies go without their values.
    pub headers_only: bool,
}

impl BucketConfig {
    /// Makes the default configuration: history 1, on disk, one replica, no limits.
    ///
    /// An invalid name is reported by [`Self::validate`].
    #[must_use]
    pub fn new<N>(name: N) -> Self
    where
        N: TryInto<BucketName>,
        InvalidBucketName: From<N::Error>,
    {
        Self::of(name.try_into().map_err(InvalidBucketName::from))
    }

    fn of(name: Result<BucketName, InvalidBucketName>) -> Self {
        Self {
            name,
            description: None,
            history: 1,
            ttl: None,
            max_value_size: None,
            max_bytes: None,
            storage: Storage::File,
            replicas: 1,
            placement: None,
            republish: None,
            compression: false,
            metadata: BTreeMap::new(),
            limit_markers: None,
            mirror: None,
            sources: Vec::new(),
        }
    }

    /// Returns the name of the bucket.
    ///
    /// # Errors
    ///
    /// [`InvalidBucketName`] if [`Self::new`] was given something else.
    pub fn name(&self) -> Result<&BucketName, InvalidBucketName> {
        self.name.as_ref().map_err(Clone::clone)
    }

    /// Sets the text for humans, at most 4,096 bytes.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Sets how many revisions of each key are kept, 1 to [`MAX_HISTORY`].
    /// Lowering it on an existing bucket drops the older ones at once.
    #[must_use]
    pub fn history(mut self, history: u32) -> Self {
        self.history = history;
        self
    }

    /// Sets how long a revision is kept, at least one second.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets the largest value in bytes. The server counts headers too, those
    /// of deletes and of conditional writes included: leave 200 bytes for them.
    #[must_use]
    pub fn max_value_size(mut self, bytes: u32) -> Self {
        self.max_value_size = Some(bytes);
        self
    }

    /// Sets the most bytes of the whole bucket. A full bucket refuses deletes
    /// as well.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets where values are stored; final once the bucket exists.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// Sets how many servers store the bucket, 1 to [`MAX_REPLICAS`].
    #[must_use]
    pub fn replicas(mut self, replicas: u8) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets which servers store the bucket.
    #[must_use]
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = Some(placement);
        self
    }

    /// Sets where each change is published again.
    #[must_use]
    pub fn republish(mut self, republish: Republish) -> Self {
        self.republish = Some(republish);
        self
    }

    /// Sets whether values are compressed on disk.
    #[must_use]
    pub fn compression(mut self, compression: bool) -> Self {
        self.compression = compression;
        self
    }

    /// Adds a label. Keys that start with `_nats` are reserved.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Lets values expire one by one, and leaves a marker for `ttl`, at least
    /// one second, whenever the last revision of a key expires (ADR-48). Needs
    /// server 2.11.
    #[must_use]
    pub fn limit_markers(mut self, ttl: Duration) -> Self {
        self.limit_markers = Some(ttl);
        self
    }

    /// Makes the bucket a mirror: a copy with the same revisions, which is
    /// written to through its origin.
    #[must_use]
    pub fn mirror(mut self, origin: Source) -> Self {
        self.mirror = Some(origin);
        self
    }

    /// Adds a bucket whose changes are copied into this one.
    #[must_use]
    pub fn source(mut self, origin: Source) -> Self {
        self.sources.push(origin);
        self
    }
}

impl Placement {
    /// Sets the cluster.
    #[must_use]
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = Some(name.into());
        self
    }

    /// Adds a tag that a server needs to have.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

impl Republish {
    /// Makes a rule that publishes subjects of `src` again as `dest`. Each
    /// wildcard of `src` needs its counterpart in `dest`.
    #[must_use]
    pub fn new(src: impl Into<String>, dest: impl Into<String>) -> Self {
        Self {
            src: src.into(),
            dest: dest.into(),
            headers_only: false,
        }
    }

    /// Sets whether the copies go without their values.
    #[must_use]
    pub fn headers_only(mut self, headers_only: bool) -> Self {
        self.headers_only = headers_only;
        self
    }
}
