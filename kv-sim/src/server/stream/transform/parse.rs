//! From the two subjects of a mapping to a [`Transform`], and the server's words about what is wrong with them.

use std::borrow::Cow;

use super::{End, Function, Part, Transform};
use crate::server::subject::is_valid;
use crate::server::version::Version;

/// Why there is no such mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MappingError(Cow<'static, str>);

impl MappingError {
    /// What the server says about it.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    const INVALID: Self = Self(Cow::Borrowed("invalid subject"));

    fn about(token: &str, why: &str) -> Self {
        let text = format!("invalid mapping destination: {why}");
        Self(if token.is_empty() {
            text.into()
        } else {
            format!("{text} in {token}").into()
        })
    }

    fn argument(token: &str) -> Self {
        Self::about(token, "function argument is invalid or in the wrong format")
    }
}

const OUT_OF_RANGE: &str = "wildcard index out of range";
const NOT_ENOUGH: &str = "not enough arguments passed to the function";
const TOO_MANY: &str = "too many arguments passed to the function";
const UNKNOWN: &str = "unknown function";

/// A token of a destination before its numbers are known to be right.
#[derive(Debug)]
enum Placeholder {
    Text,
    Token(i64, Function),
    Partition(u32, Vec<i64>),
}

impl Transform {
    /// A mapping, or none if there is no destination.
    ///
    /// # Errors
    ///
    /// What [`MappingError`] tells.
    pub(crate) fn new(from: &str, to: &str, v: Version) -> Result<Option<Self>, MappingError> {
        if to.is_empty() {
            return Ok(None);
        }
        let from = if from.is_empty() { ">" } else { from };
        let stars: Vec<usize> = places(from, "*").collect();
        let full = |subject: &str| places(subject, ">").next().is_some();
        let same_end = full(from) == full(to);
        if !is_split(from) || !is_split(to) || places(to, "*").next().is_some() || !same_end {
            return Err(MappingError::INVALID);
        }
        let is_wild = !stars.is_empty() || full(from);
        let mut parts = Vec::new();
        for token in to.split('.').filter(|token| *token != ">") {
            let placeholder = placeholder(token, v)?;
            parts.push(match placeholder {
                Placeholder::Text => Part::Text(token.to_owned()),
                Placeholder::Partition(count, _) if !is_wild && v.extends_mappings() => {
                    Part::Partition(count, Vec::new())
                }
                Placeholder::Token(..) | Placeholder::Partition(..)
                    if !is_wild || (stars.is_empty() && !v.extends_mappings()) =>
                {
                    return Err(MappingError::about(token, OUT_OF_RANGE));
                }
                Placeholder::Token(..) | Placeholder::Partition(..) => {
                    placeholder.resolved(token, &stars)?
                }
            });
        }
        let rest = full(to).then(|| from.split('.').count() - 1);
        Ok(Some(Self {
            source: from.to_owned(),
            parts,
            rest,
        }))
    }
}

/// Checks a mapping as a configuration has it, which knows fewer functions than mappings do.
///
/// # Errors
///
/// What [`MappingError`] tells.
pub(crate) fn validate(from: &str, to: &str, v: Version) -> Result<(), MappingError> {
    validate_destination(to, v)?;
    Transform::new(from, to, v).map(drop)
}

/// Checks the destination of a mapping alone.
///
/// # Errors
///
/// What [`MappingError`] tells.
pub(crate) fn validate_destination(to: &str, v: Version) -> Result<(), MappingError> {
    if to.is_empty() {
        return Ok(());
    }
    let mut ended = false;
    for token in to.split('.') {
        if token.is_empty() || ended {
            let blank = if token.is_empty() && v.names_empty_tokens() {
                " in "
            } else {
                ""
            };
            let why = format!("invalid transform{blank}");
            return Err(MappingError::about(token, &why));
        }
        if is_function(token) {
            let name = call(token).map_or("", |(name, _)| name);
            let known = match name {
                "Random" => v.extends_mappings(),
                "Left" | "Right" => v.configures_cuts(),
                "" => false,
                _ => true,
            };
            if !known {
                return Err(MappingError::about(token, UNKNOWN));
            }
        } else if token.contains(['\t', '\n', '\x0c', '\r', ' ']) {
            return Err(MappingError::about("", "invalid transform"));
        }
        ended = token == ">";
    }
    Ok(())
}

/// The functions; the first letters of their words may be small.
const FUNCTIONS: [&str; 10] = [
    "Partition",
    "Wildcard",
    "SplitFromLeft",
    "SplitFromRight",
    "SliceFromLeft",
    "SliceFromRight",
    "Split",
    "Left",
    "Right",
    "Random",
];

impl Placeholder {
    fn resolved(self, token: &str, stars: &[usize]) -> Result<Part, MappingError> {
        let place = |number: i64| match usize::try_from(number) {
            Ok(number) if number > stars.len() => {
                let token = format!("{token}: [{number}]");
                Err(MappingError::about(&token, OUT_OF_RANGE))
            }
            // What is below the first wildcard is taken for the first token.
            Ok(number) => Ok(number
                .checked_sub(1)
                .and_then(|at| stars.get(at).copied())
                .unwrap_or(0)),
            Err(_) => Ok(0),
        };
        Ok(match self {
            Self::Text => Part::Text(token.to_owned()),
            Self::Token(number, function) => Part::Token(place(number)?, function),
            Self::Partition(count, numbers) => {
                let at = numbers.into_iter().map(place);
                Part::Partition(count, at.collect::<Result<_, _>>()?)
            }
        })
    }
}

