//! The bytes a link still has to write, and what is known about each frame's
//! way to the socket.
//!
//! Small frames are coalesced into one buffer; a large payload keeps its own
//! `Bytes` and is never copied. Every byte has a *position* in the link's
//! output since it was opened, so a frame is just a [`Span`] of positions and
//! "was it handed over?" is a comparison. A frame of which no byte was handed
//! over can be withdrawn: its span is skipped when its turn comes.
//!
//! ```text
//!   small   [ PUB a.. | PUB b.. |            | CR LF PUB d.. ]
//!   large                         [ payload c ]
//!   dead              ^^^^^^^^^ b was cancelled
//!           ^head                                            ^tail
//! ```

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use alloc::collections::VecDeque;
use core::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::mutant::{self, Mutant};
use crate::tally::Tally;

/// Payloads up to this size are copied behind their control line, so that many
/// frames leave in one write; larger ones are written from where they are.
const COALESCE_MAX: usize = 4 * 1024;

/// No further frame is encoded while this many bytes wait in the outbox; what
/// is not encoded can be cancelled for free.
pub(crate) const HIGH_WATER: usize = 256 * 1024;

/// The positions of one frame in a link's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u64,
    end: u64,
}

impl Span {
    /// Orders frames of one link.
    pub(crate) const fn start(self) -> u64 {
        self.start
    }

    pub(crate) const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// How much of a frame the transport took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// Not its first byte.
    None,
    /// Some of it, not its last byte: a server cannot act on it.
    Partial,
    /// All of it.
    Whole,
}

#[derive(Default)]
pub(crate) struct Outbox {
    /// The bytes from `head` to `tail` without those in `large`.
    small: BytesMut,
    /// Payloads with their positions, in order.
    large: VecDeque<(u64, Bytes)>,
    /// Spans withdrawn, disjoint and in order, all behind `head`.
    dead: VecDeque<Span>,
    head: u64,
    tail: u64,
    /// Live bytes between `head` and `tail`.
    live: usize,
    /// The tail when the transport last looked: it may have been offered all
    /// of this.
    offered: u64,
}

/// Shows how much there is, not what: a login, or values.
impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("held", &self.held())
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

impl Outbox {
    /// Appends one frame that the closure encodes.
    pub(crate) fn frame(&mut self, encode: impl FnOnce(&mut BytesMut)) -> Span {
        let start = self.tail;
        self.encode(encode);
        Span {
            start,
            end: self.tail,
        }
    }

    /// Appends a frame of a control line (and headers) that the closure
    /// encodes, the payload, and its CR LF.
    pub(crate) fn publish(&mut self, payload: &Bytes, head: impl FnOnce(&mut BytesMut)) -> Span {
        let start = self.tail;
        if payload.len() <= COALESCE_MAX {
            self.encode(|out| {
                head(out);
                out.extend_from_slice(payload);
                out.extend_from_slice(b"\r\n");
            });
        } else {
            self.encode(head);
            self.large.push_back((self.tail, payload.clone()));
            self.tail.raise(count(payload.len()));
            self.live.raise(payload.len());
            self.encode(|out| out.extend_from_slice(b"\r\n"));
        }
        Span {
            start,
            end: self.tail,
        }
    }

    fn encode(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let before = self.small.len();
        encode(&mut self.small);
        let written = self.small.len().saturating_sub(before);
        self.tail.raise(count(written));
        self.live.raise(written);
    }

    /// Withdraws a frame of which no byte was handed over. Returns false, and
    /// leaves it to be finished, if it was begun.
    pub(crate) fn withdraw(&mut self, mut span: Span) -> bool {
        if mutant::is(Mutant::CancelCutsFrame) && span.end > self.head {
            span.start = span.start.max(self.head);
        }
        if !self.is_unbegun(span) {
            return false;
        }
        let at = self.dead.partition_point(|dead| dead.start < span.start);
        self.live
            .lower(usize::try_from(span.len()).unwrap_or_default());
        match at
            .checked_sub(1)
            .and_then(|before| self.dead.get_mut(before))
        {
            Some(before) if before.end == span.start => before.end = span.end,
            _ => self.dead.insert(at, span),
        }
        self.skip_dead();
        true
    }

    /// Tells how much of a frame was handed over. After a failed write every
    /// byte that the transport was shown counts: a TLS writer can fail after
    /// earlier records have left.
    pub(crate) fn handover(&self, span: Span, write_failed: bool) -> Handover {
        let taken = if write_failed {
            self.head.max(self.offered)
        } else {
            self.head
        };
        if taken <= span.start {
            Handover::None
        } else if taken < span.end {
            Handover::Partial
        } else {
            Handover::Whole
        }
    }

    /// Takes the rest of a frame that was begun and not finished.
    #[cfg(feature = "mutants")]
    pub(crate) fn rest_of(&mut self, span: Span) -> Option<Bytes> {
        let torn = span.start < self.head && self.head < span.end;
        let len = usize::try_from(span.end.saturating_sub(self.head)).ok()?;
        torn.then(|| self.transmit().copy_to_bytes(len))
    }

