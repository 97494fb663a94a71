//! The chunk law: how a stream is cut into reads changes neither the frames
//! nor the error nor the place of either. Held against everything recorded,
//! and against damaged forms of it.

use crate::support::*;
use kv_proto::Limits;
use kv_proto::wire::ServerInfo;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn all_limits() -> [Limits; 3] {
    [Limits::default(), tight_limits(), tiny_limits()]
}

#[test]
fn recorded_streams_are_whole_frames_without_error() {
    let limits = Limits::default();
    for stream in [corpus("s2c-streams"), corpus("s2c-frames")].concat() {
        let outcome = decode_whole(&stream, &limits);
        assert_eq!(outcome.error, None);
        assert_eq!(outcome.consumed(), stream.len());
        for (op, _) in outcome.frames {
            if let Op::Info(json) = op {
                let info = ServerInfo::parse(&json, &limits).expect("a real INFO");
                assert!(info.headers && info.jetstream && info.version().is_some());
            }
        }
    }
}

#[test]
fn one_byte_at_a_time() {
    for stream in [corpus("s2c-streams"), corpus("s2c-frames")].concat() {
        for limits in all_limits() {
            let whole = decode_whole(&stream, &limits);
            assert_eq!(decode_cut(&stream, 0..stream.len(), &limits), whole);
        }
    }
}

#[test]
fn every_single_split() {
    let streams = corpus("s2c-streams").into_iter();
    let short = streams.filter(|stream| stream.len() <= 3_000);
    let streams: Vec<_> = corpus("s2c-frames").into_iter().chain(short).collect();
    assert!(streams.len() > 170);
    for stream in streams {
        for limits in all_limits() {
            let whole = decode_whole(&stream, &limits);
            for at in 0..=stream.len() {
                assert_eq!(decode_cut(&stream, [at], &limits), whole, "split at {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_cuts_of_damaged_streams(
        stream in damaged(corpus("s2c-streams")),
        cuts in vec(any::<Index>(), 0..30),
        limits in any_limits(),
    ) {
        let whole = decode_whole(&stream, &limits);
        prop_assert_eq!(decode_cut(&stream, 0..stream.len(), &limits), whole.clone());
        prop_assert_eq!(decode_cut(&stream, cuts_of(&stream, &cuts), &limits), whole);
    }

    #[test]
    fn every_split_of_damaged_frames(
        stream in damaged(corpus("s2c-frames")),
        limits in any_limits(),
    ) {
        let whole = decode_whole(&stream, &limits);
        for at in 0..=stream.len() {
            prop_assert_eq!(decode_cut(&stream, [at], &limits), whole.clone());
        }
    }

    #[test]
    fn every_split_of_word_salad(stream in word_salad(), limits in any_limits()) {
        let whole = decode_whole(&stream, &limits);
        for at in 0..=stream.len() {
            prop_assert_eq!(decode_cut(&stream, [at], &limits), whole.clone());
        }
        prop_assert_eq!(decode_cut(&stream, 0..stream.len(), &limits), whole);
    }
}
