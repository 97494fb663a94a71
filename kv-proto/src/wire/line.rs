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
use nom::combinator::eof;
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
    let end = line.iter().position(|&byte| matches!(byte, b' ' | b'\t'));
    let parts = end.and_then(|end| line.split_at_checked(end));
    parts.map_or((line, &[]), |(verb, rest)| (verb, skip_blanks(rest)))
}

type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

/// The argument that could not be read. (A byte, not a text: it is part of
/// every parser's result.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Subject,
    Sid,
    Reply,
    HeaderSize,
    Size,
    Arguments,
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Sid => "sid",
            Self::Reply => "reply",
            Self::HeaderSize => "header size",
            Self::Size => "size",
            Self::Arguments => "arguments",
        }
    }
}

impl ParseError<&[u8]> for Fault {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self::Arguments
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
    let fault = match error {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => *fault,
        nom::Err::Incomplete(_) => Fault::Arguments,
    };
    ProtocolError::Malformed {
        verb,
        what: fault.name(),
    }
}

/// `<subject> <sid> [reply] <size>`, or with headers
/// `<subject> <sid> [reply] <header size> <size>`
#[inline(always)]
fn delivery<const HEADERS: bool>(input: &[u8]) -> Parsed<'_, Delivery<'_>> {
    let (input, subject) = token(Fault::Subject, input)?;
    let (input, sid) = number(Fault::Sid, input)?;
    let (input, reply, (header_size, total_size)) = match sizes::<HEADERS>(input) {
        Ok((rest @ [], sizes)) => (rest, None, sizes),
        _ => {
            let (input, reply) = token(Fault::Reply, input)?;
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
        number(Fault::HeaderSize, input)?
    } else {
        (input, 0)
    };
    let (input, total_size) = number(Fault::Size, input)?;
    Ok((input, (header_size, total_size)))
}

/// One argument and the blanks behind it. A CR cannot be part of it: servers
/// treat it as a separator, so no subject holds one.
#[inline(always)]
fn token<'a>(fault: Fault, input: &'a [u8]) -> Parsed<'a, &'a [u8]> {
    let end = memchr3(b' ', b'\t', b'\r', input).unwrap_or(input.len());
    match input.split_at_checked(end) {
        Some((token, rest)) if !token.is_empty() => Ok((skip_blanks(rest), token)),
        _ => Err(nom::Err::Error(fault)),
    }
}

/// A decimal number that fits a `u64`, and the blanks behind it.
#[inline(always)]
fn number<'a>(fault: Fault, input: &'a [u8]) -> Parsed<'a, u64> {
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
        None => Err(nom::Err::Error(fault)),
    }
}

#[inline(always)]
fn end(input: &[u8]) -> Parsed<'_, ()> {
    eof.map(|_| ()).parse(input)
}

/// The value of a run of decimal digits, unless it exceeds a `u64`.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
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
