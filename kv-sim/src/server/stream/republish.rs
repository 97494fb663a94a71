//! Subject mappings of `republish`: `*` and `{{wildcard(n)}}`, `>` to `>`.

use crate::server::subject::{has_wildcard, is_valid, matches, tokens};

/// Whether `from` can be mapped to `to`: as many wildcards on both sides, in the simple forms.
pub(crate) fn is_transform(from: &str, to: &str) -> bool {
    if !is_valid(from.as_bytes()) || !is_valid(to.as_bytes()) {
        return false;
    }
    let stars = |text: &str| {
        tokens(text.as_bytes())
            .filter(|token| *token == b"*")
            .count()
    };
    let full = |text: &str| text == ">" || text.ends_with(".>");
    (stars(from) >= stars(to) && full(from) == full(to)) || !has_wildcard(to.as_bytes())
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
        } else if let Some(token) = have.next() {
            if want == b"*" {
                captured.push(token);
            }
        }
    }
    let mut stars = captured.into_iter();
    let mut out: Vec<&[u8]> = Vec::new();
    for want in tokens(to.as_bytes()) {
        match want {
            b"*" => out.push(stars.next().unwrap_or_default()),
            b">" => out.extend(rest.iter()),
            literal => out.push(literal),
        }
    }
    Some(out.join(&b'.'))
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
            map("a.b", "a.*", "x.*.y").as_deref(),
            Some(b"x.b.y".as_slice())
        );
        assert_eq!(map("b", "a.>", "r.>"), None);
    }
}
