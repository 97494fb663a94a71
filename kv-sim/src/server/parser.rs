//! The server's side of the client protocol: bytes of a client to operations.
//!
//! Written from the protocol and not from the client's codec, so that no mistake can be shared. It
//! accepts exactly what the real server accepts (verbs in any case, blanks and tabs, LF alone after a
//! control line) and fails where the real one fails.
//!
//! ```text
//! verb ──blank──► arguments ──LF──► operation
//!                     └── PUB, HPUB ──► payload ──CR LF──► operation
//! ```

use bytes::{Bytes, BytesMut};

/// Something a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Connect(Bytes),
    Publish(Publish),
    Subscribe {
        subject: Bytes,
        queue: Option<Bytes>,
        sid: Bytes,
    },
    Unsubscribe {
        sid: Bytes,
        max: Option<u64>,
    },
    Ping,
    Pong,
}

/// A published message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) subject: Bytes,
    pub(super) reply: Bytes,
    pub(super) headers: Bytes,
    pub(super) payload: Bytes,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Closed without a word.
    Silent,
    UnknownOperation,
    ControlLine,
    MaxPayload,
    NotAuthorized,
}

/// What the connection allows at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) awaits_auth: bool,
    pub(super) headers: bool,
    pub(super) max_control_line: usize,
    pub(super) max_payload: usize,
}

/// One connection's unread bytes, and how far they are understood.
#[derive(Debug, Default)]
pub(super) struct Parser {
    buffer: BytesMut,
    /// So many of them are known to hold no line's end.
    searched: usize,
    /// A PUB whose payload has not all come.
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    subject: Bytes,
    reply: Bytes,
    header_size: usize,
    size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Connect,
    Pub,
    Hpub,
    Sub,
    Unsub,
    Ping,
    Pong,
    Info,
    PlusOk,
    Err,
}

impl Verb {
    fn has_arguments(self) -> bool {
        matches!(self, Self::Pub | Self::Hpub | Self::Sub | Self::Unsub)
    }
}

/// Room is made for so many bytes at least.
const ROOM: usize = 1024;
/// No operation has more.
const MAX_ARGUMENTS: usize = 4;

/// `blank`: the verb must be followed by one.
const VERBS: [(&[u8], Verb, bool); 10] = [
    (b"CONNECT", Verb::Connect, false),
    (b"PUB", Verb::Pub, true),
    (b"HPUB", Verb::Hpub, true),
    (b"SUB", Verb::Sub, true),
    (b"UNSUB", Verb::Unsub, true),
    (b"PING", Verb::Ping, false),
    (b"PONG", Verb::Pong, false),
    (b"INFO", Verb::Info, true),
    (b"+OK", Verb::PlusOk, false),
    (b"-ERR", Verb::Err, true),
];

impl Parser {
    /// Adds what came from the socket.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.buffer.capacity() - self.buffer.len() < bytes.len() {
            self.buffer.reserve(bytes.len().max(ROOM));
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next operation; `None` when more bytes are needed.
    pub(super) fn next(&mut self, rules: Rules) -> Result<Option<Operation>, Fault> {
        loop {
            if self.pending.is_some() {
                return self.payload();
            }
            let first = self.buffer.first();
            if rules.awaits_auth && first.is_some_and(|first| !first.eq_ignore_ascii_case(&b'C')) {
                return Err(Fault::NotAuthorized);
            }
            let Some((verb, after)) = verb(&self.buffer)? else {
                return Ok(None);
            };
            let Some(line) = self.line(verb, after, rules.max_control_line)? else {
                return Ok(None);
            };
            if let Some(operation) = self.control(verb, line, rules)? {
                return Ok(Some(operation));
            }
        }
    }

    /// Cuts off a whole control line; returns its arguments.
    fn line(&mut self, verb: Verb, after: usize, limit: usize) -> Result<Option<Bytes>, Fault> {
        let rest = self.buffer.get(after..).unwrap_or_default();
        let skip = rest
            .iter()
            .take_while(|byte| **byte == b' ' || **byte == b'\t');
        let start = after + skip.count();
        let arguments = self.buffer.get(start..).unwrap_or_default();
        let limited = verb != Verb::Ping && verb != Verb::Pong;
        let fresh = self.searched.max(start);
        let unread = self.buffer.get(fresh..).unwrap_or_default();
        let Some(length) = unread.iter().position(|byte| *byte == b'\n') else {
            if limited && arguments.len() > limit {
                return Err(Fault::ControlLine);
            }
            self.searched = self.buffer.len();
            return Ok(None);
        };
        self.searched = 0;
        let end = fresh + length;
        let cr = end > start && self.buffer.get(end - 1) == Some(&b'\r');
        let line_end = end - usize::from(cr);
        if limited && line_end - start > limit {
            return Err(Fault::ControlLine);
        }
        let line = self.buffer.split_to(end + 1).freeze();
        Ok(Some(line.slice(start..line_end)))
    }