    /// Returns whether no byte of the frame was handed over.
    pub(crate) fn is_unbegun(&self, span: Span) -> bool {
        span.start >= self.head
    }

    /// Returns whether all bytes of the frame were handed over.
    pub(crate) fn is_whole(&self, span: Span) -> bool {
        span.end <= self.head
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Bytes that are still to be handed over.
    pub(crate) fn unsent(&self) -> usize {
        self.live
    }

    /// Bytes held, withdrawn ones that still have to be skipped included.
    pub(crate) fn held(&self) -> usize {
        usize::try_from(self.tail.saturating_sub(self.head)).unwrap_or(usize::MAX)
    }

    pub(crate) fn transmit(&mut self) -> Transmit<'_> {
        self.offered = self.tail;
        Transmit { outbox: Some(self) }
    }

    /// The longest run of live bytes at `head` that lies in one piece.
    fn chunk(&self) -> &[u8] {
        if let Some((at, payload)) = self.large.front()
            && *at == self.head
        {
            return payload;
        }
        self.small_run(self.head, 0)
    }

    /// The bytes of `small` from index `from` (which has position `at`) up to
    /// the next payload or withdrawn frame.
    fn small_run(&self, at: u64, from: usize) -> &[u8] {
        let payload = self
            .large
            .iter()
            .map(|(start, _)| *start)
            .find(|p| *p >= at);
        let dead = self.dead.iter().map(|dead| dead.start).find(|p| *p >= at);
        let end = payload
            .unwrap_or(self.tail)
            .min(dead.unwrap_or(self.tail))
            .saturating_sub(at);
        let end = usize::try_from(end).unwrap_or(usize::MAX);
        let rest = self.small.get(from..).unwrap_or_default();
        rest.get(..end.min(rest.len())).unwrap_or_default()
    }

    fn advance(&mut self, mut taken: usize) {
        while taken > 0 {
            let step = self.chunk().len().min(taken);
            assert!(step > 0, "advanced past the end of the output");
            self.drop_bytes(step);
            self.live.lower(step);
            taken.lower(step);
            self.skip_dead();
        }
    }

    /// Drops bytes at `head` that lie in one piece.
    fn drop_bytes(&mut self, step: usize) {
        self.head.raise(count(step));
        match self.large.front_mut() {
            Some((at, payload)) if *at < self.head => {
                payload.advance(step);
                *at = self.head;
                if payload.is_empty() {
                    self.large.pop_front();
                }
            }
            _ => self.small.advance(step),
        }
    }

    /// Keeps `head` off withdrawn frames.
    fn skip_dead(&mut self) {
        while let Some(dead) = self.dead.front().copied()
            && dead.start == self.head
        {
            while self.head < dead.end {
                let left =
                    usize::try_from(dead.end.saturating_sub(self.head)).unwrap_or(usize::MAX);
                let step = match self.large.front() {
                    Some((at, payload)) if *at == self.head => payload.len(),
                    Some((at, _)) => usize::try_from(at.saturating_sub(self.head))
                        .unwrap_or(usize::MAX)
                        .min(left),
                    None => left,
                };
                self.drop_bytes(step);
            }
            self.dead.pop_front();
        }
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// The bytes a link has to write now, as a [`Buf`]: write a prefix of
/// [`chunk`](Buf::chunk) and [`advance`](Buf::advance) by what the transport
/// took. What is not taken stays for the next call; dropping this loses
/// nothing.
#[derive(Debug)]
pub struct Transmit<'a> {
    outbox: Option<&'a mut Outbox>,
}

impl Transmit<'_> {
    /// What a link that is gone has to write.
    pub(crate) const fn nothing() -> Self {
        Self { outbox: None }
    }
}

