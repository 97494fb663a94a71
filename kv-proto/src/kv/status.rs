//! What a bucket is and holds at one moment.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::Map;
use thiserror::Error;

use super::config::{BucketConfig, Storage};
use crate::js::error::ServerError;
use crate::js::stream::{PeerInfo, SourceInfo, StreamInfo};
use crate::name::{BucketName, InvalidBucketName};
use crate::time::Timestamp;

/// What a bucket is and holds, as the server answered it for this call: never
/// cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketStatus {
    bucket: BucketName,
    config: BucketConfig,
    info: StreamInfo,
}

/// A server that holds a copy of a bucket, beside the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replica {
    /// The name of the server.
    pub name: String,
    /// Whether the copy is up to date.
    pub current: bool,
    /// Whether the server is known to be down.
    pub offline: bool,
    /// How long ago the leader heard of it.
    pub active: Duration,
    /// How many operations the copy is behind.
    pub lag: u64,
}

/// How far a bucket is behind the one that it mirrors or copies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceStatus {
    /// The stream that feeds the bucket.
    pub stream: String,
    /// How many messages the bucket is behind.
    pub lag: u64,
    /// How long ago anything arrived; `None` for never.
    pub active: Option<Duration>,
    /// Why nothing arrives.
    pub error: Option<ServerError>,
}

/// Why a stream is not a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum NotABucket {
    /// The name of the stream does not start with `KV_`.
    #[error("stream {stream:?} does not start with KV_")]
    Prefix {
        /// The name of the stream.
        stream: String,
    },
    /// What follows `KV_` is not the name of a bucket.
    #[error("stream {stream:?} is not named after a bucket")]
    Name {
        /// The name of the stream.
        stream: String,
        /// What is wrong with the name.
        source: InvalidBucketName,
    },
    /// The stream does not limit the revisions of a key.
    #[error("stream {stream:?} keeps {history} messages of a subject")]
    History {
        /// The name of the stream.
        stream: String,
        /// Its `max_msgs_per_subject`.
        history: i64,
    },
}

impl BucketStatus {
    /// Reads a stream as a bucket.
    ///
    /// # Errors
    ///
    /// [`NotABucket`] says which rule the stream breaks.
    pub(crate) fn from_info(mut info: StreamInfo) -> Result<Self, NotABucket> {
        let stream = &info.config.name;
        let Some(bucket) = stream.strip_prefix("KV_") else {
            return Err(NotABucket::Prefix {
                stream: stream.clone(),
            });
        };
        let bucket = BucketName::new(bucket).map_err(|source| NotABucket::Name {
            stream: stream.clone(),
            source,
        })?;
        let history = info.config.max_msgs_per_subject;
        if history < 1 {
            return Err(NotABucket::History {
                stream: stream.clone(),
                history,
            });
        }
        // What is not read here is not kept either: the same status asked for twice is equal.
        info.config.raw = Map::new();
        info.now = None;
        Ok(Self {
            bucket,
            config: BucketConfig::from_stream(&info.config),
            info,
        })
    }

    /// Returns the name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    /// Returns the name of the stream behind the bucket.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.info.config.name
    }

    /// Returns the configuration in force.
    #[must_use]
    pub fn config(&self) -> &BucketConfig {
        &self.config
    }

    /// Returns how many revisions are stored, tombstones included.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.info.state.messages
    }

    /// Returns how many keys are stored, those that only have a tombstone included.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.info.state.num_subjects
    }

    /// Returns how many bytes are stored.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.info.state.bytes
    }

    /// Returns the oldest revision stored: zero before the first write, one
    /// above the last when nothing is left.
    #[must_use]
    pub fn first_revision(&self) -> u64 {
        self.info.state.first_seq
    }

    /// Returns the newest revision ever given: zero before the first write.
    #[must_use]
    pub fn last_revision(&self) -> u64 {
        self.info.state.last_seq
    }

    /// Returns when the newest revision was stored.
    #[must_use]
    pub fn last_write(&self) -> Option<Timestamp> {
        self.info.state.last_ts
    }

    /// Returns when the bucket was created. A bucket that is deleted and made
    /// again has another time.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.info.created
    }

    /// Returns how many revisions of each key are kept.
    #[must_use]
    pub fn history(&self) -> u32 {
        self.config.history
    }

    /// Returns how long a revision is kept; `None` for ever.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.config.ttl
    }

    /// Returns where the values are stored.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.config.storage
    }

    /// Returns whether values are compressed on disk.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.config.compression
    }

    /// Returns whether single values may be given a time to live.
    #[must_use]
    pub fn allows_ttl(&self) -> bool {
        self.info.config.allow_msg_ttl
    }

    /// Returns whether any replica answers reads; else only the leader does.
    #[must_use]
    pub fn allows_direct_reads(&self) -> bool {
        self.info.config.allow_direct
    }

    /// Returns the domain of the server that answered, if it has one. A cluster
    /// does not tell it in listings.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.info.domain.as_deref()
    }

    /// Returns the name of the cluster, if the bucket is in one.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        let cluster = self.info.cluster.as_ref()?;
        Some(cluster.name.as_str()).filter(|name| !name.is_empty())
    }

    /// Returns the server that leads the bucket; `None` while there is none.
    #[must_use]
    pub fn leader(&self) -> Option<&str> {
        let cluster = self.info.cluster.as_ref()?;
        Some(cluster.leader.as_str()).filter(|leader| !leader.is_empty())
    }

    /// Returns the servers that follow the leader.
    #[must_use]
    pub fn replicas(&self) -> Vec<Replica> {
        let peers = self
            .info
            .cluster
            .iter()
            .flat_map(|cluster| &cluster.replicas);
        peers.map(Replica::from_peer).collect()
    }

    /// Returns how far a mirror is behind its origin.
    #[must_use]
    pub fn mirror(&self) -> Option<SourceStatus> {
        self.info.mirror.as_ref().map(SourceStatus::from_info)
    }

    /// Returns how far the bucket is behind each of its sources.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceStatus> {
        let sources = self.info.sources.iter();
        sources.map(SourceStatus::from_info).collect()
    }
}

