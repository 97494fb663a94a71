//! The decoder of what servers send.
//!
//! How a stream is cut into reads changes neither the frames nor the error nor the place of either, and all of that
//! is what a second decoder finds, which is obvious instead of fast; an error is final; no more is taken than was
//! given; and a frame that is written again is read again.

use kv_proto::{Limits, ProtocolError};

use crate::input::Input;
use crate::wire::frames::{Outcome, decode_cut, server_bytes};
use crate::wire::reference::{kind, reference};

/// Decodes a stream that arrives in chunks which end at some offsets.
pub type Decode = fn(&[u8], &[usize], &Limits) -> Outcome<ProtocolError>;

/// The first byte chooses the limits, the next eight where the stream is cut.
pub fn check(data: &[u8]) {
    check_with(data, |stream, cuts, limits| {
        decode_cut(stream, cuts.iter().copied(), limits)
    });
}

/// The same of any decoder.
pub fn check_with(data: &[u8], decode: Decode) {
    let mut input = Input::new(data);
    let limits = limits(input.byte());
    let mut cuts: Vec<usize> = (0..8).map(|_| usize::from(input.byte())).collect();
    cuts.sort_unstable();
    let stream = input.rest();
    let whole = decode(stream, &[], &limits);
    let cuts: Vec<usize> = cuts.iter().map(|cut| cut * stream.len() / 255).collect();
    assert_eq!(decode(stream, &cuts, &limits), whole);
    let bytes: Vec<usize> = (0..=stream.len()).collect();
    assert_eq!(decode(stream, &bytes, &limits), whole);
    for (op, _) in &whole.frames {
        let again = server_bytes(op);
        let found = decode(&again, &[], &Limits::default());
        assert_eq!(found.frames, [(op.clone(), again.len())]);
    }
    let found = Outcome {
        frames: whole.frames,
        error: whole.error.map(kind),
    };
    assert_eq!(found, reference(stream, &limits));
}

fn limits(choice: u8) -> Limits {
    match choice % 3 {
        0 => Limits::default(),
        1 => Limits {
            max_control_line: 64,
            max_info_line: 512,
            max_message: 256,
            max_header_bytes: 100,
            ..Limits::default()
        },
        _ => Limits {
            max_control_line: 8,
            max_info_line: 16,
            max_message: 8,
            max_header_bytes: 4,
            ..Limits::default()
        },
    }
}
