//! What a session needs to know of a bucket to talk to it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::js::stream::StreamInfo;
use crate::js::subject::{self, ApiPrefix};
use crate::kv::status::{BucketStatus, NotABucket};
use crate::kv::step::Absent;
use crate::name::BucketName;
use crate::time::Timestamp;

/// An open bucket: the result of opening, creating or updating one, and the
/// argument of every request on its keys. Cloning is cheap.
#[derive(Clone)]
pub struct Binding(Arc<Bound>);

struct Bound {
    name: BucketName,
    stream: String,
    /// Where the bucket is.
    api: ApiPrefix,
    origin: Origin,
    /// Where writes go: `$KV.<bucket>.`, a mirror's the subjects of its origin.
    write_prefix: String,
    /// The subjects that stored messages have.
    stored_prefix: String,
    /// `$JS.API.DIRECT.GET.KV_<bucket>.` followed by `stored_prefix`.
    direct_prefix: String,
    tag: u64,
    allow_direct: bool,
    allow_ttl: bool,
    /// No more than one revision of each key is kept.
    keeps_one: bool,
    max_message: Option<usize>,
    /// How long the stream that stores what is written remembers the ids of messages; zero if that is not known.
    duplicate_window: Duration,
    created: Timestamp,
    /// The stream's last sequence when it was opened.
    last_seq: u64,
}

/// The stream that stores what is written: a mirror's origin, or the bucket's
/// own.
struct Origin {
    stream: String,
    api: ApiPrefix,
    /// The domain that its acknowledgements name, where that is known.
    domain: Option<String>,
    /// What the mirror calls its API, if that means nothing here.
    unreachable: Option<String>,
}

impl Binding {
    pub(crate) fn from_info(api: &ApiPrefix, info: StreamInfo) -> Result<Self, NotABucket> {
        let (created, last_seq) = (info.created, info.state.last_seq);
        let allow_direct = info.config.allow_direct;
        let allow_ttl = info.config.allow_msg_ttl;
        let keeps_one = info.config.max_msgs_per_subject == 1;
        let max_message = usize::try_from(info.config.max_msg_size).ok();
        let window = match &info.config.mirror {
            None => u64::try_from(info.config.duplicate_window).unwrap_or(0),
            Some(_) => 0,
        };
        let origin = Origin::of(api, &info);
        let status = BucketStatus::from_info(info)?;
        let name = status.bucket().clone();
        let stream = subject::stream_of(&name);
        let prefix = subject::STREAM_PREFIX;
        let bucket = origin.stream.strip_prefix(prefix);
        let bucket = bucket.unwrap_or(&origin.stream);
        let stored_prefix = format!("$KV.{bucket}.");
        Ok(Self(Arc::new(Bound {
            direct_prefix: format!("{api}{}{stream}.{stored_prefix}", subject::DIRECT_GET),
            tag: origin.tag(),
            name,
            stream,
            api: api.clone(),
            write_prefix: origin.api.writes_to(bucket),
            stored_prefix,
            origin,
            allow_direct,
            allow_ttl,
            keeps_one,
            max_message: max_message.filter(|max| *max > 0),
            duplicate_window: Duration::from_nanos(window),
            created,
            last_seq,
        })))
    }

    /// Returns the bucket's name.
    #[must_use]
    pub fn name(&self) -> &BucketName {
        &self.0.name
    }

