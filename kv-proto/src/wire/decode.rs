//! Finds the frame at the front of what a server sent.
//!
//! The decoder holds no bytes, only two hints: how far the input was searched
//! for a line end, and how long the announced frame is. So every byte of a
//! line is searched once and every line parsed at most twice, however the
//! bytes trickle in, and an error depends on the bytes alone, not on how they
//! were cut.

use memchr::memchr;

use super::encode::CRLF;
use super::error::ProtocolError;
use super::frame::{Message, ServerOp};
use super::line::{self, Delivery, Line};
use crate::limits::Limits;

/// One frame at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it says.
    pub op: ServerOp<'a>,
    /// How many bytes of the input it took.
    pub len: usize,
}

/// Splits a server's bytes into frames.
///
/// ```
/// use kv_proto::Limits;
/// use kv_proto::wire::{Decoder, ServerOp};
///
/// let mut decoder = Decoder::new();
/// let limits = Limits::default();
/// assert_eq!(decoder.next(b"PI", &limits)?, None);
/// let frame = decoder.next(b"PING\r\nPO", &limits)?.ok_or("incomplete")?;
/// assert_eq!((frame.op, frame.len), (ServerOp::Ping, 6));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    /// Bytes seen by the last call that found no whole frame.
    scanned: usize,
    /// Length of the frame at the front; zero until its control line is whole.
    needed: usize,
}

impl Decoder {
    /// Makes a decoder for the start of a connection.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            scanned: 0,
            needed: 0,
        }
    }

    /// Decodes the frame at the front of `input`, which holds all bytes that
    /// were received and not consumed yet.
    ///
    /// After a frame the caller removes [`Frame::len`] bytes from the front.
    /// After `None` it appends what it receives. A caller that changes the
    /// input in another way may get a late or a wrong answer, nothing worse.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] is final: the next frame cannot be found.
    pub fn next<'a>(
        &mut self,
        input: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<Frame<'a>>, ProtocolError> {
        let hints = core::mem::take(self);
        let grown = input.len() >= hints.scanned;
        if grown && input.len() < hints.needed {
            *self = Self {
                scanned: input.len(),
                needed: hints.needed,
            };
            return Ok(None);
        }
        let from = if grown && hints.needed == 0 {
            hints.scanned
        } else {
            0
        };
        let Some((line, end)) = find_line(input, from, limits)? else {
            self.scanned = input.len();
            return Ok(None);
        };
        match line::parse(line)? {
            Line::Op(op) => Ok(Some(Frame { op, len: end })),
            Line::Delivery(delivery) => {
                let body = Body::announced(&delivery, end, limits)?;
                if input.len() < body.end {
                    self.scanned = input.len();
                    self.needed = body.end;
                    return Ok(None);
                }
                body.read(&delivery, input).map(Some)
            }
        }
    }

    /// Returns how many bytes are still missing for the frame at the front
    /// when `have` bytes are there, as far as is known: at least 1. Never
    /// allocate by it: the size is what the server announced.
    #[must_use]
    pub fn missing(&self, have: usize) -> usize {
        self.needed.saturating_sub(have).max(1)
    }
}

/// Decodes `bytes` that are exactly one whole frame, as [`Decoder::next`]
/// measured it: for a frame that was moved elsewhere.
///
/// # Errors
///
/// [`ProtocolError::NotOneFrame`] when bytes are missing or left over, else
/// what [`Decoder::next`] returns.
pub fn decode_frame<'a>(bytes: &'a [u8], limits: &Limits) -> Result<ServerOp<'a>, ProtocolError> {
    match Decoder::new().next(bytes, limits)? {
        Some(frame) if frame.len == bytes.len() => Ok(frame.op),
        _ => Err(ProtocolError::NotOneFrame),
    }
}

/// Finds the first line, searching from an offset. Returns the line without
/// its end, and the offset behind it.
#[inline(always)]
fn find_line<'a>(
    input: &'a [u8],
    from: usize,
    limits: &Limits,
) -> Result<Option<(&'a [u8], usize)>, ProtocolError> {
    let Some(info) = is_info(input) else {
        return Ok(None);
    };
    let limit = if info {
        limits.max_info_line
    } else {
        limits.max_control_line
    };
    let window = input.get(..=limit).unwrap_or(input);
    let unseen = window.get(from..).unwrap_or_default();
    let found = memchr(b'\n', unseen);
    #[cfg(test)]
    tests::count_work(found.unwrap_or(unseen.len()));
    let found = found.and_then(|at| at.checked_add(from));
    let Some(at) = found else {
        return match (input.len() > limit, info) {
            (false, _) => Ok(None),
            (true, true) => Err(ProtocolError::InfoTooLong { limit }),
            (true, false) => Err(ProtocolError::LineTooLong { limit }),
        };
    };
    let Some((line, _)) = input.split_at_checked(at) else {
        return Ok(None);
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Some((line, at.saturating_add(1))))
}

