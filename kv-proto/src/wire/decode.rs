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
        if input.len() < hints.scanned {
            return self.search(input, 0, limits);
        }
        if input.len() < hints.needed {
            *self = Self {
                scanned: input.len(),
                ..hints
            };
            return Ok(None);
        }
        let from = if hints.needed == 0 { hints.scanned } else { 0 };
        self.search(input, from, limits)
    }

    /// Returns how many bytes are still missing for the frame at the front
    /// when `have` bytes are there, as far as is known: at least 1. Never
    /// allocate by it: the size is what the server announced.
    #[must_use]
    pub fn missing(&self, have: usize) -> usize {
        self.needed.saturating_sub(have).max(1)
    }

    #[inline(always)]
    fn search<'a>(
        &mut self,
        input: &'a [u8],
        from: usize,
        limits: &Limits,
    ) -> Result<Option<Frame<'a>>, ProtocolError> {
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
    let found = window
        .get(from..)
        .and_then(|unseen| memchr(b'\n', unseen))
        .and_then(|at| at.checked_add(from));
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
    let verb = input.get(..4).unwrap_or(input);
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
        let too_large = || ProtocolError::SizeTooLarge {
            size: delivery.total_size,
            limit: limits.max_message,
        };
        let len = within(delivery.total_size, limits.max_message).ok_or_else(too_large)?;
        if delivery.header_size > delivery.total_size {
            return Err(ProtocolError::HeaderLongerThanMessage);
        }
        let header_len =
            within(delivery.header_size, limits.max_header_bytes).ok_or_else(|| {
                ProtocolError::HeaderTooLarge {
                    size: delivery.header_size,
                    limit: limits.max_header_bytes,
                }
            })?;
        let end = start
            .checked_add(len)
            .and_then(|end| end.checked_add(CRLF.len()))
            .ok_or_else(too_large)?;
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