impl Buf for Transmit<'_> {
    fn remaining(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.live)
    }

    fn chunk(&self) -> &[u8] {
        self.outbox.as_ref().map_or(&[], |outbox| outbox.chunk())
    }

    /// Gathers a large payload with the lines around it into one write.
    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let Some(outbox) = &self.outbox else {
            return 0;
        };
        let mut filled = 0;
        let (mut at, mut from) = (outbox.head, 0);
        let mut payloads = outbox.large.iter().peekable();
        let stop = outbox.dead.front().map_or(outbox.tail, |dead| dead.start);
        for slice in slices {
            let chunk = match payloads.next_if(|(start, _)| *start == at) {
                _ if at >= stop => break,
                Some((_, payload)) => &payload[..],
                None => {
                    let run = outbox.small_run(at, from);
                    from.raise(run.len());
                    run
                }
            };
            *slice = std::io::IoSlice::new(chunk);
            at.raise(count(chunk.len()));
            filled.raise(1);
        }
        filled
    }

    /// # Panics
    ///
    /// When advanced past what [`remaining`](Buf::remaining) says.
    fn advance(&mut self, taken: usize) {
        assert!(
            taken <= self.remaining(),
            "advanced past the end of the output"
        );
        if let Some(outbox) = &mut self.outbox {
            outbox.advance(taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut written = Vec::new();
        loop {
            let mut transmit = outbox.transmit();
            let chunk = transmit.chunk();
            if chunk.is_empty() {
                assert_eq!(transmit.remaining(), 0);
                return written;
            }
            let taken = chunk.len().min(step);
            written.extend_from_slice(&chunk[..taken]);
            transmit.advance(taken);
        }
    }

    #[test]
    fn a_large_payload_is_not_copied() {
        let payload = Bytes::from(vec![7; COALESCE_MAX + 1]);
        let mut outbox = Outbox::default();
        outbox.publish(&payload, |out| out.extend_from_slice(b"PUB a 4097\r\n"));
        outbox.transmit().advance(12);
        assert_eq!(outbox.transmit().chunk().as_ptr(), payload.as_ptr());
    }

    #[test]
    fn handover_counts_what_was_taken_or_shown_to_a_failing_write() {
        let mut outbox = Outbox::default();
        let first = outbox.frame(|out| out.extend_from_slice(b"one"));
        outbox.transmit().advance(2);
        assert_eq!(outbox.handover(first, false), Handover::Partial);
        assert_eq!(outbox.handover(first, true), Handover::Whole);
        let second = outbox.frame(|out| out.extend_from_slice(b"two"));
        assert_eq!(outbox.handover(second, true), Handover::None);
        outbox.transmit().advance(1);
        assert_eq!(outbox.handover(first, false), Handover::Whole);
        assert_eq!(outbox.handover(second, false), Handover::None);
        assert_eq!(outbox.handover(second, true), Handover::Whole);
    }

    #[test]
    fn a_begun_frame_is_finished() {
        let mut outbox = Outbox::default();
        let span = outbox.frame(|out| out.extend_from_slice(b"begun"));
        outbox.transmit().advance(1);
        assert!(!outbox.withdraw(span));
        assert_eq!(drain(&mut outbox, 9), b"egun");
    }

    /// What one gathering write would take; without `std` there are none.
    fn gather(transmit: &Transmit<'_>, seen: &mut Vec<u8>) {
        #[cfg(not(feature = "std"))]
        seen.extend_from_slice(transmit.chunk());
        #[cfg(feature = "std")]
        {
            let mut slices = [std::io::IoSlice::new(&[]); 8];
            let filled = transmit.chunks_vectored(&mut slices);
            for slice in &slices[..filled] {
                seen.extend_from_slice(slice);
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Frame(usize),
        Publish(usize),
        Withdraw(usize),
        Write(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1_usize..9).prop_map(Step::Frame),
            prop_oneof![0_usize..20, COALESCE_MAX..COALESCE_MAX + 3].prop_map(Step::Publish),
            (0_usize..12).prop_map(Step::Withdraw),
            (0_usize..6_000).prop_map(Step::Write),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        /// Law: what leaves is the concatenation, in order, of exactly the
        /// frames that were not withdrawn; and a withdrawal succeeds exactly
        /// if no byte of the frame had left.
        #[test]
        fn output_is_the_frames_that_were_kept(steps in steps(), vectored: bool) {
            let mut outbox = Outbox::default();
            let mut frames: Vec<(Span, Vec<u8>, bool)> = Vec::new();
            let mut written = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let byte = u8::try_from(number).unwrap();
                match step {
                    Step::Frame(len) => {
                        let bytes = vec![byte; len];
                        let span = outbox.frame(|out| out.extend_from_slice(&bytes));
                        frames.push((span, bytes, true));
                    }
                    Step::Publish(len) => {
                        let payload = Bytes::from(vec![byte; len]);
                        let span = outbox.publish(&payload, |out| out.extend_from_slice(b"HEAD"));
                        let mut bytes = b"HEAD".to_vec();
                        bytes.extend_from_slice(&payload);
                        bytes.extend_from_slice(b"\r\n");
                        frames.push((span, bytes, true));
                    }
                    Step::Withdraw(index) => {
                        let len = frames.len().max(1);
                        if let Some((span, _, kept)) = frames.get_mut(index % len) && *kept {
                            let begun = outbox.handover(*span, false) != Handover::None;
                            prop_assert_eq!(outbox.withdraw(*span), !begun);
                            *kept = begun;
                        }
                    }
                    Step::Write(max) => {
                        let mut transmit = outbox.transmit();
                        let mut seen = Vec::new();
                        if vectored {
                            gather(&transmit, &mut seen);
                        } else {
                            seen.extend_from_slice(transmit.chunk());
                        }
                        seen.truncate(max);
                        transmit.advance(seen.len());
                        written.extend_from_slice(&seen);
                    }
                }
            }
            written.extend(drain(&mut outbox, 1_000));
            let kept: Vec<u8> = frames.into_iter().filter(|f| f.2).flat_map(|f| f.1).collect();
            prop_assert_eq!(written, kept);
            prop_assert!(outbox.is_empty());
            prop_assert_eq!(outbox.held(), 0);
        }
    }
}
