//! JSON as Go's encoder writes it and Go's decoder reads it.
//!
//! Own code for two reasons: requests are strict or lenient by server version with Go's error texts, and
//! replies keep Go's member order and escapes (`>` is `\u003e`).

mod base64;
mod write;

pub(crate) use self::write::{Writer, go_time, texts};

/// Deeper than any request, shallow enough for the stack.
const MAX_DEPTH: usize = 64;

/// A JSON value; numbers keep their text, members their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Why text is no JSON, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Syntax {
    text: String,
    offset: usize,
}

impl Syntax {
    /// What `json.Unmarshal` says.
    pub(crate) fn plain(&self) -> String {
        self.text.clone()
    }

    /// What the server's strict decoder says.
    pub(crate) fn located(&self) -> String {
        if self.text == "unexpected EOF" {
            return self.text.clone(); // the streaming decoder's own error, not a syntax error
        }
        format!("{} at offset {}", self.text, self.offset)
    }
}

impl Json {
    /// Reads one value that fills the whole text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Syntax> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.blanks();
        match reader.peek() {
            None => Ok(value),
            Some(byte) => Err(reader.unexpected(byte, "after top-level value")),
        }
    }

    /// Reads as a streaming decoder does: several values may follow each other. None at all is `None`.
    pub(crate) fn parse_stream(text: &[u8]) -> Result<Option<Self>, Syntax> {
        let mut reader = Reader { text, at: 0 };
        let mut members: Option<Self> = None;
        loop {
            reader.blanks();
            if reader.peek().is_none() {
                return Ok(members);
            }
            let next = match reader.value(0) {
                Ok(next) => next,
                Err(syntax) if syntax.text == "unexpected end of JSON input" => {
                    let text = "unexpected EOF".to_owned();
                    return Err(Syntax { text, ..syntax });
                }
                Err(syntax) => return Err(syntax),
            };
            members = match (members, next) {
                (Some(Self::Object(mut first)), Self::Object(more)) => {
                    first.extend(more); // later members overwrite earlier ones
                    Some(Self::Object(first))
                }
                (_, next) => Some(next),
            };
        }
    }

    /// How Go names the kind of value in its errors.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| b" \t\r\n".contains(&byte)) {
            self.at += 1;
        }
    }

    fn end(&self) -> Syntax {
        Syntax {
            text: "unexpected end of JSON input".to_owned(),
            offset: self.text.len(),
        }
    }

    fn unexpected(&self, byte: u8, place: &str) -> Syntax {
        let shown = match byte {
            b'\'' => r"'\''".to_owned(),
            b'"' => "'\"'".to_owned(),
            b'\n' => r"'\n'".to_owned(),
            b'\t' => r"'\t'".to_owned(),
            b'\r' => r"'\r'".to_owned(),
            0x20..=0x7e => format!("'{}'", char::from(byte)),
            0xa1..=0xff => format!("'{}'", char::from(byte)),
            byte => format!("'\\x{byte:02x}'"),
        };
        Syntax {
            text: format!("invalid character {shown} {place}"),
            offset: self.at + 1,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, Syntax> {
        self.blanks();
        let Some(byte) = self.peek() else {
            return Err(self.end());
        };
        if depth > MAX_DEPTH {
            let text = "exceeded max depth".to_owned();
            return Err(Syntax {
                text,
                offset: self.at,
            });
        }
        match byte {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Json::Text),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            b'-' | b'0'..=b'9' => self.number(),
            other => Err(self.unexpected(other, "looking for beginning of value")),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, Syntax> {
        for (at, want) in word.bytes().enumerate() {
            match self.peek() {
                Some(byte) if byte == want => self.at += 1,
                Some(byte) => {
                    let place = format!("in literal {word} (expecting '{}')", char::from(want));
                    debug_assert!(at > 0);
                    return Err(self.unexpected(byte, &place));
                }
                None => return Err(self.end()),
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Json, Syntax> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            Some(byte) => return Err(self.unexpected(byte, "in numeric literal")),
            None => return Err(self.end()),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        Ok(Json::Number(String::from_utf8_lossy(text).into_owned()))
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, place: &str) -> Result<(), Syntax> {
        match self.peek() {
            Some(byte) if byte.is_ascii_digit() => {
                self.digits();
                Ok(())
            }
            Some(byte) => Err(self.unexpected(byte, place)),
            None => Err(self.end()),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, Syntax> {
        self.at += 1;
        let mut values = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(values));
                }
                Some(byte) => return Err(self.unexpected(byte, "after array element")),
                None => return Err(self.end()),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, Syntax> {
        self.at += 1;
        let mut members = Vec::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.blanks();
            match self.peek() {
                Some(b'"') => {}
                Some(byte) => {
                    let place = "looking for beginning of object key string";
                    return Err(self.unexpected(byte, place));
                }
                None => return Err(self.end()),
            }
            let name = self.string()?;
            self.blanks();
            match self.peek() {
                Some(b':') => self.at += 1,
                Some(byte) => return Err(self.unexpected(byte, "after object key")),
                None => return Err(self.end()),
            }
            members.push((name, self.value(depth + 1)?));
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(members));
                }
                Some(byte) => return Err(self.unexpected(byte, "after object key:value pair")),
                None => return Err(self.end()),
            }
        }
    }

    fn string(&mut self) -> Result<String, Syntax> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let Some(byte) = self.peek() else {
                return Err(self.end());
            };
            match byte {
                b'"' => {
                    self.at += 1;
                    let whole = String::from_utf8(out);
                    return Ok(whole.unwrap_or_else(|bad| {
                        String::from_utf8_lossy(bad.as_bytes()).into_owned()
                    }));
                }
                b'\\' => {
                    self.at += 1;
                    let escaped = self.escape()?;
                    out.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return Err(self.unexpected(byte, "in string literal")),
                _ => {
                    let rest = self.text.get(self.at..).unwrap_or_default();
                    let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
                    let length = rest.iter().position(ends).unwrap_or(rest.len());
                    out.extend_from_slice(rest.get(..length).unwrap_or_default());
                    self.at += length;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Syntax> {
        let Some(byte) = self.peek() else {
            return Err(self.end());
        };
        let plain = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            other => return Err(self.unexpected(other, "in string escape code")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, Syntax> {
        let first = self.hex4()?;
        if let Some(decoded) = char::from_u32(first) {
            return Ok(decoded);
        }
        let is_high = (0xd800..0xdc00).contains(&first);
        if is_high && self.text.get(self.at..self.at + 2) == Some(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let joined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, Syntax> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(byte) = self.peek() else {
                return Err(self.end());
            };
            let Some(digit) = char::from(byte).to_digit(16) else {
                let place = r"in \u hexadecimal character escape";
                return Err(self.unexpected(byte, place));
            };
            value = value * 16 + digit;
            self.next();
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let json = Json::parse(br#" {"a": [1, -2.5e3, true, null], "b\u003e": "\ud83d\ude00\n"} "#);
        let expected = Json::Object(vec![
            (
                "a".to_owned(),
                Json::Array(vec![
                    Json::Number("1".to_owned()),
                    Json::Number("-2.5e3".to_owned()),
                    Json::Bool(true),
                    Json::Null,
                ]),
            ),
            ("b>".to_owned(), Json::Text("\u{1f600}\n".to_owned())),
        ]);
        assert_eq!(json, Ok(expected));
    }

    #[test]
    fn any_bytes_are_read_without_panic() {
        let mut rng = crate::server::rng::Rng::new(1);
        let alphabet = b"{}[]\",:\\u0019aetrufalsn-+.eE \n\xff";
        for _ in 0..20_000 {
            let text: Vec<u8> = (0..rng.below(24))
                .map(|_| alphabet[rng.below(alphabet.len() as u64) as usize])
                .collect();
            let _ = Json::parse(&text);
            let _ = Json::parse_stream(&text);
        }
    }
}
