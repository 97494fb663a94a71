//! Why there is no connection.

use alloc::string::String;

use thiserror::Error;

use crate::error::{InvalidUrl, ProtocolError, Refused};

/// What the embedder's transport reports when a link could not be made or
/// ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind}: {detail}")]
pub struct LinkError {
    kind: LinkErrorKind,
    detail: String,
}

/// At which step a transport failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum LinkErrorKind {
    /// The connection could not be made.
    #[error("cannot connect")]
    Dial,
    /// No credentials could be had.
    #[error("no credentials")]
    Credentials,
    /// The TLS handshake failed.
    #[error("cannot secure the connection")]
    Secure,
    /// The peer closed the connection, or reading failed.
    #[error("connection ended")]
    Read,
    /// Writing failed. Bytes that were offered to the failing write count as
    /// sent.
    #[error("cannot write")]
    Write,
}

impl LinkError {
    /// Reports a failure of the given kind; `detail` is for people.
    #[must_use]
    pub fn new(kind: LinkErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    /// Returns the step that failed.
    #[must_use]
    pub const fn kind(&self) -> LinkErrorKind {
        self.kind
    }

    /// Returns what was said of it, for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// The transport ended or failed.
    #[error(transparent)]
    Transport(#[from] LinkError),
    /// The server said why, in an `-ERR` line.
    #[error("server ended the connection: {0}")]
    Server(String),
    /// The server refused the credentials.
    #[error("authentication failed: {0}")]
    Authentication(String),
    /// The client was given a key to sign a server's challenge with, and this
    /// server gives none: neither NKeys nor JWTs are configured there.
    #[error("server gives no challenge to sign")]
    NoChallenge,
    /// The server asks for something that this client is not configured or
    /// built for.
    #[error("server requires {0}")]
    Requires(&'static str),
    /// The connection shall be TLS, and the server does not offer it.
    #[error("server offers no TLS")]
    NoTls,
    /// A password, a token or a bearer JWT would have been sent in clear to another machine. None was; see
    /// [`Config::require_tls`](crate::Config::require_tls) and
    /// [`Config::allow_passwords_in_clear`](crate::Config::allow_passwords_in_clear).
    #[error("a password would be sent in clear: require TLS, or allow passwords in clear")]
    InClear,
    /// The server broke the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The handshake took longer than the connect time-out.
    #[error("handshake timed out")]
    HandshakeTimedOut,
    /// The server did not answer pings.
    #[error("server does not answer pings")]
    Stale,
    /// The server is shutting down (lame duck), and the client has moved.
    #[error("server is shutting down")]
    LameDuck,
    /// The client was closed.
    #[error("client was closed")]
    Closed,
}

impl Disconnect {
    /// Returns whether the server says that the credentials are no good; one that was not shown any in time
    /// does not.
    pub(crate) fn is_refusal(&self) -> bool {
        let Self::Authentication(text) = self else {
            return false;
        };
        !text.to_ascii_lowercase().contains("authentication timeout")
    }
}

/// Why a client could not be connected, or stays so no longer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A server URL is not valid.
    #[error("invalid server url")]
    InvalidUrl(#[from] InvalidUrl),
    /// The operating system gave no entropy to seed the session.
    #[error("no entropy: {0}")]
    Entropy(String),
    /// Every server was tried once, or one has refused the credentials as often
    /// as [`Config::max_auth_failures`](crate::Config::max_auth_failures) allows;
    /// this is how the last attempt ended.
    #[error("cannot reach any server: {0}")]
    Failed(#[source] Disconnect),
    /// As many attempts in a row have failed as
    /// [`Config::max_reconnects`](crate::Config::max_reconnects) allows.
    #[error("gave up after {attempts} failed attempts: {last}")]
    GaveUp {
        /// How many have failed since there last was a connection.
        attempts: u32,
        /// How the last one ended; or the connection, if there was none.
        #[source]
        last: Disconnect,
    },
    /// The client was closed before it was connected.
    #[error("client was closed")]
    Closed,
}

impl From<core::convert::Infallible> for ConnectError {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

/// Why the round-trip time is not known.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PingError {
    /// The session did not accept the request.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There was no connection, or no answer, before the deadline.
    #[error("timed out")]
    TimedOut,
    /// The client was closed first.
    #[error("client was closed")]
    Closed,
}