    fn control(
        &mut self,
        verb: Verb,
        line: Bytes,
        rules: Rules,
    ) -> Result<Option<Operation>, Fault> {
        let mut arguments = [[].as_slice(); MAX_ARGUMENTS + 1];
        let words = line
            .split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
            .filter(|argument| !argument.is_empty());
        let mut count = 0;
        if verb.has_arguments() {
            for (place, word) in arguments.iter_mut().zip(words) {
                *place = word;
                count += 1;
            }
        }
        let arguments = arguments.get(..count).unwrap_or_default();
        match verb {
            Verb::Connect => Ok(Some(Operation::Connect(line))),
            Verb::Ping => Ok(Some(Operation::Ping)),
            Verb::Pong => Ok(Some(Operation::Pong)),
            Verb::Info | Verb::PlusOk => Ok(None),
            Verb::Err => Err(Fault::Silent),
            Verb::Sub => subscribe(arguments).map(Some),
            Verb::Unsub => unsubscribe(arguments).map(Some),
            Verb::Pub => {
                let pending = publish(&line, arguments)?;
                self.expect(pending, rules)
            }
            Verb::Hpub => {
                if !rules.headers {
                    return Err(Fault::Silent);
                }
                let pending = publish_with_headers(&line, arguments)?;
                self.expect(pending, rules)
            }
        }
    }

    fn expect(&mut self, pending: Pending, rules: Rules) -> Result<Option<Operation>, Fault> {
        if pending.size > rules.max_payload {
            return Err(Fault::MaxPayload);
        }
        self.pending = Some(pending);
        self.payload()
    }

    fn payload(&mut self) -> Result<Option<Operation>, Fault> {
        let Some(pending) = &self.pending else {
            return Ok(None);
        };
        let end = pending.size;
        match (self.buffer.get(end), self.buffer.get(end + 1)) {
            (None, _) | (Some(b'\r'), None) => return Ok(None),
            (Some(b'\r'), Some(b'\n')) => {}
            (Some(_), _) => return Err(Fault::UnknownOperation),
        }
        let Some(pending) = self.pending.take() else {
            return Ok(None);
        };
        let mut payload = self.buffer.split_to(end + 2).freeze();
        payload.truncate(end);
        let headers = payload.split_to(pending.header_size);
        Ok(Some(Operation::Publish(Publish {
            subject: pending.subject,
            reply: pending.reply,
            headers,
            payload,
        })))
    }
}

/// The verb at the beginning, and where its arguments may begin; `None` when it may still become one.
fn verb(buffer: &[u8]) -> Result<Option<(Verb, usize)>, Fault> {
    let Some(first) = buffer.first().map(u8::to_ascii_uppercase) else {
        return Ok(None);
    };
    for (name, verb, needs_blank) in VERBS {
        if name.first() != Some(&first) {
            continue;
        }
        let seen = buffer.len().min(name.len());
        let same = buffer.get(..seen).zip(name.get(..seen));
        if !same.is_some_and(|(seen, name)| seen.eq_ignore_ascii_case(name)) {
            continue;
        }
        if buffer.len() < name.len() {
            return Ok(None);
        }
        return match buffer.get(name.len()) {
            _ if !needs_blank => Ok(Some((verb, name.len()))),
            None => Ok(None),
            Some(b' ' | b'\t') => Ok(Some((verb, name.len() + 1))),
            Some(_) => Err(Fault::UnknownOperation),
        };
    }
    Err(Fault::UnknownOperation)
}

fn subscribe(arguments: &[&[u8]]) -> Result<Operation, Fault> {
    let (subject, queue, sid) = match arguments {
        [subject, sid] => (subject, None, sid),
        [subject, queue, sid] => (subject, Some(Bytes::copy_from_slice(queue)), sid),
        _ => return Err(Fault::Silent),
    };
    Ok(Operation::Subscribe {
        subject: Bytes::copy_from_slice(subject),
        queue,
        sid: Bytes::copy_from_slice(sid),
    })
}

fn unsubscribe(arguments: &[&[u8]]) -> Result<Operation, Fault> {
    let (sid, max) = match arguments {
        [sid] => (sid, None),
        [sid, max] => (sid, size(max).and_then(|max| u64::try_from(max).ok())),
        _ => return Err(Fault::Silent),
    };
    let sid = Bytes::copy_from_slice(sid);
    Ok(Operation::Unsubscribe { sid, max })
}

