//! Streams as the management API shows them: configuration, state, and the
//! pages of the listings.
//!
//! A configuration is kept twice: typed, for the fields that a bucket is made
//! of, and raw, so that an update can send back what is not known here.
//! Integers that the server counts with a sign keep it, because -1 is its
//! "without limit".

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::error::{ErrorBody, ServerError};
use super::message::{nullable, some_timestamp};
use crate::limits::MAX_SOURCES;
use crate::time::Timestamp;

/// A stream: the reply to create, update and info, and an item of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamInfo {
    /// The configuration in force.
    pub(crate) config: StreamConfig,
    /// When the stream was created.
    pub(crate) created: Timestamp,
    /// The same as the server wrote it: tells one life of a stream from the next.
    pub(crate) created_text: String,
    /// What the stream holds.
    pub(crate) state: StreamState,
    /// Who holds it; absent in replies to create and update without a cluster.
    pub(crate) cluster: Option<ClusterInfo>,
    /// How far the stream is behind the one that it mirrors.
    pub(crate) mirror: Option<SourceInfo>,
    /// How far the stream is behind the ones that it copies.
    pub(crate) sources: Vec<SourceInfo>,
    /// The domain of the server that answers.
    pub(crate) domain: Option<String>,
    /// The time on the clock of the server that answers.
    pub(crate) now: Option<Timestamp>,
}

/// A stream's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamConfig {
    /// The fields that a bucket is made of.
    pub(crate) fields: StreamFields,
    /// All fields, as received.
    pub(crate) raw: Map<String, Value>,
}

/// The fields of a stream's configuration that a bucket is made of.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamFields {
    pub(crate) name: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) description: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) subjects: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) retention: String,
    pub(crate) max_msgs: i64,
    pub(crate) max_bytes: i64,
    /// Nanoseconds, zero for ever.
    pub(crate) max_age: i64,
    pub(crate) max_msgs_per_subject: i64,
    pub(crate) max_msg_size: i64,
    #[serde(deserialize_with = "nullable")]
    pub(crate) discard: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) storage: String,
    pub(crate) num_replicas: i64,
    /// Nanoseconds.
    pub(crate) duplicate_window: i64,
    pub(crate) placement: Option<PlacementFields>,
    pub(crate) mirror: Option<SourceFields>,
    #[serde(deserialize_with = "some_sources")]
    pub(crate) sources: Vec<SourceFields>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) compression: String,
    pub(crate) republish: Option<RepublishFields>,
    pub(crate) allow_direct: bool,
    pub(crate) mirror_direct: bool,
    pub(crate) sealed: bool,
    pub(crate) deny_delete: bool,
    pub(crate) deny_purge: bool,
    pub(crate) allow_rollup_hdrs: bool,
    #[serde(deserialize_with = "nullable")]
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) allow_msg_ttl: bool,
    /// Nanoseconds, zero for none.
    pub(crate) subject_delete_marker_ttl: i64,
    pub(crate) allow_atomic: bool,
}

/// Where a stream is to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PlacementFields {
    #[serde(deserialize_with = "nullable")]
    pub(crate) cluster: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) tags: Vec<String>,
}

/// Where a stream's messages are published again.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RepublishFields {
    #[serde(deserialize_with = "nullable")]
    pub(crate) src: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) dest: String,
    pub(crate) headers_only: bool,
}

/// A stream that another one mirrors or copies.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SourceFields {
    pub(crate) name: String,
    pub(crate) opt_start_seq: u64,
    #[serde(deserialize_with = "some_timestamp")]
    pub(crate) opt_start_time: Option<Timestamp>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) filter_subject: String,
    pub(crate) external: Option<ExternalFields>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) subject_transforms: Vec<TransformFields>,
}

/// How to reach a stream of another domain or account.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ExternalFields {
    #[serde(deserialize_with = "nullable")]
    pub(crate) api: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) deliver: String,
}

