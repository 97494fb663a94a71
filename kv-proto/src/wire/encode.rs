//! Operations of the client, appended to an output buffer.
//!
//! Whatever the arguments hold, one call writes one operation: a byte that
//! would end a token or a line early is replaced (see [`publish_head`]). The
//! crate's own names cannot hold such bytes; this is the second wall.

use bytes::{BufMut, BytesMut};

/// The line end, and what follows a payload.
pub const CRLF: &[u8] = b"\r\n";

const VERSION_LINE: &[u8] = b"NATS/1.0\r\n";

/// Most digits of a `u64`.
const MAX_DIGITS: usize = 20;

/// One line of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, in the spelling that servers compare with.
    pub name: &'static str,
    /// The value.
    pub value: HeaderValue<'a>,
}

/// The value of a header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a new kind must be written by every encoder"
)]
pub enum HeaderValue<'a> {
    /// Text; CR, LF and NUL are written as blanks.
    Text(&'a str),
    /// A decimal number.
    Number(u64),
}

/// Appends `PUB <subject> [reply] <size>`, or `HPUB` with its header block
/// when there are headers. The caller appends the payload and [`CRLF`].
///
/// Subject and reply come in pieces that are concatenated; a reply of no or
/// empty pieces is none, the subject must not be empty. Bytes that cannot be
/// part of a token (blanks, control characters) are written as `_`.
pub fn publish_head(
    out: &mut BytesMut,
    subject: &[&str],
    reply: &[&str],
    headers: &[Header<'_>],
    payload_len: usize,
) {
    let header_len = header_block_len(headers);
    let verb: &[u8] = if header_len == 0 { b"PUB " } else { b"HPUB " };
    out.reserve(
        [verb.len(), len_of(subject), len_of(reply), header_len]
            .iter()
            .fold(2 * MAX_DIGITS + 5, |sum, len| sum.saturating_add(*len)),
    );
    out.put_slice(verb);
    put_token(out, subject);
    out.put_u8(b' ');
    if len_of(reply) > 0 {
        put_token(out, reply);
        out.put_u8(b' ');
    }
    if header_len > 0 {
        put_size(out, header_len);
        out.put_u8(b' ');
    }
    put_size(out, header_len.saturating_add(payload_len));
    out.put_slice(CRLF);
    if header_len > 0 {
        put_header_block(out, headers);
    }
}

/// Returns the length of the header block that [`publish_head`] writes: zero
/// without headers.
#[must_use]
pub fn header_block_len(headers: &[Header<'_>]) -> usize {
    if headers.is_empty() {
        return 0;
    }
    let frame = VERSION_LINE.len().saturating_add(CRLF.len());
    headers.iter().fold(frame, |sum, header| {
        let value = match header.value {
            HeaderValue::Text(text) => text.len(),
            HeaderValue::Number(number) => Digits::new(number).as_slice().len(),
        };
        sum.saturating_add(header.name.len())
            .saturating_add(value)
            .saturating_add(": \r\n".len())
    })
}

/// Appends `SUB <subject> [queue] <sid>`.
pub fn subscribe(out: &mut BytesMut, subject: &[&str], queue: Option<&str>, sid: u64) {
    out.put_slice(b"SUB ");
    put_token(out, subject);
    out.put_u8(b' ');
    if let Some(queue) = queue.filter(|queue| !queue.is_empty()) {
        put_token(out, &[queue]);
        out.put_u8(b' ');
    }
    put_number(out, sid);
    out.put_slice(CRLF);
}

/// Appends `UNSUB <sid> [max]`: at once, or after `max` messages counted from
/// the subscription's start.
pub fn unsubscribe(out: &mut BytesMut, sid: u64, max: Option<u64>) {
    out.put_slice(b"UNSUB ");
    put_number(out, sid);
    if let Some(max) = max {
        out.put_u8(b' ');
        put_number(out, max);
    }
    out.put_slice(CRLF);
}

/// Appends `PING`.
pub fn ping(out: &mut BytesMut) {
    out.put_slice(b"PING\r\n");
}

/// Appends `PONG`.
pub fn pong(out: &mut BytesMut) {
    out.put_slice(b"PONG\r\n");
}

fn len_of(pieces: &[&str]) -> usize {
    pieces
        .iter()
        .fold(0_usize, |sum, piece| sum.saturating_add(piece.len()))
}

fn put_token(out: &mut BytesMut, pieces: &[&str]) {
    let start = out.len();
    for piece in pieces {
        out.put_slice(piece.as_bytes());
    }
    clean(out, start, |byte| byte <= b' ' || byte == 0x7f, b'_');
}

fn put_header_block(out: &mut BytesMut, headers: &[Header<'_>]) {
    let breaks_line = |byte| matches!(byte, b'\r' | b'\n' | 0);
    out.put_slice(VERSION_LINE);
    for header in headers {
        let start = out.len();
        out.put_slice(header.name.as_bytes());
        out.put_slice(b": ");
        match header.value {
            HeaderValue::Text(text) => out.put_slice(text.as_bytes()),
            HeaderValue::Number(number) => put_number(out, number),
        }
        clean(out, start, breaks_line, b' ');
        out.put_slice(CRLF);
    }
    out.put_slice(CRLF);
}

/// Replaces bytes that are not allowed one by one, from an offset on, so the
/// length stays what was announced.
fn clean(out: &mut BytesMut, start: usize, forbidden: impl Fn(u8) -> bool, replacement: u8) {
    // Without an early exit the compiler treats sixteen bytes at once.
    for byte in out.get_mut(start..).unwrap_or_default() {
        *byte = if forbidden(*byte) { replacement } else { *byte };
    }
}

fn put_size(out: &mut BytesMut, size: usize) {
    put_number(out, u64::try_from(size).unwrap_or(u64::MAX));
}

fn put_number(out: &mut BytesMut, number: u64) {
    out.put_slice(Digits::new(number).as_slice());
}

/// The decimal digits of a number, at the end of a fixed array.
struct Digits {
    digits: [u8; MAX_DIGITS],
    start: usize,
}

impl Digits {
    fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; MAX_DIGITS];
        let mut start = MAX_DIGITS;
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            // The remainder is below 10.
            *digit |= u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            start = at;
            if number == 0 {
                break;
            }
        }
        Self { digits, start }
    }

    fn as_slice(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
        let mut out = BytesMut::new();
        write(&mut out);
        out
    }

    #[test]
    fn publishes() {
        let plain = written(|out| publish_head(out, &["$KV.", "b", ".k"], &[], &[], 5));
        assert_eq!(plain, "PUB $KV.b.k 5\r\n");
        let answered = written(|out| publish_head(out, &["a"], &["_INBOX.", "x"], &[], 0));
        assert_eq!(answered, "PUB a _INBOX.x 0\r\n");
        let headers = [
            Header {
                name: "KV-Operation",
                value: HeaderValue::Text("DEL"),
            },
            Header {
                name: "N",
                value: HeaderValue::Number(u64::MAX),
            },
        ];
        let block = "NATS/1.0\r\nKV-Operation: DEL\r\nN: 18446744073709551615\r\n\r\n";
        assert_eq!(header_block_len(&headers), block.len());
        let len = block.len();
        assert_eq!(
            written(|out| publish_head(out, &["a"], &["r"], &headers, 7)),
            alloc::format!("HPUB a r {len} {}\r\n{block}", len + 7)
        );
        assert_eq!(header_block_len(&[]), 0);
    }

    #[test]
    fn a_reply_of_empty_pieces_is_none() {
        assert_eq!(
            written(|out| publish_head(out, &["a"], &["", ""], &[], 1)),
            "PUB a 1\r\n"
        );
        assert_eq!(
            written(|out| subscribe(out, &["a"], Some(""), 1)),
            "SUB a 1\r\n"
        );
    }

    #[test]
    fn subscriptions_and_pings() {
        assert_eq!(
            written(|out| subscribe(out, &["a", ".*"], None, 1)),
            "SUB a.* 1\r\n"
        );
        assert_eq!(
            written(|out| subscribe(out, &["a"], Some("q"), 10)),
            "SUB a q 10\r\n"
        );
        assert_eq!(written(|out| unsubscribe(out, 0, None)), "UNSUB 0\r\n");
        assert_eq!(
            written(|out| unsubscribe(out, 3, Some(100))),
            "UNSUB 3 100\r\n"
        );
        assert_eq!(written(ping), "PING\r\n");
        assert_eq!(written(pong), "PONG\r\n");
    }

    #[test]
    fn nothing_can_end_a_line_early() {
        let evil = "a\r\nPUB b 0\r\n\r\n\0\t\x7f";
        let head = written(|out| publish_head(out, &[evil], &[evil], &[], 0));
        assert_eq!(head, "PUB a__PUB_b_0_______ a__PUB_b_0_______ 0\r\n");
        let header = [Header {
            name: "X",
            value: HeaderValue::Text("a\r\n\r\nb\0\t"),
        }];
        let head = written(|out| publish_head(out, &["é"], &[], &header, 0));
        assert_eq!(head, "HPUB é 25 25\r\nNATS/1.0\r\nX: a    b \t\r\n\r\n");
    }

    #[test]
    fn digits() {
        for number in [0, 9, 10, 99, 100, 1_234_567_890, u64::MAX - 1, u64::MAX] {
            let digits = Digits::new(number);
            assert_eq!(digits.as_slice(), alloc::format!("{number}").as_bytes());
        }
    }
}
