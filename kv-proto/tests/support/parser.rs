//! A strict parser of what clients send, written from the protocol and not
//! from the crate under test: if both ends shared the codec, a symmetric
//! mistake could never show. Whatever a careful client would not write is a
//! panic: one blank between arguments, CR LF at every end, sizes that fit.

/// One operation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientOp {
    Connect(serde_json::Value),
    Ping,
    Pong,
    Sub { subject: String, sid: String },
    Unsub { sid: String },
    Publish(Publish),
}

/// A message as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) subject: String,
    pub(crate) reply: String,
    /// The header block as sent, empty without headers.
    pub(crate) block: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Publish {
    /// Returns the value of a header, which must be there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let found: Vec<_> = lines(&self.block)
            .into_iter()
            .filter(|(n, _)| n == name)
            .collect();
        assert!(found.len() < 2, "header {name} is sent twice");
        found.into_iter().next().map(|(_, value)| value)
    }

    /// Header block and payload together.
    pub(crate) fn size(&self) -> usize {
        self.block.len() + self.payload.len()
    }
}

fn lines(block: &[u8]) -> Vec<(String, String)> {
    if block.is_empty() {
        return Vec::new();
    }
    let text = std::str::from_utf8(block).expect("headers are text");
    let fields = text
        .strip_prefix("NATS/1.0\r\n")
        .and_then(|rest| rest.strip_suffix("\r\n"))
        .expect("a header block starts with its version and ends with an empty line");
    let line = |line: &str| {
        let line = line.strip_suffix("\r\n").expect("a header line ends");
        assert!(!line.contains(['\r', '\n']), "{line:?}");
        let (name, value) = line.split_once(": ").expect("a header line has a colon");
        assert!(!name.is_empty() && !name.contains(' '), "{line:?}");
        (name.to_owned(), value.to_owned())
    };
    fields.split_inclusive("\r\n").map(line).collect()
}

/// Takes the first whole operation off the front of `input`; `None` while it
/// is not complete.
pub(crate) fn take(input: &mut Vec<u8>) -> Option<ClientOp> {
    let end = input.windows(2).position(|pair| pair == b"\r\n");
    let Some(end) = end else {
        assert!(input.len() <= 4096 + 8, "a control line without an end");
        return None;
    };
    let line = String::from_utf8(input[..end].to_vec()).expect("a control line is text");
    let line = line.as_str();
    assert!(!line.contains(['\n', '\r', '\t']), "{line:?}");
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    assert!(rest.len() <= 4096, "arguments longer than a server takes");
    assert!(
        verb == "CONNECT" || !(line.contains("  ") || line.ends_with(' ')),
        "stray blanks in {line:?}"
    );
    let args: Vec<&str> = rest.split(' ').collect();
    let op = match (verb, &args[..]) {
        ("CONNECT", _) => {
            ClientOp::Connect(serde_json::from_str(rest).expect("CONNECT carries JSON"))
        }
        ("PING", [""]) => ClientOp::Ping,
        ("PONG", [""]) => ClientOp::Pong,
        ("SUB", [subject, sid]) => ClientOp::Sub {
            subject: checked(subject, true),
            sid: (*sid).to_owned(),
        },
        ("UNSUB", [sid]) => ClientOp::Unsub {
            sid: (*sid).to_owned(),
        },
        // Every publish of this client is a request, but the answer to flow control.
        ("PUB", [subject, size]) => {
            return body(input, end, [subject, NO_REPLY], 0, number(size));
        }
        ("PUB", [subject, reply, size]) => {
            return body(input, end, [subject, reply], 0, number(size));
        }
        ("HPUB", [subject, reply, head, size]) => {
            let (head, size) = (number(head), number(size));
            assert!(head >= 12 && head <= size, "sizes of {line:?}");
            return body(input, end, [subject, reply], head, size);
        }
        _ => panic!("no client writes {line:?}"),
    };
    input.drain(..end + 2);
    Some(op)
}

/// Stands for the reply subject where there is none.
const NO_REPLY: &str = "no-reply";

fn body(
    input: &mut Vec<u8>,
    line_end: usize,
    subjects: [&str; 2],
    head: usize,
    size: usize,
) -> Option<ClientOp> {
    // A filter is part of the subject on which a consumer is asked for.
    let wild = subjects[0].starts_with("$JS.API.CONSUMER.CREATE.");
    let [subject, reply] = subjects;
    let (subject, reply) = (checked(subject, wild), checked(reply, false));
    let reply = if reply == NO_REPLY {
        String::new()
    } else {
        reply
    };
    let start = line_end + 2;
    let end = start + size;
    if input.len() < end + 2 {
        return None;
    }
    assert_eq!(&input[end..end + 2], b"\r\n", "a payload ends with CR LF");
    let publish = Publish {
        subject,
        reply,
        block: input[start..start + head].to_vec(),
        payload: input[start + head..end].to_vec(),
    };
    lines(&publish.block);
    input.drain(..end + 2);
    Some(ClientOp::Publish(publish))
}

fn number(digits: &str) -> usize {
    assert!(digits == "0" || !digits.starts_with('0'), "{digits:?}");
    digits.parse().expect("a size is a number")
}

fn checked(subject: &str, wildcards: bool) -> String {
    let token = |token: &str| {
        !token.is_empty()
            && token.bytes().all(|byte| byte > b' ' && byte != 0x7f)
            && (wildcards || !matches!(token, "*" | ">"))
    };
    assert!(subject.split('.').all(token), "subject {subject:?}");
    subject.to_owned()
}
