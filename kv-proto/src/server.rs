//! Where servers are: URLs that the user gave, and `host:port` pairs that
//! servers announce.
//!
//! A Unix socket is only ever one that the user named: what a server announces
//! cannot make a client open a path.

mod percent;
mod url;

use alloc::sync::Arc;
use core::fmt;
use core::net::IpAddr;

use crate::limits::MAX_SERVER_URL;

pub use url::{InvalidUrl, ServerUrl};

/// The port that NATS servers listen on by default.
pub const DEFAULT_PORT: u16 = 4222;

/// The address of one server: a host and a port, or the path of a Unix socket.
///
/// ```
/// use kv_proto::ServerUrl;
///
/// let url: ServerUrl = "nats://[::1]".parse()?;
/// assert_eq!((url.addr().host(), url.addr().port()), ("::1", 4222));
///
/// let url: ServerUrl = "unix:///run/nats.sock".parse()?;
/// assert_eq!(url.addr().path(), Some("/run/nats.sock"));
/// assert_eq!(url.addr().to_string(), "unix:///run/nats.sock");
/// # Ok::<(), kv_proto::InvalidUrl>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddr(Place);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    /// A host name or IP address, and a port.
    Host(Arc<str>, u16),
    /// The path of a Unix socket.
    Path(Arc<str>),
}

impl ServerAddr {
    /// Returns the host name or IP address, an IPv6 address without brackets; of
    /// a Unix socket an empty one, which nothing can be connected to.
    #[must_use]
    pub fn host(&self) -> &str {
        match &self.0 {
            Place::Host(host, _) => host,
            Place::Path(_) => "",
        }
    }

    /// Returns the port; 0 for a Unix socket.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self.0 {
            Place::Host(_, port) => port,
            Place::Path(_) => 0,
        }
    }

    /// Returns the path of a Unix socket, which is absolute.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match &self.0 {
            Place::Host(..) => None,
            Place::Path(path) => Some(path),
        }
    }

    /// Whether what is sent there stays on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let Place::Host(host, _) = &self.0 else {
            return true;
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            return address.to_canonical().is_loopback();
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        host.eq_ignore_ascii_case("localhost") // what is below it, some systems ask others for
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
        let foreign = |c: char| c.is_whitespace() || c.is_control() || "/@?#[]\\,".contains(c);
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
        Ok(Self(Place::Host(host.into(), port)))
    }

    /// Takes the percent-encoded path of a Unix socket.
    fn unix(path: &str) -> Result<Self, InvalidUrl> {
        let path = percent::decode(path).ok_or(InvalidUrl::Path)?;
        if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
            return Err(InvalidUrl::Path);
        }
        Ok(Self(Place::Path(path.into())))
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
        match &self.0 {
            Place::Host(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Host(host, port) => write!(f, "{host}:{port}"),
            Place::Path(path) => {
                f.write_str("unix://")?;
                percent::encode_path(path, f)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

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

    #[test]
    fn no_server_announces_a_path() {
        for text in [
            "unix:///etc/passwd",
            "unix:///etc/passwd:1",
            "u:p@unix:///etc/passwd",
            "unix://u:p@/etc/passwd",
            "unix:/etc/passwd",
            "/etc/passwd",
            "%2Fetc%2Fpasswd",
            "[/etc/passwd]:1",
            "unix:1",
        ] {
            let path = ServerAddr::discovered(text).map(|addr| addr.path().is_some());
            assert_ne!(path, Some(true), "{text}");
        }
    }

    #[test]
    fn the_socket_of_a_path_has_no_host_to_connect_to() {
        let addr = ServerAddr::unix("/a%20b").unwrap();
        assert_eq!(
            (addr.path(), addr.host(), addr.port()),
            (Some("/a b"), "", 0)
        );
        assert_eq!(addr.to_string(), "unix:///a%20b");
        for bad in ["", "a", "/", "/a/", "/a%00b", "/%zz", "/%ff"] {
            assert_eq!(ServerAddr::unix(bad), Err(InvalidUrl::Path), "{bad}");
        }
    }
}
