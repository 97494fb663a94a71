//! JSON as Go's encoder writes it: member order as given, and `<`, `>`, `&` escaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kv_proto::Timestamp;

/// Builds an object member by member, as Go's encoder would print it.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    out: String,
    first: bool,
}

impl Writer {
    pub(crate) fn object() -> Self {
        let out = "{".to_owned();
        Self { out, first: true }
    }

    pub(crate) fn end(mut self) -> String {
        self.out.push('}');
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

    /// A member whose value is already JSON.
    pub(crate) fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        quote_into(&mut self.out, name);
        self.out.push(':');
        self.out.push_str(json);
        self
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw(name, &quote(value))
    }

    pub(crate) fn number(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.raw(name, &value.to_string())
    }

    pub(crate) fn bool(&mut self, name: &str, value: bool) -> &mut Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    pub(crate) fn time(&mut self, name: &str, value: Option<Timestamp>) -> &mut Self {
        let text = value.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), go_time);
        self.raw(name, &format!("\"{text}\""))
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
    let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
    format!("[{}]", quoted.join(","))
}

/// A JSON string in Go's escaping.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote_into(&mut out, text);
    out
}

fn quote_into(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(is_escaped) {
        let (plain, escaped) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = escaped.chars();
        if let Some(c) = chars.next() {
            escape_into(out, c);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

fn is_escaped(c: char) -> bool {
    matches!(
        c,
        '"' | '\\' | '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}'
    )
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
        _ => {
            let _ = write!(out, "\\u{:04x}", u32::from(c)); // a String takes it
            return;
        }
    };
    out.push_str(short);
}

/// RFC 3339 with as many fractional digits as needed, the form Go gives times.
pub(crate) fn go_time(time: Timestamp) -> String {
    let full = time.to_string();
    let Some((seconds, rest)) = full.split_once('.') else {
        return full;
    };
    let fraction = rest.trim_end_matches('Z').trim_end_matches('0');
    if fraction.is_empty() {
        return format!("{seconds}Z");
    }
    let mut out = String::with_capacity(full.len());
    let _ = write!(out, "{seconds}.{fraction}Z"); // writing to a String cannot fail
    out
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
