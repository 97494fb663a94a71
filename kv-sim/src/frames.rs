//! Watches the bytes that a client hands over, and tells where frames of calls begin and end.
//!
//! Only what is needed for that is read: the sizes of `PUB` and `HPUB`, and the number of the call at the
//! front of the payload. What is odd is left to the server's parser.

use crate::history::CallId;
use crate::oracle::call_of;

/// A frame that a call sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It has begun; `when` is whatever [`Frames::push`] was told at its first byte.
    Begun { call: CallId, when: u64 },
    /// All of it has left.
    Whole { call: CallId },
    /// A message of that size was begun, while a limit was known.
    Size { size: usize, limit: usize },
}

/// The longest part of a payload that is looked at.
const HEAD: usize = 12;

#[derive(Debug, Default)]
pub(crate) struct Frames {
    line: Vec<u8>,
    /// When the frame at hand was begun, and the limit known then.
    begun: (u64, usize),
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    /// Bytes that are left, with the line's end.
    left: usize,
    /// Header bytes that are left.
    headers: usize,
    head: Vec<u8>,
    call: Option<CallId>,
}

impl Frames {
    /// Takes bytes that left at a moment when that limit was known; tells what is seen in them.
    pub(crate) fn push(
        &mut self,
        mut bytes: &[u8],
        when: u64,
        limit: usize,
        mut seen: impl FnMut(Seen),
    ) {
        while !bytes.is_empty() {
            let Some(body) = &mut self.body else {
                if self.line.is_empty() {
                    self.begun = (when, limit);
                }
                let end = bytes.iter().position(|byte| *byte == b'\n');
                let (line, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                self.line.extend_from_slice(line);
                bytes = rest;
                if end.is_some() {
                    self.body = body_of(&self.line);
                    self.line.clear();
                    if let Some(body) = &self.body {
                        let size = body.left.saturating_sub(2);
                        seen(Seen::Size {
                            size,
                            limit: self.begun.1,
                        });
                    }
                }
                continue;
            };
            let (part, rest) = bytes.split_at(bytes.len().min(body.left));
            bytes = rest;
            body.left -= part.len();
            let skip = body.headers.min(part.len());
            body.headers -= skip;
            if body.call.is_none() {
                let payload = part.get(skip..).unwrap_or_default();
                let wanted = HEAD.saturating_sub(body.head.len()).min(payload.len());
                body.head
                    .extend_from_slice(payload.get(..wanted).unwrap_or_default());
                body.call = call_of(&body.head);
                if let Some(call) = body.call {
                    seen(Seen::Begun {
                        call,
                        when: self.begun.0,
                    });
                }
            }
            if body.left == 0 {
                if let Some(call) = body.call {
                    seen(Seen::Whole { call });
                }
                self.body = None;
            }
        }
    }

    /// Whether a frame is begun that does not say yet whose it is.
    pub(crate) fn is_anonymous(&self) -> bool {
        !self.line.is_empty() || self.body.as_ref().is_some_and(|body| body.call.is_none())
    }
}

fn body_of(line: &[u8]) -> Option<Body> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let verb = words.next()?;
    let mut sizes = words.rev();
    let size: usize = match verb {
        "PUB" | "HPUB" => sizes.next()?.parse().ok()?,
        _ => return None,
    };
    let headers = if verb == "HPUB" {
        sizes.next()?.parse().ok()?
    } else {
        0
    };
    Some(Body {
        left: size + 2,
        headers,
        head: Vec::new(),
        call: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_seen_in_any_pieces() {
        let bytes = b"CONNECT {}\r\nPING\r\nPUB a.b re 5\r\n12:xx\r\nHPUB a.c re 12 15\r\nNATS/1.0\r\n\r\n13:\r\nPUB q 1\r\nx\r\n";
        let call = CallId;
        let expected = [
            Seen::Size { size: 5, limit: 9 },
            Seen::Begun {
                call: call(12),
                when: 7,
            },
            Seen::Whole { call: call(12) },
            Seen::Size { size: 15, limit: 9 },
            Seen::Begun {
                call: call(13),
                when: 7,
            },
            Seen::Whole { call: call(13) },
            Seen::Size { size: 1, limit: 9 },
        ];
        for size in 1..bytes.len() {
            let mut frames = Frames::default();
            let mut all = Vec::new();
            for piece in bytes.chunks(size) {
                frames.push(piece, 7, 9, |seen| all.push(seen));
            }
            assert_eq!(all, expected, "{size}");
        }
    }
}
