//! Subject mappings: of `republish`, of a stream's own subjects, of mirrors and sources.
//!
//! A destination takes wildcards of the source by number, as `$1` or `{{wildcard(1)}}`, or what a function
//! makes of them, such as `{{partition(10,1)}}`. `>` goes to `>`.

mod parse;

use bytes::Bytes;

use super::config::StreamConfig;
use crate::server::subject::{matches, tokens};
use crate::server::version::Version;

pub(crate) use self::parse::{validate, validate_destination};

/// One token of a destination, or what makes several.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// What a token of the subject becomes, by its place in the subject.
    Token(usize, Function),
    /// A hash of these tokens, or of the whole subject, below a number.
    Partition(u32, Vec<usize>),
}

/// What a function of a destination does with one token.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Function {
    Same,
    /// In two, after so many bytes, from the left or from the right.
    Halve(End, i32),
    /// Into pieces of so many bytes; what is left over is a piece at the other end.
    Slice(End, i32),
    /// So many bytes of one end.
    Cut(End, i32),
    Split(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Left,
    Right,
}

/// The mappings of one stream.
#[derive(Debug)]
pub(crate) struct Mappings {
    stored: Option<Transform>,
    republished: Option<Transform>,
}

impl Mappings {
    /// Those of a configuration that was checked.
    pub(crate) fn new(config: &StreamConfig, v: Version) -> Self {
        let made = |source: &str, destination: &str| {
            let made = Transform::new(source, destination, v);
            made.ok().flatten()
        };
        let own = config.subject_transform.as_ref();
        let republish = config.republish.as_ref();
        Self {
            stored: own.and_then(|one| made(&one.source, &one.destination)),
            republished: republish.and_then(|one| made(&one.source, &one.destination)),
        }
    }

    /// The subject that a message is stored with.
    pub(crate) fn stored(&self, subject: Bytes) -> Bytes {
        let mapped = self.stored.as_ref().and_then(|one| one.apply(&subject));
        mapped.map_or(subject, Bytes::from)
    }

    /// The subject that a stored message is republished on.
    pub(crate) fn republished(&self, subject: &[u8]) -> Option<Bytes> {
        let mapped = self.republished.as_ref()?.apply(subject);
        mapped.map(Bytes::from)
    }
}

/// A mapping of subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transform {
    source: String,
    parts: Vec<Part>,
    /// Where in a subject that begins which `>` stands for, if the destination ends with it.
    rest: Option<usize>,
}

impl Transform {
    /// Maps a subject, `None` if it does not match.
    pub(crate) fn apply(&self, subject: &[u8]) -> Option<Vec<u8>> {
        if !matches(subject, self.source.as_bytes()) {
            return None;
        }
        let have: Vec<&[u8]> = tokens(subject).collect();
        let mut out: Vec<Vec<u8>> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_bytes().to_vec(),
                Part::Token(at, function) => {
                    function.apply(have.get(*at).copied().unwrap_or_default())
                }
                Part::Partition(count, at) => partition(*count, at, subject, &have),
            })
            .collect();
        if let Some(rest) = self.rest {
            out.extend(have.iter().skip(rest).map(|token| token.to_vec()));
        }
        Some(out.join(&b'.'))
    }
}

impl Function {
    fn apply(&self, token: &[u8]) -> Vec<u8> {
        let within = |size: i32| {
            let size = usize::try_from(size).ok();
            size.filter(|size| (1..token.len()).contains(size))
        };
        match self {
            Self::Same => token.to_vec(),
            Self::Halve(end, at) => match within(*at) {
                None => token.to_vec(),
                Some(at) => {
                    let (left, right) = token.split_at(at_end(token, *end, at));
                    [left, right].join(&b'.')
                }
            },
            Self::Slice(end, size) => match (within(*size), end) {
                (None, _) => token.to_vec(),
                (Some(size), End::Left) => token.chunks(size).collect::<Vec<_>>().join(&b'.'),
                (Some(size), End::Right) => {
                    let mut pieces: Vec<&[u8]> = token.rchunks(size).collect();
                    pieces.reverse();
                    pieces.join(&b'.')
                }
            },
            Self::Cut(end, size) => match (within(*size), end) {
                (None, _) => token.to_vec(),
                (Some(size), End::Left) => token.split_at(size).0.to_vec(),
                (Some(size), End::Right) => token.split_at(token.len() - size).1.to_vec(),
            },
            Self::Split(by) => split(token, by.as_bytes()),
        }
    }
}

