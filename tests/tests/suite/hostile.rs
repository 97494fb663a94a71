//! Servers that break the protocol: a typed end of the connection, a new one, no panic and no harm.
//!
//! A scripted server does something bad on its first connection and behaves on every later one.

use std::time::Duration;

use kv_proto::driver::Client;
use kv_proto::limits::{MAX_CONTROL_LINE, MAX_HEADER_BYTES, MAX_INFO_LINE, MAX_MESSAGE};
use kv_proto::{ConnectionState, Disconnect, ProtocolError};
use kv_tests::{Fake, FakeConn, eventually};
use serde_json::json;

use crate::site::{Adapter, SECOND, Site, config, tests};

tests! {
    on_the_newest {
        what_no_server_says_before_the_login_ends_the_connection
        what_no_server_says_after_the_login_ends_the_connection
        a_server_that_stops_inside_of_a_frame_is_left
        endless_lines_are_left
    }
}

/// Runs a bad script on the first connection, a good one on all later ones; returns the client that went
/// through both, and why it left the first.
async fn survive<A: Adapter>(
    bad: impl Fn(&mut FakeConn) + Send + Sync + 'static,
) -> (Fake, Client, Disconnect) {
    let fake = Fake::start(move |conn| {
        if conn.number() == 0 {
            bad(conn);
        } else {
            conn.handshake();
        }
        conn.read_to_end(30 * SECOND);
    });
    let config = config(&fake.url())
        .retry_first_connect(true)
        .connect_timeout(2 * SECOND);
    let client = A::connect(config).await.expect("a connection in the end");
    eventually("the client has left the bad connection", || {
        fake.accepted() == 2 && client.state() == ConnectionState::Connected
    });
    let disconnect = client.last_disconnect().expect("the bad connection ended");
    (fake, client, disconnect)
}

fn sends(bytes: impl Into<Vec<u8>>, logged_in: bool) -> impl Fn(&mut FakeConn) + Send + Sync {
    let bytes = bytes.into();
    move |conn| {
        if logged_in {
            conn.handshake();
        }
        conn.send(&bytes);
    }
}

/// Instead of a greeting: garbage, another protocol, a message, an INFO that is not JSON, that has no end
/// or is nested too deep, and a line without end. Each ends the connection for the reason given, before
/// the connect time-out.
async fn what_no_server_says_before_the_login_ends_the_connection<A: Adapter>(_: Site<A>) {
    let unknown = |verb: &str| ProtocolError::UnknownVerb { verb: verb.into() };
    let endless = |start: &str, len: usize| format!("{start}{}", "a".repeat(len));
    let info_too_long = ProtocolError::InfoTooLong {
        limit: MAX_INFO_LINE,
    };
    let line_too_long = ProtocolError::LineTooLong {
        limit: MAX_CONTROL_LINE,
    };
    let urls: Vec<_> = (0..100_000).map(|n| format!("10.0.0.1:{n}")).collect();
    let rows: Vec<(Vec<u8>, Option<ProtocolError>)> = vec![
        (b"HELLO there\r\n".into(), Some(unknown("HELLO"))),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".into(), None),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n".into(),
            None,
        ),
        (b"\0\0\0\0\r\n".into(), None),
        (b"MSG a 1 5\r\nhello\r\n".into(), None),
        (b"HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n".into(), None),
        (b"INFO {\r\n".into(), None),
        (b"INFO []\r\n".into(), None),
        (b"INFO\r\n".into(), None),
        (
            b"INFO {\"max_payload\":1e400,\"headers\":true}\r\n".into(),
            None,
        ),
        (format!("INFO {}\r\n", "[".repeat(10_000)).into(), None),
        (
            endless("INFO {\"a\":\"", 2 * MAX_INFO_LINE).into(),
            Some(info_too_long.clone()),
        ),
        (endless("PING", 2 * MAX_CONTROL_LINE).into(), None),
        (
            endless("-ERR '", 2 * MAX_CONTROL_LINE).into(),
            Some(line_too_long),
        ),
        (
            format!(
                "INFO {}\r\n",
                json!({"headers": true, "connect_urls": urls})
            )
            .into(),
            Some(info_too_long),
        ),
    ];
    for (bytes, wanted) in rows {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(30)]).into_owned();
        let (_fake, client, disconnect) = survive::<A>(sends(bytes, false)).await;
        let Disconnect::Protocol(error) = &disconnect else {
            panic!("{shown:?}: {disconnect:?}");
        };
        if let Some(wanted) = wanted {
            assert_eq!(*error, wanted, "{shown:?}");
        }
        let stats = client.stats();
        assert_eq!((stats.connects, stats.protocol_errors), (1, 1), "{shown:?}");
    }
    // These are the server's word, not a breach.
    for (bytes, text) in [("-ERR\r\n", ""), ("-ERR ''\r\n", ""), ("-ERR 'x'\r\n", "x")] {
        let (_fake, _, disconnect) = survive::<A>(sends(bytes, false)).await;
        assert_eq!(disconnect, Disconnect::Server(text.into()));
    }
}

