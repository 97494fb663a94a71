//! JSON as Go's encoder writes it: member order as given, and `<`, `>`, `&` escaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kv_proto::Timestamp;

use super::base64::base64_into;

/// Enough for most answers.
const CAPACITY: usize = 240;

/// Builds an object member by member, as Go's encoder would print it.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    out: String,
    first: bool,
}

impl Writer {
    pub(crate) fn object() -> Self {
        let mut out = String::with_capacity(CAPACITY);
        out.push('{');
        Self { out, first: true }
    }

    pub(crate) fn end(mut self) -> String {
        self.out.push('}');
        self.out
    }

    /// What is written so far, for those who write on by themselves.
    pub(crate) fn unfinished(self) -> String {
        self.out
    }

    /// Adds the members of another object.
    pub(crate) fn extend(&mut self, other: Self) -> &mut Self {
        let members = other.out.get(1..).unwrap_or_default();
        if !self.first && !members.is_empty() {
            self.out.push(',');
        }
        self.first &= members.is_empty();
        self.out.push_str(members);
        self
    }

    fn name(&mut self, name: &str) -> &mut String {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        quote_into(&mut self.out, name);
        self.out.push(':');
        &mut self.out
    }

    /// A member whose value is already JSON.
    pub(crate) fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        self.name(name).push_str(json);
        self
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        quote_into(self.name(name), value);
        self
    }

    /// A text in parts that need no escapes.
    pub(crate) fn text_of(&mut self, name: &str, parts: &[&str]) -> &mut Self {
        let out = self.name(name);
        out.push('"');
        parts.iter().for_each(|part| out.push_str(part));
        out.push('"');
        self
    }

    /// Bytes in base64; none is no member.
    pub(crate) fn some_base64(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        if !bytes.is_empty() {
            let out = self.name(name);
            out.push('"');
            base64_into(out, bytes);
            out.push('"');
        }
        self
    }

    pub(crate) fn number(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        let _ = write!(self.name(name), "{value}"); // a String takes it
        self
    }

    pub(crate) fn bool(&mut self, name: &str, value: bool) -> &mut Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    pub(crate) fn time(&mut self, name: &str, value: Option<Timestamp>) -> &mut Self {
        let out = self.name(name);
        out.push('"');
        match value {
            Some(time) => go_time_into(out, time),
            None => out.push_str("0001-01-01T00:00:00Z"),
        }
        out.push('"');
        self
    }

    pub(crate) fn some_text(&mut self, name: &str, value: &str) -> &mut Self {
        if value.is_empty() {
            self
        } else {
            self.text(name, value)
        }
    }

    pub(crate) fn some_number<N>(&mut self, name: &str, value: N) -> &mut Self
    where
        N: std::fmt::Display + Default + PartialEq,
    {
        if value == N::default() {
            self
        } else {
            self.number(name, value)
        }
    }

    pub(crate) fn some_bool(&mut self, name: &str, value: bool) -> &mut Self {
        if value { self.bool(name, true) } else { self }
    }

    pub(crate) fn some_texts(&mut self, name: &str, values: &[String]) -> &mut Self {
        if values.is_empty() {
            self
        } else {
            self.raw(name, &texts(values))
        }
    }

    /// Objects that are written already.
    pub(crate) fn some_list(
        &mut self,
        name: &str,
        objects: impl Iterator<Item = String>,
    ) -> &mut Self {
        let objects: Vec<String> = objects.collect();
        if !objects.is_empty() {
            self.raw(name, &format!("[{}]", objects.join(",")));
        }
        self
    }

    pub(crate) fn some_map(&mut self, name: &str, map: &BTreeMap<String, String>) -> &mut Self {
        if map.is_empty() {
            return self;
        }
        let mut inner = Self::object();
        for (key, value) in map {
            inner.text(key, value);
        }
        self.raw(name, &inner.end())
    }
}

/// A JSON array of strings.
pub(crate) fn texts(values: &[String]) -> String {
    let mut out = "[".to_owned();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        quote_into(&mut out, value);
    }
    out.push(']');
    out
}

/// A JSON string in Go's escaping.
fn quote_into(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(is_special) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = special.chars();
        if let Some(c) = chars.next() {
            escape_into(out, c);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Whether a character is escaped that begins with this byte, or may be.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0..=0x1f | 0xe2)
}

fn escape_into(out: &mut String, c: char) {
    let short = match c {
        '"' => r#"\""#,
        '\\' => r"\\",
        '\n' => r"\n",
        '\r' => r"\r",
        '\t' => r"\t",
        '\u{8}' => r"\b",
        '\u{c}' => r"\f",
        '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => {
            let _ = write!(out, "\\u{:04x}", u32::from(c)); // a String takes it
            return;
        }
        plain => return out.push(plain),
    };
    out.push_str(short);
}

/// RFC 3339 with as many fractional digits as needed, the form Go gives times.
pub(crate) fn go_time(time: Timestamp) -> String {
    let mut out = String::with_capacity(32);
    go_time_into(&mut out, time);
    out
}

fn go_time_into(out: &mut String, time: Timestamp) {
    let start = out.len();
    let _ = write!(out, "{time}"); // writing to a String cannot fail
    let full = out.get(start..).unwrap_or_default();
    if full.contains('.') {
        let digits = full.trim_end_matches('Z').trim_end_matches('0');
        let end = start + digits.trim_end_matches('.').len();
        out.truncate(end);
        out.push('Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_trimmed() {
        let time = |nanos| go_time(Timestamp::from_unix_nanos(nanos));
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_500_000_000), "1970-01-01T00:00:01.5Z");
    }
}
