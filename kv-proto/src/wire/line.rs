//! The grammar of one control line, in nom: complete parsers, because the end
//! of the line was found before.
//!
//! Separators are runs of blanks and TABs. Servers write single blanks, but
//! two of them where an advisory has an empty reply
//! (`MSG $JS.EVENT.ADVISORY.x 2  189`, nats-server 2.15).
//!
//! `#[inline(always)]` stands where a call per argument would cost more than
//! the argument.

use memchr::memchr3;
use nom::bytes::complete::take_till;
use nom::character::complete::space0;
use nom::combinator::eof;
use nom::error::{ErrorKind, ParseError};
use nom::sequence::terminated;
use nom::{IResult, Parser};

use super::error::ProtocolError;
use super::frame::ServerOp;

/// What a control line announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The line is the whole frame.
    Op(ServerOp<'a>),
    /// A message follows.
    Delivery(Delivery<'a>),
}

/// The arguments of `MSG` and `HMSG`, as announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delivery<'a> {
    pub(super) subject: &'a [u8],
    pub(super) sid: u64,
    pub(super) reply: Option<&'a [u8]>,
    /// Zero for `MSG`.
    pub(super) header_size: u64,
    pub(super) total_size: u64,
}

/// Parses a control line without its line end.
#[inline(always)]
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, ProtocolError> {
    // What servers write nearly always, before all that they may write.
    if let Some(rest) = line.strip_prefix(b"MSG ") {
        return finish("MSG", delivery::<false>(skip_blanks(rest))).map(Line::Delivery);
    }
    if let Some(rest) = line.strip_prefix(b"HMSG ") {
        return finish("HMSG", delivery::<true>(skip_blanks(rest))).map(Line::Delivery);
    }
    parse_any(line)
}

/// Verbs in any case, followed by any blanks.
#[inline(never)]
fn parse_any(line: &[u8]) -> Result<Line<'_>, ProtocolError> {
    let (verb, rest) = split_verb(line);
    let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
    let op = if is(b"MSG") {
        return finish("MSG", delivery::<false>(rest)).map(Line::Delivery);
    } else if is(b"HMSG") {
        return finish("HMSG", delivery::<true>(rest)).map(Line::Delivery);
    } else if is(b"PING") {
        finish("PING", end(rest)).map(|()| ServerOp::Ping)?
    } else if is(b"PONG") {
        finish("PONG", end(rest)).map(|()| ServerOp::Pong)?
    } else if is(b"INFO") {
        ServerOp::Info(trim(rest))
    } else if is(b"-ERR") {
        ServerOp::Err(unquote(trim(rest)))
    } else if is(b"+OK") {
        finish("+OK", end(rest)).map(|()| ServerOp::Ok)?
    } else {
        return Err(ProtocolError::unknown_verb(verb));
    };
    Ok(Line::Op(op))
}

/// Splits the line after its first token and the blanks behind it.
fn split_verb(line: &[u8]) -> (&[u8], &[u8]) {
    let verb = take_till(|byte| matches!(byte, b' ' | b'\t'));
    let split: Parsed<'_, &[u8]> = terminated(verb, space0).parse(line);
    split.map_or((line, &[]), |(rest, verb)| (verb, rest))
}

type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

/// The argument that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fault(&'static str);

impl ParseError<&[u8]> for Fault {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self("arguments")
    }

    fn append(_: &[u8], _: ErrorKind, inner: Self) -> Self {
        inner
    }
}

#[inline(always)]
fn finish<T>(verb: &'static str, parsed: Parsed<'_, T>) -> Result<T, ProtocolError> {
    match parsed {
        Ok((_, value)) => Ok(value),
        Err(error) => Err(malformed(verb, &error)),
    }
}

#[cold]
fn malformed(verb: &'static str, error: &nom::Err<Fault>) -> ProtocolError {
    let what = match error {
        nom::Err::Error(Fault(what)) | nom::Err::Failure(Fault(what)) => what,
        nom::Err::Incomplete(_) => "arguments",
    };
    ProtocolError::Malformed { verb, what }
}

