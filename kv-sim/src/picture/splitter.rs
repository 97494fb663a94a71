//! Tells where on a wire one message ends and the next begins.
//!
//! It takes the bytes of one direction, in any pieces, and reads of them the verb and the size of a payload.
//! What it cannot read is a line like any other: damaged bytes make odd messages, and never an error.

/// The longest control line whose sizes are read.
const MAX_LINE: usize = 8 * 1024;

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether a message begins with it.
    pub(super) begins: bool,
    /// Whether the message ends with it.
    pub(super) ends: bool,
}

#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The control line so far, while it is read.
    line: Vec<u8>,
    /// Bytes of the payload that are still to come, with the line's end.
    body: usize,
}

impl Splitter {
    /// Takes bytes and hands them on in parts of messages.
    pub(super) fn push<'a>(&mut self, mut bytes: &'a [u8], mut part: impl FnMut(Part<'a>)) {
        while !bytes.is_empty() {
            let begins = self.body == 0 && self.line.is_empty();
            let size = if self.body > 0 {
                self.body.min(bytes.len())
            } else {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                end.map_or(bytes.len(), |end| end + 1)
            };
            let (taken, rest) = bytes.split_at(size);
            bytes = rest;
            if self.body > 0 {
                self.body -= size;
            } else {
                self.line.extend_from_slice(taken);
                if taken.ends_with(b"\n") {
                    self.body = body_of(&self.line);
                    self.line.clear();
                } else if self.line.len() > MAX_LINE {
                    self.line.truncate(MAX_LINE);
                }
            }
            let ends = self.body == 0 && self.line.is_empty();
            part(Part {
                bytes: taken,
                begins,
                ends,
            });
        }
    }
}

/// The size of what follows a control line, with the end of the line behind it.
fn body_of(line: &[u8]) -> usize {
    let Ok(line) = std::str::from_utf8(line) else {
        return 0;
    };
    let mut words = line.split_ascii_whitespace();
    let verb = words.next().unwrap_or_default();
    if !["PUB", "HPUB", "MSG", "HMSG"].contains(&verb.to_ascii_uppercase().as_str()) {
        return 0;
    }
    let size = words.next_back().and_then(|size| size.parse().ok());
    size.map_or(0, |size: usize| size.saturating_add(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(bytes: &[u8], size: usize) -> Vec<String> {
        let (mut splitter, mut all) = (Splitter::default(), Vec::<String>::new());
        for piece in bytes.chunks(size) {
            splitter.push(piece, |part| {
                if part.begins {
                    all.push(String::new());
                }
                let last = all.last_mut().expect("a part has a beginning");
                last.push_str(&String::from_utf8_lossy(part.bytes));
                if part.ends {
                    last.push('|');
                }
            });
        }
        all
    }

    #[test]
    fn messages_end_where_they_end_in_any_pieces() {
        let bytes = b"INFO {}\r\nMSG a 1 3\r\na\nb\r\nHMSG a 1 re 12 13\r\nNATS/1.0\r\n\r\nx\r\nPING\r\nodd MSG 7\r\nPUB a 99\r\nx";
        let expected = [
            "INFO {}\r\n|",
            "MSG a 1 3\r\na\nb\r\n|",
            "HMSG a 1 re 12 13\r\nNATS/1.0\r\n\r\nx\r\n|",
            "PING\r\n|",
            "odd MSG 7\r\n|",
            "PUB a 99\r\nx",
        ];
        for size in 1..=bytes.len() {
            assert_eq!(messages(bytes, size), expected, "{size}");
        }
    }

    #[test]
    fn odd_sizes_and_endless_lines_are_no_error() {
        let huge = format!("MSG a 1 {}\r\nxx", usize::MAX);
        assert_eq!(messages(huge.as_bytes(), 7).len(), 1);
        let endless = vec![b'x'; 3 * MAX_LINE];
        assert_eq!(messages(&endless, 100).len(), 1);
        assert_eq!(messages(b"MSG \xff 5\r\n\x00\n", 3).len(), 2);
    }
}