/// Whether it is made of tokens, of which only the last is `>`.
fn is_split(subject: &str) -> bool {
    // Blanks within tokens do not matter here.
    let visible: String = subject.replace([' ', '\t', '\n', '\r', '\x0c'], "_");
    is_valid(visible.as_bytes())
}

fn places<'a>(subject: &'a str, wildcard: &'a str) -> impl Iterator<Item = usize> + 'a {
    let all = subject.split('.').enumerate();
    all.filter(move |(_, token)| *token == wildcard)
        .map(|(at, _)| at)
}

fn is_function(token: &str) -> bool {
    token.len() > 4 && token.starts_with("{{") && token.ends_with("}}")
}

/// Name and arguments of a function.
fn call(token: &str) -> Option<(&'static str, &str)> {
    let inner = token.strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let (name, arguments) = inner.split_once('(')?;
    let name = name.trim_end();
    let is_name = |known: &&&str| {
        let pairs = known.chars().zip(name.chars());
        let mut same = pairs.map(|(want, have)| want == have || want.to_ascii_lowercase() == have);
        known.len() == name.len() && same.all(|same| same)
    };
    Some((
        FUNCTIONS.iter().find(is_name)?,
        arguments.strip_suffix(')')?,
    ))
}

fn placeholder(token: &str, v: Version) -> Result<Placeholder, MappingError> {
    if let Some(number) = token.strip_prefix('$').filter(|rest| !rest.is_empty()) {
        return Ok(number.parse().map_or(Placeholder::Text, |number| {
            Placeholder::Token(number, Function::Same)
        }));
    }
    if !is_function(token) {
        return Ok(Placeholder::Text);
    }
    let unknown = || MappingError::about(token, UNKNOWN);
    let (name, arguments) = call(token).ok_or_else(unknown)?;
    let arguments: Vec<&str> = split_arguments(arguments);
    let number = |text: &str| -> Result<i64, MappingError> {
        let text = text.trim_matches(' ');
        text.parse().map_err(|_| MappingError::argument(token))
    };
    let two = || -> Result<(i64, i32), MappingError> {
        let [at, size] = pair(token, &arguments)?;
        let size = i32::try_from(number(size)?).map_err(|_| MappingError::argument(token));
        Ok((number(at)?, size?))
    };
    let sized = |make: fn(End, i32) -> Function, end| {
        two().map(|(at, size)| Placeholder::Token(at, make(end, size)))
    };
    match name {
        "Wildcard" => match arguments.as_slice() {
            [""] => Err(MappingError::about(token, NOT_ENOUGH)),
            [one] => Ok(Placeholder::Token(number(one)?, Function::Same)),
            _ => Err(MappingError::about(token, TOO_MANY)),
        },
        "Partition" => {
            let Some((count, at)) = arguments.split_first() else {
                return Err(MappingError::about(token, NOT_ENOUGH));
            };
            if at.is_empty() && !v.extends_mappings() {
                return Err(MappingError::about(token, NOT_ENOUGH));
            }
            let count = u32::try_from(number(count)?).map_err(|_| MappingError::argument(token))?;
            let at = at.iter().map(|text| number(text));
            Ok(Placeholder::Partition(count, at.collect::<Result<_, _>>()?))
        }
        "SplitFromLeft" => sized(Function::Halve, End::Left),
        "SplitFromRight" => sized(Function::Halve, End::Right),
        "SliceFromLeft" => sized(Function::Slice, End::Left),
        "SliceFromRight" => sized(Function::Slice, End::Right),
        "Left" => sized(Function::Cut, End::Left),
        "Right" => sized(Function::Cut, End::Right),
        "Split" => {
            let [at, by] = pair(token, &arguments)?;
            let at = number(at)?;
            if by.contains([' ', '.']) {
                return Err(MappingError::argument(token));
            }
            Ok(Placeholder::Token(at, Function::Split(by.to_owned())))
        }
        "Random" if v.extends_mappings() => Err(MappingError(Cow::Borrowed(
            "kv-sim: random mappings are not simulated",
        ))),
        _ => Err(unknown()),
    }
}

fn pair<'a>(token: &str, arguments: &[&'a str]) -> Result<[&'a str; 2], MappingError> {
    match arguments {
        [] | [_] => Err(MappingError::about(token, NOT_ENOUGH)),
        [a, b] => Ok([a, b]),
        _ => Err(MappingError::about(token, TOO_MANY)),
    }
}

/// Cut at commas and the blanks after them.
fn split_arguments(arguments: &str) -> Vec<&str> {
    let mut pieces = arguments.split(',');
    let first = pieces.next().into_iter();
    first
        .chain(pieces.map(|piece| piece.trim_start()))
        .collect()
}
