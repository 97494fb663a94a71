//! `CONNECT`: the login.

use core::fmt;

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::encode::CRLF;

/// The fields of `CONNECT`, and no others: nothing else of a client's
/// configuration can leak into it. Absent options are not written.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ConnectOptions<'a> {
    /// Whether the server shall answer `+OK` to each operation.
    pub verbose: bool,
    /// Whether the server shall check subjects of publishes more strictly.
    pub pedantic: bool,
    /// Whether the client insists on TLS; informational.
    pub tls_required: bool,
    /// The user name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<&'a str>,
    /// The token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<&'a str>,
    /// The user JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<&'a str>,
    /// The public user key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<&'a str>,
    /// The signature of the nonce, in base64url without padding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<&'a str>,
    /// The name of the connection, for monitoring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// The language of the client, for monitoring.
    pub lang: &'a str,
    /// The version of the client, for monitoring.
    pub version: &'a str,
    /// 1 if the client understands `INFO` at any time.
    pub protocol: u8,
    /// Whether own publishes are delivered to own subscriptions.
    pub echo: bool,
    /// Whether the client understands `HMSG`.
    pub headers: bool,
    /// Whether a request without a listener shall be answered with status 503.
    pub no_responders: bool,
}

/// Appends `CONNECT {..}`.
pub fn connect(out: &mut BytesMut, options: &ConnectOptions<'_>) {
    #[allow(clippy::expect_used, reason = "it is true")]
    let json = serde_json::to_vec(options).expect("texts, numbers and booleans always serialise");
    out.put_slice(b"CONNECT ");
    out.put_slice(&json);
    out.put_slice(CRLF);
}

/// Shows which secrets are present, not what they are. The destructuring makes
/// a new field a decision.
impl fmt::Debug for ConnectOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verbose,
            pedantic,
            tls_required,
            user,
            pass,
            auth_token,
            jwt,
            nkey,
            sig,
            name,
            lang,
            version,
            protocol,
            echo,
            headers,
            no_responders,
        } = self;
        let hidden = |secret: &Option<&str>| secret.map(|_| Hidden);
        f.debug_struct("ConnectOptions")
            .field("verbose", verbose)
            .field("pedantic", pedantic)
            .field("tls_required", tls_required)
            .field("user", &hidden(user))
            .field("pass", &hidden(pass))
            .field("auth_token", &hidden(auth_token))
            .field("jwt", &hidden(jwt))
            .field("nkey", nkey)
            .field("sig", &hidden(sig))
            .field("name", name)
            .field("lang", lang)
            .field("version", version)
            .field("protocol", protocol)
            .field("echo", echo)
            .field("headers", headers)
            .field("no_responders", no_responders)
            .finish()
    }
}

struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(options: &ConnectOptions<'_>) -> BytesMut {
        let mut out = BytesMut::new();
        connect(&mut out, options);
        out
    }

    fn all() -> ConnectOptions<'static> {
        ConnectOptions {
            user: Some("SECRET-1"),
            pass: Some("SECRET-2"),
            auth_token: Some("SECRET-3"),
            jwt: Some("SECRET-4"),
            nkey: Some("UPUBLIC"),
            sig: Some("SECRET-5"),
            name: Some("me"),
            lang: "rust",
            version: "0.1.0",
            protocol: 1,
            echo: true,
            headers: true,
            no_responders: true,
            ..ConnectOptions::default()
        }
    }

    #[test]
    fn absent_options_are_not_written() {
        let options = ConnectOptions {
            user: None,
            pass: None,
            auth_token: None,
            jwt: None,
            nkey: None,
            sig: None,
            name: None,
            ..all()
        };
        assert_eq!(
            written(&options),
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\
             \"lang\":\"rust\",\"version\":\"0.1.0\",\"protocol\":1,\"echo\":true,\
             \"headers\":true,\"no_responders\":true}\r\n"
        );
    }

    #[test]
    fn all_options_are_written_under_their_names() {
        assert_eq!(
            written(&all()),
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\
             \"user\":\"SECRET-1\",\"pass\":\"SECRET-2\",\"auth_token\":\"SECRET-3\",\
             \"jwt\":\"SECRET-4\",\"nkey\":\"UPUBLIC\",\"sig\":\"SECRET-5\",\"name\":\"me\",\
             \"lang\":\"rust\",\"version\":\"0.1.0\",\"protocol\":1,\"echo\":true,\
             \"headers\":true,\"no_responders\":true}\r\n"
        );
    }

    #[test]
    fn text_cannot_leave_its_string() {
        let options = ConnectOptions {
            name: Some("a\"}\r\nPUB x 0\r\n"),
            ..ConnectOptions::default()
        };
        let out = written(&options);
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
        assert!(
            out.windows(7)
                .any(|part| part == br#"a\"}\r\n"#.get(..7).unwrap())
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = alloc::format!("{:?} {:#?}", all(), all());
        assert!(!text.contains("SECRET"), "{text}");
        assert!(
            text.contains("Some(***)") && text.contains("UPUBLIC"),
            "{text}"
        );
    }
}