/// `<subject> <sid> [reply] <size>`, or with headers
/// `<subject> <sid> [reply] <header size> <size>`
///
/// In steps, because nom's tuples and `alt` cost a third of a decode here.
#[inline(always)]
fn delivery<const HEADERS: bool>(input: &[u8]) -> Parsed<'_, Delivery<'_>> {
    let (input, subject) = token("subject", input)?;
    let (input, sid) = number("sid", input)?;
    let (input, reply, (header_size, total_size)) = match sizes::<HEADERS>(input) {
        Ok((rest @ [], sizes)) => (rest, None, sizes),
        _ => {
            let (input, reply) = token("reply", input)?;
            let (input, sizes) = sizes::<HEADERS>(input)?;
            (input, Some(reply), sizes)
        }
    };
    let (input, ()) = end(input)?;
    let delivery = Delivery {
        subject,
        sid,
        reply,
        header_size,
        total_size,
    };
    Ok((input, delivery))
}

#[inline(always)]
fn sizes<const HEADERS: bool>(input: &[u8]) -> Parsed<'_, (u64, u64)> {
    let (input, header_size) = if HEADERS {
        number("header size", input)?
    } else {
        (input, 0)
    };
    let (input, total_size) = number("size", input)?;
    Ok((input, (header_size, total_size)))
}

/// One argument and the blanks behind it. A CR cannot be part of it: servers
/// treat it as a separator, so no subject holds one.
#[inline(always)]
fn token<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, &'a [u8]> {
    let end = memchr3(b' ', b'\t', b'\r', input).unwrap_or(input.len());
    match input.split_at_checked(end) {
        Some((token, rest)) if !token.is_empty() => Ok((skip_blanks(rest), token)),
        _ => Err(nom::Err::Error(Fault(what))),
    }
}

/// A decimal number that fits a `u64`, and the blanks behind it.
#[inline(always)]
fn number<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, u64> {
    let mut value = 0_u64;
    let mut rest = input;
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        // Wraps only with more than 19 digits, and then is not used.
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit & 0x0f));
        rest = tail;
    }
    let digits = input.len().saturating_sub(rest.len());
    let value = match (digits, rest) {
        (1..=19, [] | [b' ' | b'\t', ..]) => Some(value),
        (20.., [] | [b' ' | b'\t', ..]) => input.get(..digits).and_then(decimal),
        _ => None,
    };
    match value {
        Some(value) => Ok((skip_blanks(rest), value)),
        None => Err(nom::Err::Error(Fault(what))),
    }
}

#[inline(always)]
fn end(input: &[u8]) -> Parsed<'_, ()> {
    eof.map(|_| ()).parse(input)
}

