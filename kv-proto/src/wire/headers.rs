//! Header blocks, read where they lie.
//!
//! A block reaches us as its publisher wrote it, and a direct get appends the
//! server's own fields to it, so it may hold anything: text without a version
//! line (`HELNats-Stream: KV_S`), lone line ends, no end at all. Reading never
//! fails; the first thing that is wrong is kept as the block's
//! [`HeaderDefect`], and the fields that can be read stay readable.

use memchr::{memchr, memchr2};
use nom::branch::alt;
use nom::bytes::complete::{tag, take};
use nom::character::complete::{space0, space1};
use nom::combinator::{eof, map_opt, rest};
use nom::sequence::preceded;
use nom::{IResult, Parser};
use thiserror::Error;

use super::line::{decimal, trim};
use crate::limits::Limits;

/// A view of one header block; holds nothing of its own.
///
/// ```
/// use kv_proto::Limits;
/// use kv_proto::wire::Headers;
///
/// let block = b"NATS/1.0 404 Message Not Found\r\nA: 1\r\nA:2\r\n\r\n";
/// let headers = Headers::parse(block, &Limits::default());
/// assert_eq!(headers.defect(), None);
/// assert_eq!(headers.status().map(|status| status.code), Some(404));
/// assert_eq!(headers.first("A"), Some(&b"1"[..]));
/// assert_eq!(headers.last("A"), Some(&b"2"[..]));
/// assert_eq!(headers.last("a"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    /// The lines that can hold fields.
    fields: &'a [u8],
    status: Option<Status<'a>>,
    /// What is wrong with the version line.
    defect: Option<HeaderDefect>,
    /// All lines are UTF-8.
    utf8: bool,
    max_lines: usize,
}

/// A name and its value.
type Field<'a> = (&'a [u8], &'a [u8]);

/// Names and values of a block in their order: what [`Headers::iter`] returns.
///
/// Whoever reads all of them anyway learns the block's defect from
/// [`defect`](Self::defect) without a second pass.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
    /// The empty line was read.
    ended: bool,
    lines: usize,
    defect: Option<HeaderDefect>,
    utf8: bool,
    max_lines: usize,
}

/// The status of a message that carries one in its version line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status<'a> {
    /// The three-digit code.
    pub code: u16,
    /// What follows the code, surrounding blanks dropped.
    pub description: &'a [u8],
}

/// What is wrong with a header block. It spoils its message and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum HeaderDefect {
    /// It does not start with a `NATS/1.0` line.
    #[error("header block without a NATS/1.0 line")]
    NoVersionLine,
    /// The status in the version line is not three digits.
    #[error("header block with an unreadable status")]
    BadStatus,
    /// A CR is not followed by LF.
    #[error("header block with a lone CR")]
    LoneCr,
    /// An LF does not follow a CR.
    #[error("header block with a lone LF")]
    LoneLf,
    /// A line has no colon.
    #[error("header line without a colon")]
    NoColon,
    /// A line starts with its colon.
    #[error("header line without a name")]
    EmptyName,
    /// A line is not UTF-8.
    #[error("header line that is not UTF-8")]
    NotUtf8,
    /// There are more lines than the limit.
    #[error("header block of more than {limit} lines")]
    TooManyLines {
        /// [`Limits::max_header_lines`](crate::Limits::max_header_lines).
        limit: usize,
    },
    /// It does not end with an empty line.
    #[error("header block without its end")]
    Unterminated,
    /// Something follows the empty line that should end it.
    #[error("header block that goes on after its end")]
    AfterEnd,
}

impl<'a> Headers<'a> {
    /// Reads the first line of a block; the others are read when they are
    /// asked for. What is wrong with the block is found in
    /// [`defect`](Self::defect).
    #[must_use]
    pub fn parse(block: &'a [u8], limits: &Limits) -> Self {
        let mut headers = Self {
            fields: block,
            status: None,
            defect: None,
            utf8: core::str::from_utf8(block).is_ok(),
            max_lines: limits.max_header_lines,
        };
        match headers.read_version(block) {
            Ok(fields) => headers.fields = fields,
            Err(defect) => headers.defect = Some(defect),
        }
        headers
    }