/// A mapping of subjects.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TransformFields {
    #[serde(deserialize_with = "nullable")]
    pub(crate) src: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) dest: String,
}

/// What a stream holds. A stream that was never written to has `first_seq` 0,
/// an emptied one `last_seq + 1`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamState {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) first_seq: u64,
    #[serde(deserialize_with = "some_timestamp")]
    pub(crate) first_ts: Option<Timestamp>,
    pub(crate) last_seq: u64,
    #[serde(deserialize_with = "some_timestamp")]
    pub(crate) last_ts: Option<Timestamp>,
    pub(crate) num_subjects: u64,
    /// The messages on each subject that was asked for.
    #[serde(deserialize_with = "nullable")]
    pub(crate) subjects: BTreeMap<String, u64>,
    pub(crate) num_deleted: u64,
    pub(crate) consumer_count: u64,
}

impl ClusterInfo {
    /// The server that leads, if there is one.
    pub(crate) fn leader(&self) -> Option<&str> {
        Some(self.leader.as_str()).filter(|leader| !leader.is_empty())
    }
}

/// Who holds a stream.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ClusterInfo {
    /// The cluster; empty without one.
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: String,
    /// The server that leads the stream; empty while there is none.
    #[serde(deserialize_with = "nullable")]
    pub(crate) leader: String,
    /// The servers that follow.
    #[serde(deserialize_with = "nullable")]
    pub(crate) replicas: Vec<PeerInfo>,
}

/// A server that follows the leader of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PeerInfo {
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: String,
    pub(crate) current: bool,
    pub(crate) offline: bool,
    /// Nanoseconds since the leader heard of it.
    pub(crate) active: i64,
    /// Operations it is behind.
    pub(crate) lag: u64,
}

/// The progress of a mirror or source.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SourceInfo {
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: String,
    /// Messages it is behind.
    pub(crate) lag: u64,
    /// Nanoseconds since anything arrived; -1 for never.
    pub(crate) active: i64,
    /// Why nothing arrives.
    #[serde(deserialize_with = "some_error")]
    pub(crate) error: Option<ServerError>,
}

/// A page of stream names. Page on while `offset + streams.len() < total` and
/// the page is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct StreamNames {
    pub(crate) total: u64,
    pub(crate) offset: u64,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) streams: Vec<String>,
}

/// A page of streams.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
pub(crate) struct StreamList {
    pub(crate) total: u64,
    pub(crate) offset: u64,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) streams: Vec<StreamInfo>,
    /// Streams whose servers did not answer.
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) missing: Vec<String>,
}

/// The reply to a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Success {
    pub(crate) success: bool,
}

impl<'de> Deserialize<'de> for StreamInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let body = InfoBody::deserialize(deserializer)?;
        let created = Timestamp::parse_rfc3339(&body.created)
            .ok_or_else(|| D::Error::custom("stream without a time of creation"))?;
        Ok(Self {
            config: body.config,
            created,
            created_text: body.created,
            state: body.state,
            cluster: body.cluster,
            mirror: body.mirror,
            sources: body.sources,
            domain: body.domain,
            now: body.now,
        })
    }
}

#[derive(Deserialize)]
struct InfoBody {
    config: StreamConfig,
    created: String,
    #[serde(default, deserialize_with = "nullable")]
    state: StreamState,
    #[serde(default)]
    cluster: Option<ClusterInfo>,
    #[serde(default)]
    mirror: Option<SourceInfo>,
    #[serde(default, deserialize_with = "some_sources")]
    sources: Vec<SourceInfo>,
    #[serde(default)]
    domain: Option<String>,
    #[serde(default, rename = "ts", deserialize_with = "some_timestamp")]
    now: Option<Timestamp>,
}

impl<'de> Deserialize<'de> for StreamConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Map::deserialize(deserializer)?;
        let fields = StreamFields::deserialize(&raw).map_err(D::Error::custom)?;
        Ok(Self { fields, raw })
    }
}

