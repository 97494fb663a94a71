//! How a client connects, and how long it waits.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::credentials::{Authentication, Credentials, Secret};
use crate::js::subject::{ApiPrefix, InvalidApiPrefix};
use crate::limits::Limits;
use crate::name::{InvalidSubject, Subject};
use crate::server::{InvalidUrl, ServerUrl};
use crate::tls::Tls;

/// The configuration of a session.
///
/// ```
/// use std::time::Duration;
/// use kv_proto::Config;
///
/// let config = Config::new("nats://10.0.0.1, nats://10.0.0.2")?
///     .user("app", "s3cret")
///     .name("inventory")
///     .request_timeout(Duration::from_secs(2));
/// # Ok::<(), kv_proto::InvalidUrl>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) servers: Vec<ServerUrl>,
    pub(crate) authentication: Authentication,
    pub(crate) tls: Tls,
    pub(crate) passwords_in_clear: bool,
    pub(crate) name: Option<String>,
    pub(crate) inbox_prefix: Option<Subject>,
    pub(crate) api: ApiPrefix,
    pub(crate) request_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) reconnect_spread: Duration,
    pub(crate) reconnect_max: Duration,
    pub(crate) retry_first_connect: bool,
    pub(crate) echo: bool,
    pub(crate) message_ids: bool,
    pub(crate) shuffle_servers: bool,
    pub(crate) max_reconnects: Option<u32>,
    pub(crate) max_auth_failures: Option<u32>,
    pub(crate) reads_never_go_back: bool,
    pub(crate) limits: Limits,
    #[cfg(feature = "driver")]
    pub(crate) authenticator: Option<crate::driver::Authenticator>,
    #[cfg(feature = "_tls")]
    pub(crate) tls_config: crate::TlsConfig,
}

/// The window in which the first reconnection attempt falls: wide enough that
/// of a thousand clients cut off at once no more than a hundred arrive within
/// any tenth of a second.
const RECONNECT_SPREAD: Duration = Duration::from_secs(2);

/// The shortest time that something repeats in: with less, a session would
/// have something to do at every instant.
pub(crate) const SHORTEST: Duration = Duration::from_millis(1);

impl Config {
    /// Names the servers: one URL, or several separated by commas.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`] of the first URL that is not valid.
    pub fn new(urls: &str) -> Result<Self, InvalidUrl> {
        Ok(Self::with_servers(ServerUrl::parse_list(urls)?))
    }

    /// Names the servers by parsed URLs. An empty list makes a client that
    /// fails to connect.
    #[must_use]
    pub fn with_servers(servers: Vec<ServerUrl>) -> Self {
        Self {
            tls: Tls::of(&servers),
            passwords_in_clear: false,
            servers,
            authentication: Authentication::default(),
            name: None,
            inbox_prefix: None,
            api: ApiPrefix::default(),
            request_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(20),
            reconnect_spread: RECONNECT_SPREAD,
            reconnect_max: Duration::from_secs(10),
            retry_first_connect: false,
            echo: true,
            message_ids: true,
            shuffle_servers: true,
            max_reconnects: None,
            max_auth_failures: None,
            reads_never_go_back: true,
            limits: Limits::default(),
            #[cfg(feature = "driver")]
            authenticator: None,
            #[cfg(feature = "_tls")]
            tls_config: crate::TlsConfig::default(),
        }
    }

    /// Logs in with a user name and password, on servers whose URL has no
    /// credentials of its own. Where the connection is not TLS they are sent to this
    /// machine only, unless [told otherwise](Self::allow_passwords_in_clear).
    #[must_use]
    pub fn user(mut self, user: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.authentication = Authentication::Fixed(Credentials::UserPassword {
            user: user.into(),
            password: password.into(),
        });
        self
    }