/// Whether the first line is an `INFO`, which has its own limit; `None` while
/// it may become one.
#[inline(always)]
fn is_info(input: &[u8]) -> Option<bool> {
    let verb = match input.first() {
        Some(b'I' | b'i') | None => input.get(..4).unwrap_or(input),
        Some(_) => return Some(false),
    };
    let fits = b"INFO"
        .get(..verb.len())
        .is_some_and(|info| info.eq_ignore_ascii_case(verb));
    (!fits || verb.len() == 4).then_some(fits)
}

/// Where the parts of a message lie in the input.
struct Body {
    start: usize,
    header_len: usize,
    len: usize,
    end: usize,
}

impl Body {
    /// Holds the announced sizes against the limits, before any waiting.
    #[inline(always)]
    fn announced(
        delivery: &Delivery<'_>,
        start: usize,
        limits: &Limits,
    ) -> Result<Self, ProtocolError> {
        let Some(len) = within(delivery.total_size, limits.max_message) else {
            return Err(ProtocolError::SizeTooLarge {
                size: delivery.total_size,
                limit: limits.max_message,
            });
        };
        if delivery.header_size > delivery.total_size {
            return Err(ProtocolError::HeaderLongerThanMessage);
        }
        let Some(header_len) = within(delivery.header_size, limits.max_header_bytes) else {
            return Err(ProtocolError::HeaderTooLarge {
                size: delivery.header_size,
                limit: limits.max_header_bytes,
            });
        };
        // Saturates only on machines whose memory could not hold the message.
        let end = start.saturating_add(len).saturating_add(CRLF.len());
        Ok(Self {
            start,
            header_len,
            len,
            end,
        })
    }

    /// Cuts a message out of an input that holds all of it.
    #[inline(always)]
    fn read<'a>(
        &self,
        delivery: &Delivery<'a>,
        input: &'a [u8],
    ) -> Result<Frame<'a>, ProtocolError> {
        let content = input
            .get(self.start..self.end)
            .and_then(|body| body.split_at_checked(self.len))
            .filter(|(_, terminator)| *terminator == CRLF)
            .and_then(|(content, _)| content.split_at_checked(self.header_len));
        let Some((headers, payload)) = content else {
            return Err(ProtocolError::MissingTerminator);
        };
        Ok(Frame {
            op: ServerOp::Message(Message {
                subject: delivery.subject,
                sid: delivery.sid,
                reply: delivery.reply,
                headers: (!headers.is_empty()).then_some(headers),
                payload,
            }),
            len: self.end,
        })
    }
}

