//! What a message is, in a few words: `put k1 @4`, `error 10071`, `PING`.
//!
//! The words are for people who look at a picture. What is odd is shown as it is.

use super::record::Frame;
use crate::fault::Way;

/// The kinds of messages, by which a picture colours and filters them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Handshake,
    Ping,
    Interest,
    Write,
    Read,
    Api,
    Publish,
    Reply,
    Refusal,
    Delivery,
    Beat,
    Odd,
}

impl Kind {
    pub(super) const ALL: [Self; 12] = [
        Self::Write,
        Self::Read,
        Self::Api,
        Self::Publish,
        Self::Reply,
        Self::Refusal,
        Self::Delivery,
        Self::Beat,
        Self::Handshake,
        Self::Interest,
        Self::Ping,
        Self::Odd,
    ];

    /// The short name, as classes of style have it.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Handshake => "hand",
            Self::Ping => "ping",
            Self::Interest => "sub",
            Self::Write => "write",
            Self::Read => "read",
            Self::Api => "api",
            Self::Publish => "pub",
            Self::Reply => "reply",
            Self::Refusal => "refusal",
            Self::Delivery => "delivery",
            Self::Beat => "beat",
            Self::Odd => "odd",
        }
    }

    /// What the legend says.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshakes",
            Self::Ping => "pings",
            Self::Interest => "subscriptions",
            Self::Write => "writes",
            Self::Read => "reads",
            Self::Api => "JetStream API",
            Self::Publish => "other publishes",
            Self::Reply => "replies",
            Self::Refusal => "errors",
            Self::Delivery => "deliveries",
            Self::Beat => "heartbeats",
            Self::Odd => "unreadable",
        }
    }
}

/// A message, as far as it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gist {
    pub(super) kind: Kind,
    /// What it is, in a few words.
    pub(super) brief: String,
    /// Its subject, if it has one.
    pub(super) subject: String,
    /// Where an answer is to go, if one is wanted.
    pub(super) reply: String,
    /// Its control line, header lines and payload, one a line, escaped.
    pub(super) lines: Vec<String>,
}

impl Gist {
    pub(super) fn of(frame: &Frame) -> Self {
        let (line, rest) = split_line(&frame.head);
        let text = printable(line);
        let mut words = text.split(' ');
        let verb = words.next().unwrap_or_default();
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let simple = |kind, brief: String| Self {
            kind,
            brief,
            subject: String::new(),
            reply: String::new(),
            lines: vec![text.clone()],
        };
        match (verb, frame.way) {
            ("INFO", _) => {
                let name = json_text(line, "server_name").unwrap_or_default();
                let ldm = find(line, b"\"ldm\":true").map_or("", |_| ", lame duck");
                simple(Kind::Handshake, format!("INFO {name}{ldm}"))
            }
            ("CONNECT", _) => simple(Kind::Handshake, verb.into()),
            ("PING" | "PONG" | "+OK", _) => simple(Kind::Ping, verb.into()),
            ("-ERR", Way::Down) => simple(Kind::Refusal, text.clone()),
            ("SUB" | "UNSUB", Way::Up) => {
                let words: Vec<String> = words.iter().map(|word| tidy(word)).collect();
                simple(Kind::Interest, format!("{verb} {}", words.join(" ")))
            }
            ("PUB" | "HPUB", Way::Up) | ("MSG" | "HMSG", Way::Down) => {
                let headed = verb.starts_with('H');
                let sizes = 1 + usize::from(headed);
                let names = words.len().saturating_sub(sizes);
                let (names, sizes) = words.split_at_checked(names).unwrap_or((&[], &[]));
                let subject = names.first().copied().unwrap_or_default().to_owned();
                let fixed = 1 + usize::from(frame.way == Way::Down);
                let reply = names.get(fixed).copied().unwrap_or_default().to_owned();
                let header = sizes.first().filter(|_| headed);
                let header = header.and_then(|size| size.parse().ok()).unwrap_or(0);
                let message = Message::new(&subject, rest, header, frame);
                let (kind, brief) = match frame.way {
                    Way::Up => message.asked(),
                    Way::Down => message.came(&reply),
                };
                let mut lines = vec![text.clone()];
                message.write_lines(&mut lines);
                Self {
                    kind,
                    brief,
                    subject,
                    reply,
                    lines,
                }
            }
            _ => simple(Kind::Odd, text.clone()),
        }
    }
}

