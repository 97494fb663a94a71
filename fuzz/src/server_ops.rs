//! What a server writes is what is read, wherever the stream is cut.

use kv_proto::Limits;

use crate::input::Input;
use crate::wire::frames::{Op, decode_cut, server_bytes};

const MOST_OPS: usize = 16;

/// The input is a list of operations, and a few cuts behind it.
pub fn check(data: &[u8]) {
    check_with(data, server_bytes);
}

/// The same of any server.
pub fn check_with(data: &[u8], write: fn(&Op) -> Vec<u8>) {
    let mut input = Input::new(data);
    let (mut stream, mut frames) = (Vec::new(), Vec::new());
    for _ in 0..MOST_OPS {
        if input.is_empty() {
            break;
        }
        let op = op(&mut input);
        stream.extend(write(&op));
        frames.push((op, stream.len()));
    }
    let mut cuts: Vec<usize> = (0..4)
        .map(|_| usize::from(input.byte()) * stream.len() / 255)
        .collect();
    cuts.sort_unstable();
    let found = decode_cut(&stream, cuts, &Limits::default());
    assert_eq!(found.error, None);
    assert_eq!(found.frames, frames);
}

fn op(input: &mut Input<'_>) -> Op {
    match input.byte() % 10 {
        0 => Op::Ping,
        1 => Op::Pong,
        2 => Op::Ok,
        3 => Op::Info(text(input)),
        4 => Op::Err(text(input)),
        kind => Op::Message {
            subject: token(input),
            sid: input.number() >> (input.byte() % 64),
            reply: (kind & 1 == 0).then(|| token(input)),
            headers: (kind & 2 == 0).then(|| block(input)),
            payload: bytes(input),
        },
    }
}

fn bytes(input: &mut Input<'_>) -> Vec<u8> {
    let most = usize::from(input.byte());
    input.bytes(most).to_vec()
}

/// A header block of no bytes is none.
fn block(input: &mut Input<'_>) -> Vec<u8> {
    let mut block = bytes(input);
    if block.is_empty() {
        block.extend(b"NATS/1.0\r\n\r\n");
    }
    block
}

/// All bytes but separators can stand in a token.
fn token(input: &mut Input<'_>) -> Vec<u8> {
    let most = input.below(40);
    let mut token = input.bytes(most).to_vec();
    token.retain(|byte| !b" \t\r\n".contains(byte));
    token.push(b'.');
    token
}

/// Printable, and with nothing at its ends that would be trimmed.
fn text(input: &mut Input<'_>) -> Vec<u8> {
    let inner = bytes(input).into_iter().map(|byte| b' ' + byte % 95);
    [b'{'].into_iter().chain(inner).chain([b'}']).collect()
}
