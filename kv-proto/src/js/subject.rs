//! The subjects of the JetStream API: a prefix that says whose API it is, and
//! what comes behind it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use thiserror::Error;

use crate::name::{BucketName, InvalidSubject, Subject};

pub(crate) const ACCOUNT_INFO: &str = "INFO";
pub(crate) const STREAM_CREATE: &str = "STREAM.CREATE.";
pub(crate) const STREAM_UPDATE: &str = "STREAM.UPDATE.";
pub(crate) const STREAM_INFO: &str = "STREAM.INFO.";
pub(crate) const STREAM_DELETE: &str = "STREAM.DELETE.";
pub(crate) const STREAM_NAMES: &str = "STREAM.NAMES";
pub(crate) const STREAM_LIST: &str = "STREAM.LIST";
pub(crate) const STREAM_MSG_GET: &str = "STREAM.MSG.GET.";
pub(crate) const STREAM_PURGE: &str = "STREAM.PURGE.";
pub(crate) const CONSUMER_CREATE: &str = "CONSUMER.CREATE.";
pub(crate) const CONSUMER_INFO: &str = "CONSUMER.INFO.";
pub(crate) const CONSUMER_DELETE: &str = "CONSUMER.DELETE.";
pub(crate) const DIRECT_GET: &str = "DIRECT.GET.";

/// The prefix of the streams that are buckets (ADR-8).
pub(crate) const STREAM_PREFIX: &str = "KV_";

/// The API of the account and the server that a client is connected to.
const OWN: &str = "$JS.API.";

/// The longest prefix, in bytes: with the longest names behind it a subject
/// still fits into the 4096 bytes that servers take as a control line.
const MAX_PREFIX: usize = 255;

/// The stream of a bucket.
pub(crate) fn stream_of(bucket: &BucketName) -> String {
    format!("{STREAM_PREFIX}{bucket}")
}

/// What a server that has the domain makes of a subject behind it, in two
/// pieces: `$JS.API.` and the call, or nothing and `$KV.`. It does so before it
/// checks permissions, and denies in its own words. `None` for a subject behind
/// no domain.
pub(crate) fn in_own_words(subject: &str) -> Option<[&str; 2]> {
    let (_, rest) = subject.strip_prefix("$JS.")?.split_once('.')?;
    let rest = rest.strip_prefix("API.")?;
    let own = if rest.starts_with("$KV.") { "" } else { OWN };
    Some([own, rest])
}

/// Whose JetStream API is meant: the prefix of all its subjects, with the dot
/// at its end. Cloning is cheap.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ApiPrefix(Arc<str>);

/// Why a text is neither a domain nor the prefix of a JetStream API.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidApiPrefix {
    /// A domain is one token, without a dot.
    #[error("domain has a dot at {at}")]
    Dot {
        /// The offset of the dot.
        at: usize,
    },
    /// It is longer than fits before the longest names.
    #[error("prefix has {len} bytes, more than {MAX_PREFIX}")]
    TooLong {
        /// The length of the prefix in bytes.
        len: usize,
    },
    /// It is no subject, or holds a wildcard.
    #[error(transparent)]
    Subject(#[from] InvalidSubject),
}

impl ApiPrefix {
    /// The API of a domain: `$JS.<domain>.API.`.
    pub(crate) fn domain(name: &str) -> Result<Self, InvalidApiPrefix> {
        if let Some(at) = name.find('.') {
            return Err(InvalidApiPrefix::Dot { at });
        }
        Subject::new(name)?;
        Self::new(&format!("$JS.{name}.API"))
    }

