//! Other buckets and streams that a bucket is fed from.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::name::BucketName;
use crate::time::Timestamp;

/// A bucket, or another stream, that a bucket mirrors or copies from.
///
/// ```
/// use kv_proto::{BucketConfig, Source};
///
/// let edge = BucketConfig::new("edge").mirror(Source::bucket("config").domain("hub"));
/// let all = BucketConfig::new("all")
///     .source(Source::bucket("eu").keys("user.>"))
///     .source(Source::bucket("us"));
/// edge.validate()?;
/// all.validate()?;
/// # Ok::<(), kv_proto::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The name of the stream: `KV_` and the name of the bucket.
    pub stream: String,
    /// How to reach it in another domain or account.
    pub external: Option<External>,
    /// Where to start; `None` at its beginning.
    pub start: Option<SourceStart>,
    /// The only subjects to take; `None` for all.
    pub filter_subject: Option<String>,
    /// How subjects are renamed on arrival. A copied bucket without any gets
    /// the one that moves its keys into the new bucket.
    pub transforms: Vec<SubjectTransform>,
}

/// Where to start in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceStart {
    /// At this revision.
    Sequence(u64),
    /// At the first revision of this time or later.
    Time(Timestamp),
}

/// How to reach a stream of another domain or account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct External {
    /// The prefix of its JetStream API, such as `$JS.hub.API`.
    pub api: String,
    /// The prefix of the subjects it delivers to; `None` for the usual ones.
    pub deliver: Option<String>,
}

/// A mapping of subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubjectTransform {
    /// The subjects that are renamed, wildcards allowed.
    pub src: String,
    /// What they become, with `>` or functions such as `{{wildcard(1)}}`.
    pub dest: String,
}

impl Source {
    /// Makes a source of the bucket of this name. (`KV_` is always put in
    /// front: `bucket("KV_x")` is the bucket `KV_x`, not the bucket `x`.)
    #[must_use]
    pub fn bucket(name: impl AsRef<str>) -> Self {
        Self::stream(stream_name(name.as_ref()))
    }

    /// Makes a source of the stream of this name.
    #[must_use]
    pub fn stream(name: impl Into<String>) -> Self {
        Self {
            stream: name.into(),
            external: None,
            start: None,
            filter_subject: None,
            transforms: Vec::new(),
        }
    }

    /// Looks for the stream in another domain.
    #[must_use]
    pub fn domain(self, domain: impl AsRef<str>) -> Self {
        self.external(External::new(format!("$JS.{}.API", domain.as_ref())))
    }

    /// Looks for the stream behind another API prefix.
    #[must_use]
    pub fn external(mut self, external: External) -> Self {
        self.external = Some(external);
        self
    }

    /// Sets where to start.
    #[must_use]
    pub fn start(mut self, start: SourceStart) -> Self {
        self.start = Some(start);
        self
    }

    /// Takes only these keys of a bucket, wildcards allowed.
    #[must_use]
    pub fn keys(self, filter: impl AsRef<str>) -> Self {
        let prefix = self.key_prefix().unwrap_or_default();
        self.filter_subject(format!("{prefix}{}", filter.as_ref()))
    }

    /// Takes only these subjects, wildcards allowed.
    #[must_use]
    pub fn filter_subject(mut self, subject: impl Into<String>) -> Self {
        self.filter_subject = Some(subject.into());
        self
    }

    /// Adds a renaming of subjects.
    #[must_use]
    pub fn transform(mut self, src: impl Into<String>, dest: impl Into<String>) -> Self {
        self.transforms.push(SubjectTransform {
            src: src.into(),
            dest: dest.into(),
        });
        self
    }

    /// Returns the name of the bucket, unless the stream is none.
    #[must_use]
    pub fn bucket_name(&self) -> Option<BucketName> {
        BucketName::new(self.stream.strip_prefix("KV_")?).ok()
    }

    /// Returns what the subjects of the bucket start with: `$KV.config.`.
    pub(super) fn key_prefix(&self) -> Option<String> {
        let bucket = self.stream.strip_prefix("KV_")?;
        Some(format!("$KV.{bucket}."))
    }

    /// Returns the renaming that moves the keys of a bucket into another one:
    /// `$KV.eu.user.*` becomes `$KV.all.user.{{wildcard(1)}}`.
    pub(super) fn default_transform(&self, into: &BucketName) -> Option<SubjectTransform> {
        let prefix = self.key_prefix()?;
        let src = match &self.filter_subject {
            Some(filter) => filter.clone(),
            None => format!("{prefix}>"),
        };
        let mut wildcards = 0;
        let mut dest = format!("$KV.{into}");
        for token in src.strip_prefix(&prefix)?.split('.') {
            dest.push('.');
            if token == "*" {
                wildcards += 1;
                dest.push_str(&format!("{{{{wildcard({wildcards})}}}}"));
            } else {
                dest.push_str(token);
            }
        }
        Some(SubjectTransform { src, dest })
    }

    /// Writes the default renaming as what it is: none.
    pub(super) fn without_default_transform(mut self, into: &BucketName) -> Self {
        if self.filter_subject.is_some() || self.transforms.len() != 1 {
            return self;
        }
        let Some(transform) = self.transforms.pop() else {
            return self;
        };
        let mut plain = self.clone();
        let all_keys = self.key_prefix().map(|prefix| prefix + ">");
        if all_keys.as_ref() != Some(&transform.src) {
            plain.filter_subject = Some(transform.src.to_string());
        }
        if plain.default_transform(into).as_ref() == Some(&transform) {
            return plain;
        }
        self.transforms.push(transform);
        self
    }
}

impl External {
    /// Makes the way to another domain or account by the prefix of its API.
    #[must_use]
    pub fn new(api: impl Into<String>) -> Self {
        Self {
            api: api.into(),
            deliver: None,
        }
    }

    /// Sets the prefix of the subjects it delivers to.
    #[must_use]
    pub fn deliver(mut self, prefix: impl Into<String>) -> Self {
        self.deliver = Some(prefix.into());
        self
    }
}

/// Returns the name of the stream behind a bucket.
pub(super) fn stream_name(bucket: &str) -> String {
    format!("KV_{bucket}")
}
