//! Names that are parsed once and valid for ever: [`Key`], [`KeyFilter`],
//! [`BucketName`] and [`Subject`].
//!
//! Everything that ends up in a control line passes through one of these, so
//! no unvalidated text can reach the encoder and no blank, CR, LF or NUL can
//! be injected into the protocol.

mod filter;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::convert::Infallible;
use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

use thiserror::Error;

pub use filter::{InvalidFilter, KeyFilter};

/// Longest key in bytes.
///
/// The server accepts control lines of 4,096 bytes; a direct get names the
/// bucket twice and the key once beside its reply subject, which leaves a
/// little more than this beside the longest bucket name.
pub const MAX_KEY_LEN: usize = 3_072;

/// Longest bucket name in bytes: a stream name has at most 255, of which `KV_`
/// takes three.
pub const MAX_BUCKET_NAME_LEN: usize = 252;

/// Longest subject accepted for options such as a republish destination.
pub const MAX_SUBJECT_LEN: usize = 3_072;

/// The key of an entry, valid by ADR-8: one or more tokens of
/// `-/_=a-zA-Z0-9`, joined by single dots, not starting with the reserved
/// `_kv`, and at most [`MAX_KEY_LEN`] bytes. Cloning is cheap.
///
/// ```
/// use kv_proto::{InvalidKey, Key};
///
/// let key = Key::new("app.setting")?;
/// assert_eq!(key.as_str(), "app.setting");
/// assert_eq!(Key::new("app..setting"), Err(InvalidKey::EmptyToken { at: 4 }));
/// # Ok::<(), InvalidKey>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// The name of a bucket: one or more of `a-zA-Z0-9_-` (ADR-8), at most
/// [`MAX_BUCKET_NAME_LEN`] bytes. Cloning is cheap.
///
/// ```
/// use kv_proto::BucketName;
///
/// let name: BucketName = "config".parse()?;
/// assert_eq!(name.as_str(), "config");
/// assert!("no.dots".parse::<BucketName>().is_err());
/// # Ok::<(), kv_proto::InvalidBucketName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(Arc<str>);

/// A subject or subject filter: tokens joined by dots, `*` and `>` only as
/// whole tokens, `>` only last.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

/// Why a text is not a [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The key has no characters.
    #[error("key is empty")]
    Empty,
    /// A byte is outside `-/_=.a-zA-Z0-9`.
    #[error("key has the byte 0x{byte:02x} at {at}, outside -/_=.a-zA-Z0-9")]
    Character {
        /// The offset of the byte.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// The key starts or ends with a dot, or has two dots in a row.
    #[error("key has an empty token at {at}")]
    EmptyToken {
        /// The offset where a token should start.
        at: usize,
    },
    /// The key starts with `_kv`, which ADR-8 reserves.
    #[error("key starts with the reserved _kv")]
    Reserved,
    /// The key is longer than [`MAX_KEY_LEN`].
    #[error("key has {len} bytes, more than {MAX_KEY_LEN}")]
    TooLong {
        /// The length of the key in bytes.
        len: usize,
    },
}

/// Why a text is not a [`BucketName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidBucketName {
    /// The name has no characters.
    #[error("bucket name is empty")]
    Empty,
    /// A byte is outside `a-zA-Z0-9_-`.
    #[error("bucket name has the byte 0x{byte:02x} at {at}, outside a-zA-Z0-9_-")]
    Character {
        /// The offset of the byte.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// The name is longer than [`MAX_BUCKET_NAME_LEN`].
    #[error("bucket name has {len} bytes, more than {MAX_BUCKET_NAME_LEN}")]
    TooLong {
        /// The length of the name in bytes.
        len: usize,
    },
}

