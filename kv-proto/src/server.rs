//! Where servers are: URLs that the user gave, and `host:port` pairs that
//! servers announce.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use crate::credentials::{Credentials, Secret};
use crate::limits::MAX_SERVER_URL;

/// The port that NATS servers listen on by default.
pub const DEFAULT_PORT: u16 = 4222;

/// The address of one server: a host name or IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddr {
    host: Arc<str>,
    port: u16,
}

impl ServerAddr {
    /// Returns the host name or IP address, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Parses `host`, `host:port`, `[v6]` or `[v6]:port`.
    fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or(InvalidUrl::Host)?;
                let v6 = |b: u8| b.is_ascii_alphanumeric() || b":.%-_".contains(&b);
                if !host.bytes().all(v6) {
                    return Err(InvalidUrl::Host);
                }
                match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if rest.is_empty() => (host, None),
                    None => return Err(InvalidUrl::Port),
                }
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let foreign = |c: char| c.is_whitespace() || c.is_control() || "/@?#[]\\".contains(c);
        if host.is_empty() || host.contains(foreign) {
            return Err(InvalidUrl::Host);
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) if port.starts_with('+') => return Err(InvalidUrl::Port),
            Some(port) => port.parse().map_err(|_| InvalidUrl::Port)?,
        };
        if port == 0 {
            return Err(InvalidUrl::Port);
        }
        Ok(Self {
            host: host.into(),
            port,
        })
    }

    /// Parses one of a server's `connect_urls`. User information in it is
    /// ignored, as credentials never come from a server.
    pub(crate) fn discovered(text: &str) -> Option<Self> {
        if text.len() > MAX_SERVER_URL {
            return None;
        }
        let text = text.rsplit_once('@').map_or(text, |(_, address)| address);
        Self::parse(text).ok()
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One server as the user names it:
/// `[nats://|tls://][user:password@|token@]host[:port]`.
///
/// The credentials are taken out while parsing and never shown again. One
/// `tls://` in a list makes TLS a must for [all connections](crate::Config::require_tls).
///
/// ```
/// use kv_proto::ServerUrl;
///
/// let url: ServerUrl = "nats://me:secret@example.org".parse()?;
/// assert_eq!(url.addr().to_string(), "example.org:4222");
/// assert!(!format!("{url:?}").contains("secret"));
/// # Ok::<(), kv_proto::InvalidUrl>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    addr: ServerAddr,
    tls: bool,
    credentials: Option<Credentials>,
}

/// Why a text is not a server URL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// There is no server in the list.
    #[error("no server is named")]
    Empty,
    /// The scheme is neither `nats` nor `tls`.
    #[error("url scheme {0:?} is not supported")]
    Scheme(String),
    /// The host is missing or not a host.
    #[error("url has no valid host")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("url has no valid port")]
    Port,
    /// The user information is not valid percent-encoded UTF-8.
    #[error("url has invalid user information")]
    UserInfo,
    /// A path, query or fragment follows the port.
    #[error("url has a path, query or fragment")]
    Trailing,
}

impl ServerUrl {
    /// Returns the address to dial.
    #[must_use]
    pub const fn addr(&self) -> &ServerAddr {
        &self.addr
    }

    /// Returns whether the scheme is `tls`.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Returns the credentials that the URL held.
    pub(crate) const fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Parses a comma-separated list of URLs, as it is usual in configurations.
    ///
    /// # Errors
    ///
    /// The first URL that is not valid, or [`InvalidUrl::Empty`].
    pub fn parse_list(text: &str) -> Result<alloc::vec::Vec<Self>, InvalidUrl> {
        text.split(',')
            .map(|url| url.trim().parse())
            .collect::<Result<_, _>>()
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.is_empty() {
            return Err(InvalidUrl::Empty);
        }
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("nats") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tls") => (true, rest),
            Some((scheme, _)) => {
                return Err(InvalidUrl::Scheme(scheme.chars().take(16).collect()));
            }
        };
        let (user_info, address) = match rest.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, rest),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains(['/', '?', '#']) {
            return Err(InvalidUrl::Trailing);
        }
        Ok(Self {
            addr: ServerAddr::parse(address)?,
            tls,
            credentials: user_info.map(parse_user_info).transpose()?,
        })
    }
}

