//! Consumers: what is asked of the ordered push consumer behind a watch, and
//! what a server says of it.
//!
//! Such a consumer acknowledges nothing and is kept in memory by one server.
//! It is never repaired: whoever meets a gap makes a new one, under a new name,
//! that starts behind what arrived.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::message::some_timestamp;
use super::stream::ClusterInfo;
use super::subject::CONSUMER_CREATE;
use crate::time::Timestamp;

/// With which message a consumer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliverPolicy {
    /// With the first that the stream keeps.
    All,
    /// With the first that is stored after the consumer was made.
    New,
    /// With the last of every subject.
    LastPerSubject,
    /// With the first of at least this sequence. From 2.11 on servers take one
    /// beyond the end of the stream by its word and deliver nothing before it.
    ByStartSequence(u64),
}

impl DeliverPolicy {
    /// The first sequence that is asked for.
    pub(crate) const fn first(self) -> u64 {
        match self {
            Self::ByStartSequence(first) => first,
            Self::All | Self::New | Self::LastPerSubject => 1,
        }
    }
}

/// What is asked of a new ordered push consumer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConsumerRequest<'a> {
    pub(crate) stream: &'a str,
    /// Not used before: a name in use is refused, unless this is a repetition
    /// of the very request that made it.
    pub(crate) name: &'a str,
    pub(crate) deliver_subject: &'a str,
    pub(crate) policy: DeliverPolicy,
    /// Full subjects, at least one; they do not overlap.
    pub(crate) filters: &'a [String],
    /// Whether payloads are left out; their length then comes as a header.
    pub(crate) headers_only: bool,
    /// At least 100 ms.
    pub(crate) heartbeat: Duration,
    /// How long the server keeps the consumer while nobody listens.
    pub(crate) inactive_threshold: Duration,
}

impl ConsumerRequest<'_> {
    /// The call to make. One filter is part of it, so that permissions
    /// can restrict filters; servers refuse it beside several.
    pub(crate) fn call(&self) -> String {
        let Self { stream, name, .. } = self;
        match self.filters {
            [filter] => format!("{CONSUMER_CREATE}{stream}.{name}.{filter}"),
            _ => format!("{CONSUMER_CREATE}{stream}.{name}"),
        }
    }

    /// The JSON to ask with. To repeat it is safe: a server that made the
    /// consumer already answers as if it made it now.
    pub(crate) fn body(&self) -> Bytes {
        let (deliver_policy, opt_start_seq) = match self.policy {
            DeliverPolicy::All => ("all", None),
            DeliverPolicy::New => ("new", None),
            DeliverPolicy::LastPerSubject => ("last_per_subject", None),
            DeliverPolicy::ByStartSequence(start) => ("by_start_sequence", Some(start)),
        };
        let (filter_subject, filter_subjects) = match self.filters {
            [filter] => (Some(filter.as_str()), None),
            several => (None, Some(several)),
        };
        let body = CreateBody {
            stream_name: self.stream,
            config: ConsumerConfig {
                name: self.name,
                deliver_subject: self.deliver_subject,
                deliver_policy,
                opt_start_seq,
                ack_policy: "none",
                max_deliver: 1,
                filter_subject,
                filter_subjects,
                replay_policy: "instant",
                flow_control: true,
                idle_heartbeat: nanoseconds(self.heartbeat),
                headers_only: self.headers_only.then_some(true),
                mem_storage: true,
                num_replicas: 1,
                inactive_threshold: nanoseconds(self.inactive_threshold),
            },
            action: "create",
        };
        #[allow(clippy::expect_used, reason = "it is true")]
        let json = serde_json::to_vec(&body).expect("texts, numbers and booleans always serialise");
        Bytes::from(json)
    }
}

#[derive(Serialize)]
struct CreateBody<'a> {
    stream_name: &'a str,
    config: ConsumerConfig<'a>,
    action: &'static str,
}

#[derive(Serialize)]
struct ConsumerConfig<'a> {
    name: &'a str,
    deliver_subject: &'a str,
    deliver_policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_start_seq: Option<u64>,
    ack_policy: &'static str,
    max_deliver: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_subjects: Option<&'a [String]>,
    replay_policy: &'static str,
    flow_control: bool,
    idle_heartbeat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers_only: Option<bool>,
    mem_storage: bool,
    num_replicas: u32,
    inactive_threshold: i64,
}

/// The server counts nanoseconds in an `i64`.
fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// What a server says of a consumer: the reply to create and info.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ConsumerInfo {
    pub(crate) name: String,
    pub(crate) delivered: Delivered,
    /// Messages that the filters match and that are not delivered yet.
    pub(crate) num_pending: u64,
    /// When the server answered, by its clock.
    #[serde(rename = "ts", default, deserialize_with = "some_timestamp")]
    pub(crate) server_time: Option<Timestamp>,
    /// Absent without a cluster.
    #[serde(default)]
    cluster: Option<ClusterInfo>,
}

