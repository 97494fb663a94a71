//! What a session needs to know of a bucket to talk to it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::js::stream::StreamInfo;
use crate::js::subject;
use crate::kv::status::{BucketStatus, NotABucket};
use crate::name::BucketName;
use crate::time::Timestamp;

/// An open bucket: the result of opening, creating or updating one, and the
/// argument of every request on its keys. Cloning is cheap.
#[derive(Clone)]
pub struct Binding(Arc<Bound>);

struct Bound {
    name: BucketName,
    stream: String,
    /// Where writes go: `$KV.<bucket>.`, a mirror's the subjects of its origin.
    write_prefix: String,
    /// The subjects that stored messages have.
    stored_prefix: String,
    /// `$JS.API.DIRECT.GET.KV_<bucket>.` followed by `stored_prefix`.
    direct_prefix: String,
    /// The stream that acknowledges writes: a mirror's origin.
    acks_from: String,
    /// Where the API of that stream is, if it is not here: another domain or account.
    api: Option<String>,
    tag: u64,
    allow_direct: bool,
    allow_ttl: bool,
    /// No more than one revision of each key is kept.
    keeps_one: bool,
    max_message: Option<usize>,
    /// How long the stream that stores what is written remembers the ids of messages; zero if that is not known.
    duplicate_window: Duration,
    created: Timestamp,
}

impl Binding {
    pub(crate) fn from_info(info: StreamInfo) -> Result<Self, NotABucket> {
        let created = info.created;
        let allow_direct = info.config.allow_direct;
        let allow_ttl = info.config.allow_msg_ttl;
        let keeps_one = info.config.max_msgs_per_subject == 1;
        let max_message = usize::try_from(info.config.max_msg_size).ok();
        let window = u64::try_from(info.config.duplicate_window).unwrap_or(0);
        let origin = info.config.mirror.as_ref().map(|mirror| {
            let external = mirror
                .external
                .as_ref()
                .map(|external| external.api.clone());
            (mirror.name.clone(), external)
        });
        let status = BucketStatus::from_info(info)?;
        let name = status.bucket().clone();
        let stream = subject::stream_of(&name);
        let own_prefix = format!("$KV.{name}.");
        let api = origin.as_ref().and_then(|(_, external)| external.clone());
        let (acks_from, stored_prefix, write_prefix) = match origin {
            None => (stream.clone(), own_prefix.clone(), own_prefix),
            Some((origin, external)) => {
                let bucket = origin.strip_prefix("KV_").unwrap_or(&origin);
                let stored = format!("$KV.{bucket}.");
                let write = match external {
                    Some(api) => format!("{api}.{stored}"),
                    None => stored.clone(),
                };
                (origin, stored, write)
            }
        };
        let window = if acks_from == stream { window } else { 0 };
        Ok(Self(Arc::new(Bound {
            direct_prefix: format!("{}{stream}.{stored_prefix}", subject::DIRECT_GET),
            tag: fnv1a(acks_from.as_bytes()),
            name,
            stream,
            write_prefix,
            stored_prefix,
            acks_from,
            api,
            allow_direct,
            allow_ttl,
            keeps_one,
            max_message: max_message.filter(|max| *max > 0),
            duplicate_window: Duration::from_nanos(window),
            created,
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

    /// Whether another stream stores what is written.
    pub(crate) fn is_mirror(&self) -> bool {
        self.0.api.is_some() || self.0.acks_from != self.0.stream
    }

    pub(crate) fn acks_from(&self) -> &str {
        &self.0.acks_from
    }

    /// An API subject of the stream that stores what is written: a mirror's
    /// origin.
    pub(crate) fn origin_subject(&self, prefix: &str) -> String {
        let origin = &self.0.acks_from;
        match &self.0.api {
            Some(api) => {
                let rest = prefix.strip_prefix(subject::API).unwrap_or(prefix);
                format!("{api}.{rest}{origin}")
            }
            None => format!("{prefix}{origin}"),
        }
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

    /// Returns the key of a stored subject, if it is one of this bucket's.
    pub(crate) fn key_of<'a>(&self, subject: &'a [u8]) -> Option<&'a [u8]> {
        subject.strip_prefix(self.0.stored_prefix.as_bytes())
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
        self.0.name == other.0.name && self.0.created == other.0.created
    }
}

impl Eq for Binding {}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
