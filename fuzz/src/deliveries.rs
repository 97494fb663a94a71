//! Reply subjects of delivered messages: the place of a message in its stream.
//!
//! Both forms are read, with 9 tokens and with 11 or more; anything else is refused; numbers are as servers write
//! them, and never overflow.

use kv_proto::fuzzing::{Delivery, delivery};

use crate::input::Input;
use crate::number;

/// Reads a reply subject.
pub type Read = for<'a> fn(&'a [u8]) -> Option<Delivery<'a>>;

/// The whole input is the subject, and the tokens of one.
pub fn check(data: &[u8]) {
    check_with(data, delivery);
}

/// The same of any reader.
pub fn check_with(data: &[u8], read: Read) {
    assert_eq!(read(data), reference(data));
    let subject = subject(&mut Input::new(data));
    assert_eq!(read(&subject), reference(&subject), "{subject:?}");
}

/// Token by token.
fn reference(subject: &[u8]) -> Option<Delivery<'_>> {
    let tokens: Vec<&[u8]> = subject.split(|byte| *byte == b'.').collect();
    let tail = match tokens[..] {
        [b"$JS", b"ACK", _, ref tail @ ..] if tokens.len() == 9 => tail,
        [b"$JS", b"ACK", _, _, _, ref tail @ ..] if tokens.len() >= 11 => tail,
        _ => return None,
    };
    number(tail[1])?;
    let pending: Vec<&[u8]> = tail[5].split(|byte| *byte == b'@').collect();
    Some(Delivery {
        consumer: tail[0],
        stream_seq: number(tail[2])?,
        consumer_seq: number(tail[3])?,
        stored: i64::try_from(number(tail[4])?).ok()?,
        pending: number(pending[0])?,
    })
}

/// A subject that is right but for a few places.
fn subject(input: &mut Input<'_>) -> Vec<u8> {
    let choice = input.byte();
    let mut tokens: Vec<Vec<u8>> = vec![b"$JS".to_vec(), b"ACK".to_vec()];
    let names = if choice & 1 == 0 { 2 } else { 4 };
    for _ in 0..names {
        let most = input.below(6);
        tokens.push(input.bytes(most).to_vec());
    }
    for _ in 0..5 {
        let number = input.number() >> (input.byte() % 64);
        tokens.push(number.to_string().into_bytes());
    }
    for _ in 0..input.below(3) {
        let most = input.below(6);
        tokens.push(input.bytes(most).to_vec());
    }
    let mut subject = tokens.join(&b'.');
    for byte in input.rest().chunks_exact(2).take(3) {
        let place = usize::from(byte[0]) % subject.len();
        subject[place] = byte[1];
    }
    subject
}
