//! Filters of keys.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::convert::Infallible;
use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

use thiserror::Error;

use super::{InvalidKey, Key, MAX_KEY_LEN};

/// A set of keys: a key in which `*` stands for any one token, and a last `>`
/// for one or more tokens. Cloning is cheap.
///
/// ```
/// use kv_proto::{Key, KeyFilter};
///
/// let filter = KeyFilter::new("app.*.colour")?;
/// assert!(filter.matches(&Key::new("app.door.colour")?));
/// assert!(!filter.matches(&Key::new("app.door")?));
/// assert!(KeyFilter::ALL.parse::<KeyFilter>()?.matches(&Key::new("any.key")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFilter(Arc<str>);

/// Why a text is not a [`KeyFilter`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidFilter {
    /// `*` or `>` is not a whole token, or `>` is not the last token.
    #[error("filter has a misplaced wildcard in the token at {at}")]
    Wildcard {
        /// The offset where the token starts.
        at: usize,
    },
    /// It breaks a rule that keys and filters share.
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

impl From<Infallible> for InvalidFilter {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl KeyFilter {
    /// The filter that every key matches.
    pub const ALL: &'static str = ">";

    /// Parses a filter.
    ///
    /// # Errors
    ///
    /// [`InvalidFilter`] says which rule the text breaks, and where.
    pub fn new(text: &str) -> Result<Self, InvalidFilter> {
        if text.is_empty() {
            return Err(InvalidKey::Empty.into());
        }
        if text.len() > MAX_KEY_LEN {
            return Err(InvalidKey::TooLong { len: text.len() }.into());
        }
        if text.starts_with("_kv") {
            return Err(InvalidKey::Reserved.into());
        }
        let mut at = 0;
        let mut tokens = text.split('.').peekable();
        while let Some(token) = tokens.next() {
            check_token(token, at, tokens.peek().is_none())?;
            at += token.len() + 1;
        }
        Ok(Self(Arc::from(text)))
    }

    /// Returns whether the key is one of the set.
    #[must_use]
    pub fn matches(&self, key: &Key) -> bool {
        self.matches_bytes(key.as_bytes())
    }

    pub(crate) fn matches_bytes(&self, key: &[u8]) -> bool {
        let mut rest = key.split(|byte| *byte == b'.');
        for token in self.0.split('.') {
            let next = rest.next();
            match (token, next) {
                (">", next) => return next.is_some(),
                (_, None) => return false,
                ("*", Some(_)) => {}
                (token, Some(next)) if token.as_bytes() == next => {}
                (_, Some(_)) => return false,
            }
        }
        rest.next().is_none()
    }

    /// Returns whether some key matches both filters.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
                (Some(ours), Some(theirs)) if ours == theirs => {}
                (Some(_), Some(_)) => return false,
            }
        }
    }
}

fn check_token(token: &str, at: usize, last: bool) -> Result<(), InvalidFilter> {
    match token {
        "" => return Err(InvalidKey::EmptyToken { at }.into()),
        "*" => return Ok(()),
        ">" if last => return Ok(()),
        _ => {}
    }
    for (offset, byte) in token.bytes().enumerate() {
        match byte {
            b'-' | b'/' | b'_' | b'=' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {}
            b'*' | b'>' => return Err(InvalidFilter::Wildcard { at }),
            _ => {
                let at = at + offset;
                return Err(InvalidKey::Character { at, byte }.into());
            }
        }
    }
    Ok(())
}

super::text_name!(KeyFilter, InvalidFilter);

impl From<Key> for KeyFilter {
    /// The filter that only this key matches.
    fn from(key: Key) -> Self {
        Self(key.0)
    }
}

impl From<&Key> for KeyFilter {
    fn from(key: &Key) -> Self {
        key.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> KeyFilter {
        KeyFilter::new(text).unwrap()
    }

    #[test]
    fn filters_are_keys_with_whole_wildcard_tokens() {
        for good in [">", "*", "a", "a.*.b", "*.>", "a.b.>"] {
            assert!(KeyFilter::new(good).is_ok(), "{good}");
        }
        let bad = [
            ("", InvalidKey::Empty.into()),
            ("a..b", InvalidKey::EmptyToken { at: 2 }.into()),
            (".a", InvalidKey::EmptyToken { at: 0 }.into()),
            ("a.", InvalidKey::EmptyToken { at: 2 }.into()),
            ("a b", InvalidKey::Character { at: 1, byte: b' ' }.into()),
            ("_kv.>", InvalidKey::Reserved.into()),
            ("a*", InvalidFilter::Wildcard { at: 0 }),
            ("a.>.b", InvalidFilter::Wildcard { at: 2 }),
            ("a.b>", InvalidFilter::Wildcard { at: 2 }),
        ];
        for (text, error) in bad {
            assert_eq!(KeyFilter::new(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_last_wildcard_stands_for_at_least_one_token() {
        let key = |text| Key::new(text).unwrap();
        assert!(!filter("a.>").matches(&key("a")));
        assert!(filter("a.>").matches(&key("a.b.c")));
        assert!(!filter("a.*").matches(&key("a.b.c")));
        assert!(!filter("a").overlaps(&filter("a.>")));
    }

    fn tokens() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab]", 1..4).prop_map(|tokens| tokens.join("."))
    }

    fn wild() -> impl Strategy<Value = String> {
        (proptest::collection::vec("[ab*]", 1..4), any::<bool>()).prop_map(|(mut tokens, open)| {
            if open {
                tokens.push(">".into());
            }
            tokens.join(".")
        })
    }

    /// The obvious way to match.
    fn slow(filter: &[&str], key: &[&str]) -> bool {
        match (filter, key) {
            ([], []) => true,
            ([">"], [_, ..]) => true,
            ([token, filter @ ..], [next, key @ ..]) => {
                (*token == "*" || token == next) && slow(filter, key)
            }
            _ => false,
        }
    }

    proptest! {
        /// Law: matching is what it is token by token.
        #[test]
        fn matches_like_the_slow_way(pattern in wild(), key in tokens()) {
            let fast = filter(&pattern).matches(&Key::new(&key).unwrap());
            let parts: (Vec<&str>, Vec<&str>) =
                (pattern.split('.').collect(), key.split('.').collect());
            prop_assert_eq!(fast, slow(&parts.0, &parts.1));
        }

        /// Law: two filters that match the same key overlap.
        #[test]
        fn what_matches_both_overlaps(a in wild(), b in wild(), key in tokens()) {
            let key = Key::new(&key).unwrap();
            let (a, b) = (filter(&a), filter(&b));
            if a.matches(&key) && b.matches(&key) {
                prop_assert!(a.overlaps(&b) && b.overlaps(&a));
            }
        }
    }
}