/// A message with a subject.
struct Message<'a> {
    subject: &'a str,
    header: &'a [u8],
    payload: &'a [u8],
    /// Bytes that were sent and not kept.
    missing: usize,
}

impl<'a> Message<'a> {
    fn new(subject: &'a str, rest: &'a [u8], header: usize, frame: &Frame) -> Self {
        let (header, payload) = rest.split_at(header.min(rest.len()));
        let missing = frame.size.saturating_sub(frame.head.len());
        let end = frame.whole && missing == 0;
        let payload = payload
            .strip_suffix(b"\r\n")
            .filter(|_| end)
            .unwrap_or(payload);
        Self {
            subject,
            header,
            payload,
            missing,
        }
    }

    /// What a client publishes.
    fn asked(&self) -> (Kind, String) {
        if self.subject.starts_with("$KV.") || self.subject.contains(".API.$KV.") {
            let verb = self.header_value("KV-Operation").unwrap_or("put".into());
            let expected = self.header_value("Nats-Expected-Last-Subject-Sequence");
            let expected = expected.map_or(String::new(), |at| format!(" @{at}"));
            let value = self.start_of_payload();
            let verb = verb.to_ascii_lowercase();
            return (
                Kind::Write,
                format!("{verb} {}{expected}{value}", tidy(self.subject)),
            );
        }
        let subject = tidy(self.subject);
        if self.subject.contains(".DIRECT.GET.") || self.subject.contains(".MSG.GET.") {
            (Kind::Read, format!("{subject}{}", self.asked_about()))
        } else if self.subject.starts_with("$JS.FC.") {
            (Kind::Beat, "flow control".into())
        } else if call_of(self.subject).is_some() {
            (Kind::Api, subject)
        } else {
            let value = self.start_of_payload();
            (Kind::Publish, format!("{subject}{value}"))
        }
    }

    /// What a server delivers.
    fn came(&self, reply: &str) -> (Kind, String) {
        let status = self
            .header
            .strip_prefix(b"NATS/1.0 ")
            .map(|rest| split_line(rest).0);
        if let Some(status) = status {
            let text = printable(status);
            let kind = if text.starts_with("100") {
                Kind::Beat
            } else {
                Kind::Refusal
            };
            return (kind, text);
        }
        if let Some(code) = json_number(self.payload, "err_code") {
            return (Kind::Refusal, format!("error {code}"));
        }
        if reply.starts_with("$JS.ACK.") {
            let key = self
                .header_value("Nats-Subject")
                .unwrap_or(self.subject.into());
            return (
                Kind::Delivery,
                format!("{}{}", tidy(&key), self.start_of_payload()),
            );
        }
        if let Some(seq) = self.header_value("Nats-Sequence") {
            let key = self.header_value("Nats-Subject").unwrap_or_default();
            return (
                Kind::Reply,
                format!("{} @{seq}{}", tidy(&key), self.start_of_payload()),
            );
        }
        let kind = json_text(self.payload, "type").unwrap_or_default();
        let kind = kind.rsplit('.').next().unwrap_or_default();
        let brief = if let Some(what) = kind.strip_suffix("_response") {
            what.replace('_', " ")
        } else if let Some(seq) = json_number(self.payload, "seq") {
            format!("seq {seq}")
        } else {
            self.start_of_payload().trim_start().to_owned()
        };
        (Kind::Reply, brief)
    }

