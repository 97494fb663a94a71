//! What a hostile server does on the first connection, one row of the table each; on every later one it is a
//! server that says nothing wrong.

use std::fmt::Write;
use std::time::Duration;

use kv_tests::FakeConn;
use serde_json::json;

/// How long a script waits for its client.
const PATIENCE: Duration = Duration::from_secs(90);

/// How much is sent of what has no end.
const FLOOD: usize = 400_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// A header value with a lone CR, as any publisher can write it.
    LoneCr,
    /// A length to which nothing can be added.
    LongestLength,
    /// A length to which the two bytes of the line end can be added, and no more.
    LongLength,
    /// An error without a text.
    BareError,
    /// A greeting without an end.
    EndlessInfo,
    /// A control line without an end, after the login.
    EndlessLine,
    /// A payload of 1.9 GB, of which a part comes.
    HugePayload,
    /// A header block of half a million lines.
    ManyHeaders,
    /// A greeting that announces so many servers.
    Servers(u32),
}

impl Row {
    pub(crate) const ALL: [Self; 10] = [
        Self::LoneCr,
        Self::LongestLength,
        Self::LongLength,
        Self::BareError,
        Self::EndlessInfo,
        Self::EndlessLine,
        Self::HugePayload,
        Self::ManyHeaders,
        Self::Servers(30_000),
        Self::Servers(100_000),
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::LoneCr => "header value with a lone CR".into(),
            Self::LongestLength => "MSG x 1 18446744073709551615".into(),
            Self::LongLength => "MSG x 1 18446744073709551611".into(),
            Self::BareError => "-ERR and nothing else".into(),
            Self::EndlessInfo => "INFO without end, before the login".into(),
            Self::EndlessLine => "control line without end".into(),
            Self::HugePayload => "1.9 GB announced, 400 MB sent".into(),
            Self::ManyHeaders => "500,000 header lines".into(),
            Self::Servers(many) => format!("INFO with {many} servers"),
        }
    }

    /// The server's part, on one connection.
    pub(crate) fn play(self, conn: &mut FakeConn) {
        if conn.number() > 0 {
            conn.handshake();
            conn.read_to_end(PATIENCE);
            return;
        }
        match self {
            Self::LoneCr => answer(conn, b"NATS/1.0\r\nX: a\rb\r\n\r\n"),
            Self::LongestLength => say(conn, b"MSG x 1 18446744073709551615\r\n"),
            Self::LongLength => say(conn, b"MSG x 1 18446744073709551611\r\n"),
            Self::BareError => say(conn, b"-ERR\r\n"),
            Self::EndlessInfo => flood(conn, b"INFO {\"a\":\""),
            Self::EndlessLine => {
                conn.handshake();
                flood(conn, b"MSG ");
            }
            Self::HugePayload => {
                conn.handshake();
                flood(conn, b"MSG x 1 1900000000\r\n");
            }
            Self::ManyHeaders => {
                let block = format!("NATS/1.0\r\n{}\r\n", "A: b\r\n".repeat(500_000));
                let len = block.len();
                say(
                    conn,
                    format!("HMSG x 1 {len} {len}\r\n{block}\r\n").as_bytes(),
                );
            }
            Self::Servers(many) => {
                let mut urls = Vec::new();
                for number in 0..many {
                    let mut url = String::new();
                    let [_, a, b, c] = number.to_be_bytes();
                    write!(url, "10.{a}.{b}.{c}:4222").expect("memory");
                    urls.push(url);
                }
                conn.info_with(&json!({ "connect_urls": urls }));
                // Who is busy with that for long finds it then.
                conn.send(b"PONG\r\n");
            }
        }
        conn.read_to_end(PATIENCE);
    }
}

fn say(conn: &mut FakeConn, bytes: &[u8]) {
    conn.handshake();
    conn.send(bytes);
}

fn flood(conn: &mut FakeConn, opening: &[u8]) {
    conn.send(opening);
    let piece = vec![b'a'; 64 * 1024];
    for _ in 0..FLOOD / piece.len() {
        conn.send(&piece);
    }
}

/// Answers what is asked of the bucket with a header block, and nothing in it.
fn answer(conn: &mut FakeConn, block: &[u8]) {
    conn.handshake();
    let mut asked = conn.read_until(b"$JS.API.STREAM.INFO.KV_b ", PATIENCE);
    asked.extend(conn.read_until(b"\r\n", PATIENCE));
    let asked = String::from_utf8_lossy(&asked).into_owned();
    let last = |verb: &str| asked.lines().rfind(|line| line.starts_with(verb));
    let inbox = last("SUB ").expect("a subscription");
    let request = last("PUB ").expect("a request");
    let sid = inbox.rsplit(' ').next().expect("a word");
    let reply = request.split(' ').nth(2).expect("a reply subject");
    let len = block.len();
    conn.send(format!("HMSG {reply} {sid} {len} {len}\r\n").as_bytes());
    conn.send(block);
    conn.send(b"\r\n");
}
