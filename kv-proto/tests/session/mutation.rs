//! What can happen to a valid stream of bytes.

use proptest::prelude::*;

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    /// Bytes from one place once more at another.
    Copy(usize, usize, usize),
    Cut(usize),
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let at = || 0_usize..100_000;
    let bits = [
        "\r\n",
        "\n",
        " ",
        "\t",
        "MSG ",
        "HMSG ",
        "PING\r\n",
        "INFO {}\r\n",
        "-ERR ''\r\n",
        "0",
        "9",
        "99999999999999999999",
        "-",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "null",
        "\\u0000",
        "NATS/1.0 503\r\n\r\n",
        "error",
        "seq",
        "\u{fffd}",
        ".",
        "*",
        ">",
    ];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
        (at(), prop::sample::select(bits.to_vec()))
            .prop_map(|(at, text)| Mutation::Insert(at, text.as_bytes().to_vec())),
        (at(), prop::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (at(), 1_usize..40).prop_map(|(at, len)| Mutation::Remove(at, len)),
        (at(), 1_usize..200, at()).prop_map(|(from, len, to)| Mutation::Copy(from, len, to)),
        at().prop_map(Mutation::Cut),
    ]
}

pub(crate) fn mutated(stream: &[u8], mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = stream.to_vec();
    for mutation in mutations {
        let place = |at: usize| at % (bytes.len() + 1);
        match mutation {
            Mutation::Flip(at, byte) => {
                let at = place(*at);
                if let Some(found) = bytes.get_mut(at) {
                    *found = *byte;
                }
            }
            Mutation::Insert(at, more) => {
                let at = place(*at);
                bytes.splice(at..at, more.iter().copied());
            }
            Mutation::Remove(at, len) => {
                let at = place(*at);
                bytes.drain(at..bytes.len().min(at + len));
            }
            Mutation::Copy(from, len, to) => {
                let (from, to) = (place(*from), place(*to));
                let piece = bytes[from..bytes.len().min(from + len)].to_vec();
                bytes.splice(to..to, piece);
            }
            Mutation::Cut(at) => bytes.truncate(place(*at)),
        }
    }
    bytes
}
