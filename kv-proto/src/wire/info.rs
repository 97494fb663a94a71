//! What a server says of itself.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::error::ProtocolError;
use super::json::{Object, parse_json};
use super::line::decimal;
use crate::limits::{Limits, MAX_DISCOVERED_SERVERS, MAX_SERVER_URL};

/// The content of `INFO`. Fields that are absent are false, zero or empty;
/// fields that are unknown are ignored; a field given twice is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The public key of the server, new at each of its starts.
    pub server_id: String,
    /// Its configured name, or its id.
    pub server_name: String,
    /// Its version as written; [`version`](Self::version) reads it.
    pub version: String,
    /// 1 if the server may send `INFO` at any time.
    pub proto: u32,
    /// Whether messages can have headers.
    pub headers: bool,
    /// The largest message it takes, headers and payload together; zero if
    /// it does not say.
    pub max_payload: u64,
    /// Whether this server has JetStream. Another server of the cluster may
    /// have it even if this one has not.
    pub jetstream: bool,
    /// Whether credentials are expected.
    pub auth_required: bool,
    /// Whether the connection must become TLS.
    pub tls_required: bool,
    /// Whether the connection may become TLS.
    pub tls_available: bool,
    /// Whether a client certificate is wanted.
    pub tls_verify: bool,
    /// The challenge to be signed, when keys are in use.
    pub nonce: Option<String>,
    /// The number of this connection on this server.
    pub client_id: u64,
    /// Our address as the server sees it.
    pub client_ip: String,
    /// The name of the cluster.
    pub cluster: Option<String>,
    /// The JetStream domain.
    pub domain: Option<String>,
    /// `host:port` of servers of the cluster: the first
    /// [`MAX_DISCOVERED_SERVERS`] of at most [`MAX_SERVER_URL`] bytes.
    #[serde(deserialize_with = "bounded_urls")]
    pub connect_urls: Vec<String>,
    /// Lame duck mode: the server is about to leave.
    pub ldm: bool,
    /// Set in the second `INFO`, after the login (nats-server 2.12 and newer).
    pub connect_info: bool,
    /// The level of the JetStream API (nats-server 2.12 and newer).
    pub api_lvl: Option<u32>,
}

impl ServerInfo {
    /// Parses the JSON text of an `INFO`.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InfoTooLong`] or [`ProtocolError::BadInfo`].
    pub fn parse(json: &[u8], limits: &Limits) -> Result<Self, ProtocolError> {
        let limit = limits.max_info_line;
        if json.len() > limit {
            return Err(ProtocolError::InfoTooLong { limit });
        }
        let Object(info) = parse_json(json)?;
        Ok(info)
    }

    /// Returns the version, unless it is written in an unknown way.
    #[must_use]
    pub fn version(&self) -> Option<ServerVersion> {
        ServerVersion::parse(&self.version)
    }
}

/// The version of a server, without what follows the patch number: a release
/// candidate counts as its release.
///
/// ```
/// use kv_proto::wire::ServerVersion;
///
/// let version = ServerVersion::parse("2.12.0-RC.3").ok_or("unreadable")?;
/// assert!(version >= ServerVersion::new(2, 12, 0));
/// assert_eq!(version.to_string(), "2.12.0");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number.
    pub patch: u32,
}

impl ServerVersion {
    /// Makes a version from its numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Parses `major.minor.patch`, with anything after a `-` or `+`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(['-', '+']).next()?;
        let mut numbers = numbers
            .split('.')
            .map(|part| decimal(part.as_bytes()).and_then(|number| u32::try_from(number).ok()));
        let version = Self::new(numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

fn bounded_urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(Urls)
}

struct Urls;

impl<'de> Visitor<'de> for Urls {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of addresses")
    }