/// After the login: sizes that overflow or are none, a header longer than its message, a header or a
/// payload announced beyond every limit, a payload that does not end where it was announced to, and
/// garbage. Each ends the connection for the reason given, at once.
async fn what_no_server_says_after_the_login_ends_the_connection<A: Adapter>(_: Site<A>) {
    let msg = |what| ProtocolError::Malformed { verb: "MSG", what };
    let size = |size| ProtocolError::SizeTooLarge {
        size,
        limit: MAX_MESSAGE,
    };
    let too_large = MAX_MESSAGE as u64 + 1;
    let header = MAX_HEADER_BYTES as u64 + 1;
    let header_too_large = ProtocolError::HeaderTooLarge {
        size: header,
        limit: MAX_HEADER_BYTES,
    };
    let rows: Vec<(String, Option<ProtocolError>)> = vec![
        (
            "MSG x 1 18446744073709551615\r\n".into(),
            Some(size(u64::MAX)),
        ),
        (
            "MSG x 1 18446744073709551611\r\n".into(),
            Some(size(u64::MAX - 4)),
        ),
        ("MSG x 1 18446744073709551616\r\n".into(), None),
        (format!("MSG x 1 {too_large}\r\n"), Some(size(too_large))),
        (format!("MSG x 1 {}\r\n", "9".repeat(500)), None),
        ("MSG x 1 -1\r\n".into(), None),
        ("MSG x 1 1e3\r\n".into(), None),
        ("MSG x 1\r\n".into(), None),
        ("MSG x y 1\r\nz\r\n".into(), None),
        ("MSG\r\n".into(), Some(msg("subject"))),
        (
            "HMSG x 1 13 12\r\n".into(),
            Some(ProtocolError::HeaderLongerThanMessage),
        ),
        (
            "HMSG x 1 18446744073709551615 18446744073709551615\r\n".into(),
            None,
        ),
        (
            format!("HMSG x 1 {header} {header}\r\n"),
            Some(header_too_large),
        ),
        (
            "MSG x 1 2\r\nabcd\r\n".into(),
            Some(ProtocolError::MissingTerminator),
        ),
        (
            "MSG x 1 2\r\nab\n\r\n".into(),
            Some(ProtocolError::MissingTerminator),
        ),
        ("PUB x 2\r\nab\r\n".into(), None),
        ("\r\n".into(), None),
        ("INFO {\"max_payload\":\"x\"}\r\n".into(), None),
        (format!("MSG {}", "x".repeat(2 * MAX_CONTROL_LINE)), None),
    ];
    for (bytes, wanted) in rows {
        let shown = bytes[..bytes.len().min(40)].to_owned();
        let (_fake, client, disconnect) = survive::<A>(sends(bytes, true)).await;
        match (&disconnect, wanted) {
            (Disconnect::Protocol(error), Some(wanted)) => assert_eq!(*error, wanted, "{shown:?}"),
            (Disconnect::Protocol(_), None) => {}
            (other, _) => panic!("{shown:?}: {other:?}"),
        }
        let stats = client.stats();
        assert_eq!((stats.connects, stats.protocol_errors), (2, 1), "{shown:?}");
    }
    for text in [
        "Stale Connection",
        "Maximum Payload Violation",
        "Server Shutdown",
    ] {
        let (_fake, _, disconnect) = survive::<A>(sends(format!("-ERR '{text}'\r\n"), true)).await;
        assert_eq!(disconnect, Disconnect::Server(text.into()));
    }
}

/// A server that announces 60 MiB, or begins a line, and then falls silent is left when its pings stay
/// unanswered.
async fn a_server_that_stops_inside_of_a_frame_is_left<A: Adapter>(_: Site<A>) {
    let frames = [
        "MSG x 1 60000000\r\nabc",
        "HMSG x 1 60000 60000\r\nNATS",
        "MSG x",
        "INFO {\"a",
    ];
    for frame in frames {
        let fake = Fake::start(move |conn| {
            conn.handshake();
            if conn.number() == 0 {
                conn.send(frame.as_bytes());
            }
            conn.read_to_end(30 * SECOND);
        });
        let config = config(&fake.url()).ping_interval(Duration::from_millis(30));
        let client = A::connect(config).await.unwrap();
        eventually("the client has left", || fake.accepted() > 1);
        assert_eq!(client.last_disconnect(), Some(Disconnect::Stale), "{frame}");
    }
}

/// An INFO and a control line without end: the client leaves long before it has taken 64 MiB of them.
async fn endless_lines_are_left<A: Adapter>(_: Site<A>) {
    for (start, logged_in) in [("INFO {\"", false), ("MSG ", true)] {
        let fake = Fake::start(move |conn| {
            if conn.number() == 0 {
                if logged_in {
                    conn.handshake();
                }
                conn.send(start.as_bytes());
                for _ in 0..1_024 {
                    conn.send(&[b'a'; 65_536]);
                }
                panic!("it took 64 MiB");
            }
            conn.handshake();
            conn.read_to_end(30 * SECOND);
        });
        let config = config(&fake.url()).retry_first_connect(true);
        let client = A::connect(config).await.unwrap();
        eventually("the client has left", || fake.accepted() > 1);
        let left = client.last_disconnect();
        assert!(matches!(left, Some(Disconnect::Protocol(_))), "{left:?}");
    }
}
