//! JSON from a server: its depth is checked before anything is parsed, and
//! its errors hold none of its text.

use core::fmt;
use core::marker::PhantomData;

use memchr::memchr2;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
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

/// A JSON object. (Derived structs read arrays as well: `[]` would be a reply
/// with nothing but defaults.)
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
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

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use std::fs;

    use serde_json::Value;

    use super::*;

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        assert!(within_depth(nested(MAX_JSON_DEPTH).as_bytes()));
        assert!(!within_depth(nested(MAX_JSON_DEPTH + 1).as_bytes()));
        let objects = r#"{"a":"#.repeat(MAX_JSON_DEPTH + 1);
        assert!(!within_depth(objects.as_bytes()));
        let brackets = "[".repeat(100);
        for text in [
            alloc::format!(r#"{{"a":"{brackets}"}}"#),
            alloc::format!(r#"["\"{brackets}","\\","{brackets}\\\""]"#),
            "[]".repeat(100),
            alloc::format!(r#""{brackets}"#),
            String::from(r#"["\"#),
        ] {
            assert!(within_depth(text.as_bytes()), "{text}");
        }
        let behind_string = alloc::format!(r#"["\\",{brackets}"#);
        assert!(!within_depth(behind_string.as_bytes()));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_parsed() {
        let bomb = "[".repeat(1_000_000);
        let error = parse_json::<Value>(bomb.as_bytes()).unwrap_err();
        assert_eq!(error.kind, JsonErrorKind::TooDeep);
    }

    #[test]
    fn errors_tell_the_place_and_none_of_the_text() {
        for (text, kind, place) in [
            ("[\n 1 \"secret\"]", JsonErrorKind::Syntax, (2, 4)),
            ("[1", JsonErrorKind::Unfinished, (1, 2)),
            ("", JsonErrorKind::Unfinished, (1, 0)),
            ("[\"secret\"]", JsonErrorKind::Shape, (1, 9)),
            ("[18446744073709551616]", JsonErrorKind::Shape, (1, 21)),
            ("[1] x", JsonErrorKind::Syntax, (1, 5)),
        ] {
            let error = parse_json::<[u64; 1]>(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind, kind, "{text}");
            assert_eq!((error.line, error.column), place, "{text}");
            assert!(!alloc::format!("{error} {error:?}").contains("secret"));
        }
    }

    #[test]
    fn recorded_responses_are_within_depth() {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/corpus/json-responses"
        );
        for file in fs::read_dir(folder).unwrap() {
            let text = fs::read(file.unwrap().path()).unwrap();
            assert!(parse_json::<Value>(&text).is_ok());
        }
    }
}
