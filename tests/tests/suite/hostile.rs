//! Servers that break the protocol, or bend it: a typed end of the connection, a new one, no panic and
//! no harm; and what is odd but legal is borne.
//!
//! A scripted server does something bad on its first connection and behaves on every later one.

use std::time::Duration;

use kv_proto::driver::Client;
use kv_proto::limits::{MAX_CONTROL_LINE, MAX_HEADER_BYTES, MAX_INFO_LINE, MAX_MESSAGE};
use kv_proto::{BucketConfig, ConnectionState, Disconnect, Outcome, ProtocolError, Revision};
use kv_tests::{Fake, FakeConn, eventually};
use serde_json::json;

use crate::site::{Adapter, SECOND, Site, at_once, config, tests};

tests! {
    on_the_newest {
        what_no_server_says_before_the_login_ends_the_connection
        what_no_server_says_after_the_login_ends_the_connection
        an_operation_on_a_broken_connection_goes_on_with_the_next
        a_server_that_stops_inside_of_a_frame_is_left
        floods_are_borne
        messages_to_guessed_inboxes_answer_nobody
        doubled_replies_answer_nobody_else
        answers_that_make_no_sense_are_errors
        endless_lines_cost_no_memory
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

/// A script that serves buckets as far as a test needs it: STREAM.INFO, direct gets of `value`, and
/// acknowledgements that count.
fn serve(conn: &mut FakeConn, mut on_publish: impl FnMut(&mut FakeConn, &Request)) {
    while let Some(request) = Request::read(conn) {
        if request.subject.starts_with("$JS.API.STREAM.INFO.") {
            let stream = request.subject.rsplit('.').next().unwrap_or_default();
            let bucket = stream.trim_start_matches("KV_");
            let info = json!({
                "config": {
                    "name": stream, "subjects": [format!("$KV.{bucket}.>")], "allow_direct": true,
                    "max_msgs_per_subject": 1, "allow_rollup_hdrs": true, "storage": "file",
                },
                "created": "2026-11-23T19:10:56.691077253Z",
                "state": {"messages": 0, "bytes": 0, "first_seq": 0, "last_seq": 0},
            });
            request.answer(conn, &info.to_string());
        } else {
            on_publish(conn, &request);
        }
    }
}

/// A publish of the client.
struct Request {
    subject: String,
    reply: String,
}

impl Request {
    /// Reads up to the next publish; `None` when nothing comes for long.
    fn read(conn: &mut FakeConn) -> Option<Self> {
        loop {
            let line = conn.read_until(b"\r\n", 30 * SECOND);
            let line = String::from_utf8(line).expect("a control line");
            let words: Vec<&str> = line.split_whitespace().collect();
            let (subject, reply, size) = match words[..] {
                ["PUB", subject, reply, size] | ["HPUB", subject, reply, _, size] => {
                    (subject, reply, size)
                }
                ["PING"] => {
                    conn.send(b"PONG\r\n");
                    continue;
                }
                _ => continue,
            };
            let size: usize = size.parse().expect("a size");
            conn.read_exact(size + 2, 10 * SECOND);
            return Some(Self {
                subject: subject.into(),
                reply: reply.into(),
            });
        }
    }

    fn answer(&self, conn: &mut FakeConn, body: &str) {
        conn.send(format!("MSG {} 1 {}\r\n{body}\r\n", self.reply, body.len()).as_bytes());
    }
}

fn ack(seq: u64) -> String {
    json!({"stream": "KV_b", "seq": seq}).to_string()
}

/// A read under way when the server breaks the protocol is answered by the next connection.
async fn an_operation_on_a_broken_connection_goes_on_with_the_next<A: Adapter>(_: Site<A>) {
    let fake = Fake::start(|conn| {
        conn.handshake();
        serve(conn, |conn, request| {
            if conn.number() == 0 {
                conn.send(b"MSG x 1 99999999999999999999\r\n");
                return;
            }
            let value = "NATS/1.0\r\nNats-Stream: KV_b\r\nNats-Subject: $KV.b.a\r\nNats-Sequence: 8\r\n\
                         Nats-Time-Stamp: 2026-11-23T18:48:30.59781313Z\r\n\r\n";
            let (block, total) = (value.len(), value.len() + 1);
            conn.send(
                format!("HMSG {} 1 {block} {total}\r\n{value}v\r\n", request.reply).as_bytes(),
            );
        });
    });
    let client = A::connect(config(&fake.url())).await.unwrap();
    let bucket = client.bucket("b").await.unwrap();
    let entry = at_once(bucket.entry("a")).await.unwrap().unwrap();
    assert_eq!(
        (entry.revision, &*entry.value),
        (Revision::new(8), &b"v"[..])
    );
    assert_eq!(
        (client.stats().connects, client.stats().protocol_errors),
        (2, 1)
    );
}

/// A server that announces 60 MiB and then falls silent holds no more than what it sent, and is left when
/// its pings stay unanswered.
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

/// A hundred thousand PINGs, ten thousand INFOs, and errors of no consequence: the connection lives, each
/// is looked at, the server list stays bounded, and operations are served at once.
async fn floods_are_borne<A: Adapter>(_: Site<A>) {
    let fake = Fake::start(|conn| {
        conn.handshake();
        let mut frames = Vec::new();
        for number in 0..100_000 {
            frames.extend_from_slice(b"PING\r\n");
            if number % 10 == 0 {
                let urls: Vec<_> = (0..3)
                    .map(|n| format!("10.{n}.0.1:{}", 1 + number / 2))
                    .collect();
                let info = json!({"headers": true, "jetstream": true, "connect_urls": urls});
                frames.extend_from_slice(format!("INFO {info}\r\n+OK\r\n-ERR\r\n").as_bytes());
                frames.extend_from_slice(b"-ERR 'maximum subscriptions exceeded'\r\n");
            }
        }
        conn.send(&frames);
        serve(conn, |conn, request| request.answer(conn, &ack(1)));
    });
    let client = A::connect(config(&fake.url())).await.unwrap();
    let bucket = client.bucket("b").await.unwrap();
    assert_eq!(at_once(bucket.put("a", "1")).await, Ok(Revision::new(1)));
    let stats = client.stats();
    assert!(stats.frames_in > 140_000, "{stats:?}");
    assert_eq!((stats.connects, fake.accepted()), (1, 1));
    assert!(client.servers().len() <= 257, "{}", client.servers().len());

    // As many addresses as fit into one line are merged in no time, and most are forgotten.
    let fake = Fake::start(|conn| {
        let urls: Vec<_> = (0..4_000).map(|n| format!("h{n}.x:1")).collect();
        conn.handshake_with(&json!({"connect_urls": urls}));
        conn.read_to_end(30 * SECOND);
    });
    let client = at_once(A::connect(config(&fake.url()))).await.unwrap();
    assert_eq!(client.servers().len(), 257);
}

/// Messages to other subjects, other subscriptions, and guessed tokens of the client's own inbox answer
/// no operation: they are counted, and the true answer is taken.
async fn messages_to_guessed_inboxes_answer_nobody<A: Adapter>(_: Site<A>) {
    let fake = Fake::start(|conn| {
        conn.handshake();
        serve(conn, |conn, request| {
            let (inbox, token) = request.reply.rsplit_once('.').expect("an inbox");
            let body = ack(666);
            let guesses = [
                ("_INBOX.x.0".to_owned(), 1),
                (format!("{inbox}.{token}x"), 1),
                (format!("{inbox}.x{token}"), 1),
                (format!("{inbox}.."), 1),
                (inbox.to_owned(), 1),
                (format!("{inbox}.99999999999999999999"), 1),
                (request.reply.clone(), 2),
                (request.reply.clone(), 18_446_744_073_709_551_615_u64),
            ];
            for (subject, sid) in &guesses {
                let frame = format!("MSG {subject} {sid} {}\r\n{body}\r\n", body.len());
                conn.send(frame.as_bytes());
            }
            request.answer(conn, &ack(5));
        });
    });
    let client = A::connect(config(&fake.url())).await.unwrap();
    let bucket = client.bucket("b").await.unwrap();
    assert_eq!(at_once(bucket.put("a", "1")).await, Ok(Revision::new(5)));
    let stats = client.stats();
    assert_eq!((stats.stray_messages, stats.connects), (8, 1), "{stats:?}");
}

/// A server that sends every acknowledgement twice, the second time just before the next write's own:
/// each write gets its own revision.
async fn doubled_replies_answer_nobody_else<A: Adapter>(_: Site<A>) {
    let fake = Fake::start(|conn| {
        conn.handshake();
        let mut last = 0;
        serve(conn, |conn, request| {
            if last > 0 {
                request.answer(conn, &ack(last));
            }
            last += 1;
            request.answer(conn, &ack(last));
            request.answer(conn, &ack(last));
        });
    });
    let client = A::connect(config(&fake.url())).await.unwrap();
    let bucket = client.bucket("b").await.unwrap();
    for number in 1..=20 {
        let result = at_once(bucket.put("a", "1")).await;
        // A copy cannot always be told from a reset stream: then the outcome is open, but never wrong.
        match result {
            Ok(revision) => assert_eq!(revision, Revision::new(number)),
            Err(error) => assert_eq!(error.outcome(), Outcome::Unknown, "{error:?}"),
        }
    }
    assert_eq!(client.stats().connects, 1);
}

/// Acknowledgements that are no JSON, or hold numbers that do not fit, leave the write unknown at once,
/// never with a revision; those that name no stream too. Those of another stream are strays, and the true one is awaited;
/// an answer about another bucket opens none. The connection lives.
async fn answers_that_make_no_sense_are_errors<A: Adapter>(_: Site<A>) {
    let senseless = [
        "",
        "x",
        "{",
        "[]",
        "[\"KV_b\",1]",
        "null",
        "{}",
        "{\"seq\":1}",
        "{\"stream\":\"KV_b\"}",
        "{\"stream\":\"KV_b\",\"seq\":0}",
        "{\"stream\":\"KV_b\",\"seq\":-1}",
        "{\"stream\":\"KV_b\",\"seq\":18446744073709551616}",
        "{\"stream\":\"KV_b\",\"seq\":\"1\"}",
        "{\"stream\":7,\"seq\":1}",
        "{\"error\":{}}",
        "{\"error\":\"no\"}",
        "{\"error\":{\"code\":70000}}",
        "\u{fc}",
    ];
    let strays = [
        "{\"stream\":\"KV_c\",\"seq\":1}",
        "{\"stream\": \"KV_bb\", \"seq\": 1}",
        "{\"stream\":\"kv_b\",\"seq\":1,\"duplicate\":true}",
    ];
    let fake = Fake::start(move |conn| {
        conn.handshake();
        let mut next = senseless.iter();
        serve(conn, |conn, request| {
            if let Some(body) = next.next() {
                request.answer(conn, body);
                return;
            }
            for body in strays {
                request.answer(conn, body);
            }
            request.answer(conn, &ack(9));
        });
    });
    let client = A::connect(config(&fake.url())).await.unwrap();
    let bucket = client.bucket("b").await.unwrap();
    for body in senseless {
        let error = at_once(bucket.put("a", "1")).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{body}: {error:?}");
    }
    let strays_before = client.stats().stray_messages;
    assert_eq!(at_once(bucket.put("a", "1")).await, Ok(Revision::new(9)));
    assert_eq!(client.stats().stray_messages - strays_before, 3);
    assert_eq!(client.stats().connects, 1);

    let fake = Fake::start(|conn| {
        conn.handshake();
        while let Some(request) = Request::read(conn) {
            request.answer(conn, "{\"config\":{\"name\":\"KV_other\"}}");
        }
    });
    let client = A::connect(config(&fake.url())).await.unwrap();
    at_once(client.bucket("b")).await.unwrap_err();
    at_once(client.create_bucket(BucketConfig::new("b")))
        .await
        .unwrap_err();
    at_once(client.delete_bucket("b")).await.unwrap_err();
}

/// An INFO and a control line of 64 MiB without end: the client leaves after their limits, having taken
/// no more than a few buffers of them.
async fn endless_lines_cost_no_memory<A: Adapter>(_: Site<A>) {
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
