//! What is written is what a strict server reads, whatever the arguments hold: no byte of them begins an operation
//! of its own, and lengths are exact.

use bytes::{BufMut, BytesMut};
use kv_proto::Limits;
use kv_proto::wire::{self, CRLF, ConnectOptions, Header, HeaderValue, header_block_len};
use serde_json::json;

use crate::input::Input;
use crate::wire::reference::{Field, reference_headers};
use crate::wire::strict::{ClientOp, From, cleaned, strict_all};

const MOST_OPS: usize = 16;

/// The input is a list of operations.
pub fn check(data: &[u8]) {
    check_with(data, |_| ());
}

/// The same of operations that something is done to before they are read.
pub fn check_with(data: &[u8], damage: fn(&mut BytesMut)) {
    let mut input = Input::new(data);
    let mut out = BytesMut::new();
    let mut expected = Vec::new();
    for _ in 0..MOST_OPS {
        if input.is_empty() {
            break;
        }
        expected.push(write(&mut input, &mut out));
    }
    damage(&mut out);
    let found = strict_all(&out, From::Us);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.into_iter().zip(expected) {
        compare(found, expected);
    }
}

/// An operation as it was asked for, with the fields of its headers.
struct Expected {
    op: ClientOp,
    fields: Vec<Field>,
}

fn compare(mut found: ClientOp, expected: Expected) {
    let mut fields = Vec::new();
    if let ClientOp::Publish { headers, .. } = &mut found
        && let Some(block) = headers.take()
    {
        let (read, defects) = reference_headers(&block, &Limits::default());
        assert_eq!(defects, [], "{block:?}");
        fields = read;
    }
    assert_eq!(found, expected.op);
    assert_eq!(fields, expected.fields);
}

fn write(input: &mut Input<'_>, out: &mut BytesMut) -> Expected {
    let mut fields = Vec::new();
    let op = match input.byte() % 8 {
        0 => {
            wire::ping(out);
            ClientOp::Ping
        }
        1 => {
            wire::pong(out);
            ClientOp::Pong
        }
        2 => connect(input, out),
        3 => {
            let sid = input.number();
            let max = (input.byte() & 1 == 0).then(|| input.number());
            wire::unsubscribe(out, sid, max);
            let sid = sid.to_string();
            ClientOp::Unsubscribe { sid, max }
        }
        4 => {
            let (subject, queue, sid) = (subject(input), piece(input), input.number());
            wire::subscribe(out, &strs(&subject), Some(&queue), sid);
            ClientOp::Subscribe {
                subject: cleaned(&subject),
                queue: Some(cleaned(&[queue])).filter(|queue| !queue.is_empty()),
                sid: sid.to_string(),
            }
        }
        _ => publish(input, out, &mut fields),
    };
    Expected { op, fields }
}

fn publish(input: &mut Input<'_>, out: &mut BytesMut, fields: &mut Vec<Field>) -> ClientOp {
    let (subject, reply) = (subject(input), [piece(input), piece(input)]);
    let texts: Vec<String> = (0..input.below(4)).map(|_| piece(input)).collect();
    let mut headers: Vec<Header<'_>> = Vec::new();
    for text in &texts {
        let name = input.pick(&["KV-Operation", "Nats-Rollup", "Nats-TTL", "X"]);
        let (value, shown) = if input.byte() & 1 == 0 {
            let shown = text.replace(['\r', '\n', '\0'], " ");
            (
                HeaderValue::Text(text),
                shown.trim_matches([' ', '\t']).to_owned(),
            )
        } else {
            let number = input.number() >> (input.byte() % 64);
            (HeaderValue::Number(number), number.to_string())
        };
        headers.push(Header { name, value });
        fields.push((name.into(), shown.into()));
    }
    let payload = bytes(input);
    let start = out.len();
    wire::publish_head(out, &strs(&subject), &strs(&reply), &headers, payload.len());
    let block = header_block_len(&headers);
    let tail = out.get(out.len() - block..).expect("it was written");
    assert!(block == 0 || tail.starts_with(b"NATS/1.0\r\n") && start < out.len());
    out.put_slice(payload);
    out.put_slice(CRLF);
    ClientOp::Publish {
        subject: cleaned(&subject),
        reply: Some(cleaned(&reply)).filter(|reply| !reply.is_empty()),
        headers: None,
        payload: payload.to_vec(),
    }
}

fn connect(input: &mut Input<'_>, out: &mut BytesMut) -> ClientOp {
    let [name, user, pass] = [piece(input), piece(input), piece(input)];
    let flags = input.byte();
    let options = ConnectOptions {
        name: Some(&name),
        user: Some(&user),
        pass: Some(&pass),
        lang: "rust",
        version: "1",
        protocol: 1,
        echo: flags & 1 == 0,
        headers: flags & 2 == 0,
        no_responders: flags & 4 == 0,
        ..ConnectOptions::default()
    };
    wire::connect(out, &options);
    ClientOp::Connect(json!({
        "verbose": false, "pedantic": false, "tls_required": false, "lang": "rust", "version": "1",
        "protocol": 1, "echo": options.echo, "headers": options.headers,
        "no_responders": options.no_responders, "name": name, "user": user, "pass": pass,
    }))
}

fn bytes<'a>(input: &mut Input<'a>) -> &'a [u8] {
    let most = usize::from(input.byte());
    input.bytes(most)
}

/// Any text.
fn piece(input: &mut Input<'_>) -> String {
    let most = input.below(24);
    String::from_utf8_lossy(input.bytes(most)).into_owned()
}

/// A subject must not be empty.
fn subject(input: &mut Input<'_>) -> Vec<String> {
    vec![piece(input), piece(input), "s".to_owned()]
}

fn strs(pieces: &[String]) -> Vec<&str> {
    pieces.iter().map(String::as_str).collect()
}