    fn header_value(&self, name: &str) -> Option<String> {
        let mut lines = self.header.split(|byte| *byte == b'\n');
        let value = lines.find_map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            line.strip_prefix(name.as_bytes())?.strip_prefix(b":")
        });
        value.map(|value| printable(value.trim_ascii()))
    }

    /// What a read names in its payload rather than in its subject.
    fn asked_about(&self) -> String {
        let subject = json_text(self.payload, "last_by_subj").map(|subject| tidy(&subject));
        let seq = || json_number(self.payload, "seq").map(|seq| format!("seq {seq}"));
        let about = subject.or_else(seq);
        about.map_or(String::new(), |about| format!(" {about}"))
    }

    fn start_of_payload(&self) -> String {
        const SHOWN: usize = 10;
        let shown = self.payload.get(..SHOWN).unwrap_or(self.payload);
        if shown.is_empty() {
            return String::new();
        }
        format!(" {}", printable(shown))
    }

    fn write_lines(&self, lines: &mut Vec<String>) {
        const SHOWN: usize = 400;
        for line in self.header.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                lines.push(printable(line));
            }
        }
        let shown = self.payload.get(..SHOWN).unwrap_or(self.payload);
        let more = self.payload.len() - shown.len() + self.missing;
        let more = if more > 0 {
            format!(" … {more} bytes more")
        } else {
            String::new()
        };
        if !shown.is_empty() {
            lines.push(format!("\"{}\"{more}", printable(shown)));
        }
    }
}

/// The call of the JetStream API that a subject is, whichever domain it names.
fn call_of(subject: &str) -> Option<&str> {
    let rest = subject.strip_prefix("$JS.")?;
    let named = || rest.split_once('.')?.1.strip_prefix("API.");
    rest.strip_prefix("API.").or_else(named)
}

/// A subject as short as it can be told apart: what all have in common is left out.
fn tidy(subject: &str) -> String {
    if let Some((before, key)) = subject.split_once("$KV.") {
        let before = before.strip_suffix(".API.").map_or(before, |_| "");
        let key = key.split_once('.').map_or(key, |(_, key)| key);
        let before = tidy(before.trim_end_matches('.'));
        return if before.is_empty() {
            key.into()
        } else {
            format!("{before} {key}")
        };
    }
    if let Some(rest) = subject.strip_prefix("_INBOX.") {
        let (_, last) = rest.split_once('.').unwrap_or(("", rest));
        return format!("_INBOX…{last}");
    }
    let Some(api) = call_of(subject) else {
        return subject.into();
    };
    let is_verb = |token: &&str| token.bytes().all(|byte| byte.is_ascii_uppercase());
    let verb: Vec<&str> = api.split('.').take_while(is_verb).collect();
    let others = api.split('.').skip(verb.len());
    let others = others.filter(|token| !token.starts_with("KV_"));
    let all = [verb.join(".")]
        .into_iter()
        .chain(others.map(str::to_owned));
    all.collect::<Vec<_>>().join(" ")
}

/// Bytes as a person reads them: text as it is, anything else escaped.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() || char == '\\' {
                text.extend(char.escape_default());
            } else {
                text.push(char);
            }
        }
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
}

fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
    (line.trim_ascii_end(), rest)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What stands behind a name in JSON, wherever the name first stands.
fn json_value<'a>(json: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let name = format!("\"{name}\":");
    let at = find(json, name.as_bytes())? + name.len();
    json.get(at..)
}

fn json_number(json: &[u8], name: &str) -> Option<String> {
    let value = json_value(json, name)?;
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
    let digits: String = digits.map(|byte| char::from(*byte)).collect();
    (!digits.is_empty()).then_some(digits)
}

fn json_text(json: &[u8], name: &str) -> Option<String> {
    let value = json_value(json, name)?.strip_prefix(b"\"")?;
    let text = value.split(|byte| *byte == b'"').next()?;
    Some(printable(text))
}

#[cfg(test)]
mod tests;
