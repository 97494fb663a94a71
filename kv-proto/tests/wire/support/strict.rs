//! A strict parser of what clients write, as a server would read it. The fuzz
//! targets use the same.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use kv_proto::wire::CRLF;
use serde_json::Value;

/// A client operation as the strict parser reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOp {
    Connect(Value),
    Publish {
        subject: String,
        reply: Option<String>,
        headers: Option<Vec<u8>>,
        payload: Vec<u8>,
    },
    Subscribe {
        subject: String,
        queue: Option<String>,
        sid: String,
    },
    Unsubscribe {
        sid: String,
        max: Option<u64>,
    },
    Ping,
    Pong,
}

/// Whose operations are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Ours: single blanks between words, and headers only where there are any.
    Us,
    /// Recorded ones: some clients write blanks around absent arguments, and
    /// headers of no bytes.
    Others,
}

/// Parses the operation at the front: upper case, CR LF, and nothing else that
/// needs goodwill. Returns it and its length.
fn strict(input: &[u8], from: From) -> (ClientOp, usize) {
    let end = input
        .windows(2)
        .position(|pair| pair == CRLF)
        .expect("CR LF");
    let line = std::str::from_utf8(&input[..end]).expect("UTF-8");
    assert!(!line.contains(['\r', '\n', '\0', '\t']), "{line:?}");
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut words: Vec<&str> = match rest {
        "" => Vec::new(),
        rest => rest.split(' ').collect(),
    };
    if from == From::Others {
        words.retain(|word| !word.is_empty());
    }
    let len = end + 2;
    let op = match (verb, &words[..]) {
        ("CONNECT", _) => ClientOp::Connect(serde_json::from_str(rest).expect("JSON")),
        ("PING", []) => ClientOp::Ping,
        ("PONG", []) => ClientOp::Pong,
        ("SUB", [subject, queue @ .., sid]) if queue.len() < 2 => ClientOp::Subscribe {
            subject: token(subject),
            queue: queue.first().map(|queue| token(queue)),
            sid: token(sid),
        },
        ("UNSUB", [sid]) => ClientOp::Unsubscribe {
            sid: token(sid),
            max: None,
        },
        ("UNSUB", [sid, max]) => ClientOp::Unsubscribe {
            sid: token(sid),
            max: Some(max.parse().expect("a number")),
        },
        ("PUB", [subject, reply @ .., size]) if reply.len() < 2 => {
            return publish(&input[len..], subject, reply.first(), 0, size, len);
        }
        ("HPUB", [subject, reply @ .., header, size]) if reply.len() < 2 => {
            let header = header.parse().expect("a number");
            assert!(header > 0 || from == From::Others);
            return publish(&input[len..], subject, reply.first(), header, size, len);
        }
        _ => panic!("not an operation: {line:?}"),
    };
    (op, len)
}

fn token(word: &str) -> String {
    assert!(!word.is_empty());
    word.into()
}

fn publish(
    body: &[u8],
    subject: &str,
    reply: Option<&&str>,
    header: usize,
    size: &str,
    line: usize,
) -> (ClientOp, usize) {
    let size: usize = size.parse().expect("a number");
    assert_eq!(&body[size..size + 2], CRLF, "the length is wrong");
    let headers = (header > 0).then(|| body[..header].to_vec());
    if let Some(block) = &headers {
        assert!(block.ends_with(b"\r\n\r\n"));
    }
    let op = ClientOp::Publish {
        subject: token(subject),
        reply: reply.map(|reply| token(reply)),
        headers,
        payload: body[header..size].to_vec(),
    };
    (op, line + size + 2)
}

/// Parses a whole buffer.
pub fn strict_all(mut input: &[u8], from: From) -> Vec<ClientOp> {
    let mut ops = Vec::new();
    while !input.is_empty() {
        let (op, len) = strict(input, from);
        ops.push(op);
        input = &input[len..];
    }
    ops
}

/// What a token becomes on the wire.
pub fn cleaned(pieces: &[String]) -> String {
    let forbidden = |c: char| c <= ' ' || c == '\u{7f}';
    pieces.concat().replace(forbidden, "_")
}
