//! Errors, split by what the caller can do about them.
//!
//! The question that matters after a failed write is whether it had an effect.
//! [`WriteError::outcome`] and [`BucketError::outcome`] answer it for every
//! variant: [`Outcome::NotApplied`] means that it had none *and cannot have one
//! later*; everything less certain is [`Outcome::Unknown`].

mod connection;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

pub use self::connection::{ConnectError, Disconnect, LinkError, LinkErrorKind, PingError};

pub use crate::js::error::ServerError;
pub use crate::js::subject::InvalidApiPrefix;
pub use crate::kv::config::{ConfigDifference, InvalidConfig};
pub use crate::kv::watch::options::{InvalidPosition, InvalidWatch};
pub use crate::name::{InvalidBucketName, InvalidFilter, InvalidKey, InvalidSubject};
pub use crate::server::InvalidUrl;
pub use crate::wire::{HeaderDefect, ProtocolError};

use crate::kv::entry::Revision;
use crate::kv::watch::options::ResetReason;

/// What is known of the effect of a write that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The write had no effect and cannot have one later.
    NotApplied,
    /// The write may have been applied, or may still be.
    Unknown,
}

/// Why a session did not accept a request. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refused {
    /// As many operations or bytes as [`Limits`](crate::Limits) allows are
    /// pending; there is room again when some of them end.
    #[error("too much is pending")]
    Full,
    /// The session is closing or closed.
    #[error("client is closed")]
    Closed,
    /// The value with its headers is larger than the server or the bucket accepts.
    #[error("message of {size} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Header block and value together, in bytes.
        size: usize,
        /// The smallest limit it breaks: the server's `max_payload`, the
        /// bucket's `max_value_size`, or our own `max_message`.
        limit: usize,
    },
}

/// Why a write ended without an acknowledgement of success.
///
/// [`outcome`](Self::outcome) tells whether it can have had an effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The key is not valid; nothing was sent.
    #[error("invalid key")]
    InvalidKey(#[from] InvalidKey),
    /// `create` found a live value (server errors 10071 and 10164).
    #[error("key exists at revision {revision}")]
    Exists {
        /// The revision of the live value.
        revision: Revision,
    },
    /// The key is not at the expected revision (server errors 10071 and 10164).
    #[error("key is not at revision {expected}")]
    Conflict {
        /// The revision that the caller expected.
        expected: Revision,
        /// The key's revision at the time of the refusal, as far as known;
        /// 0 if the key did not exist.
        current: Option<Revision>,
    },
    /// The write had no effect, for the given cause.
    #[error("write was not applied: {0}")]
    NotApplied(#[source] Cause),
    /// The write was handed over and its acknowledgement is missing: it may
    /// have been applied, or may still be. Only a conditional write can be
    /// repeated safely.
    #[error("write may have been applied: {0}")]
    Unknown(#[source] Doubt),
}

/// Why a write had no effect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Cause {
    /// It was refused before anything was sent.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The time to live is below one second, the resolution of the server.
    #[error("time to live is below one second")]
    InvalidTtl,
    /// A time to live was asked for, and the bucket has no limit markers
    /// (nats-server 2.11 or newer: see [`BucketConfig::limit_markers`](crate::BucketConfig::limit_markers)).
    #[error("bucket does not allow a time to live per key")]
    TtlDisabled,
    /// A time to live was asked for on a put or an update, and the bucket keeps more than one revision of
    /// each key: the one before would come to light again when the last one expires.
    #[error("bucket keeps history, which an expiring value would bring to light")]
    TtlUnderHistory,
    /// The server does not give this user permission for a subject.
    #[error("permission for {subject:?} is denied")]
    Denied {
        /// The refused subject: that of the request, or of the reply inbox.
        subject: String,
    },
    /// There is no such bucket.
    #[error("bucket not found")]
    BucketNotFound,
    /// The server has no JetStream, or not for this account.
    #[error("JetStream is not enabled")]
    NoJetStream,
    /// No JetStream answers under the prefix: the domain is unknown, or not
    /// connected now; of a mirror, it is its origin's. Or the mirror is behind
    /// an imported API, and what it says of its origin means nothing here.
    #[error("no JetStream answers under {api:?}")]
    Unreachable {
        /// The prefix, such as `$JS.hub.API`.
        api: String,
    },
    /// Nobody answered for the bucket until the deadline: it has no leader, or
    /// no server that holds it could be reached.
    #[error("bucket is not available")]
    Unavailable,
    /// The deadline was over before the write was handed to a transport.
    #[error("timed out before the write was sent")]
    TimedOut,
    /// The connection was lost before the write was handed over.
    #[error("connection was lost before the write was sent")]
    LinkLost,
    /// Others kept changing the key while `create` replaced its tombstone.
    #[error("key kept changing")]
    Contended,
    /// The server refused it.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Why the outcome of a request is not known.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Doubt {
    /// No acknowledgement came before the deadline.
    #[error("no acknowledgement before the deadline")]
    TimedOut,
    /// The connection was lost while the acknowledgement was outstanding.
    #[error("connection was lost before the acknowledgement")]
    LinkLost,
    /// The client was closed while the acknowledgement was outstanding.
    #[error("client was closed before the acknowledgement")]
    Closed,
    /// The server's answer does not tell.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The answer could not be read.
    #[error("acknowledgement is malformed")]
    Malformed,
    /// The acknowledgement was lost, and the key has changed since: what is left of it does not tell whether
    /// the write came before. Or the bucket was created anew, or its stream has lost its end.
    #[error("key has changed since, and is at revision {current}")]
    Superseded {
        /// The key's revision when it was looked at; 0 if it had none.
        current: Revision,
    },
}

impl WriteError {
    /// Returns what is known of the write's effect.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::InvalidKey(_)
            | Self::Exists { .. }
            | Self::Conflict { .. }
            | Self::NotApplied(_) => Outcome::NotApplied,
            Self::Unknown(_) => Outcome::Unknown,
        }
    }

    /// Returns whether the same write may succeed later and is safe to repeat.
    ///
    /// A [`Conflict`](Self::Conflict) needs a fresh read first, and an
    /// [`Unknown`](Self::Unknown) outcome is never safe to repeat blindly.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotApplied(cause) => cause.is_transient(),
            Self::InvalidKey(_)
            | Self::Exists { .. }
            | Self::Conflict { .. }
            | Self::Unknown(_) => false,
        }
    }
}