    /// Returns when the bucket was created, by the server's clock: a bucket
    /// that was deleted and created again has another time.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.0.created
    }

    /// When the stream was created that numbers the revisions, if that is the bucket's own.
    pub(crate) fn incarnation(&self) -> Option<Timestamp> {
        (!self.is_mirror()).then_some(self.0.created)
    }

    pub(crate) fn stream(&self) -> &str {
        &self.0.stream
    }

    pub(crate) fn write_prefix(&self) -> &str {
        &self.0.write_prefix
    }

    pub(crate) fn stored_prefix(&self) -> &str {
        &self.0.stored_prefix
    }

    pub(crate) fn direct_prefix(&self) -> &str {
        &self.0.direct_prefix
    }

    /// Whose JetStream API serves the bucket.
    pub(crate) fn api(&self) -> &ApiPrefix {
        &self.0.api
    }

    /// Whether another stream stores what is written.
    pub(crate) fn is_mirror(&self) -> bool {
        let Origin { stream, api, .. } = &self.0.origin;
        *stream != self.0.stream || *api != self.0.api
    }

    /// Whose JetStream API serves the stream that stores what is written: a
    /// mirror's origin can be in another domain or account.
    pub(crate) fn origin_api(&self) -> &ApiPrefix {
        &self.0.origin.api
    }

    /// The stream that numbers the revisions, and whose JetStream API serves it: a mirror's are its origin's.
    pub(crate) fn numbered_by(&self) -> (&str, &str, Option<&str>) {
        let Origin {
            stream,
            api,
            unreachable,
            ..
        } = &self.0.origin;
        (stream, api.as_str(), unreachable.as_deref())
    }

    /// Whether one is a clone of the other.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether that API can be asked from here.
    pub(crate) fn check_origin(&self) -> Result<(), Absent> {
        match &self.0.origin.unreachable {
            Some(api) => Err(Absent::Under(api.clone())),
            None => Ok(()),
        }
    }

    /// The stream that acknowledges writes.
    pub(crate) fn acks_from(&self) -> &str {
        &self.0.origin.stream
    }

    /// Whether an acknowledgement is of that stream: in another domain there
    /// can be one of the same name.
    pub(crate) fn is_acked_by(&self, stream: &str, domain: &str) -> bool {
        let origin = &self.0.origin;
        stream == origin.stream && origin.domain.as_deref().is_none_or(|known| known == domain)
    }

    /// Whether the bucket was deleted and created again since it was opened. A mirror's origin may have
    /// been without a sign.
    pub(crate) fn is_older_than(&self, now: &StreamInfo) -> bool {
        self.0.stream == now.config.name && self.0.created != now.created
    }

    /// Whether that is the bucket, in the life in which it was opened.
    pub(crate) fn is_of(&self, info: &StreamInfo) -> bool {
        self.0.stream == info.config.name && self.0.created == info.created
    }

    /// A short stand-in for the acknowledging stream, to tell two apart.
    pub(crate) fn tag(&self) -> u64 {
        self.0.tag
    }

    pub(crate) fn allow_direct(&self) -> bool {
        self.0.allow_direct
    }

    pub(crate) fn allow_ttl(&self) -> bool {
        self.0.allow_ttl
    }

    pub(crate) fn keeps_one(&self) -> bool {
        self.0.keeps_one
    }

    /// The largest value with its headers that the bucket stores.
    pub(crate) fn max_message(&self) -> Option<usize> {
        self.0.max_message
    }

    /// How long the id of a message is remembered; zero if that is not known.
    pub(crate) fn duplicate_window(&self) -> Duration {
        self.0.duplicate_window
    }

    /// How far the stream had come when it was opened.
    pub(crate) fn last_seq(&self) -> u64 {
        self.0.last_seq
    }

    /// Returns the key of a stored subject, if it is one of this bucket's.
    pub(crate) fn key_of<'a>(&self, subject: &'a [u8]) -> Option<&'a [u8]> {
        subject.strip_prefix(self.0.stored_prefix.as_bytes())
    }
}

impl Origin {
    fn of(api: &ApiPrefix, info: &StreamInfo) -> Self {
        // Answers to the creation of a stream name no domain.
        let domain = api.domain_name().or(info.domain.as_deref());
        let own = |stream: &str| Self {
            stream: stream.to_string(),
            api: api.clone(),
            domain: domain.map(ToString::to_string),
            unreachable: None,
        };
        let Some(mirror) = &info.config.mirror else {
            return own(&info.config.name);
        };
        let external = mirror.external.as_ref().map(|external| &external.api);
        let Some(external) = external.filter(|api| !api.is_empty()) else {
            return own(&mirror.name);
        };
        match api.reach(external) {
            Ok(there) if there == *api => own(&mirror.name),
            Ok(there) => Self {
                domain: there.domain_name().map(ToString::to_string),
                api: there,
                ..own(&mirror.name)
            },
            Err(unreachable) => Self {
                unreachable: Some(unreachable),
                domain: None,
                ..own(&mirror.name)
            },
        }
    }

    /// A short stand-in, to tell two apart.
    fn tag(&self) -> u64 {
        let place = if self.api.is_own() {
            ""
        } else {
            self.api.as_str()
        };
        fnv1a(&[place.as_bytes(), self.stream.as_bytes()].concat())
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Binding").field(&self.0.name).finish()
    }
}

impl PartialEq for Binding {
    /// Two bindings are equal if they are of the same life of the same bucket.
    fn eq(&self, other: &Self) -> bool {
        self.is_same_as(other)
            || self.0.name == other.0.name
                && self.0.api == other.0.api
                && self.0.created == other.0.created
    }
}

