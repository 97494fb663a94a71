//! A second decoder, written to be obvious instead of fast, agrees with the
//! real one on what is recorded and on damaged forms of it: same frames, same
//! kind of error, same place. The same for header blocks.

use crate::support::reference::{kind, reference, reference_headers};
use crate::support::*;
use kv_proto::Limits;
use kv_proto::wire::Headers;
use proptest::prelude::*;

fn agree(stream: &[u8], limits: &Limits) -> Result<(), TestCaseError> {
    let found = decode_whole(stream, limits);
    let found = Outcome {
        frames: found.frames,
        error: found.error.map(kind),
    };
    prop_assert_eq!(found, reference(stream, limits));
    Ok(())
}

#[test]
fn recorded_streams() {
    for stream in [corpus("s2c-streams"), corpus("s2c-frames")].concat() {
        for limits in [Limits::default(), tight_limits(), tiny_limits()] {
            agree(&stream, &limits).unwrap();
        }
    }
}

fn headers_agree(block: &[u8], limits: &Limits) -> Result<(), TestCaseError> {
    let headers = Headers::parse(block, limits);
    let (fields, defects) = reference_headers(block, limits);
    prop_assert_eq!(headers.defect(), defects.first().copied());
    let found = headers.iter();
    let found: Vec<_> = found
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect();
    prop_assert_eq!(&found, &fields);
    for (name, _) in &fields {
        let Ok(text) = std::str::from_utf8(name) else {
            continue;
        };
        let values: Vec<_> = fields.iter().filter(|field| field.0 == *name).collect();
        prop_assert_eq!(headers.first(text), values.first().map(|field| &*field.1));
        prop_assert_eq!(headers.last(text), values.last().map(|field| &*field.1));
    }
    Ok(())
}

#[test]
fn recorded_header_blocks() {
    for block in corpus("headers") {
        let limits = Limits::default();
        assert_eq!(Headers::parse(&block, &limits).defect(), None);
        headers_agree(&block, &limits).unwrap();
    }
}

fn few_lines() -> Limits {
    Limits {
        max_header_lines: 3,
        ..Limits::default()
    }
}

const HEADER_WORDS: &[&str] = &[
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    ":",
    ": ",
    " ",
    "\t",
    "\0",
    "NATS/1.0",
    "NATS/1.0\r\n",
    "NATS/1.0 503\r\n",
    "NATS/1.0 404 Message Not Found\r\n",
    " 100 ",
    "A: 1\r\n",
    "A:2\r\n",
    "é",
    "KV-Operation: DEL\r\n",
    "Nats-Sequence: 7\r\n",
    "x",
    "HEL",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_streams(stream in damaged(corpus("s2c-streams")), limits in any_limits()) {
        agree(&stream, &limits)?;
    }

    #[test]
    fn damaged_frames(stream in damaged(corpus("s2c-frames")), limits in any_limits()) {
        agree(&stream, &limits)?;
    }

    #[test]
    fn streams_of_words(stream in word_salad(), limits in any_limits()) {
        agree(&stream, &limits)?;
    }

    #[test]
    fn arbitrary_bytes(stream: Vec<u8>, limits in any_limits()) {
        agree(&stream, &limits)?;
        headers_agree(&stream, &limits)?;
    }

    #[test]
    fn damaged_header_blocks(block in damaged(corpus("headers"))) {
        headers_agree(&block, &Limits::default())?;
        headers_agree(&block, &few_lines())?;
    }

    #[test]
    fn header_blocks_of_words(
        words in proptest::collection::vec(proptest::sample::select(HEADER_WORDS), 0..16),
    ) {
        let block = words.concat().into_bytes();
        headers_agree(&block, &Limits::default())?;
        headers_agree(&block, &few_lines())?;
    }
}