    /// Logs in with a token, on servers whose URL has no credentials of its own.
    /// Where the connection is not TLS it is sent to this machine only, unless
    /// [told otherwise](Self::allow_passwords_in_clear).
    #[must_use]
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.authentication = Authentication::Fixed(Credentials::Token(token.into()));
        self
    }

    /// Sends passwords, tokens and bearer JWTs over connections that are not TLS, to whatever host: for networks
    /// that are trusted, or encrypted below us. Without it a server that is neither TLS nor on this machine
    /// (`localhost`, a loopback address, a Unix socket) is left with
    /// [`Disconnect::InClear`](crate::Disconnect::InClear) before it is told any of them.
    #[must_use]
    pub const fn allow_passwords_in_clear(mut self) -> Self {
        self.passwords_in_clear = true;
        self
    }

    /// Logs in with a user's key, which signs the challenge of each connection.
    #[cfg(feature = "nkeys")]
    #[must_use]
    pub fn nkey(mut self, key: crate::NKey) -> Self {
        self.authentication = Authentication::NKey(key);
        self
    }

    /// Logs in with a user's JWT, whose key signs the challenge of each
    /// connection.
    #[cfg(feature = "nkeys")]
    #[must_use]
    pub fn user_creds(mut self, creds: crate::UserCreds) -> Self {
        self.authentication = Authentication::Jwt(creds);
        self
    }

    /// Says where credentials come from.
    #[must_use]
    pub fn authentication(mut self, authentication: Authentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Names the client in the server's monitoring.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Asks servers not to deliver what this connection publishes to what it subscribes to. To a client of
    /// buckets it makes no difference: its own writes come back through JetStream, as those of others do
    /// (seen on 2.10.26 and 2.15.1).
    #[must_use]
    pub const fn no_echo(mut self) -> Self {
        self.echo = false;
        self
    }

    /// Receives replies under another prefix than `_INBOX`, for accounts that
    /// grant only their own.
    ///
    /// # Errors
    ///
    /// [`InvalidSubject`] if the prefix is no subject or holds a wildcard.
    pub fn custom_inbox_prefix(mut self, prefix: &str) -> Result<Self, InvalidSubject> {
        let prefix = Subject::new(prefix)?;
        if prefix.is_wild() {
            return Err(InvalidSubject::Wildcard { at: 0 });
        }
        self.inbox_prefix = Some(prefix);
        Ok(self)
    }

    /// Works with the buckets of a JetStream domain: of a hub or a leaf that the
    /// server is connected to, or the server's own. Without it, and without a
    /// [prefix](Self::api_prefix), they are those of the server that is
    /// connected to.
    ///
    /// ```
    /// use kv_proto::Config;
    ///
    /// let config = Config::new("nats://leaf.example.org")?.jetstream_domain("hub")?;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidApiPrefix`] if the name is not one token of a subject.
    pub fn jetstream_domain(mut self, domain: &str) -> Result<Self, InvalidApiPrefix> {
        self.api = ApiPrefix::domain(domain)?;
        Ok(self)
    }

    /// Works with the buckets behind another prefix than `$JS.API`, which is
    /// given without a dot at its end: another account's, as this one imports
    /// them. What is to be imported is in the manual,
    /// [`domains`](crate::manual::domains). It takes the place of a
    /// [domain](Self::jetstream_domain).
    ///
    /// ```
    /// use kv_proto::Config;
    ///
    /// let config = Config::new("nats://nats.example.org")?
    ///     .api_prefix("JS.acme.API")?
    ///     .custom_inbox_prefix("deliver.acme")?;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidApiPrefix`] if the prefix is no subject, holds a wildcard or is
    /// too long.
    pub fn api_prefix(mut self, prefix: &str) -> Result<Self, InvalidApiPrefix> {
        self.api = ApiPrefix::new(prefix)?;
        Ok(self)
    }

    pub(crate) fn inbox_prefix(&self) -> &str {
        self.inbox_prefix.as_deref().unwrap_or("_INBOX")
    }

    /// Sets the deadline of every operation that has none of its own: waiting
    /// for a connection, writing, the reply and all retries together.
    /// Default 5 s.
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets the time for one attempt to connect, from dialling to the end of
    /// the handshake. Default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.max(SHORTEST);
        self
    }

    /// Sets the time that closing waits for operations in flight. Default 5 s.
    #[must_use]
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Sets how long a link may be silent before it is pinged; after two
    /// unanswered pings it counts as dead, or four if other bytes arrive: what a
    /// watch is told does not show that the server hears us. Default 20 s.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval.max(SHORTEST);
        self
    }

    /// Sets the back-off of reconnections: the first attempt comes at a random
    /// time within `first`; and before a server is tried again that could not be
    /// reached, it rests for a random time within a window of its own, which
    /// begins with `first` and doubles with each failure up to `max`. Default 2 s
    /// and 10 s.
    #[must_use]
    pub const fn reconnect_within(mut self, first: Duration, max: Duration) -> Self {
        self.reconnect_spread = first;
        self.reconnect_max = max;
        self
    }

    /// Keeps trying when no server answers at first, instead of failing after
    /// each was tried once.
    #[must_use]
    pub const fn retry_first_connect(mut self, retry: bool) -> Self {
        self.retry_first_connect = retry;
        self
    }

    /// Sets whether conditional writes carry an id (`Nats-Msg-Id`). It is what a write whose acknowledgement
    /// was lost is found again by; without it, such a write ends as
    /// [`Unknown`](crate::WriteError::Unknown). It costs the server one entry of a map for each write, for
    /// the bucket's duplicate window (two minutes, unless configured otherwise). Default true.
    #[must_use]
    pub const fn message_ids(mut self, ids: bool) -> Self {
        self.message_ids = ids;
        self
    }

    /// Tries servers in an order drawn for each client, so that clients which are
    /// told the same servers spread over them; `false` keeps the order given.
    /// Either way those that were tried before come later. Default `true`.
    #[must_use]
    pub const fn shuffle_servers(mut self, shuffle: bool) -> Self {
        self.shuffle_servers = shuffle;
        self
    }

    /// Ends the client when this many attempts in a row have failed, over all
    /// servers, since it last had a connection: with
    /// [`ConnectError::GaveUp`](crate::ConnectError::GaveUp), and whatever is
    /// pending ends with what is known of it. With 0 it ends with its first
    /// connection. The same counts before the first connection where that is
    /// [retried](Self::retry_first_connect). Default: it never gives up.
    ///
    /// Attempts to move away from a server that shuts down do not count while
    /// the connection to it still stands.
    #[must_use]
    pub const fn max_reconnects(mut self, attempts: u32) -> Self {
        self.max_reconnects = Some(attempts);
        self
    }

    /// Ends the client when one server has refused its credentials this many
    /// times and not accepted them in between, with
    /// [`ConnectError::Failed`](crate::ConnectError::Failed) and
    /// [`Disconnect::Authentication`](crate::Disconnect::Authentication).
    /// Default: it never does, and asks for credentials anew each time.
    ///
    /// Only logins count: credentials that expire or are revoked end a
    /// connection, and the next login shows what they are worth.
    #[must_use]
    pub const fn max_auth_failures(mut self, times: u32) -> Self {
        self.max_auth_failures = Some(times);
        self
    }

    /// Sets whether a read may be answered with less than this client knows already: with a revision older
    /// than one of the same key that a write was acknowledged with or a read returned, or with nothing.
    ///
    /// By default it may not. Any replica is asked first, and one that is behind costs a second request, to the
    /// leader of the bucket's stream; see [`ReadError::Stale`](crate::ReadError::Stale). With `false` each
    /// read takes the first answer, and nothing is remembered of keys;
    /// [`GetOptions::any_replica`](crate::GetOptions::any_replica) does so for one read.
    #[must_use]
    pub const fn reads_never_go_back(mut self, never: bool) -> Self {
        self.reads_never_go_back = never;
        self
    }

    /// Sets the bounds on memory.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

impl TryFrom<&str> for Config {
    type Error = InvalidUrl;

    fn try_from(urls: &str) -> Result<Self, InvalidUrl> {
        Self::new(urls)
    }
}

impl TryFrom<String> for Config {
    type Error = InvalidUrl;

    fn try_from(urls: String) -> Result<Self, InvalidUrl> {
        Self::new(&urls)
    }
}

impl TryFrom<&String> for Config {
    type Error = InvalidUrl;

    fn try_from(urls: &String) -> Result<Self, InvalidUrl> {
        Self::new(urls)
    }
}
