//! The trace of a run: its hash always, its text on request.
//!
//! Everything that happens goes into the hash: every byte that arrives, every timer, every step. Two runs
//! with the same hash are the same run.

use std::fmt;

use kv_proto::Instant;

#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

/// From the hash functions of the Rust compiler: spreads the bits of a word.
const SPREAD: u64 = 0x517c_c1b7_2722_0a95;
/// A longer payload is cut in the text.
const MAX_TEXT: usize = 300;

impl Trace {
    pub(crate) fn new(text: bool) -> Self {
        Self {
            hash: 0,
            lines: text.then(Vec::new),
        }
    }

    /// Notes that something happened to somebody.
    pub(crate) fn event(&mut self, now: Instant, kind: u64, who: u64) {
        self.word(now.as_nanos());
        self.word(kind << 32 | who);
    }

    /// Notes bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.word(u64::from(*byte));
        }
    }

    fn word(&mut self, word: u64) {
        self.hash = fold(self.hash, word);
    }

    /// Writes a line, if anybody will read it.
    #[inline]
    pub(crate) fn line(&mut self, now: Instant, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let micros = now.as_nanos() / 1_000;
            let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
            lines.push(format!("{seconds:4}.{micros:06}  {}", text()));
        }
    }

    pub(crate) fn finish(self) -> (u64, Vec<String>) {
        (self.hash, self.lines.unwrap_or_default())
    }
}

/// Takes a word into a hash.
pub(crate) fn fold(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(SPREAD)
}

/// Bytes as a person reads them.
pub(crate) struct Printable<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.get(..MAX_TEXT).unwrap_or(self.0);
        write!(f, "\"{}\"", cut.escape_ascii())?;
        if cut.len() < self.0.len() {
            write!(f, " … {} bytes", self.0.len())?;
        }
        Ok(())
    }
}