fn parse_user_info(text: &str) -> Result<Credentials, InvalidUrl> {
    let decode = |part: &str| percent_decode(part).ok_or(InvalidUrl::UserInfo);
    match text.split_once(':') {
        Some((user, password)) => Ok(Credentials::UserPassword {
            user: decode(user)?,
            password: Secret::new(decode(password)?),
        }),
        None => Ok(Credentials::Token(Secret::new(decode(text)?))),
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = alloc::vec::Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "tls://" } else { "nats://" })?;
        f.write_str(&self.addr.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_their_usual_forms() {
        for (text, host, port) in [
            ("localhost", "localhost", 4222),
            ("nats://h:1", "h", 1),
            ("NATS://[::1]:4333", "::1", 4333),
            ("[fe80::1%eth0]", "fe80::1%eth0", 4222),
            ("nats://10.0.0.1:4222/", "10.0.0.1", 4222),
            ("nats://u:p@h", "h", 4222),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(
                (url.addr().host(), url.addr().port()),
                (host, port),
                "{text}"
            );
        }
    }

    #[test]
    fn the_scheme_says_whether_it_is_tls() {
        for (text, tls) in [("h", false), ("nats://h", false), ("TLS://u:p@h", true)] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(url.is_tls(), tls, "{text}");
            assert_eq!(url.to_string().starts_with("tls://h"), tls);
        }
    }

    #[test]
    fn credentials_are_decoded_and_hidden() {
        let url: ServerUrl = "nats://a%40b:p%3Aw@h".parse().unwrap();
        assert_eq!(
            url.credentials(),
            Some(&Credentials::UserPassword {
                user: "a@b".into(),
                password: Secret::new("p:w".into()),
            })
        );
        let token: ServerUrl = "nats://tok@h".parse().unwrap();
        assert_eq!(
            token.credentials(),
            Some(&Credentials::Token(Secret::new("tok".into())))
        );
        assert!(!alloc::format!("{url:?} {url} {token:?} {token}").contains("p:w"));
    }

    #[test]
    fn bad_urls_say_why() {
        for (text, error) in [
            ("", InvalidUrl::Empty),
            ("http://h", InvalidUrl::Scheme("http".into())),
            ("nats://", InvalidUrl::Host),
            ("nats://h:0", InvalidUrl::Port),
            ("nats://h:70000", InvalidUrl::Port),
            ("nats://h:+1", InvalidUrl::Port),
            ("nats://[::1", InvalidUrl::Host),
            ("nats://[::1]x", InvalidUrl::Port),
            ("nats://h/path", InvalidUrl::Trailing),
            ("nats://%zz@h", InvalidUrl::UserInfo),
            ("nats://a b", InvalidUrl::Host),
        ] {
            assert_eq!(text.parse::<ServerUrl>(), Err(error), "{text}");
        }
        assert!(ServerUrl::parse_list("a,,b").is_err());
        assert_eq!(ServerUrl::parse_list("a, nats://b:1").unwrap().len(), 2);
    }

    #[test]
    fn announced_addresses_carry_no_credentials() {
        let addr = ServerAddr::discovered("user:pw@10.1.1.1:4222").unwrap();
        assert_eq!(addr.to_string(), "10.1.1.1:4222");
        assert_eq!(
            ServerAddr::discovered("[::1]:5").unwrap().to_string(),
            "[::1]:5"
        );
        for bad in ["", ":4222", "a b:1", "h:", "h:x", &"h".repeat(300)] {
            assert_eq!(ServerAddr::discovered(bad), None, "{bad}");
        }
    }
}