    /// Reads the version line; returns what follows it. Without one the whole
    /// block is taken for fields.
    fn read_version(&mut self, block: &'a [u8]) -> Result<&'a [u8], HeaderDefect> {
        let (text, rest) = split_line(block);
        let (_, status) = version(text?).map_err(|_| HeaderDefect::NoVersionLine)?;
        if let Some(text) = status {
            self.check_utf8(text);
            match status_text(text) {
                Ok((_, status)) => self.status = Some(status),
                Err(_) => self.defect = Some(HeaderDefect::BadStatus),
            }
        }
        Ok(rest)
    }

    fn check_utf8(&mut self, text: &[u8]) {
        if !self.utf8 && core::str::from_utf8(text).is_err() {
            self.defect = Some(HeaderDefect::NotUtf8);
        }
    }

    /// Returns the status, if there is one.
    #[must_use]
    pub const fn status(&self) -> Option<Status<'a>> {
        self.status
    }

    /// Returns the first thing that is wrong with the block.
    #[must_use]
    pub fn defect(&self) -> Option<HeaderDefect> {
        let mut fields = self.iter();
        fields.by_ref().for_each(drop);
        fields.defect()
    }

    /// Returns names and values in their order, the blanks around values
    /// dropped. Lines that cannot be read are left out, so what a server
    /// appended to a damaged block can still be found.
    #[must_use]
    pub const fn iter(&self) -> Fields<'a> {
        Fields {
            rest: self.fields,
            ended: false,
            lines: 0,
            defect: self.defect,
            utf8: self.utf8,
            max_lines: self.max_lines,
        }
    }

    /// Returns the first value of a name, which is case-sensitive.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// Returns the last value of a name, which is case-sensitive.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).last()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(found, _)| *found == name.as_bytes())
            .map(|(_, value)| value)
    }
}

impl Fields<'_> {
    /// Returns the first thing that is wrong with the block, as far as it was
    /// read: all of it once the iterator is exhausted.
    #[must_use]
    pub const fn defect(&self) -> Option<HeaderDefect> {
        self.defect
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        while !self.rest.is_empty() {
            match self.read_line() {
                Ok(Some(field)) => return Some(field),
                Ok(None) => {}
                Err(defect) => self.note(defect),
            }
        }
        if !self.ended {
            self.note(HeaderDefect::Unterminated);
        }
        None
    }
}

impl<'a> Fields<'a> {
    fn note(&mut self, defect: HeaderDefect) {
        self.defect.get_or_insert(defect);
    }

    /// Reads a line; `None` for the empty line at the end.
    #[inline]
    fn read_line(&mut self) -> Result<Option<Field<'a>>, HeaderDefect> {
        if self.ended {
            self.note(HeaderDefect::AfterEnd);
        }
        let (text, rest) = split_line(self.rest);
        self.rest = rest;
        if text == Ok(b"") {
            self.ended = true;
            return Ok(None);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines > self.max_lines {
            let limit = self.max_lines;
            self.note(HeaderDefect::TooManyLines { limit });
        }
        let text = text?;
        if !self.utf8 && core::str::from_utf8(text).is_err() {
            return Err(HeaderDefect::NotUtf8);
        }
        field(text).map(Some)
    }
}

/// The text of the first line, and what follows it.
#[inline]
fn split_line(block: &[u8]) -> (Result<&[u8], HeaderDefect>, &[u8]) {
    let end = memchr2(b'\r', b'\n', block);
    let Some((text, rest)) = end.and_then(|at| block.split_at_checked(at)) else {
        return (Err(HeaderDefect::Unterminated), &[]);
    };
    match rest {
        [b'\r', b'\n', rest @ ..] => (Ok(text), rest),
        [b'\n', rest @ ..] => (Err(HeaderDefect::LoneLf), rest),
        _ => (Err(HeaderDefect::LoneCr), after_line(rest)),
    }
}

/// What follows the next LF.
fn after_line(text: &[u8]) -> &[u8] {
    memchr(b'\n', text)
        .and_then(|at| text.get(at.saturating_add(1)..))
        .unwrap_or_default()
}

/// `NATS/1.0[ <status>]`: what follows the version, if anything does.
fn version(text: &[u8]) -> IResult<&[u8], Option<&[u8]>, ()> {
    let nothing = (space0, eof).map(|_| None);
    let status = preceded(space1, rest).map(Some);
    preceded(tag("NATS/1.0"), alt((nothing, status))).parse(text)
}

