//! Subject mappings of `republish`: `>` to `>`, and `*` by number, as `$1` or `{{wildcard(1)}}`.

use crate::server::subject::{is_valid, matches, tokens};

/// Whether `from` can be mapped to `to`: both end alike, and `to` has no bare `*`.
pub(crate) fn is_transform(from: &str, to: &str) -> bool {
    let stars = |text: &str| {
        tokens(text.as_bytes())
            .filter(|token| *token == b"*")
            .count()
    };
    let full = |text: &str| text == ">" || text.ends_with(".>");
    let captured = stars(from);
    let mut numbers = to.split('.').filter_map(captured_number);
    is_valid(from.as_bytes())
        && is_valid(to.as_bytes())
        && stars(to) == 0
        && full(from) == full(to)
        && numbers.all(|number| (1..=captured).contains(&number))
}

/// Maps a subject, `None` if it does not match.
pub(crate) fn transform(subject: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    let from = from.as_bytes();
    if !matches(subject, from) {
        return None;
    }
    let mut captured = Vec::new();
    let mut rest: Vec<&[u8]> = Vec::new();
    let mut have = tokens(subject);
    for want in tokens(from) {
        if want == b">" {
            rest = have.by_ref().collect();
        } else if let Some(token) = have.next()
            && want == b"*"
        {
            captured.push(token);
        }
    }
    let mut out: Vec<&[u8]> = Vec::new();
    for want in to.split('.') {
        match captured_number(want) {
            Some(number) => out.push(captured.get(number.checked_sub(1)?).copied()?),
            None if want == ">" => out.extend(rest.iter()),
            None => out.push(want.as_bytes()),
        }
    }
    Some(out.join(&b'.'))
}

/// The number of the wildcard that a token of a destination stands for.
fn captured_number(token: &str) -> Option<usize> {
    let long = token
        .strip_prefix("{{wildcard(")
        .and_then(|rest| rest.strip_suffix(")}}"));
    long.or_else(|| token.strip_prefix('$'))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_tails_and_tokens() {
        let map = |subject: &str, from, to| transform(subject.as_bytes(), from, to);
        assert_eq!(
            map("$KV.b.a.b", "$KV.b.>", "r.>").as_deref(),
            Some(b"r.a.b".as_slice())
        );
        assert_eq!(map("a.b", ">", "r.>").as_deref(), Some(b"r.a.b".as_slice()));
        assert_eq!(
            map("a.b", "a.*", "x.$1.y").as_deref(),
            Some(b"x.b.y".as_slice())
        );
        assert_eq!(map("b", "a.>", "r.>"), None);
        assert!(!is_transform("a.*", "b.*"));
    }
}
