//! URLs of servers, as users write them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use super::{ServerAddr, percent};
use crate::credentials::{Credentials, Secret};

/// One server as the user names it:
/// `[nats://|tls://][user:password@|token@]host[:port]`, or
/// `unix://[user:password@|token@]/path/of/a/socket`.
///
/// Credentials and paths are percent-encoded where they hold what means
/// something in a URL, or a comma. The credentials are taken out while parsing
/// and never shown again. One `tls://` in a list makes TLS a must for
/// [all connections](crate::Config::require_tls), and a Unix socket has no host
/// that a certificate could be for: with one, it cannot be used.
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
    /// The scheme is none of `nats`, `tls` and `unix`.
    #[error("url scheme {0:?} is not supported")]
    Scheme(String),
    /// The host is missing or not a host, or a Unix socket has one.
    #[error("url has no valid host")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("url has no valid port")]
    Port,
    /// A Unix socket has no absolute path in percent-encoded UTF-8.
    #[error("url has no valid path of a socket")]
    Path,
    /// The user information is not valid percent-encoded UTF-8.
    #[error("url has invalid user information")]
    UserInfo,
    /// A path, query or fragment follows the port, or a query or fragment the
    /// path of a Unix socket.
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
    pub fn parse_list(text: &str) -> Result<Vec<Self>, InvalidUrl> {
        text.split(',')
            .map(|url| url.trim().parse())
            .collect::<Result<_, _>>()
    }

    /// Parses what follows `nats://` or `tls://`.
    fn at_host(rest: &str, tls: bool) -> Result<Self, InvalidUrl> {
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

    /// Parses what follows `unix://`.
    fn at_path(rest: &str) -> Result<Self, InvalidUrl> {
        let slash = rest.find('/').ok_or(InvalidUrl::Path)?;
        let (authority, path) = rest.split_at(slash);
        let user_info = match authority {
            "" => None,
            named => Some(named.strip_suffix('@').ok_or(InvalidUrl::Host)?),
        };
        if path.contains(['?', '#']) {
            return Err(InvalidUrl::Trailing);
        }
        Ok(Self {
            addr: ServerAddr::unix(path)?,
            tls: false,
            credentials: user_info.map(parse_user_info).transpose()?,
        })
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.is_empty() {
            return Err(InvalidUrl::Empty);
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
        let is = |name| scheme.eq_ignore_ascii_case(name);
        if is("nats") || is("tls") {
            Self::at_host(rest, is("tls"))
        } else if is("unix") {
            Self::at_path(rest)
        } else if scheme.contains(|c: char| !c.is_ascii_alphanumeric()) {
            // No scheme at all, but perhaps a part of a password.
            Err(InvalidUrl::Host)
        } else {
            Err(InvalidUrl::Scheme(scheme.chars().take(16).collect()))
        }
    }
}

fn parse_user_info(text: &str) -> Result<Credentials, InvalidUrl> {
    let decode = |part: &str| percent::decode(part).ok_or(InvalidUrl::UserInfo);
    match text.split_once(':') {
        Some((user, password)) => Ok(Credentials::UserPassword {
            user: decode(user)?,
            password: Secret::new(decode(password)?),
        }),
        None => Ok(Credentials::Token(Secret::new(decode(text)?))),
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.addr.path(), self.tls) {
            (Some(_), _) => "",
            (None, true) => "tls://",
            (None, false) => "nats://",
        })?;
        self.addr.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    use proptest::prelude::*;

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
            assert_eq!(url.addr().path(), None, "{text}");
        }
    }

    #[test]
    fn unix_sockets_have_a_path() {
        for (text, path, shown) in [
            (
                "unix:///run/nats.sock",
                "/run/nats.sock",
                "unix:///run/nats.sock",
            ),
            ("UNIX://u:p@/a@b", "/a@b", "unix:///a@b"),
            ("unix:///a%20b%2Cc%3F", "/a b,c?", "unix:///a%20b%2Cc%3F"),
            ("unix:///a b", "/a b", "unix:///a%20b"),
            ("unix:///grün", "/grün", "unix:///grün"),
            ("unix://%40@//a", "//a", "unix:////a"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(url.addr().path(), Some(path), "{text}");
            assert_eq!(url.to_string(), shown);
            assert!(!url.is_tls());
            assert_eq!(url.credentials().is_some(), text.contains("@/"), "{text}");
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
        for text in ["nats://a%40b:p%3Aw@h", "unix://a%40b:p%3Aw@/h"] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(
                url.credentials(),
                Some(&Credentials::UserPassword {
                    user: "a@b".into(),
                    password: Secret::new("p:w".into()),
                })
            );
            assert!(!format!("{url:?} {url}").contains("p:w"));
        }
        for text in ["nats://tok@h", "unix://tok@/h"] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(
                url.credentials(),
                Some(&Credentials::Token(Secret::new("tok".into())))
            );
            assert!(!format!("{url:?} {url}").contains("tok"));
        }
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
            ("nats://a,b", InvalidUrl::Host),
            ("unix://", InvalidUrl::Path),
            ("unix://relative.sock", InvalidUrl::Path),
            ("unix:///", InvalidUrl::Path),
            ("unix:///a%00", InvalidUrl::Path),
            ("unix://host/a", InvalidUrl::Host),
            ("unix://user:pw/with/slash@/a", InvalidUrl::Host),
            ("unix://%zz@/a", InvalidUrl::UserInfo),
            ("unix:///a?b", InvalidUrl::Trailing),
            ("unix:///a#b", InvalidUrl::Trailing),
        ] {
            assert_eq!(text.parse::<ServerUrl>(), Err(error), "{text}");
        }
        assert!(ServerUrl::parse_list("a,,b").is_err());
        let list = ServerUrl::parse_list("a, nats://b:1, unix:///c%2Cd").unwrap();
        assert_eq!(list.len(), 3);
    }

    /// Texts that are nearly URLs.
    fn nearly_url() -> impl Strategy<Value = String> {
        let scheme = "(nats://|tls://|unix://|UNIX:///|://|)";
        let user_info = "(|[a-z%:@0-9]{0,6}@)";
        let place = r"(\[[0-9a-f:%]{0,6}\]|[a-z0-9.%,/?#: ü\x00]{0,12})";
        let port = "(|:[0-9]{0,6}|/)";
        (scheme, user_info, place, port).prop_map(|(a, b, c, d)| format!("{a}{b}{c}{d}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// What is shown of a URL is one of the same server, in a list too.
        #[test]
        fn what_is_shown_names_the_same_server(text in nearly_url()) {
            if let Ok(url) = text.parse::<ServerUrl>() {
                let shown = url.to_string();
                let again = ServerUrl::parse_list(&shown).unwrap();
                prop_assert_eq!(again.len(), 1, "{}", &shown);
                prop_assert_eq!(again[0].addr(), url.addr());
                prop_assert_eq!(again[0].is_tls(), url.is_tls());
                prop_assert_eq!(again[0].to_string(), shown);
            }
        }

        /// Any path of a socket can be said.
        #[test]
        fn every_path_can_be_said(path in "/[^\0]{0,20}[^\0/]") {
            let encoded: String = path.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let url: ServerUrl = format!("unix:///{}", &encoded[3..]).parse().unwrap();
            prop_assert_eq!(url.addr().path(), Some(&*path));
            let again = ServerUrl::parse_list(&url.to_string()).unwrap();
            prop_assert_eq!(again, [url]);
        }

        /// No text does harm.
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = ServerUrl::parse_list(&text);
            let _ = ServerAddr::discovered(&text);
        }
    }
}