impl Replica {
    fn from_peer(peer: &PeerInfo) -> Self {
        Self {
            name: peer.name.clone(),
            current: peer.current,
            offline: peer.offline,
            active: nanoseconds(peer.active).unwrap_or_default(),
            lag: peer.lag,
        }
    }
}

impl SourceStatus {
    fn from_info(info: &SourceInfo) -> Self {
        Self {
            stream: info.name.clone(),
            lag: info.lag,
            active: nanoseconds(info.active),
            error: info.error.clone(),
        }
    }
}

/// Reads the server's -1 as "never".
fn nanoseconds(value: i64) -> Option<Duration> {
    u64::try_from(value).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(config: Value) -> Result<BucketStatus, NotABucket> {
        status_at("2026-11-23T19:11:00Z", config)
    }

    fn status_at(ts: &str, config: Value) -> Result<BucketStatus, NotABucket> {
        let info = json!({
            "ts": ts,
            "config": config, "created": "2026-11-23T19:10:56.691077253Z", "domain": "hub",
            "state": {"messages": 8, "bytes": 515, "first_seq": 3, "last_seq": 17, "num_subjects": 7,
                "last_ts": "2026-11-23T19:10:57Z"},
            "cluster": {"name": "c", "leader": "n1", "replicas": [
                {"name": "n2", "current": true, "active": 1_000, "lag": 0},
                {"name": "n3", "offline": true, "active": -5, "lag": 9}]},
            "sources": [{"name": "KV_A", "lag": 2, "active": -1}, {"name": "KV_C", "active": 5}],
        });
        BucketStatus::from_info(serde_json::from_value(info).expect("a stream"))
    }

    #[test]
    fn when_it_was_asked_for_makes_no_difference() {
        let at = |ts| status_at(ts, json!({"name": "KV_B", "max_msgs_per_subject": 5}));
        assert_eq!(at("2026-11-23T19:11:00Z"), at("2026-11-23T19:11:01Z"));
    }

    #[test]
    fn a_status_tells_what_the_server_told() {
        let config = json!({"name": "KV_B", "max_msgs_per_subject": 5, "max_age": 60_000_000_000_i64,
            "compression": "s2", "storage": "memory", "allow_direct": true, "allow_msg_ttl": true});
        let status = status(config).expect("a bucket");
        assert_eq!((status.bucket().as_str(), status.stream()), ("B", "KV_B"));
        assert_eq!(
            (status.values(), status.keys(), status.bytes()),
            (8, 7, 515)
        );
        assert_eq!((status.first_revision(), status.last_revision()), (3, 17));
        assert_eq!(
            (status.history(), status.ttl()),
            (5, Some(Duration::from_secs(60)))
        );
        assert_eq!(status.storage(), Storage::Memory);
        assert!(status.is_compressed() && status.allows_ttl() && status.allows_direct_reads());
        assert_eq!(
            (status.domain(), status.cluster()),
            (Some("hub"), Some("c"))
        );
        assert!(status.last_write() > Some(status.created()));
        assert_eq!(status.leader(), Some("n1"));
        let [n2, n3] = &status.replicas()[..] else {
            panic!("{:?}", status.replicas());
        };
        assert!(n2.current && !n2.offline && n2.active == Duration::from_micros(1));
        assert!(!n3.current && n3.offline && n3.active == Duration::ZERO && n3.lag == 9);
        assert_eq!(status.mirror(), None);
        let [a, c] = &status.sources()[..] else {
            panic!("{:?}", status.sources());
        };
        assert_eq!((a.stream.as_str(), a.lag, a.active), ("KV_A", 2, None));
        assert_eq!(c.active, Some(Duration::from_nanos(5)));
        assert_eq!(status.config().history, 5);
    }

    #[test]
    fn other_streams_are_not_buckets() {
        let refused = |config| status(config).expect_err("no bucket");
        let rows = [
            (
                refused(json!({"name": "ORDERS", "max_msgs_per_subject": 1})),
                "Prefix",
            ),
            (
                refused(json!({"name": "KV_", "max_msgs_per_subject": 1})),
                "Name",
            ),
            (
                refused(json!({"name": "KV_a b", "max_msgs_per_subject": 1})),
                "Name",
            ),
            (
                refused(json!({"name": "KV_B", "max_msgs_per_subject": -1})),
                "History",
            ),
            (refused(json!({"name": "KV_B"})), "History"),
        ];
        for (error, variant) in rows {
            let found = match &error {
                NotABucket::Prefix { .. } => "Prefix",
                NotABucket::Name { .. } => "Name",
                NotABucket::History { .. } => "History",
            };
            assert_eq!(found, variant, "{error}");
        }
    }
}
