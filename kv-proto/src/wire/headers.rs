//! Header blocks, read where they lie.
//!
//! A block reaches us as its publisher wrote it, and a direct get appends the
//! server's own fields to it, so it may hold anything: text without a version
//! line (`HELNats-Stream: KV_S`), lone line ends, no end at all. Reading never
//! fails; the first thing that is wrong is kept as the block's
//! [`HeaderDefect`], and the fields that can be read stay readable.

use memchr::memchr;
use nom::bytes::complete::{tag, take};
use nom::character::complete::space1;
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
    defect: Option<HeaderDefect>,
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
    /// Reads a block. What is wrong with it is found in
    /// [`defect`](Self::defect).
    #[must_use]
    pub fn parse(block: &'a [u8], limits: &Limits) -> Self {
        let utf8 = core::str::from_utf8(block).is_ok();
        let mut lines = Lines { rest: block };
        let mut headers = Self {
            fields: block,
            status: None,
            defect: None,
        };
        match lines.next().map(Line::readable) {
            Some(Ok(text)) => match version_line(text) {
                Ok((_, status)) => {
                    headers.fields = lines.rest;
                    match status.map(status_text) {
                        Some(Ok((_, status))) => headers.status = Some(status),
                        Some(Err(_)) => headers.defect = Some(HeaderDefect::BadStatus),
                        None => {}
                    }
                }
                Err(_) => headers.defect = Some(HeaderDefect::NoVersionLine),
            },
            Some(Err(defect)) => headers.defect = Some(defect),
            None => headers.defect = Some(HeaderDefect::NoVersionLine),
        }
        if headers.defect.is_none() {
            headers.defect = check_fields(lines, utf8, limits.max_header_lines).err();
        }
        headers
    }

    /// Returns the status, if there is one.
    #[must_use]
    pub const fn status(&self) -> Option<Status<'a>> {
        self.status
    }

    /// Returns the first thing that is wrong with the block.
    #[must_use]
    pub const fn defect(&self) -> Option<HeaderDefect> {
        self.defect
    }

    /// Returns names and values in their order, the blanks around values
    /// dropped. Lines that cannot be read are left out, so what a server
    /// appended to a damaged block can still be found.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + 'a {
        Lines { rest: self.fields }.filter_map(|line| field(line.readable().ok()?).ok())
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

/// The lines of a block, split at LF.
struct Lines<'a> {
    rest: &'a [u8],
}

/// A line with its end, as far as it has one.
struct Line<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr(b'\n', self.rest).map_or(self.rest.len(), |at| at.saturating_add(1));
        let (line, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(Line(line))
    }
}

impl<'a> Line<'a> {
    /// The text without its line end.
    fn readable(self) -> Result<&'a [u8], HeaderDefect> {
        let Some(text) = self.0.strip_suffix(b"\n") else {
            return Err(HeaderDefect::Unterminated);
        };
        let Some(text) = text.strip_suffix(b"\r") else {
            return Err(HeaderDefect::LoneLf);
        };
        match memchr(b'\r', text) {
            Some(_) => Err(HeaderDefect::LoneCr),
            None => Ok(text),
        }
    }
}

/// `NATS/1.0[ <status>]`: what follows the version, if anything does.
fn version_line(text: &[u8]) -> IResult<&[u8], Option<&[u8]>, ()> {
    let (text, _) = tag("NATS/1.0")(text)?;
    if trim(text).is_empty() {
        return Ok((text, None));
    }
    preceded(space1, rest).map(Some).parse(text)
}

/// `<three digits>[ <description>]`
fn status_text(text: &[u8]) -> IResult<&[u8], Status<'_>, ()> {
    let (text, code) =
        map_opt(take(3_usize), |digits| u16::try_from(decimal(digits)?).ok()).parse(text)?;
    let (text, description) = match eof::<_, ()>(text) {
        Ok((text, _)) => (text, text),
        Err(_) => preceded(space1, rest).parse(text)?,
    };
    let description = trim(description);
    Ok((text, Status { code, description }))
}

/// `<name>:[ ]<value>`
fn field(text: &[u8]) -> Result<(&[u8], &[u8]), HeaderDefect> {
    let at = memchr(b':', text).ok_or(HeaderDefect::NoColon)?;
    let (name, value) = text.split_at_checked(at).ok_or(HeaderDefect::NoColon)?;
    if name.is_empty() {
        return Err(HeaderDefect::EmptyName);
    }
    Ok((name, trim(value.get(1..).unwrap_or_default())))
}

fn check_fields(mut lines: Lines<'_>, utf8: bool, limit: usize) -> Result<(), HeaderDefect> {
    let mut count = 0_usize;
    while let Some(line) = lines.next() {
        let text = line.readable()?;
        if text.is_empty() {
            return if lines.rest.is_empty() {
                Ok(())
            } else {
                Err(HeaderDefect::AfterEnd)
            };
        }
        if count == limit {
            return Err(HeaderDefect::TooManyLines { limit });
        }
        count = count.saturating_add(1);
        if !utf8 && core::str::from_utf8(text).is_err() {
            return Err(HeaderDefect::NotUtf8);
        }
        field(text)?;
    }
    Err(HeaderDefect::Unterminated)
}