/// The value of a run of decimal digits, unless it exceeds a `u64`.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = u64::from(digit & 0x0f);
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[inline(always)]
fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Drops blanks at both ends.
#[inline(always)]
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let mut text = skip_blanks(text);
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn unquote(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"'").unwrap_or(text);
    text.strip_suffix(b"'").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery_of(line: &[u8]) -> Delivery<'_> {
        match parse(line) {
            Ok(Line::Delivery(delivery)) => delivery,
            other => panic!("{}: {other:?}", line.escape_ascii()),
        }
    }

    #[test]
    fn deliveries_with_and_without_reply() {
        let plain = Delivery {
            subject: b"a.b",
            sid: 7,
            reply: None,
            header_size: 0,
            total_size: 12,
        };
        let answered = Delivery {
            reply: Some(b"_R"),
            ..plain
        };
        for line in [
            "MSG a.b 7 12",
            "msg\ta.b  7\t\t12 ",
            "Msg   a.b 7 0012\t",
            "MSG a.b 7  12",
        ] {
            assert_eq!(delivery_of(line.as_bytes()), plain, "{line:?}");
        }
        for line in ["MSG a.b 7 _R 12", "mSG\t a.b 7  _R \t12\t "] {
            assert_eq!(delivery_of(line.as_bytes()), answered, "{line:?}");
        }
        let headers = |delivery| Delivery {
            header_size: 5,
            ..delivery
        };
        for line in ["HMSG a.b 7 5 12", "hmsg \ta.b 7 5  12 "] {
            assert_eq!(delivery_of(line.as_bytes()), headers(plain), "{line:?}");
        }
        for line in ["HMSG a.b 7 _R 5 12", "HmSg\ta.b 7 _R\t5  12 "] {
            assert_eq!(delivery_of(line.as_bytes()), headers(answered), "{line:?}");
        }
    }

    #[test]
    fn a_reply_of_digits_is_a_reply() {
        assert_eq!(delivery_of(b"MSG a 1 5 6").reply, Some(&b"5"[..]));
        assert_eq!(delivery_of(b"HMSG a 1 5 6 7").reply, Some(&b"5"[..]));
    }

    #[test]
    fn subjects_hold_whatever_a_publisher_may_write() {
        let line = b"MSG \xff\0\x0b.\x7f 1 \x01 0";
        assert_eq!(delivery_of(line).subject, b"\xff\0\x0b.\x7f");
        assert_eq!(delivery_of(line).reply, Some(&b"\x01"[..]));
    }

    #[test]
    fn each_wrong_argument_is_named() {
        for (line, verb, what) in [
            ("MSG", "MSG", "subject"),
            ("msg ", "MSG", "subject"),
            ("MSG a", "MSG", "sid"),
            ("MSG a x 1", "MSG", "sid"),
            ("MSG a -1 1", "MSG", "sid"),
            ("MSG a 18446744073709551616 1", "MSG", "sid"),
            ("MSG a 1", "MSG", "reply"),
            ("MSG a 1 x", "MSG", "size"),
            ("MSG a 1 r +5", "MSG", "size"),
            ("MSG a 1 r 18446744073709551616", "MSG", "size"),
            ("MSG a 1 r 5 6", "MSG", "arguments"),
            ("MSG a 1 5\r", "MSG", "size"),
            ("MSG a\rb 1 5", "MSG", "sid"),
            ("HMSG a 1 5", "HMSG", "header size"),
            ("HMSG a 1 r 5", "HMSG", "size"),
            ("HMSG a 1 r 5 6 7", "HMSG", "arguments"),
            ("PING x", "PING", "arguments"),
            ("PONG \r", "PONG", "arguments"),
            ("+OK x", "+OK", "arguments"),
        ] {
            let error = ProtocolError::Malformed { verb, what };
            assert_eq!(parse(line.as_bytes()), Err(error), "{line:?}");
        }
    }

    #[test]
    fn lines_that_are_whole_frames() {
        for (line, op) in [
            ("PING", ServerOp::Ping),
            ("ping \t", ServerOp::Ping),
            ("Pong", ServerOp::Pong),
            ("+ok ", ServerOp::Ok),
            ("INFO {} ", ServerOp::Info(b"{}")),
            ("info\t {\"a\": 1}\t", ServerOp::Info(b"{\"a\": 1}")),
            ("INFO", ServerOp::Info(b"")),
            (
                "-ERR 'Stale Connection'",
                ServerOp::Err(b"Stale Connection"),
            ),
            ("-err  no quotes ", ServerOp::Err(b"no quotes")),
            ("-ERR 'it''s \"x\"' ", ServerOp::Err(b"it''s \"x\"")),
            ("-ERR '", ServerOp::Err(b"")),
            ("-ERR", ServerOp::Err(b"")),
            ("-ERR ", ServerOp::Err(b"")),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(Line::Op(op)), "{line:?}");
        }
    }

    #[test]
    fn anything_else_is_no_verb() {
        for line in [
            "",
            " ",
            " PING",
            "PINGS",
            "INFO{}",
            "-ERR'x'",
            "PUB a 1",
            "HTTP/1.1 400",
            "MSG\r",
        ] {
            let parsed = parse(line.as_bytes());
            assert!(
                matches!(parsed, Err(ProtocolError::UnknownVerb { .. })),
                "{line:?}: {parsed:?}"
            );
        }
    }

    #[test]
    fn decimals_fit_a_u64_or_are_none() {
        for (text, value) in [
            ("0", Some(0)),
            ("9999999999999999999", Some(9_999_999_999_999_999_999)),
            ("18446744073709551615", Some(u64::MAX)),
            ("00000000000000000000000007", Some(7)),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("111111111111111111111111111111", None),
            ("", None),
            ("1x", None),
            ("/", None),
            (":", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), value, "{text:?}");
            let parsed = number("number", text.as_bytes()).ok();
            assert_eq!(parsed, value.map(|value| (&b""[..], value)), "{text:?}");
        }
    }
}