impl ConsumerInfo {
    /// The server that the consumer lives on, in a cluster.
    pub(crate) fn host(&self) -> Option<&str> {
        self.cluster.as_ref()?.leader()
    }
}

/// How far a consumer delivered. The fields have no default: a position that
/// the server did not tell is not the start of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Delivered {
    /// Its own count of deliveries.
    pub(crate) consumer_seq: u64,
    /// The sequence before the first that it can deliver next.
    pub(crate) stream_seq: u64,
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::vec::Vec;
    use std::fs;

    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::super::message::ApiReply;
    use super::*;
    use crate::wire::JsonError;

    fn request<'a>(policy: DeliverPolicy, filters: &'a [String]) -> ConsumerRequest<'a> {
        ConsumerRequest {
            stream: "KV_B",
            name: "c1",
            deliver_subject: "_INBOX.x.1",
            policy,
            filters,
            headers_only: false,
            heartbeat: Duration::from_secs(5),
            inactive_threshold: Duration::from_secs(30),
        }
    }

    #[test]
    fn one_filter_is_part_of_the_subject() {
        let one = ["$KV.B.>".to_owned()];
        let request = request(DeliverPolicy::LastPerSubject, &one);
        assert_eq!(request.call(), "CONSUMER.CREATE.KV_B.c1.$KV.B.>");
        assert_eq!(
            request.body(),
            concat!(
                r#"{"stream_name":"KV_B","config":{"name":"c1","deliver_subject":"_INBOX.x.1","#,
                r#""deliver_policy":"last_per_subject","ack_policy":"none","max_deliver":1,"#,
                r#""filter_subject":"$KV.B.>","replay_policy":"instant","flow_control":true,"#,
                r#""idle_heartbeat":5000000000,"mem_storage":true,"num_replicas":1,"#,
                r#""inactive_threshold":30000000000},"action":"create"}"#,
            )
        );
    }

    #[test]
    fn several_filters_are_not() {
        let two = ["$KV.B.a".to_owned(), "$KV.B.b.*".to_owned()];
        let request = ConsumerRequest {
            headers_only: true,
            ..request(DeliverPolicy::ByStartSequence(u64::MAX), &two)
        };
        assert_eq!(request.call(), "CONSUMER.CREATE.KV_B.c1");
        assert_eq!(
            request.body(),
            concat!(
                r#"{"stream_name":"KV_B","config":{"name":"c1","deliver_subject":"_INBOX.x.1","#,
                r#""deliver_policy":"by_start_sequence","opt_start_seq":18446744073709551615,"#,
                r#""ack_policy":"none","max_deliver":1,"filter_subjects":["$KV.B.a","$KV.B.b.*"],"#,
                r#""replay_policy":"instant","flow_control":true,"idle_heartbeat":5000000000,"#,
                r#""headers_only":true,"mem_storage":true,"num_replicas":1,"#,
                r#""inactive_threshold":30000000000},"action":"create"}"#,
            )
        );
    }

    fn text<'a>(config: &'a Map<String, Value>, field: &str) -> &'a str {
        config.get(field).and_then(Value::as_str).unwrap_or("")
    }

    fn number(config: &Map<String, Value>, field: &str) -> u64 {
        config.get(field).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Asks for what a recorded request asked for.
    fn ask_again(stream: &str, config: &Map<String, Value>) -> Map<String, Value> {
        let several = config.get("filter_subjects").and_then(Value::as_array);
        let filters: Vec<String> = several.map_or_else(
            || Vec::from([text(config, "filter_subject").to_owned()]),
            |filters| {
                filters
                    .iter()
                    .filter_map(Value::as_str)
                    .map(String::from)
                    .collect()
            },
        );
        let request = ConsumerRequest {
            stream,
            name: text(config, "name"),
            deliver_subject: text(config, "deliver_subject"),
            policy: match text(config, "deliver_policy") {
                "all" => DeliverPolicy::All,
                "new" => DeliverPolicy::New,
                "last_per_subject" => DeliverPolicy::LastPerSubject,
                "by_start_sequence" => {
                    DeliverPolicy::ByStartSequence(number(config, "opt_start_seq"))
                }
                other => panic!("{other}"),
            },
            filters: &filters,
            headers_only: config.get("headers_only") == Some(&Value::Bool(true)),
            heartbeat: Duration::from_nanos(number(config, "idle_heartbeat")),
            inactive_threshold: Duration::from_nanos(number(config, "inactive_threshold")),
        };
        let body: Value = serde_json::from_slice(&request.body()).expect("JSON");
        assert_eq!(body["stream_name"], stream);
        body["config"].as_object().expect("an object").clone()
    }

    /// All clients ask for the same consumer: what they say, we say too.
    #[test]
    fn recorded_watches_are_asked_for_alike() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpus/json-requests");
        let mut alike = 0;
        for file in fs::read_dir(folder).expect("the corpus of recorded requests") {
            let bytes = fs::read(file.expect("a file").path()).expect("a readable file");
            let recorded: Value = serde_json::from_slice(&bytes).expect("JSON");
            let Some(config) = recorded["config"].as_object() else {
                continue;
            };
            if text(config, "ack_policy") != "none" || !config.contains_key("flow_control") {
                continue;
            }
            let stream = recorded["stream_name"].as_str().expect("a name");
            let ours = ask_again(stream, config);
            for (field, theirs) in config {
                let foreign = matches!(field.as_str(), "description" | "ack_wait" | "metadata");
                let said = ours.get(field) == Some(theirs);
                let left_out = *theirs == Value::Bool(false) && !ours.contains_key(field);
                assert!(said || left_out || foreign, "{field} of {recorded}");
            }
            alike += 1;
        }
        assert!(alike >= 10, "only {alike}");
    }

    proptest! {
        /// Whatever the names are, the body is JSON that says them.
        #[test]
        fn names_are_escaped(
            names in proptest::array::uniform3("\\PC{0,6}|[\"\\\\\n]{1,3}"),
            filters in proptest::collection::vec("\\PC{0,6}|[\"\\\\\n]{1,3}", 1..4),
            seconds in any::<u64>(),
        ) {
            let [stream, name, deliver_subject] = &names;
            let request = ConsumerRequest {
                stream,
                name,
                deliver_subject,
                heartbeat: Duration::from_secs(seconds),
                ..request(DeliverPolicy::All, &filters)
            };
            let body: Value = serde_json::from_slice(&request.body()).expect("JSON");
            prop_assert_eq!(&body["stream_name"], stream);
            let config = &body["config"];
            prop_assert_eq!(&config["name"], name);
            prop_assert_eq!(&config["deliver_subject"], deliver_subject);
            let said: Vec<&str> = match config.get("filter_subject") {
                Some(filter) => filter.as_str().into_iter().collect(),
                None => config["filter_subjects"]
                    .as_array()
                    .expect("filters")
                    .iter()
                    .filter_map(Value::as_str)
                    .collect(),
            };
            prop_assert_eq!(&said, &filters);
            prop_assert_eq!(config.get("filter_subject").is_some(), filters.len() == 1);
            let heartbeat = config["idle_heartbeat"].as_i64().expect("a Go duration");
            prop_assert_eq!(heartbeat, i64::try_from(seconds).map_or(i64::MAX, |s| s.saturating_mul(1_000_000_000)));
        }
    }

    fn parse(text: &str) -> Result<ApiReply<ConsumerInfo>, JsonError> {
        ApiReply::parse(text.as_bytes())
    }

    const INFO: &str = r#"{"type":"io.nats.jetstream.api.v1.consumer_create_response","stream_name":"KV_WATCH","name":"57gj7WEU","created":"2026-11-23T19:11:27.576257497Z","config":{"name":"57gj7WEU"},"delivered":{"consumer_seq":3,"stream_seq":7,"last_active":"2026-11-23T19:11:27Z"},"ack_floor":{"consumer_seq":0,"stream_seq":2},"num_pending":2,"push_bound":true,"ts":"2026-11-23T19:11:27.576304047Z"}"#;

    #[test]
    fn a_consumer_is_read() {
        let info = ConsumerInfo {
            cluster: None,
            name: "57gj7WEU".to_owned(),
            delivered: Delivered {
                consumer_seq: 3,
                stream_seq: 7,
            },
            num_pending: 2,
            server_time: Timestamp::parse_rfc3339("2026-11-23T19:11:27.576304047Z"),
        };
        assert!(info.server_time.is_some());
        assert_eq!(parse(INFO), Ok(ApiReply::Success(info.clone())));
        let info = ConsumerInfo {
            server_time: None,
            ..info
        };
        for (from, to) in [
            (r#""ts":"2026"#, r#""ts":"0001"#),
            (r#""ts""#, r#""time""#),
            (r#""2026-11-23T19:11:27.576304047Z""#, "null"),
        ] {
            let text = INFO.replace(from, to);
            assert_ne!(text, INFO);
            assert_eq!(parse(&text), Ok(ApiReply::Success(info.clone())), "{text}");
        }
    }

    #[test]
    fn what_a_watch_relies_on_is_not_made_up() {
        for (from, to) in [
            (r#""name":"57gj7WEU","created""#, r#""created""#),
            (r#""name":"57gj7WEU","created""#, r#""name":null,"created""#),
            (r#""delivered""#, r#""received""#),
            (r#""stream_seq":7"#, r#""sequence":7"#),
            (r#""consumer_seq":3"#, r#""consumer_seq":-3"#),
            (r#""num_pending""#, r#""pending""#),
            (r#""num_pending":2"#, r#""num_pending":null"#),
            (r#""num_pending":2"#, r#""num_pending":1.5"#),
        ] {
            let text = INFO.replace(from, to);
            assert_ne!(text, INFO);
            assert!(parse(&text).is_err(), "{text}");
        }
        let gone = r#"{"error":{"code":404,"err_code":10014,"description":"consumer not found"}}"#;
        let reply = parse(gone).expect("a reply");
        assert!(
            reply
                .into_result()
                .is_err_and(|error| error.is_consumer_not_found())
        );
    }
}
