//! The decoder of what servers send.
//!
//! How a stream is cut into reads changes neither the frames nor the error nor the place of either; an error is
//! final; no more is taken than was given.

use kv_proto::wire::{Decoder, ServerOp};
use kv_proto::{Limits, ProtocolError};

use crate::input::Input;

/// What a decoder finds: each frame as text with the offset behind it, and the error at the end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    frames: Vec<(String, usize)>,
    error: Option<ProtocolError>,
}

/// The first byte chooses the limits, the next eight where the stream is cut.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let limits = limits(input.byte());
    let mut cuts: Vec<usize> = (0..8).map(|_| usize::from(input.byte())).collect();
    cuts.sort_unstable();
    let stream = input.rest();
    let whole = decode(stream, [stream.len()], &limits);
    let cuts = cuts.into_iter().map(|cut| cut * stream.len() / 255);
    assert_eq!(decode(stream, cuts.chain([stream.len()]), &limits), whole);
    assert_eq!(decode(stream, 0..=stream.len(), &limits), whole);
}

fn limits(choice: u8) -> Limits {
    match choice % 3 {
        0 => Limits::default(),
        1 => Limits {
            max_control_line: 64,
            max_info_line: 512,
            max_message: 256,
            max_header_lines: 4,
            ..Limits::default()
        },
        _ => Limits {
            max_control_line: 8,
            max_info_line: 16,
            max_message: 8,
            max_header_lines: 1,
            ..Limits::default()
        },
    }
}

fn decode(stream: &[u8], ends: impl IntoIterator<Item = usize>, limits: &Limits) -> Found {
    let mut found = Found::default();
    let mut decoder = Decoder::new();
    let mut start = 0;
    for end in ends {
        loop {
            let bytes = &stream[start..end];
            match decoder.next(bytes, limits) {
                Ok(Some(frame)) => {
                    assert!((1..=bytes.len()).contains(&frame.len), "{frame:?}");
                    start += frame.len;
                    found.frames.push((shown(&frame.op), start));
                }
                Ok(None) => break,
                Err(error) => {
                    found.error = Some(error);
                    return found;
                }
            }
        }
    }
    found
}

fn shown(op: &ServerOp<'_>) -> String {
    format!("{op:?}")
}
