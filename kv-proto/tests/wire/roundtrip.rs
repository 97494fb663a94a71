//! What the encoder writes, a small strict parser of client operations reads
//! back: the same operation, with exact lengths, whatever the arguments hold.
//! And what a server's encoder writes, the decoder reads back.

use crate::support::strict::{ClientOp, From, cleaned, strict_all};
use crate::support::*;
use bytes::BytesMut;
use kv_proto::Limits;
use kv_proto::wire::{
    self, CRLF, ConnectOptions, Header, HeaderValue, Headers, decode_frame, header_block_len,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn the_strict_parser_reads_what_real_clients_write() {
    for stream in [corpus("c2s-streams"), corpus("c2s-frames")].concat() {
        assert!(!strict_all(&stream, From::Others).is_empty());
    }
}

/// A token as names of this crate are made of, and anything at all.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[!-~é]{0,12}", 1 => any::<String>(), 1 => "[a \r\n\t\0\u{7f}]{0,8}"]
}

fn pieces() -> impl Strategy<Value = Vec<String>> {
    vec(piece(), 0..4)
}

fn strs(pieces: &[String]) -> Vec<&str> {
    pieces.iter().map(String::as_str).collect()
}

fn subject() -> impl Strategy<Value = Vec<String>> {
    (pieces(), "[!-~]").prop_map(|(mut pieces, last)| {
        pieces.push(last);
        pieces
    })
}

#[derive(Clone, Debug)]
enum Content {
    Text(String),
    Number(u64),
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, Content)>> {
    let name = proptest::sample::select(&["KV-Operation", "Nats-Rollup", "Nats-TTL", "X"][..]);
    let value = prop_oneof![
        piece().prop_map(Content::Text),
        any::<u64>().prop_map(Content::Number),
        (0..30_u64).prop_map(Content::Number),
    ];
    vec((name, value), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn publishes_read_back(
        subject in subject(),
        reply in pieces(),
        headers in headers(),
        payload in vec(any::<u8>(), 0..300),
    ) {
        let lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| Header {
                name,
                value: match value {
                    Content::Text(text) => HeaderValue::Text(text),
                    Content::Number(number) => HeaderValue::Number(*number),
                },
            })
            .collect();
        let mut out = BytesMut::from(&b"PING\r\n"[..]);
        wire::publish_head(&mut out, &strs(&subject), &strs(&reply), &lines, payload.len());
        out.extend_from_slice(&payload);
        out.extend_from_slice(CRLF);
        wire::pong(&mut out);

        let ops = strict_all(&out, From::Us);
        prop_assert_eq!((&ops[0], &ops[2], ops.len()), (&ClientOp::Ping, &ClientOp::Pong, 3));
        let ClientOp::Publish { subject: to, reply: answer, headers: block, payload: body } = &ops[1] else {
            panic!("{:?}", ops[1]);
        };
        prop_assert_eq!(to, &cleaned(&subject));
        prop_assert_eq!(answer.clone().unwrap_or_default(), cleaned(&reply));
        prop_assert_eq!(body, &payload);
        prop_assert_eq!(block.as_ref().map_or(0, Vec::len), header_block_len(&lines));
        let limits = Limits::default();
        let block = block.clone().unwrap_or_else(|| b"NATS/1.0\r\n\r\n".to_vec());
        let read = Headers::parse(&block, &limits);
        prop_assert_eq!((read.defect(), read.status()), (None, None));
        let read: Vec<_> = read.iter().collect();
        prop_assert_eq!(read.len(), headers.len());
        for ((name, value), (expected_name, expected)) in read.into_iter().zip(&headers) {
            let expected = match expected {
                Content::Number(number) => number.to_string(),
                Content::Text(text) => text.replace(['\r', '\n', '\0'], " "),
            };
            prop_assert_eq!(name, expected_name.as_bytes());
            prop_assert_eq!(value, expected.trim_matches([' ', '\t']).as_bytes());
        }
    }

    #[test]
    fn subscriptions_read_back(
        subject in subject(),
        queue in option::of(piece()),
        sid: u64,
        max: Option<u64>,
    ) {
        let mut out = BytesMut::new();
        wire::subscribe(&mut out, &strs(&subject), queue.as_deref(), sid);
        wire::unsubscribe(&mut out, sid, max);
        wire::ping(&mut out);
        let queue = queue.filter(|queue| !queue.is_empty());
        let sid = sid.to_string();
        prop_assert_eq!(strict_all(&out, From::Us), [
            ClientOp::Subscribe {
                subject: cleaned(&subject),
                queue: queue.map(|queue| cleaned(&[queue])),
                sid: sid.clone(),
            },
            ClientOp::Unsubscribe { sid, max },
            ClientOp::Ping,
        ]);
    }

    #[test]
    fn logins_read_back(
        name in option::of(any::<String>()),
        user in option::of(any::<String>()),
        pass in option::of(any::<String>()),
        flags: [bool; 3],
    ) {
        let [echo, headers, no_responders] = flags;
        let options = ConnectOptions {
            name: name.as_deref(),
            user: user.as_deref(),
            pass: pass.as_deref(),
            lang: "rust",
            version: "1",
            protocol: 1,
            echo,
            headers,
            no_responders,
            ..ConnectOptions::default()
        };
        let mut out = BytesMut::new();
        wire::connect(&mut out, &options);
        wire::ping(&mut out);
        let mut expected = json!({
            "verbose": false, "pedantic": false, "tls_required": false, "lang": "rust",
            "version": "1", "protocol": 1, "echo": echo, "headers": headers,
            "no_responders": no_responders,
        });
        for (key, value) in [("name", name), ("user", user), ("pass", pass)] {
            if let Some(value) = value {
                expected[key] = value.into();
            }
        }
        prop_assert_eq!(strict_all(&out, From::Us), [ClientOp::Connect(expected), ClientOp::Ping]);
    }

    #[test]
    fn what_a_server_writes_reads_back(op in server_op()) {
        let bytes = server_bytes(&op);
        let limits = Limits::default();
        prop_assert_eq!(decode_frame(&bytes, &limits).map(Op::from), Ok(op.clone()));
        let next = [&bytes[..], b"PING\r\n"].concat();
        let frames = decode_whole(&next, &limits).frames;
        prop_assert_eq!(frames, [(op, bytes.len()), (Op::Ping, next.len())]);
    }
}

/// Bytes that can stand in a token of a server's line.
fn server_token() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("separators", |byte| !b" \t\r\n".contains(byte));
    vec(byte, 1..40)
}

fn line_text() -> impl Strategy<Value = Vec<u8>> {
    "[!-&(-~]([ -~]{0,60}[!-&(-~])?".prop_map(String::into_bytes)
}

fn server_op() -> impl Strategy<Value = Op> {
    let bytes = |range| vec(any::<u8>(), range);
    let message = (
        server_token(),
        any::<u64>(),
        option::of(server_token()),
        option::of(bytes(1..200)),
        bytes(0..200),
    );
    prop_oneof![
        8 => message.prop_map(|(subject, sid, reply, headers, payload)| Op::Message {
            subject,
            sid,
            reply,
            headers,
            payload,
        }),
        1 => line_text().prop_map(Op::Info),
        1 => line_text().prop_map(Op::Err),
        1 => Just(Op::Ping),
        1 => Just(Op::Pong),
        1 => Just(Op::Ok),
    ]
}
