//! Which connections become TLS. How they do is the embedder's part, or that
//! of the driver's adapter.
//!
//! What a session wants of TLS only ever rises: no option takes back what
//! another one asked for, and a session that was secured once never goes back
//! to plaintext, whatever servers say.

#[cfg(feature = "_tls")]
mod config;
#[cfg(feature = "_tls")]
mod unverified;

use crate::config::Config;
use crate::server::ServerUrl;

#[cfg(feature = "_tls")]
pub use config::{InvalidTls, TlsBuilder, TlsConfig};

/// What a session wants of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tls {
    /// Nobody said that the embedder has it: a server that asks for it is left.
    #[default]
    Unknown,
    /// It is used where the server asks for it.
    WhenAsked,
    /// A server without it is left.
    Required,
    /// The same, and it comes before the server's greeting.
    First,
}

impl Tls {
    /// What these URLs ask for.
    pub(crate) fn of(servers: &[ServerUrl]) -> Self {
        if servers.iter().any(ServerUrl::is_tls) {
            Self::Required
        } else {
            Self::default()
        }
    }

    /// Wants at least that much.
    pub(crate) fn raise(&mut self, to: Self) {
        *self = to.max(*self);
    }
}

impl Config {
    /// Insists on TLS: a server that does not offer it is left, with
    /// [`Disconnect::NoTls`](crate::Disconnect::NoTls), before anything is sent
    /// to it. A `tls://` URL says the same for all servers, those that announce
    /// each other too, and so does the first connection that was secured.
    ///
    /// A certificate has to be that of the host in the server's URL, or of the
    /// host or IP address under which another server announced it. Nothing else
    /// that a server says decides what is checked. What a server announces
    /// before a connection is secured is not believed: nats-server 2.12 and newer
    /// repeat it afterwards, older ones when it changes.
    ///
    /// ```
    /// use kv_proto::Config;
    ///
    /// let config = Config::new("nats.example.org")?.require_tls();
    /// let same = Config::new("tls://nats.example.org")?;
    /// # Ok::<(), kv_proto::InvalidUrl>(())
    /// ```
    #[must_use]
    pub fn require_tls(mut self) -> Self {
        self.tls.raise(Tls::Required);
        self
    }

    /// Insists on TLS, and begins with it instead of waiting for the server's
    /// greeting, which so is not in clear either. The server must be configured
    /// with `handshake_first`.
    #[must_use]
    pub fn tls_first(mut self) -> Self {
        self.tls.raise(Tls::First);
        self
    }

    /// Secures connections to servers that require it. For embedders that act on
    /// [`LinkAction::Secure`](crate::LinkAction::Secure); without it such servers
    /// are left, with [`Disconnect::Requires`](crate::Disconnect::Requires). A
    /// driver whose runtime can secure connections does this by itself.
    #[must_use]
    pub fn tls_when_asked(mut self) -> Self {
        self.tls.raise(Tls::WhenAsked);
        self
    }

    /// Secures connections with these certificates, keys and trust, and insists
    /// on it as [`require_tls`](Self::require_tls) does. Without it the
    /// certificates that the operating system trusts count.
    #[cfg(feature = "_tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls_config = tls;
        self.require_tls()
    }

    /// Returns what connections are secured with, for adapters.
    #[cfg(feature = "_tls")]
    #[must_use]
    pub const fn tls_config(&self) -> &TlsConfig {
        &self.tls_config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_only_rises() {
        let tls = |url: &str| Config::new(url).unwrap().tls;
        assert_eq!(tls("a,nats://b"), Tls::Unknown);
        assert_eq!(tls("a,tls://b"), Tls::Required);
        let config = Config::new("a").unwrap().tls_when_asked();
        assert_eq!(config.tls, Tls::WhenAsked);
        let config = config.tls_first().require_tls().tls_when_asked();
        assert_eq!(config.tls, Tls::First);
    }
}
