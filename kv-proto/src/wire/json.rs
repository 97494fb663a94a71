//! JSON from a server: its depth is checked before anything is parsed, and
//! its errors hold none of its text.

use memchr::memchr2;
use serde::Deserialize;
use serde_json::error::Category;
use thiserror::Error;

use crate::limits::MAX_JSON_DEPTH;

/// Why a JSON text of the server cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{kind} at line {line}, column {column}")]
#[non_exhaustive]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// The line, from 1; 0 when no single place is wrong.
    pub line: usize,
    /// The column in bytes, from 1; 0 when no single place is wrong.
    pub column: usize,
}

/// The kinds of [`JsonError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// It is not JSON.
    #[error("invalid JSON")]
    Syntax,
    /// It ends too early.
    #[error("unfinished JSON")]
    Unfinished,
    /// It is JSON of another shape: a field is missing, given twice, of
    /// another type, or a number out of range.
    #[error("JSON of an unexpected shape")]
    Shape,
    /// It is nested deeper than the limit.
    #[error("JSON nested too deeply")]
    TooDeep,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let kind = match error.classify() {
            Category::Eof => JsonErrorKind::Unfinished,
            Category::Data => JsonErrorKind::Shape,
            Category::Syntax | Category::Io => JsonErrorKind::Syntax,
        };
        Self {
            kind,
            line: error.line(),
            column: error.column(),
        }
    }
}

/// Parses a server's JSON.
pub(crate) fn parse_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, JsonError> {
    if !within_depth(text) {
        return Err(JsonError {
            kind: JsonErrorKind::TooDeep,
            line: 0,
            column: 0,
        });
    }
    Ok(serde_json::from_slice(text)?)
}

/// Returns whether arrays and objects are nested at most
/// [`MAX_JSON_DEPTH`] deep, in one pass. A text that is no JSON may get either
/// answer: the parser refuses it at the place where the count goes astray.
pub(crate) fn within_depth(text: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'"' => rest = after_string(tail),
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                if depth > MAX_JSON_DEPTH {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// What follows the string whose opening quote was just read.
fn after_string(mut text: &[u8]) -> &[u8] {
    while let Some((_, found)) = memchr2(b'"', b'\\', text).and_then(|at| text.split_at_checked(at))
    {
        match found {
            [b'\\', _, rest @ ..] => text = rest,
            [b'"', rest @ ..] => return rest,
            _ => break,
        }
    }
    &[]
}