    /// The API behind a prefix, which is given without the dot at its end.
    pub(crate) fn new(prefix: &str) -> Result<Self, InvalidApiPrefix> {
        if prefix.len() > MAX_PREFIX {
            let len = prefix.len();
            return Err(InvalidApiPrefix::TooLong { len });
        }
        Subject::new(prefix)?;
        if let Some(at) = prefix.find(['*', '>']) {
            return Err(InvalidSubject::Wildcard { at }.into());
        }
        Ok(Self(format!("{prefix}.").into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix as people write it.
    pub(crate) fn name(&self) -> String {
        self.0.trim_end_matches('.').to_string()
    }

    pub(crate) fn is_own(&self) -> bool {
        *self.0 == *OWN
    }

    /// The domain that the prefix names; `None` for our own API and for one
    /// that is imported from another account.
    pub(crate) fn domain_name(&self) -> Option<&str> {
        let domain = self.0.strip_prefix("$JS.")?.strip_suffix(".API.")?;
        (!domain.contains('.')).then_some(domain)
    }

    /// Where keys of a bucket behind this API are written to. Only our own
    /// buckets listen to their plain subjects: behind another prefix those
    /// would be a bucket of the same name here, or nobody.
    pub(crate) fn writes_to(&self, bucket: &str) -> String {
        if self.is_own() {
            format!("$KV.{bucket}.")
        } else {
            format!("{self}$KV.{bucket}.")
        }
    }

    /// The API that a bucket behind this one names as that of its origin, as
    /// seen from here. A domain has the same name everywhere in an account;
    /// any other prefix means what it means where the bucket is, and whether
    /// an imported API is that of our account is not to be seen.
    pub(crate) fn reach(&self, external: &str) -> Result<Self, String> {
        let name = external.trim_end_matches('.');
        let there = Self::new(name).map_err(|_| name.to_string())?;
        if there.is_own() {
            return Ok(self.clone());
        }
        let anywhere = there.domain_name().is_some() && self.domain_name().is_some();
        if self.is_own() || anywhere {
            Ok(there)
        } else {
            Err(name.to_string())
        }
    }
}

impl Default for ApiPrefix {
    fn default() -> Self {
        Self(OWN.into())
    }
}

impl fmt::Display for ApiPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ApiPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(text: &str) -> ApiPrefix {
        ApiPrefix::new(text).expect("a prefix")
    }

    #[test]
    fn a_domain_is_a_prefix() {
        let hub = ApiPrefix::domain("hub").expect("a domain");
        assert_eq!(hub, prefix("$JS.hub.API"));
        assert_eq!(
            (hub.as_str(), hub.domain_name()),
            ("$JS.hub.API.", Some("hub"))
        );
        assert_eq!(prefix("$JS.API"), ApiPrefix::default());
        for other in [
            "$JS.API",
            "JS.acme.API",
            "$JS.a.b.API",
            "$JS.hub.APIS",
            "acme",
        ] {
            assert_eq!(prefix(other).domain_name(), None, "{other}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        let dot = InvalidApiPrefix::Dot { at: 3 };
        assert_eq!(ApiPrefix::domain("hub.eu"), Err(dot));
        let long = "d".repeat(MAX_PREFIX);
        assert!(ApiPrefix::new(&long).is_ok());
        let too_long = InvalidApiPrefix::TooLong {
            len: MAX_PREFIX + 8,
        };
        assert_eq!(ApiPrefix::domain(&long), Err(too_long));
        let wild = |at| Err(InvalidSubject::Wildcard { at }.into());
        for one in ["*", ">"] {
            assert_eq!(ApiPrefix::domain(one), wild(4));
            assert_eq!(ApiPrefix::new(&format!("JS.{one}")), wild(3));
        }
        for text in ["", "a b", "a\r\nPUB x 0\r\n\r\n", "h*", "\0"] {
            let refused = |result| matches!(result, Err(InvalidApiPrefix::Subject(_)));
            assert!(refused(ApiPrefix::domain(text)), "{text:?}");
            assert!(refused(ApiPrefix::new(text)), "{text:?}");
        }
        for text in ["JS.acme.API.", ".acme", "a..b"] {
            let refused = matches!(ApiPrefix::new(text), Err(InvalidApiPrefix::Subject(_)));
            assert!(refused, "{text:?}");
        }
    }

    #[test]
    fn a_server_has_words_of_its_own_for_its_domain() {
        let in_own_words = |subject| in_own_words(subject).map(|pieces| pieces.concat());
        let call = in_own_words("$JS.hub.API.STREAM.INFO.");
        assert_eq!(call.as_deref(), Some("$JS.API.STREAM.INFO."));
        let key = in_own_words("$JS.hub.API.$KV.b.");
        assert_eq!(key.as_deref(), Some("$KV.b."));
        for other in [
            "$JS.API.STREAM.INFO.",
            "JS.acme.API.INFO",
            "$KV.b.",
            "$JS.FC.b.c",
        ] {
            assert_eq!(in_own_words(other), None, "{other}");
        }
    }

    #[test]
    fn only_our_own_buckets_are_written_to_plainly() {
        assert_eq!(ApiPrefix::default().writes_to("b"), "$KV.b.");
        assert_eq!(prefix("$JS.hub.API").writes_to("b"), "$JS.hub.API.$KV.b.");
        assert_eq!(prefix("JS.acme.API").writes_to("b"), "JS.acme.API.$KV.b.");
    }

    #[test]
    fn an_origin_is_reached_only_where_its_prefix_means_the_same() {
        let (own, hub, acme) = (
            ApiPrefix::default(),
            prefix("$JS.hub.API"),
            prefix("JS.acme.API"),
        );
        let leaf = prefix("$JS.leaf.API");
        let unknown = |name: &str| Err(name.to_string());
        assert_eq!(own.reach("$JS.hub.API"), Ok(hub.clone()));
        assert_eq!(own.reach("JS.acme.API."), Ok(acme.clone()));
        assert_eq!(hub.reach("$JS.leaf.API"), Ok(leaf));
        assert_eq!(hub.reach("$JS.API"), Ok(hub.clone()));
        assert_eq!(acme.reach("$JS.API"), Ok(acme.clone()));
        assert_eq!(hub.reach("JS.acme.API"), unknown("JS.acme.API"));
        assert_eq!(acme.reach("$JS.hub.API"), unknown("$JS.hub.API"));
        assert_eq!(acme.reach("JS.acme.API"), unknown("JS.acme.API"));
        assert_eq!(own.reach("a b"), unknown("a b"));
    }

    proptest! {
        /// Law: whatever a prefix or a domain is made of, a call behind it is one subject, without blanks, ends of lines
        /// and wildcards; and what is made of it for a server that has the domain is the call itself.
        #[test]
        fn nothing_escapes_from_a_prefix(text in "\\PC{0,12}|[ -~\r\n\t\0]{0,12}|[a-z.*>$]{1,9}") {
            const CALL: &str = "STREAM.INFO.KV_b";
            let domain = ApiPrefix::domain(&text);
            for api in [ApiPrefix::new(&text), domain.clone()].into_iter().flatten() {
                let subject = format!("{api}{CALL}");
                prop_assert!(Subject::new(&subject).is_ok_and(|subject| !subject.is_wild()));
                prop_assert!(!subject.contains([' ', '\t', '\r', '\n', '\0']), "{}", subject);
                prop_assert_eq!(subject.strip_suffix(CALL), Some(api.as_str()));
                prop_assert!(api.as_str().ends_with('.'));
            }
            if let Ok(domain) = domain {
                prop_assert_eq!(domain.domain_name(), Some(&*text));
                let call = format!("{domain}{CALL}");
                prop_assert_eq!(in_own_words(&call), Some([OWN, CALL]));
                let write = domain.writes_to("b");
                prop_assert_eq!(in_own_words(&write), Some(["", "$KV.b."]));
            }
        }
    }
}