    fn visit_unit<E>(self) -> Result<Vec<String>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut urls = Vec::new();
        while urls.len() < MAX_DISCOVERED_SERVERS {
            match list.next_element::<Url>()? {
                Some(Url(Some(url))) => urls.push(url),
                Some(Url(None)) => {}
                None => return Ok(urls),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(urls)
    }
}

/// An address, if it is not longer than the limit.
struct Url(Option<String>);

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Url;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address")
            }

            fn visit_str<E>(self, text: &str) -> Result<Url, E> {
                Ok(Url((text.len() <= MAX_SERVER_URL).then(|| text.into())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::JsonErrorKind;

    fn parse(json: &str) -> Result<ServerInfo, ProtocolError> {
        ServerInfo::parse(json.as_bytes(), &Limits::default())
    }

    #[test]
    fn all_fields_are_read() {
        let info = parse(
            r#"{"server_id":"NA","server_name":"n1","version":"2.15.1","proto":1,
            "git_commit":"b2fd3ef","go":"go1.27.2","host":"0.0.0.0","port":4222,"headers":true,
            "max_payload":1048576,"jetstream":true,"auth_required":true,"tls_required":true,
            "tls_available":true,"tls_verify":true,"nonce":"abc","client_id":18446744073709551615,
            "client_ip":"127.0.0.1","cluster":"c","domain":"d","connect_urls":["a:1","b:2"],
            "ldm":true,"connect_info":true,"api_lvl":5,"later":{"x":[null]}}"#,
        );
        let expected = ServerInfo {
            server_id: "NA".into(),
            server_name: "n1".into(),
            version: "2.15.1".into(),
            proto: 1,
            headers: true,
            max_payload: 1_048_576,
            jetstream: true,
            auth_required: true,
            tls_required: true,
            tls_available: true,
            tls_verify: true,
            nonce: Some("abc".into()),
            client_id: u64::MAX,
            client_ip: "127.0.0.1".into(),
            cluster: Some("c".into()),
            domain: Some("d".into()),
            connect_urls: ["a:1".into(), "b:2".into()].into(),
            ldm: true,
            connect_info: true,
            api_lvl: Some(5),
        };
        assert_eq!(info, Ok(expected));
    }

    #[test]
    fn absent_fields_are_false_zero_or_empty() {
        assert_eq!(parse("{}"), Ok(ServerInfo::default()));
        assert_eq!(
            parse(r#"{"connect_urls":null,"nonce":null}"#),
            Ok(ServerInfo::default())
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for (json, kind) in [
            ("", JsonErrorKind::Unfinished),
            ("{", JsonErrorKind::Unfinished),
            ("{}x", JsonErrorKind::Syntax),
            ("5", JsonErrorKind::Shape),
            (
                r#"{"client_id":18446744073709551616}"#,
                JsonErrorKind::Shape,
            ),
            (r#"{"max_payload":-1}"#, JsonErrorKind::Shape),
            (r#"{"headers":1}"#, JsonErrorKind::Shape),
            (r#"{"connect_urls":[1]}"#, JsonErrorKind::Shape),
            (r#"{"connect_urls":"a:1"}"#, JsonErrorKind::Shape),
            (r#"{"headers":true,"headers":false}"#, JsonErrorKind::Shape),
        ] {
            match parse(json) {
                Err(ProtocolError::BadInfo(error)) => assert_eq!(error.kind, kind, "{json}"),
                other => panic!("{json}: {other:?}"),
            }
        }
    }

    #[test]
    fn connect_urls_are_bounded_in_number_and_length() {
        let long = "x".repeat(MAX_SERVER_URL);
        let urls = alloc::format!(r#"["{long}x","{long}","\u0061:1"]"#);
        let info = parse(&alloc::format!(r#"{{"connect_urls":{urls},"ldm":true}}"#)).unwrap();
        assert_eq!(info.connect_urls, [long.as_str(), "a:1"]);
        assert!(info.ldm);

        let many = r#""a:1","#.repeat(MAX_DISCOVERED_SERVERS + 100);
        let info = parse(&alloc::format!(
            r#"{{"connect_urls":[{many}"b:2"],"ldm":true}}"#
        ))
        .unwrap();
        assert_eq!(info.connect_urls.len(), MAX_DISCOVERED_SERVERS);
        assert!(info.connect_urls.iter().all(|url| url == "a:1"));
        assert!(info.ldm);
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (text, version) in [
            ("2.15.1", Some((2, 15, 1))),
            ("2.12.0-RC.3", Some((2, 12, 0))),
            ("2.12.0-dev+build.7", Some((2, 12, 0))),
            ("2.12.0+x", Some((2, 12, 0))),
            ("2.12", None),
            ("2.12.0.1", None),
            ("v2.12.0", None),
            ("2.12.x", None),
            ("2..0", None),
            ("4294967296.0.0", None),
            ("", None),
        ] {
            let expected =
                version.map(|(major, minor, patch)| ServerVersion::new(major, minor, patch));
            assert_eq!(ServerVersion::parse(text), expected, "{text}");
        }
        assert!(ServerVersion::new(2, 9, 30) < ServerVersion::new(2, 10, 0));
        assert!(ServerVersion::new(2, 10, 1) < ServerVersion::new(3, 0, 0));
    }
}