impl Cause {
    /// Returns whether the cause can pass by itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused(refused) => *refused == Refused::Full,
            Self::Unreachable { .. }
            | Self::Unavailable
            | Self::TimedOut
            | Self::LinkLost
            | Self::Contended => true,
            Self::Server(error) => error.is_transient(),
            Self::InvalidTtl
            | Self::TtlDisabled
            | Self::TtlUnderHistory
            | Self::Denied { .. }
            | Self::BucketNotFound
            | Self::NoJetStream => false,
        }
    }
}

impl From<Refused> for WriteError {
    fn from(refused: Refused) -> Self {
        Self::NotApplied(Cause::Refused(refused))
    }
}

/// Why a read failed. A key that does not exist is no error.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The key is not valid; nothing was sent.
    #[error("invalid key")]
    InvalidKey(#[from] InvalidKey),
    /// The session did not accept the request.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such bucket.
    #[error("bucket not found")]
    BucketNotFound,
    /// The server has no JetStream, or not for this account.
    #[error("JetStream is not enabled")]
    NoJetStream,
    /// No JetStream answers under the prefix: the domain is unknown, or not
    /// connected now.
    #[error("no JetStream answers under {api:?}")]
    Unreachable {
        /// The prefix, such as `$JS.hub.API`.
        api: String,
    },
    /// The server does not give this user permission for a subject.
    #[error("permission for {subject:?} is denied")]
    Denied {
        /// The refused subject: that of the request, or of the reply inbox.
        subject: String,
    },
    /// Nobody answered for the bucket until the deadline: no server that holds
    /// it could be reached.
    #[error("bucket is not available")]
    Unavailable,
    /// No answer came before the deadline.
    #[error("timed out")]
    TimedOut,
    /// Until the deadline the bucket's leader showed less than this client was told before: it has just become
    /// the leader and is behind, it is one no more, or the bucket has lost its end. The last is taken for the
    /// truth when it has lasted for 30 s.
    #[error("bucket shows {}, and the key was at {floor}", Shown(seen))]
    Stale {
        /// The revision that was shown last; `None` for no such key.
        seen: Option<Revision>,
        /// The newest revision of the key that this client was acknowledged or told.
        floor: Revision,
    },
    /// The client was closed first.
    #[error("client was closed")]
    Closed,
    /// The stored message cannot be read as an entry, because of bytes that
    /// its writer put into the headers. Other keys are not affected.
    #[error("entry is malformed")]
    Malformed {
        /// The revision of the damaged entry, where the server still told it.
        revision: Option<Revision>,
        /// What is wrong with it.
        #[source]
        defect: EntryDefect,
    },
    /// Too many results wait to be taken
    /// ([`Limits::max_result_bytes`](crate::Limits::max_result_bytes)).
    #[error("too many results are not taken")]
    ResultsFull,
    /// The server refused the request.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// What is wrong with a stored message that should be an entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntryDefect {
    /// Its header block cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderDefect),
    /// A field that the server adds is missing or unreadable.
    #[error("field {0} is missing or unreadable")]
    Field(&'static str),
    /// Its subject is not that of a key.
    #[error("subject is not that of a key")]
    Key,
    /// The body of a leader's answer cannot be read.
    #[error("answer is not the expected JSON")]
    Body,
}

/// What a replica shows of a key.
struct Shown<'a>(&'a Option<Revision>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(revision) => write!(f, "revision {revision}"),
            None => f.write_str("no such key"),
        }
    }
}