impl core::ops::Deref for StreamConfig {
    type Target = StreamFields;

    fn deref(&self) -> &StreamFields {
        &self.fields
    }
}

/// Reads a list that takes more than a hundred times its text in memory, so
/// only so far.
fn some_sources<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Sources<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Sources<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_SOURCES} sources")
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut sources = Vec::new();
            while let Some(source) = seq.next_element()? {
                if sources.len() == MAX_SOURCES {
                    return Err(A::Error::invalid_length(MAX_SOURCES, &self));
                }
                sources.push(source);
            }
            Ok(sources)
        }
    }

    deserializer.deserialize_any(Sources(PhantomData))
}

fn some_error<'de, D>(deserializer: D) -> Result<Option<ServerError>, D::Error>
where
    D: Deserializer<'de>,
{
    let body = Option::<ErrorBody<'_>>::deserialize(deserializer)?;
    Ok(body.map(ServerError::from))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::js::account::AccountInfo;
    use crate::js::consumer::ConsumerInfo;
    use crate::js::message::{ApiReply, PublishReply, StoredMessage};
    use crate::js::purge::Purged;
    use crate::kv::status::BucketStatus;

    const RESPONSES: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/corpus/json-responses"
    );

    /// Which parser read a recorded reply.
    fn parse_recorded(bytes: &[u8]) -> Option<&'static str> {
        let value: Value = serde_json::from_slice(bytes).expect("recorded replies are JSON");
        let Some(kind) = value.get("type").and_then(Value::as_str) else {
            value.get("stream")?;
            PublishReply::parse(bytes).expect("a publish acknowledgement");
            return Some("ack");
        };
        match kind.strip_prefix("io.nats.jetstream.api.v1.")? {
            "stream_create_response" | "stream_update_response" | "stream_info_response" => {
                check_info(&value, parse(bytes));
                Some("info")
            }
            "stream_list_response" => {
                for info in parse::<StreamList>(bytes).map_or(Vec::new(), |list| list.streams) {
                    BucketStatus::from_info(info).expect("a bucket");
                }
                Some("list")
            }
            "stream_names_response" => parse::<StreamNames>(bytes).map(|_| "names"),
            "stream_delete_response" => parse::<Success>(bytes).map(|_| "delete"),
            "stream_msg_get_response" => {
                StoredMessage::parse(bytes).expect("a message");
                Some("message")
            }
            "stream_purge_response" => parse::<Purged>(bytes).map(|purged| {
                assert_eq!(value["purged"], purged.purged);
                "purge"
            }),
            "consumer_create_response" | "consumer_info_response" => parse::<ConsumerInfo>(bytes)
                .map(|info| {
                    assert!(info.server_time.is_some());
                    assert_eq!(value["num_pending"], info.num_pending);
                    "consumer"
                }),
            "account_info_response" => {
                ApiReply::<AccountInfo>::parse(bytes).expect("an account");
                Some("account")
            }
            _ => None,
        }
    }

    fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
        let reply = ApiReply::<T>::parse(bytes).ok();
        reply.expect("a known reply").into_result().ok()
    }

    fn check_info(value: &Value, info: Option<StreamInfo>) {
        let Some(info) = info else {
            assert!(value.get("error").is_some());
            return;
        };
        assert_eq!(Value::Object(info.config.raw.clone()), value["config"]);
        assert_eq!(info.created_text, value["created"]);
        assert_eq!(Value::from(info.state.messages), value["state"]["messages"]);
        assert_eq!(info.mirror.is_some(), info.config.mirror.is_some());
        if info.config.name.starts_with("KV_") {
            BucketStatus::from_info(info).expect("a bucket");
        }
    }

    /// Every recorded reply of a kind that is read here parses.
    #[test]
    fn recorded_replies_parse() {
        let mut counts = BTreeMap::new();
        let files = fs::read_dir(Path::new(RESPONSES)).expect("the corpus of recorded replies");
        for file in files {
            let path = file.expect("a file").path();
            let bytes = fs::read(&path).expect("a readable file");
            if let Some(kind) = parse_recorded(&bytes) {
                *counts.entry(kind).or_insert(0) += 1;
            }
        }
        for kind in [
            "ack", "info", "list", "names", "delete", "message", "account", "purge", "consumer",
        ] {
            assert!(counts.contains_key(kind), "none of {kind} in {counts:?}");
        }
    }

    #[test]
    fn what_is_absent_or_null_is_empty() {
        let text = r#"{"config":{"name":"S","subjects":null,"sources":null,"metadata":null,
            "description":null,"mirror":null,"future":[1]},"created":"2026-11-23T19:32:47Z",
            "state":null,"sources":null,"cluster":null}"#;
        let info: StreamInfo = serde_json::from_str(text).expect("a stream");
        assert_eq!(info.state, StreamState::default());
        assert_eq!(
            (info.cluster, info.mirror, info.sources),
            (None, None, Vec::new())
        );
        assert_eq!(
            (info.config.subjects.len(), info.config.sources.len()),
            (0, 0)
        );
        assert!(info.config.raw.contains_key("future"));

        let names: StreamNames =
            serde_json::from_str(r#"{"total":3,"offset":3,"streams":null}"#).expect("a page");
        assert_eq!((names.total, names.streams.len()), (3, 0));
        let list: StreamList =
            serde_json::from_str(r#"{"total":0,"offset":0,"missing":["KV_B"]}"#).expect("a page");
        assert!(
            serde_json::from_str::<StreamNames>("{}").is_err(),
            "any object is no page"
        );
        assert_eq!((list.streams.len(), list.missing.len()), (0, 1));
    }

    #[test]
    fn zero_time_is_none_and_a_stream_has_a_creation() {
        let text = |created: &str, first: &str| {
            format!(
                r#"{{"config":{{"name":"S"}},"created":"{created}","state":{{"first_ts":"{first}"}}}}"#
            )
        };
        let zero = "0001-01-01T00:00:00Z";
        let time = "2026-11-23T19:32:47.5Z";
        let info: StreamInfo = serde_json::from_str(&text(time, zero)).expect("a stream");
        assert_eq!(info.state.first_ts, None);
        assert_eq!(info.created.to_string(), "2026-11-23T19:32:47.500000000Z");
        assert_eq!(info.created_text, time);
        let info: StreamInfo = serde_json::from_str(&text(time, time)).expect("a stream");
        assert_eq!(info.state.first_ts, Some(info.created));
        assert!(serde_json::from_str::<StreamInfo>(&text(zero, zero)).is_err());
    }

    #[test]
    fn lag_and_its_reasons_are_read() {
        let text = r#"{"config":{"name":"KV_M","mirror":{"name":"KV_O"}},"created":"2026-11-23T19:32:47Z",
            "state":{},"mirror":{"name":"KV_O","lag":7,"active":-1,"external":{"api":"$JS.hub.API"},
            "error":{"code":404,"err_code":10059,"description":"stream not found"}},
            "cluster":{"name":"c","leader":"n1","replicas":[{"name":"n2","current":true,"active":5,"lag":2,"peer":"x"}]}}"#;
        let info: StreamInfo = serde_json::from_str(text).expect("a stream");
        let mirror = info.mirror.expect("a mirror");
        assert_eq!((mirror.lag, mirror.active), (7, -1));
        assert!(
            mirror
                .error
                .is_some_and(|error| error.is_stream_not_found())
        );
        let cluster = info.cluster.expect("a cluster");
        assert_eq!((cluster.leader.as_str(), cluster.replicas.len()), ("n1", 1));
        assert!(
            cluster
                .replicas
                .iter()
                .all(|peer| peer.current && !peer.offline && peer.lag == 2)
        );
    }
}