fn publish(line: &Bytes, arguments: &[&[u8]]) -> Result<Pending, Fault> {
    let (subject, reply, bytes) = match arguments {
        [subject, bytes] => (subject, [].as_slice(), bytes),
        [subject, reply, bytes] => (subject, *reply, bytes),
        _ => return Err(Fault::Silent),
    };
    Ok(Pending {
        subject: line.slice_ref(subject),
        reply: line.slice_ref(reply),
        header_size: 0,
        size: size(bytes).ok_or(Fault::Silent)?,
    })
}

fn publish_with_headers(line: &Bytes, arguments: &[&[u8]]) -> Result<Pending, Fault> {
    let (subject, reply, headers, bytes) = match arguments {
        [subject, headers, bytes] => (subject, [].as_slice(), headers, bytes),
        [subject, reply, headers, bytes] => (subject, *reply, headers, bytes),
        _ => return Err(Fault::Silent),
    };
    let header_size = size(headers).ok_or(Fault::Silent)?;
    let size = size(bytes).ok_or(Fault::Silent)?;
    if header_size > size {
        return Err(Fault::Silent);
    }
    Ok(Pending {
        subject: line.slice_ref(subject),
        reply: line.slice_ref(reply),
        header_size,
        size,
    })
}

/// A size of at most nine digits, the server's own limit.
fn size(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        awaits_auth: false,
        headers: true,
        max_control_line: 4096,
        max_payload: 1024,
    };

    fn all(bytes: &[u8], chunk: usize) -> (Vec<Operation>, Option<Fault>) {
        let (mut parser, mut out) = (Parser::default(), Vec::new());
        for chunk in bytes.chunks(chunk) {
            parser.push(chunk);
            loop {
                match parser.next(RULES) {
                    Ok(Some(operation)) => out.push(operation),
                    Ok(None) => break,
                    Err(fault) => return (out, Some(fault)),
                }
            }
        }
        (out, None)
    }

    #[test]
    fn every_split_reads_the_same() {
        let bytes = b"CONNECT {\"verbose\":false}\r\nping\r\npub\ta.b  r  2\r\nhi\r\nSUB x.> q 7\nUNSUB 7 3 \r\n\
            HPUB h 12 13\r\nNATS/1.0\r\n\r\np\r\nPINGxyz\r\nSUB a  1\r\n+OK\r\nPONG\r\n";
        let (whole, fault) = all(bytes, bytes.len());
        assert_eq!(fault, None);
        assert_eq!(whole.len(), 9);
        for chunk in 1..bytes.len() {
            assert_eq!(
                all(bytes, chunk),
                (whole.clone(), None),
                "chunks of {chunk}"
            );
        }
    }

    #[test]
    fn faults_are_the_servers() {
        for (bytes, fault) in [
            (&b"\r\n"[..], Fault::UnknownOperation),
            (b"X", Fault::UnknownOperation),
            (b"MSG a 1 0\r\n\r\n", Fault::UnknownOperation),
            (b"PUB a 2\r\nhi\n", Fault::UnknownOperation),
            (b"PUB a 2\r\nhix\r\n", Fault::UnknownOperation),
            (b"PUB a 1025\r\n", Fault::MaxPayload),
            (b"PUB foo\r\n", Fault::Silent),
            (b"PUB a b c 1\r\n", Fault::Silent),
            (b"PUB a x\r\n", Fault::Silent),
            (b"HPUB a 20 10\r\n", Fault::Silent),
            (b"SUB a\r\n", Fault::Silent),
            (b"-ERR 'x'\r\n", Fault::Silent),
        ] {
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(all(bytes, 64), (Vec::new(), Some(fault)), "{shown:?}");
        }
        let line = |n: usize| [b"SUB ".as_slice(), &vec![b'a'; n - 2], b" 1\r\n"].concat();
        assert_eq!(all(&line(4096), 9000).1, None);
        assert_eq!(all(&line(4097), 9000).1, Some(Fault::ControlLine));
    }

    #[test]
    fn random_bytes_do_not_panic() {
        let mut rng = crate::server::rng::Rng::new(7);
        let words: [&[u8]; 12] = [
            b"PUB ",
            b"HPUB ",
            b"SUB ",
            b"UNSUB ",
            b"a ",
            b"2",
            b"12 ",
            b"\r\n",
            b"\n",
            b"hi",
            b"CONNECT {",
            b"\xff",
        ];
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.below(12))
                .flat_map(|_| words[rng.below(12) as usize].to_vec())
                .collect();
            let _ = all(&bytes, 1 + rng.below(9) as usize);
        }
    }
}
