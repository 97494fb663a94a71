//! Servers that are odd within the protocol: floods, forged and doubled replies, answers without sense.
//! None of it is taken for an answer, and none of it ends the connection.

use kv_proto::{BucketConfig, Outcome, Revision};
use kv_tests::{Fake, FakeConn};
use serde_json::json;

use crate::site::{Adapter, SECOND, Site, at_once, config, tests};

tests! {
    on_the_newest {
        an_operation_on_a_broken_connection_goes_on_with_the_next
        floods_are_borne
        messages_to_guessed_inboxes_answer_nobody
        doubled_replies_answer_nobody_else
        answers_that_make_no_sense_are_errors
    }
}

/// Serves STREAM.INFO of any bucket; every other publish is the script's to answer.
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
        let revision = at_once(bucket.put("a", "1")).await;
        assert_eq!(revision, Ok(Revision::new(number)));
    }
    assert_eq!(client.stats().connects, 1);
}

/// Acknowledgements that are no JSON, or hold numbers that do not fit, leave the write unknown at once,
/// never with a revision; and so those that name no stream. Those of another stream are strays, and the
/// true one is awaited; an answer about another bucket opens none. The connection lives.
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