fn within(size: u64, limit: usize) -> Option<usize> {
    usize::try_from(size).ok().filter(|&size| size <= limit)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::cell::Cell;

    use super::*;

    std::thread_local! {
        /// Bytes that were searched or parsed by this test.
        static WORK: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count_work(bytes: usize) {
        WORK.set(WORK.get() + bytes);
    }

    /// Feeds `stream` in chunks of one size, like a caller that keeps the
    /// rules; returns the number of frames and the work done.
    fn feed(stream: &[u8], chunk: usize) -> (usize, usize) {
        let limits = Limits::default();
        WORK.set(0);
        let mut decoder = Decoder::new();
        let (mut start, mut end, mut frames) = (0, 0, 0);
        while end < stream.len() {
            end = stream.len().min(end + chunk);
            while let Some(frame) = decoder.next(&stream[start..end], &limits).unwrap() {
                start += frame.len;
                frames += 1;
            }
        }
        assert_eq!(start, stream.len());
        (frames, WORK.get())
    }

    fn message(len: usize) -> Vec<u8> {
        let mut frame = alloc::format!("MSG a.b 1 _INBOX.x {len}\r\n").into_bytes();
        frame.resize(frame.len() + len, b'x');
        frame.extend_from_slice(CRLF);
        frame
    }

    #[test]
    fn work_on_a_message_does_not_grow_with_its_size() {
        for chunk in [1, 7, 1_024, 64 * 1024] {
            let work = [1, 64 * 1024, 4 * 1024 * 1024].map(|len| {
                let (frames, work) = feed(&message(len), chunk);
                assert_eq!(frames, 1);
                work
            });
            let line = "MSG a.b 1 _INBOX.x 4194304\r\n".len();
            assert!(
                work.iter().all(|&work| work <= 4 * line),
                "{chunk}: {work:?}"
            );
        }
    }

    /// Nor for the largest that there is, which takes longest when it comes in small pieces.
    #[test]
    fn work_on_the_largest_message_is_that_on_its_line() {
        let largest = message(crate::limits::MAX_MESSAGE);
        for chunk in [1_000, 64 * 1024, largest.len()] {
            let (frames, work) = feed(&largest, chunk);
            assert_eq!(frames, 1);
            assert!(work <= 200, "{chunk}: {work}");
        }
    }

    #[test]
    fn every_byte_of_a_line_is_searched_once() {
        let mut info = b"INFO {".to_vec();
        info.resize(60_000, b' ');
        info.extend_from_slice(b"}\r\n");
        for chunk in [1, 7, 1_024] {
            let (_, work) = feed(&info, chunk);
            assert!(work <= 2 * info.len(), "{chunk}: {work}");
        }
    }

    #[test]
    fn work_on_many_frames_is_linear() {
        let stream = message(100).repeat(1_000);
        for chunk in [1, 7, 1_024, 64 * 1024, stream.len()] {
            let (frames, work) = feed(&stream, chunk);
            assert_eq!(frames, 1_000);
            assert!(work <= 2 * stream.len(), "{chunk}: {work}");
        }
    }

    #[test]
    fn the_size_hint_counts_down_to_the_end_of_the_frame() {
        let frame = message(10);
        let limits = Limits::default();
        let mut decoder = Decoder::new();
        for have in 0..frame.len() {
            assert_eq!(decoder.next(&frame[..have], &limits), Ok(None));
            let known = frame.len() - have <= 12;
            let missing = if known { frame.len() - have } else { 1 };
            assert_eq!(decoder.missing(have), missing, "{have}");
        }
        assert_eq!(decoder.missing(usize::MAX), 1);
    }

    #[test]
    fn a_caller_that_breaks_the_rule_gets_an_answer() {
        let limits = Limits::default();
        let mut decoder = Decoder::new();
        assert_eq!(decoder.next(&message(1_000)[..500], &limits), Ok(None));
        let frame = decoder.next(b"PING\r\n", &limits).unwrap().unwrap();
        assert_eq!((frame.op, frame.len), (ServerOp::Ping, 6));

        assert_eq!(decoder.next(b"PING", &limits), Ok(None));
        assert!(decoder.next(b"\n\n\n\n\n\n", &limits).is_err());
    }

    #[test]
    fn an_error_is_repeated() {
        let limits = Limits::default();
        let mut decoder = Decoder::new();
        let input = b"MSG a 1 0\r\nxx";
        let error = Err(ProtocolError::MissingTerminator);
        assert_eq!(decoder.next(input, &limits), error);
        assert_eq!(decoder.next(input, &limits), error);
    }

    #[test]
    fn a_frame_that_was_moved_decodes_alike() {
        let limits = Limits::default();
        let bytes = message(600);
        let frame = Decoder::new().next(&bytes, &limits).unwrap().unwrap();
        assert_eq!(decode_frame(&bytes, &limits), Ok(frame.op));
        let not_one = Err(ProtocolError::NotOneFrame);
        assert_eq!(decode_frame(&bytes[..bytes.len() - 1], &limits), not_one);
        assert_eq!(decode_frame(&bytes.repeat(2), &limits), not_one);
        assert_eq!(decode_frame(b"", &limits), not_one);
    }

    #[test]
    fn a_header_block_of_no_bytes_is_none() {
        let op = decode_frame(b"HMSG a 1 0 2\r\nhi\r\n", &Limits::default());
        let Ok(ServerOp::Message(message)) = op else {
            panic!("{op:?}");
        };
        assert_eq!((message.headers, message.payload), (None, &b"hi"[..]));
    }
}