fn at_end(token: &[u8], end: End, at: usize) -> usize {
    match end {
        End::Left => at,
        End::Right => token.len() - at,
    }
}

/// Tokens of what is between delimiters; empty ones vanish, as far as the server makes them.
fn split(token: &[u8], by: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(token) else {
        return token.to_vec();
    };
    let Ok(by) = std::str::from_utf8(by) else {
        return token.to_vec();
    };
    // Between letters, as Go splits by nothing.
    let pieces: Vec<String> = if by.is_empty() {
        text.chars().map(String::from).collect()
    } else {
        text.split(by).map(str::to_owned).collect()
    };
    let mut out = String::new();
    for (at, piece) in pieces.iter().enumerate() {
        out += piece;
        let next = pieces.get(at + 1);
        let leads_with_nothing = at == 0 && piece.is_empty();
        if next.is_some_and(|next| !next.is_empty()) && !leads_with_nothing {
            out.push('.');
        }
    }
    out.into_bytes()
}

/// FNV-1a of the chosen tokens without what is between them, or of all with it.
fn partition(count: u32, at: &[usize], subject: &[u8], have: &[&[u8]]) -> Vec<u8> {
    if count == 0 {
        return b"0".to_vec();
    }
    let key = if at.is_empty() {
        subject.to_vec()
    } else {
        let chosen = at.iter().filter_map(|at| have.get(*at).copied());
        chosen.collect::<Vec<_>>().concat()
    };
    let hash = key.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash % count).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(subject: &str, from: &str, to: &str) -> Option<String> {
        let transform = Transform::new(from, to, Version::V2_15).unwrap()?;
        let mapped = transform.apply(subject.as_bytes())?;
        Some(String::from_utf8(mapped).unwrap())
    }

    #[test]
    fn maps_tails_and_tokens() {
        for (subject, from, to, expected) in [
            ("$KV.b.a.b", "$KV.b.>", "r.>", Some("r.a.b")),
            ("a.b", ">", "r.>", Some("r.a.b")),
            ("a.b", ">", ">", Some("a.b")),
            ("a.b", "", "r.>", Some("r.a.b")),
            ("a.b", "a.*", "x.$1.y", Some("x.b.y")),
            (
                "a.b.c",
                "*.b.*",
                "{{wildcard(2)}}.{{ Wildcard( 1 ) }}",
                Some("c.a"),
            ),
            ("a.b", "a.*", "$0.$x", Some("a.$x")),
            ("b", "a.>", "r.>", None),
            ("a", "a", "b", Some("b")),
            ("a.b", "a.*", "", None),
        ] {
            assert_eq!(
                map(subject, from, to).as_deref(),
                expected,
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn functions_cut_tokens() {
        for (token, function, expected) in [
            ("12345", "splitFromLeft(1,3)", "123.45"),
            ("12345", "SplitFromRight(1, 3)", "12.345"),
            ("12345", "sliceFromLeft(1,2)", "12.34.5"),
            ("12345", "SliceFromRight(1,2)", "1.23.45"),
            ("123", "sliceFromLeft(1,3)", "123"),
            ("-a--b-", "split(1,-)", "a.b"),
            ("12345", "left(1,2)", "12"),
            ("12345", "right(1,2)", "45"),
            ("12345", "left(1,9)", "12345"),
            ("12345", "partition(0,1)", "0"),
        ] {
            let to = format!("x.{{{{{function}}}}}");
            assert_eq!(
                map(&format!("a.{token}"), "a.*", &to),
                Some(format!("x.{expected}")),
                "{function}"
            );
        }
    }

    #[test]
    fn refuses_what_cannot_be_mapped() {
        for (from, to) in [
            ("a.*", "b.*"),
            ("a.*", "b.$2"),
            ("a.>", "b"),
            ("a", "b.{{wildcard(1)}}"),
            ("a.*", "{{nonsense(1)}}"),
            ("a.*", "{{wildcard(x)}}"),
            ("a.*", "a..b"),
        ] {
            assert!(
                Transform::new(from, to, Version::V2_15).is_err(),
                "{from} to {to}"
            );
        }
    }
}