/// `<three digits>[ <description>]`
fn status_text(text: &[u8]) -> IResult<&[u8], Status<'_>, ()> {
    let code = map_opt(take(3_usize), |digits| u16::try_from(decimal(digits)?).ok());
    let description = alt((eof, preceded(space1, rest)));
    (code, description)
        .map(|(code, description)| Status {
            code,
            description: trim(description),
        })
        .parse(text)
}

/// `<name>:[ ]<value>`
#[inline]
fn field(text: &[u8]) -> Result<Field<'_>, HeaderDefect> {
    let colon = memchr(b':', text).and_then(|at| text.split_at_checked(at));
    match colon {
        None => Err(HeaderDefect::NoColon),
        Some(([], _)) => Err(HeaderDefect::EmptyName),
        Some((name, value)) => Ok((name, trim(value.get(1..).unwrap_or_default()))),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;

    fn parse(block: &[u8]) -> Headers<'_> {
        Headers::parse(block, &Limits::default())
    }

    fn fields(block: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| bytes.escape_ascii().collect::<Vec<_>>();
        let text = |bytes| String::from_utf8(text(bytes)).unwrap();
        let fields = parse(block).iter();
        fields
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    #[test]
    fn sound_blocks() {
        let block = b"NATS/1.0\r\nA: 1\r\nb:2\r\nA:\t x y \r\nEmpty:\r\nC: a:b\r\nNul: \0\r\n\r\n";
        let headers = parse(block);
        assert_eq!((headers.defect(), headers.status()), (None, None));
        assert_eq!(headers.first("A"), Some(&b"1"[..]));
        assert_eq!(headers.last("A"), Some(&b"x y"[..]));
        assert_eq!(headers.first("Empty"), Some(&b""[..]));
        assert_eq!(headers.first("C"), Some(&b"a:b"[..]));
        assert_eq!(headers.first("Nul"), Some(&b"\0"[..]));
        assert_eq!(headers.first("B"), None);
        assert_eq!(headers.iter().count(), 6);

        let empty = parse(b"NATS/1.0\r\n\r\n");
        assert_eq!((empty.defect(), empty.iter().count()), (None, 0));
    }

    #[test]
    fn names_are_taken_as_written() {
        let block = b"NATS/1.0\r\n A : 1\r\n\xc3\xa9: 2\r\n\r\n";
        assert_eq!(parse(block).first(" A "), Some(&b"1"[..]));
        assert_eq!(parse(block).first("A"), None);
        assert_eq!(parse(block).first("é"), Some(&b"2"[..]));
    }

    #[test]
    fn statuses() {
        for (line, expected) in [
            ("NATS/1.0", Ok(None)),
            ("NATS/1.0 ", Ok(None)),
            ("NATS/1.0\t \t", Ok(None)),
            ("NATS/1.0 503", Ok(Some((503, "")))),
            ("NATS/1.0\t503 ", Ok(Some((503, "")))),
            (
                "NATS/1.0 100 Idle Heartbeat",
                Ok(Some((100, "Idle Heartbeat"))),
            ),
            (
                "NATS/1.0  404\t No: Messages ",
                Ok(Some((404, "No: Messages"))),
            ),
            ("NATS/1.0 000 x", Ok(Some((0, "x")))),
            ("NATS/1.0 50", Err(HeaderDefect::BadStatus)),
            ("NATS/1.0 5033", Err(HeaderDefect::BadStatus)),
            ("NATS/1.0 503x", Err(HeaderDefect::BadStatus)),
            ("NATS/1.0 +50", Err(HeaderDefect::BadStatus)),
            (
                "NATS/1.0 99999999999999999999999",
                Err(HeaderDefect::BadStatus),
            ),
            ("NATS/1.0503", Err(HeaderDefect::NoVersionLine)),
            ("NATS/1.1 503", Err(HeaderDefect::NoVersionLine)),
            ("nats/1.0 503", Err(HeaderDefect::NoVersionLine)),
            (" NATS/1.0 503", Err(HeaderDefect::NoVersionLine)),
            ("", Err(HeaderDefect::NoVersionLine)),
        ] {
            let block = alloc::format!("{line}\r\nA: 1\r\n\r\n");
            let headers = parse(block.as_bytes());
            let status = headers
                .status()
                .map(|status| (status.code, status.description));
            let status = match headers.defect() {
                None => Ok(status),
                Some(defect) => Err(defect),
            };
            let expected =
                expected.map(|status| status.map(|(code, text)| (code, text.as_bytes())));
            assert_eq!(status, expected, "{line:?}");
            assert_eq!(headers.first("A"), Some(&b"1"[..]), "{line:?}");
        }
    }

    #[test]
    fn damage_is_named_and_the_rest_stays_readable() {
        use HeaderDefect::*;
        for (block, defect) in [
            (&b"HELNats-Stream: KV_S\r\nA: 1\r\n\r\n"[..], NoVersionLine),
            (b"\r\n\r\nA: 1\r\n\r\n", NoVersionLine),
            (b"NATS/1.0\r\nX: a\rb\r\nA: 1\r\n\r\n", LoneCr),
            (b"NATS/1.0\r\nX: a\r\r\nA: 1\r\n\r\n", LoneCr),
            (b"NATS/1.0\r\rX: a\r\nA: 1\r\n\r\n", LoneCr),
            (b"NATS/1.0\r\nX: a\nA: 1\r\n\r\n", LoneLf),
            (b"NATS/1.0\nA: 1\r\n\r\n", LoneLf),
            (b"NATS/1.0\r\nX\r\nA: 1\r\n\r\n", NoColon),
            (b"NATS/1.0\r\n: x\r\nA: 1\r\n\r\n", EmptyName),
            (b"NATS/1.0\r\nX: \xff\r\nA: 1\r\n\r\n", NotUtf8),
            (b"NATS/1.0\r\n\xc3: x\r\nA: 1\r\n\r\n", NotUtf8),
            (b"NATS/1.0 503 \xff\r\nA: 1\r\n\r\n", NotUtf8),
            (b"NATS/1.0\r\nA: 1\r\n", Unterminated),
            (b"NATS/1.0\r\nA: 1\r\nX: y", Unterminated),
            (b"NATS/1.0\r\nA: 1\r\n\r", LoneCr),
            (b"NATS/1.0\r\nX: y\r\n\r\nA: 1\r\n\r\n", AfterEnd),
            (b"NATS/1.0\r\nA: 1\r\n\r\n\r\n", AfterEnd),
        ] {
            let headers = parse(block);
            assert_eq!(headers.defect(), Some(defect), "{}", block.escape_ascii());
            assert_eq!(
                headers.last("A"),
                Some(&b"1"[..]),
                "{}",
                block.escape_ascii()
            );
        }
        for (block, defect) in [
            (&b""[..], Unterminated),
            (b"NATS/1.0", Unterminated),
            (b"NATS/1.0\r\n", Unterminated),
            (b"\n", LoneLf),
            (b"\r", LoneCr),
        ] {
            assert_eq!(
                parse(block).defect(),
                Some(defect),
                "{}",
                block.escape_ascii()
            );
            assert_eq!(fields(block), [], "{}", block.escape_ascii());
        }
    }

    #[test]
    fn unreadable_lines_are_left_out() {
        let block = b"NATS/1.0\r\nA: 1\r\nB: 2\rC: 3\r\nD: 4\nE: 5\r\n:6\r\nF\r\nG: \xff\r\n\r\nH: 8\r\nI: 9";
        let pair = |name: &str, value: &str| (name.into(), value.into());
        assert_eq!(
            fields(block),
            [pair("A", "1"), pair("E", "5"), pair("H", "8")]
        );
    }

    #[test]
    fn the_first_defect_counts() {
        let block = b"NATS/1.0 x\r\nA\r\nB: 2\nC: 3";
        assert_eq!(parse(block).defect(), Some(HeaderDefect::BadStatus));
        let mut fields = parse(b"NATS/1.0\r\nA: 1\r\nB\r\n: 3\r\n\r\n").iter();
        assert!(fields.next().is_some());
        assert_eq!(fields.defect(), None);
        assert!(fields.next().is_none());
        assert_eq!(fields.defect(), Some(HeaderDefect::NoColon));
    }

    #[test]
    fn lines_are_counted_against_the_limit() {
        let limits = Limits {
            max_header_lines: 3,
            ..Limits::default()
        };
        let block = |lines: usize| alloc::format!("NATS/1.0\r\n{}\r\n", "A: 1\r\n".repeat(lines));
        assert_eq!(Headers::parse(block(3).as_bytes(), &limits).defect(), None);
        let four = block(4);
        let headers = Headers::parse(four.as_bytes(), &limits);
        assert_eq!(
            headers.defect(),
            Some(HeaderDefect::TooManyLines { limit: 3 })
        );
        assert_eq!(headers.iter().count(), 4);
    }
}