/// Why a text is not a [`Subject`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidSubject {
    /// The subject has no characters.
    #[error("subject is empty")]
    Empty,
    /// A byte is a blank or a control character.
    #[error("subject has the byte 0x{byte:02x} at {at}")]
    Character {
        /// The offset of the byte.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// The subject starts or ends with a dot, or has two dots in a row.
    #[error("subject has an empty token at {at}")]
    EmptyToken {
        /// The offset where a token should start.
        at: usize,
    },
    /// `*` or `>` is not a whole token, or `>` is not the last token.
    #[error("subject has a misplaced wildcard in the token at {at}")]
    Wildcard {
        /// The offset where the token starts.
        at: usize,
    },
    /// The subject is longer than [`MAX_SUBJECT_LEN`].
    #[error("subject has {len} bytes, more than {MAX_SUBJECT_LEN}")]
    TooLong {
        /// The length of the subject in bytes.
        len: usize,
    },
}

/// A valid value converts into itself: lets the handles take
/// `impl TryInto<Key>` and be given a [`Key`].
macro_rules! never_fails {
    ($($error:ty),*) => {$(
        impl From<Infallible> for $error {
            fn from(never: Infallible) -> Self {
                match never {}
            }
        }
    )*};
}
never_fails!(InvalidKey, InvalidBucketName, InvalidSubject);

impl Key {
    /// Parses a key.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] says which rule of ADR-8 the text breaks, and where.
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        check_key(text).map(|()| Self(Arc::from(text)))
    }
}

fn check_key(text: &str) -> Result<(), InvalidKey> {
    if text.is_empty() {
        return Err(InvalidKey::Empty);
    }
    if text.len() > MAX_KEY_LEN {
        return Err(InvalidKey::TooLong { len: text.len() });
    }
    if text.starts_with("_kv") {
        return Err(InvalidKey::Reserved);
    }
    let mut token_starts = true;
    for (at, byte) in text.bytes().enumerate() {
        token_starts = match KINDS.get(usize::from(byte)) {
            Some(Kind::Text) => false,
            Some(Kind::Dot) if token_starts => return Err(InvalidKey::EmptyToken { at }),
            Some(Kind::Dot) => true,
            Some(Kind::Foreign) | None => return Err(InvalidKey::Character { at, byte }),
        };
    }
    if token_starts {
        return Err(InvalidKey::EmptyToken { at: text.len() });
    }
    Ok(())
}

/// What a byte is in a key.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Dot,
    Foreign,
}

/// All bytes: to look one up is much cheaper than to compare it with ranges, and each entry of a watch has a key.
const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Foreign; 256];
    let mut rest: &mut [Kind] = &mut kinds;
    let mut byte = 0_u8;
    while let Some((kind, more)) = rest.split_first_mut() {
        *kind = match byte {
            b'-' | b'/' | b'_' | b'=' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => Kind::Text,
            b'.' => Kind::Dot,
            _ => Kind::Foreign,
        };
        byte = byte.wrapping_add(1);
        rest = more;
    }
    kinds
};

impl BucketName {
    /// Parses a bucket name.
    ///
    /// # Errors
    ///
    /// [`InvalidBucketName`] says which rule of ADR-8 the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidBucketName> {
        if text.is_empty() {
            return Err(InvalidBucketName::Empty);
        }
        if text.len() > MAX_BUCKET_NAME_LEN {
            return Err(InvalidBucketName::TooLong { len: text.len() });
        }
        let foreign = |b: u8| !(b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        match text.bytes().enumerate().find(|&(_, byte)| foreign(byte)) {
            Some((at, byte)) => Err(InvalidBucketName::Character { at, byte }),
            None => Ok(Self(Arc::from(text))),
        }
    }
}

impl Subject {
    /// Parses a subject, or a subject filter with wildcards.
    ///
    /// # Errors
    ///
    /// [`InvalidSubject`] says what is wrong, and where.
    pub fn new(text: &str) -> Result<Self, InvalidSubject> {
        if text.is_empty() {
            return Err(InvalidSubject::Empty);
        }
        if text.len() > MAX_SUBJECT_LEN {
            return Err(InvalidSubject::TooLong { len: text.len() });
        }
        let blank = |b: u8| b <= b' ' || b == 0x7f;
        if let Some((at, byte)) = text.bytes().enumerate().find(|&(_, byte)| blank(byte)) {
            return Err(InvalidSubject::Character { at, byte });
        }
        let mut at = 0;
        let mut tokens = text.split('.').peekable();
        while let Some(token) = tokens.next() {
            let wild = token.contains(['*', '>']);
            if token.is_empty() {
                return Err(InvalidSubject::EmptyToken { at });
            }
            if wild && (token.len() > 1 || (token == ">" && tokens.peek().is_some())) {
                return Err(InvalidSubject::Wildcard { at });
            }
            at += token.len() + 1;
        }
        Ok(Self(Arc::from(text)))
    }