impl ReadError {
    /// Returns whether the same read may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(refused) => *refused == Refused::Full,
            Self::Unreachable { .. }
            | Self::Unavailable
            | Self::TimedOut
            | Self::Stale { .. }
            | Self::ResultsFull => true,
            Self::Server(error) => error.is_transient(),
            Self::InvalidKey(_)
            | Self::BucketNotFound
            | Self::NoJetStream
            | Self::Denied { .. }
            | Self::Closed
            | Self::Malformed { .. } => false,
        }
    }
}

/// Why a watch or a listing ended. Nothing follows it.
///
/// A watch that was opened ends for good with [`BucketNotFound`],
/// [`Denied`], [`Closed`], or [`TimedOut`] where a deadline was set; from all
/// else it recovers. The others are for watches that could not be opened, and
/// for listings.
///
/// [`BucketNotFound`]: Self::BucketNotFound
/// [`Denied`]: Self::Denied
/// [`Closed`]: Self::Closed
/// [`TimedOut`]: Self::TimedOut
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// A filter is not valid; nothing was sent.
    #[error("invalid filter")]
    InvalidFilter(#[from] InvalidFilter),
    /// The key whose history was asked for is not valid; nothing was sent.
    #[error("invalid key")]
    InvalidKey(#[from] InvalidKey),
    /// The options contradict each other; nothing was sent.
    #[error("invalid watch")]
    InvalidOptions(#[from] InvalidWatch),
    /// The session did not accept the request.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such bucket, or not any more: the server said so (10059).
    #[error("bucket not found")]
    BucketNotFound,
    /// The server has no JetStream, or not for this account.
    #[error("JetStream is not enabled")]
    NoJetStream,
    /// No JetStream answers under the prefix: the domain is unknown, or not
    /// connected now.
    #[error("no JetStream answers under {api:?}")]
    Unreachable {
        /// The prefix, such as `$JS.hub.API`.
        api: String,
    },
    /// The server does not give this user permission for a subject.
    #[error("permission for {subject:?} is denied")]
    Denied {
        /// The refused subject.
        subject: String,
    },
    /// Nobody answered for the bucket in time: it has no leader, or no server
    /// that holds it could be reached.
    #[error("bucket is not available")]
    Unavailable,
    /// It did not open in time, or a listing made no progress, or the deadline
    /// on the whole is over; or a purge of [`Session::purge_deletes`] was not
    /// answered, which can have had its effect.
    ///
    /// [`Session::purge_deletes`]: crate::Session::purge_deletes
    #[error("timed out")]
    TimedOut,
    /// The bucket began anew, or went back, in the middle of a listing: what
    /// was listed before no longer stands.
    #[error("listing was interrupted: {0}")]
    Interrupted(#[source] ResetReason),
    /// The client was closed first.
    #[error("client was closed")]
    Closed,
    /// The server refused the watch.
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl WatchError {
    /// Returns whether the same watch or listing may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(refused) => *refused == Refused::Full,
            Self::Unreachable { .. }
            | Self::Unavailable
            | Self::TimedOut
            | Self::Interrupted(_) => true,
            Self::Server(error) => error.is_transient(),
            Self::InvalidFilter(_)
            | Self::InvalidKey(_)
            | Self::InvalidOptions(_)
            | Self::BucketNotFound
            | Self::NoJetStream
            | Self::Denied { .. }
            | Self::Closed => false,
        }
    }
}

/// Why a request that creates, opens, changes, lists or deletes buckets failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BucketError {
    /// The name is not valid; nothing was sent.
    #[error("invalid bucket name")]
    InvalidName(#[from] InvalidBucketName),
    /// The filter is not valid; nothing was sent.
    #[error("invalid filter")]
    InvalidFilter(#[from] InvalidFilter),
    /// The configuration is not valid; nothing was sent.
    #[error("invalid bucket configuration")]
    InvalidConfig(#[from] InvalidConfig),
    /// The session did not accept the request.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There is no such bucket (server error 10059).
    #[error("bucket not found")]
    NotFound,
    /// A stream of that name exists and is not a key-value bucket.
    #[error("stream is not a key-value bucket")]
    NotABucket,
    /// The bucket exists with another configuration (server error 10058).
    #[error("bucket exists with another configuration{}", first(.differences))]
    Exists {
        /// What differs, field by field, as far as it could be read.
        differences: Vec<ConfigDifference>,
    },
    /// The server is too old for what the configuration asks.
    #[error("{feature} needs nats-server {needs}")]
    Unsupported {
        /// What was asked for.
        feature: &'static str,
        /// The first server version that has it.
        needs: &'static str,
    },
    /// The server has no JetStream, or not for this account.
    #[error("JetStream is not enabled")]
    NoJetStream,
    /// No JetStream answers under the prefix: the domain is unknown, or not
    /// connected now; of a mirror's removals, it is its origin's. Or the mirror
    /// is behind an imported API, and what it says of its origin means nothing
    /// here.
    #[error("no JetStream answers under {api:?}")]
    Unreachable {
        /// The prefix, such as `$JS.hub.API`.
        api: String,
    },
    /// The server does not give this user permission for a subject.
    #[error("permission for {subject:?} is denied")]
    Denied {
        /// The refused subject: that of the request, or of the reply inbox.
        subject: String,
    },
    /// JetStream did not take the request until the deadline.
    #[error("JetStream is not available")]
    Unavailable,
    /// The deadline was over before the request was handed to a transport.
    #[error("timed out before the request was sent")]
    TimedOut,
    /// The request was handed over and its answer is missing or does not
    /// tell: it may have taken effect.
    #[error("request may have taken effect: {0}")]
    Unknown(#[source] Doubt),
    /// The server refused the request; it had no effect.
    #[error(transparent)]
    Server(#[from] ServerError),
}

fn first(differences: &[ConfigDifference]) -> String {
    use alloc::format;
    differences
        .first()
        .map_or_else(String::new, |difference| format!(": {difference}"))
}

impl BucketError {
    /// Returns what is known of the request's effect.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown(_) => Outcome::Unknown,
            Self::InvalidName(_)
            | Self::InvalidFilter(_)
            | Self::InvalidConfig(_)
            | Self::Refused(_)
            | Self::NotFound
            | Self::NotABucket
            | Self::Exists { .. }
            | Self::Unsupported { .. }
            | Self::NoJetStream
            | Self::Unreachable { .. }
            | Self::Denied { .. }
            | Self::Unavailable
            | Self::TimedOut
            | Self::Server(_) => Outcome::NotApplied,
        }
    }
}
