//! What the tests of the wire layer share: the recorded traffic, frames that
//! own their bytes, ways to feed a decoder, and ways to damage a stream.

#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::path::Path;

use kv_proto::Limits;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

#[allow(unused_imports, reason = "each test uses its part")]
pub(crate) use frames::*;

pub(crate) mod frames;
pub(crate) mod reference;
pub(crate) mod strict;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpus");

/// The files of one folder of the corpus, in the order of their names.
pub(crate) fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(Path::new(CORPUS).join(folder))
        .expect("the corpus lies beside the crate")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
        .iter()
        .map(|path| fs::read(path).expect("a readable file"))
        .collect()
}

/// Limits that recorded frames reach, so that the errors get their share.
pub(crate) fn tight_limits() -> Limits {
    Limits {
        max_info_line: 420,
        max_control_line: 96,
        max_header_bytes: 160,
        max_message: 1_000,
        ..Limits::default()
    }
}

/// Limits of a few bytes: the verb alone can exceed them.
pub(crate) fn tiny_limits() -> Limits {
    Limits {
        max_info_line: 1,
        max_control_line: 2,
        max_header_bytes: 0,
        max_message: 0,
        ..Limits::default()
    }
}

pub(crate) fn any_limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        6 => Just(Limits::default()),
        3 => Just(tight_limits()),
        1 => Just(tiny_limits()),
    ]
}

/// One damage to a stream.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
}

/// What the protocol and its limits turn on.
const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "  ",
    "\0",
    "\u{ff}",
    "'",
    "MSG",
    "HMSG",
    "msg a 1 0\r\n\r\n",
    "MSG ",
    "HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n",
    "INFO",
    "INFO {}\r\n",
    "iNfO ",
    "PING\r\n",
    "PONG \r\n",
    "+OK\r\n",
    "-ERR\r\n",
    "-ERR 'x'\r\n",
    "NATS/1.0",
    "0",
    "1",
    "00",
    "-1",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
];

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, 1 << bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        at().prop_map(Damage::Cut),
        (at(), 1..40_usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        (at(), proptest::sample::select(WORDS))
            .prop_map(|(at, word)| Damage::Insert(at, word.into())),
    ]
}

fn apply(stream: &mut Vec<u8>, damage: &Damage) {
    let place = |at: &Index| at.index(stream.len() + 1);
    match damage {
        Damage::Flip(at, bits) => {
            let at = place(at);
            if let Some(byte) = stream.get_mut(at) {
                *byte ^= bits;
            }
        }
        Damage::Set(at, value) => {
            let at = place(at);
            if let Some(byte) = stream.get_mut(at) {
                *byte = *value;
            }
        }
        Damage::Cut(at) => stream.truncate(place(at)),
        Damage::Remove(at, len) => {
            let at = place(at);
            stream.drain(at..stream.len().min(at + len));
        }
        Damage::Insert(at, bytes) => {
            let at = place(at);
            stream.splice(at..at, bytes.iter().copied());
        }
    }
}

/// A recorded stream with a few damages, or the start of one joined to the
/// end of another.
pub(crate) fn damaged(files: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let file = proptest::sample::select(files);
    let sound = file.clone();
    let spliced = (file.clone(), any::<Index>(), file, any::<Index>()).prop_map(|(a, i, b, j)| {
        let (head, tail) = (&a[..i.index(a.len())], &b[j.index(b.len())..]);
        [head, tail].concat()
    });
    (prop_oneof![4 => sound, 1 => spliced], vec(damage(), 0..5)).prop_map(
        |(mut stream, damages)| {
            for damage in &damages {
                apply(&mut stream, damage);
            }
            stream
        },
    )
}

/// Streams made of the protocol's words alone: nearly valid, mostly short.
pub(crate) fn word_salad() -> impl Strategy<Value = Vec<u8>> {
    vec(proptest::sample::select(WORDS), 0..24).prop_map(|words| words.concat().into_bytes())
}

/// Increasing offsets into a stream.
pub(crate) fn cuts_of(stream: &[u8], cuts: &[Index]) -> Vec<usize> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.sort_unstable();
    cuts
}