impl Eq for Binding {}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Bucket `m`, opened by a client whose API this is.
    fn binding(api: &str, mirror: &Value, domain: Option<&str>) -> Binding {
        let info = json!({
            "config": {"name": "KV_m", "max_msgs_per_subject": 1, "mirror": mirror},
            "created": "2026-11-23T19:10:56Z", "state": {}, "domain": domain,
        });
        let api = ApiPrefix::new(api).expect("a prefix");
        let info = serde_json::from_value(info).expect("a stream");
        Binding::from_info(&api, info).expect("a bucket")
    }

    fn mirror_of(stream: &str, external: Option<&str>) -> Value {
        json!({"name": stream, "external": external.map(|api| json!({"api": api}))})
    }

    #[test]
    fn a_bucket_is_written_and_read_behind_its_api() {
        let rows = [
            ("$JS.API", "$KV.m.", "$JS.API.DIRECT.GET.KV_m.$KV.m."),
            (
                "$JS.hub.API",
                "$JS.hub.API.$KV.m.",
                "$JS.hub.API.DIRECT.GET.KV_m.$KV.m.",
            ),
            (
                "JS.acme.API",
                "JS.acme.API.$KV.m.",
                "JS.acme.API.DIRECT.GET.KV_m.$KV.m.",
            ),
        ];
        for (api, write, direct) in rows {
            let bucket = binding(api, &Value::Null, None);
            assert_eq!(bucket.write_prefix(), write);
            assert_eq!(bucket.direct_prefix(), direct);
            assert_eq!(bucket.stored_prefix(), "$KV.m.");
            assert_eq!(bucket.origin_api().name(), api);
            assert!(!bucket.is_mirror() && bucket.check_origin().is_ok());
        }
    }

    #[test]
    fn a_mirror_is_read_where_it_is_and_written_where_its_origin_is() {
        // The client's API, the origin as the mirror names it, where writes go.
        let rows = [
            ("$JS.API", None, "$KV.o."),
            ("$JS.hub.API", None, "$JS.hub.API.$KV.o."),
            ("$JS.API", Some(""), "$KV.o."),
            ("$JS.API", Some("$JS.hub.API"), "$JS.hub.API.$KV.o."),
            ("$JS.API", Some("JS.acme.API."), "JS.acme.API.$KV.o."),
            ("$JS.leaf.API", Some("$JS.hub.API"), "$JS.hub.API.$KV.o."),
        ];
        for (api, external, write) in rows {
            let mirror = binding(api, &mirror_of("KV_o", external), None);
            assert_eq!(mirror.write_prefix(), write, "{api} {external:?}");
            let direct = format!("{api}.DIRECT.GET.KV_m.$KV.o.");
            assert_eq!(mirror.direct_prefix(), direct);
            assert!(mirror.is_mirror() && mirror.check_origin().is_ok());
        }
        let same = binding("$JS.API", &mirror_of("KV_m", Some("$JS.hub.API")), None);
        assert!(same.is_mirror());
        for (api, external) in [
            ("JS.acme.API", "$JS.hub.API"),
            ("$JS.hub.API", "JS.acme.API"),
        ] {
            let mirror = binding(api, &mirror_of("KV_o", Some(external)), None);
            let absent = Absent::Under(external.to_string());
            assert_eq!(mirror.check_origin(), Err(absent));
        }
    }

    #[test]
    fn only_the_stream_that_is_meant_acknowledges() {
        let acks = |api: &str, mirror: Value, domain: Option<&str>| {
            let bucket = binding(api, &mirror, domain);
            let of = move |stream: &str| {
                ["", "hub", "leaf"].map(|domain| bucket.is_acked_by(stream, domain))
            };
            (of("KV_m"), of("KV_o"))
        };
        let nobody = [false; 3];
        let (any, hub) = ([true; 3], [false, true, false]);
        assert_eq!(acks("$JS.API", Value::Null, None), (any, nobody));
        assert_eq!(acks("$JS.API", Value::Null, Some("hub")), (hub, nobody));
        assert_eq!(acks("$JS.hub.API", Value::Null, None), (hub, nobody));
        let there = || mirror_of("KV_o", Some("$JS.hub.API"));
        assert_eq!(acks("$JS.API", there(), Some("leaf")), (nobody, hub));
        let imported = mirror_of("KV_o", Some("JS.acme.API"));
        assert_eq!(acks("$JS.API", imported, Some("leaf")), (nobody, any));
        let beside = mirror_of("KV_o", None);
        assert_eq!(acks("$JS.API", beside, Some("hub")), (nobody, hub));
    }

    #[test]
    fn streams_of_one_name_in_two_domains_are_told_apart() {
        let tag = |api, mirror: Value| binding(api, &mirror, None).tag();
        let own = tag("$JS.API", Value::Null);
        let hub = tag("$JS.hub.API", Value::Null);
        assert_ne!(own, hub);
        assert_eq!(tag("$JS.API", mirror_of("KV_m", Some("$JS.hub.API"))), hub);
        assert_ne!(own, tag("$JS.API", mirror_of("KV_o", None)));
    }
}
