//! What a client may send: a small strict grammar, written from the protocol.

/// The verbs of one connection, of which the last may still be incomplete.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    /// `CONNECT` has been said.
    connected: bool,
    /// Reply subjects that were used, the last first.
    pub(crate) replies: Vec<String>,
}

const KEPT: usize = 8;

impl Outgoing {
    /// Takes what was written.
    ///
    /// # Panics
    ///
    /// When it is nothing that a client may say.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while let Some(len) = self.frame() {
            self.bytes.drain(..len);
        }
    }

    /// The length of the next whole frame.
    fn frame(&mut self) -> Option<usize> {
        let end = self.bytes.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(&self.bytes[..end]).expect("lines are text");
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        let words: Vec<&str> = line.split(' ').collect();
        let body = match words[..] {
            ["CONNECT", ..] => {
                assert!(!self.connected, "CONNECT is said once");
                self.connected = true;
                None
            }
            // Only what a server asks before it lets anybody in is answered before.
            ["PONG"] => None,
            _ if !self.connected => panic!("{line:?} before CONNECT"),
            ["PING"] => None,
            ["SUB", subject, sid] => {
                assert!(
                    !subject.is_empty() && sid.parse::<u64>().is_ok(),
                    "{line:?}"
                );
                None
            }
            ["UNSUB", sid] => {
                assert!(sid.parse::<u64>().is_ok(), "{line:?}");
                None
            }
            ["PUB", subject, size] | ["PUB", subject, _, size] => Some((subject, 0, number(size))),
            ["HPUB", subject, head, size] | ["HPUB", subject, _, head, size] => {
                Some((subject, number(head), number(size)))
            }
            _ => panic!("{line:?} is nothing that a client says"),
        };
        let Some((subject, head, size)) = body else {
            return Some(end + 2);
        };
        // The filter of a consumer is part of the subject that asks for it.
        let filters = subject.starts_with("$JS.API.CONSUMER.CREATE.");
        assert!(!subject.is_empty(), "{line:?}");
        assert!(filters || !subject.contains(['*', '>']), "{line:?}");
        assert!(head <= size, "{line:?}");
        let whole = end + 2 + size + 2;
        let frame = self.bytes.get(..whole)?;
        assert!(frame.ends_with(b"\r\n"), "{line:?} is as long as it says");
        if head > 0 {
            let block = &frame[end + 2..end + 2 + head];
            assert!(block.starts_with(b"NATS/1.0\r\n") && block.ends_with(b"\r\n\r\n"));
        }
        if let ["PUB", _, reply, _] | ["HPUB", _, reply, _, _] = words[..] {
            self.replies.insert(0, reply.to_owned());
            self.replies.truncate(KEPT);
        }
        Some(whole)
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a length")
}
