//! Subjects as byte strings: validity, wildcards, overlap.
//!
//! A publish may name any subject without blanks, empty tokens included, so these functions take raw
//! bytes and never fail.

/// Splits into tokens.
pub(crate) fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> {
    subject.split(|byte| *byte == b'.')
}

/// Returns the `n`th token, counted from 1 as the server does.
pub(crate) fn token(subject: &str, n: usize) -> &str {
    subject.split('.').nth(n.saturating_sub(1)).unwrap_or("")
}

/// Whether it can be subscribed to: no empty token, no blank, `>` only at the end.
pub(crate) fn is_valid(subject: &[u8]) -> bool {
    if subject.is_empty() {
        return false;
    }
    let mut ended = false;
    for token in tokens(subject) {
        if ended || token.is_empty() || token.iter().any(|byte| b" \t\n\r\x0c".contains(byte)) {
            return false;
        }
        ended = token == b">";
    }
    true
}

/// Whether it has a wildcard token.
pub(crate) fn has_wildcard(subject: &[u8]) -> bool {
    tokens(subject).any(|token| token == b"*" || token == b">")
}

/// How many bytes come before the first wildcard token.
pub(crate) fn literal_prefix(subject: &[u8]) -> usize {
    let literal = tokens(subject).take_while(|token| !matches!(*token, b"*" | b">"));
    let length: usize = literal.map(|token| token.len() + 1).sum();
    length.min(subject.len())
}

/// Whether it is valid and without wildcards.
pub(crate) fn is_literal(subject: &[u8]) -> bool {
    is_valid(subject) && !has_wildcard(subject)
}

/// Whether every subject that matches `subject` (a literal or a pattern) matches `pattern` too. A subject
/// with an empty token matches nothing.
pub(crate) fn matches(subject: &[u8], pattern: &[u8]) -> bool {
    // Most differ from the first byte on.
    if let (Some(have), Some(want)) = (subject.first(), pattern.first())
        && have != want
        && !matches!(want, b'*' | b'>')
    {
        return false;
    }
    let mut subject = tokens(subject);
    for want in tokens(pattern) {
        match (want, subject.next()) {
            (b">", Some(have)) => return !have.is_empty() && subject.all(|rest| !rest.is_empty()),
            (_, None) | (b"*", Some(b">")) => return false,
            (b"*", Some(have)) if !have.is_empty() => {}
            (want, Some(have)) if want == have => {}
            (_, Some(_)) => return false,
        }
    }
    subject.next().is_none()
}

/// Whether some subject matches both patterns.
pub(crate) fn overlap(a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (tokens(a), tokens(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(x), Some(y)) if x == y || x == b"*" || y == b"*" => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

/// Whether a stream or consumer can have that name.
pub(crate) fn is_asset_name(name: &str) -> bool {
    !name.is_empty() && !name.contains([' ', '\t', '\r', '\n', '\x0c', '.', '*', '>', '\\', '/'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_server_does() {
        for (subject, pattern, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.*", true),
            ("a.b", "a.>", true),
            ("a", "a.>", false),
            ("a.b.c", "a.*", false),
            ("a.>", "a.*", false),
            ("a.*", "a.>", true),
            ("a.>", "a.>", true),
            ("a*", "a*", true),
            ("ab", "a*", false),
            ("a..b", "a.*.b", false),
            ("a.b", ">", true),
        ] {
            let got = matches(subject.as_bytes(), pattern.as_bytes());
            assert_eq!(got, expected, "{subject} against {pattern}");
        }
    }

    #[test]
    fn overlap_is_symmetric() {
        for (a, b, expected) in [
            ("a.*", "*.b", true),
            ("a.>", "a", false),
            ("a.b", "a.c", false),
            (">", "x", true),
            ("a.*.c", "a.b.>", true),
        ] {
            assert_eq!(overlap(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(overlap(b.as_bytes(), a.as_bytes()), expected, "{b} {a}");
        }
    }

    #[test]
    fn validity() {
        for good in ["a", "a.b", "a.*", "a.>", ">", "f*o", "$KV.b.k"] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a.>.b", "a b"] {
            assert!(!is_valid(bad.as_bytes()), "{bad:?}");
        }
    }
}
