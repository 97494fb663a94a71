//! The grammar of one control line, in nom: complete parsers, because the end
//! of the line was found before.
//!
//! Separators are runs of blanks and TABs. Servers write single blanks, but
//! two of them where an advisory has an empty reply
//! (`MSG $JS.EVENT.ADVISORY.x 2  189`, nats-server 2.15).

use memchr::memchr3;
use nom::branch::alt;
use nom::combinator::{eof, peek};
use nom::error::{ErrorKind, ParseError};

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
#[inline]
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, ProtocolError> {
    let (verb, rest) = split_verb(line);
    let is = |name: &[u8]| verb.eq_ignore_ascii_case(name);
    if is(b"MSG") {
        return finish("MSG", msg(rest)).map(Line::Delivery);
    }
    if is(b"HMSG") {
        return finish("HMSG", hmsg(rest)).map(Line::Delivery);
    }
    let op = if is(b"PING") {
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
#[inline]
fn split_verb(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&byte| is_blank(byte));
    let parts = end.and_then(|end| line.split_at_checked(end));
    parts.map_or((line, &[]), |(verb, rest)| (verb, skip_blanks(rest)))
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Drops blanks at both ends.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    text = skip_blanks(text);
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn unquote(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"'").unwrap_or(text);
    text.strip_suffix(b"'").unwrap_or(text)
}

type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

/// Which argument could not be read.
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

#[inline]
fn finish<'a, T>(verb: &'static str, parsed: Parsed<'a, T>) -> Result<T, ProtocolError> {
    match parsed {
        Ok((_, value)) => Ok(value),
        Err(nom::Err::Error(Fault(what)) | nom::Err::Failure(Fault(what))) => {
            Err(ProtocolError::Malformed { verb, what })
        }
        Err(nom::Err::Incomplete(_)) => Err(ProtocolError::Malformed {
            verb,
            what: "arguments",
        }),
    }
}

/// `<subject> <sid> [reply] <size>`
#[inline]
fn msg(input: &[u8]) -> Parsed<'_, Delivery<'_>> {
    let sized = (|i| number("size", i), peek(end)).map(|(size, ())| (None, size));
    let answered =
        (|i| token("reply", i), |i| number("size", i)).map(|(reply, size)| (Some(reply), size));
    let (input, (subject, sid, (reply, total_size), ())) = (
        |i| token("subject", i),
        |i| number("sid", i),
        alt((sized, answered)),
        end,
    )
        .parse(input)?;
    let delivery = Delivery {
        subject,
        sid,
        reply,
        header_size: 0,
        total_size,
    };
    Ok((input, delivery))
}

/// `<subject> <sid> [reply] <header size> <total size>`
#[inline]
fn hmsg(input: &[u8]) -> Parsed<'_, Delivery<'_>> {
    let sized = (
        |i| number("header size", i),
        |i| number("total size", i),
        peek(end),
    )
        .map(|(h, t, ())| (None, h, t));
    let answered = (
        |i| token("reply", i),
        |i| number("header size", i),
        |i| number("total size", i),
    )
        .map(|(reply, h, t)| (Some(reply), h, t));
    let (input, (subject, sid, (reply, header_size, total_size), ())) = (
        |i| token("subject", i),
        |i| number("sid", i),
        alt((sized, answered)),
        end,
    )
        .parse(input)?;
    let delivery = Delivery {
        subject,
        sid,
        reply,
        header_size,
        total_size,
    };
    Ok((input, delivery))
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
    let mut value = Some(0_u64);
    let mut rest = input;
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        value = value.and_then(|value| push_digit(value, *digit));
        rest = tail;
    }
    match (value, rest) {
        (Some(value), [] | [b' ' | b'\t', ..]) if rest.len() < input.len() => {
            Ok((skip_blanks(rest), value))
        }
        _ => Err(nom::Err::Error(Fault(what))),
    }
}

#[inline]
fn push_digit(value: u64, digit: u8) -> Option<u64> {
    value.checked_mul(10)?.checked_add(u64::from(digit & 0x0f))
}

#[inline]
fn end(input: &[u8]) -> Parsed<'_, ()> {
    eof(input).map(|(input, _)| (input, ()))
}

#[inline]
fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// The value of a run of decimal digits, unless it exceeds a `u64`.
#[inline]
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