    /// Returns whether the subject holds a wildcard.
    #[must_use]
    pub fn is_wild(&self) -> bool {
        self.split('.').any(|token| token == "*" || token == ">")
    }
}

/// What all names share: they read as text and parse from text.
macro_rules! text_name {
    ($name:ident, $error:ident) => {
        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $error;

            fn try_from(text: &str) -> Result<Self, $error> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                Self::new(&text)
            }
        }

        impl TryFrom<&String> for $name {
            type Error = $error;

            fn try_from(text: &String) -> Result<Self, $error> {
                Self::new(text)
            }
        }

        impl From<&Self> for $name {
            fn from(name: &Self) -> Self {
                name.clone()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                (*name.0).to_owned()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, text: &str) -> bool {
                &*self.0 == text
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, text: &&str) -> bool {
                &*self.0 == *text
            }
        }
    };
}
use text_name;
text_name!(Key, InvalidKey);
text_name!(BucketName, InvalidBucketName);
text_name!(Subject, InvalidSubject);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_adr_8() {
        for good in ["a", "a.b", "A-Z/0_9=x", "-", "_k", "a._kv", "="] {
            assert!(Key::new(good).is_ok(), "{good}");
        }
        let bad = [
            ("", InvalidKey::Empty),
            (".a", InvalidKey::EmptyToken { at: 0 }),
            ("a.", InvalidKey::EmptyToken { at: 2 }),
            ("a..b", InvalidKey::EmptyToken { at: 2 }),
            ("a b", InvalidKey::Character { at: 1, byte: b' ' }),
            ("a\r\nPUB x 0", InvalidKey::Character { at: 1, byte: b'\r' }),
            ("a.*", InvalidKey::Character { at: 2, byte: b'*' }),
            ("ü", InvalidKey::Character { at: 0, byte: 0xc3 }),
            ("_kv.x", InvalidKey::Reserved),
        ];
        for (text, error) in bad {
            assert_eq!(Key::new(text), Err(error), "{text:?}");
        }
        assert!(Key::new(&"k".repeat(MAX_KEY_LEN)).is_ok());
        assert_eq!(
            Key::new(&"k".repeat(MAX_KEY_LEN + 1)),
            Err(InvalidKey::TooLong {
                len: MAX_KEY_LEN + 1
            })
        );
    }

    #[test]
    fn bucket_names_follow_adr_8() {
        assert!(BucketName::new("a-Z_09").is_ok());
        assert_eq!(BucketName::new(""), Err(InvalidBucketName::Empty));
        for bad in ["a.b", "a b", "a/b", "*", ">", "a\n"] {
            assert!(
                matches!(
                    BucketName::new(bad),
                    Err(InvalidBucketName::Character { .. })
                ),
                "{bad:?}"
            );
        }
        assert!(BucketName::new(&"b".repeat(MAX_BUCKET_NAME_LEN)).is_ok());
        assert!(BucketName::new(&"b".repeat(MAX_BUCKET_NAME_LEN + 1)).is_err());
    }

    #[test]
    fn subjects_allow_wildcards_only_as_whole_tokens() {
        for (good, wild) in [
            ("a.b", false),
            ("a.*.c", true),
            (">", true),
            ("$KV.B.>", true),
        ] {
            assert_eq!(Subject::new(good).map(|s| s.is_wild()), Ok(wild), "{good}");
        }
        for bad in ["", "a..b", ".a", "a.", "a.>.b", "a*", "a.b>", "a b", "a\0"] {
            assert!(Subject::new(bad).is_err(), "{bad:?}");
        }
    }
}
