//! The fuzz targets on what fuzzing has found worth keeping, and on generated input: recorded traffic, whole and
//! damaged, and plain bytes. Long runs are libFuzzer's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use kv_fuzz::wire::frames::{Op, decode_cut, server_bytes};
use kv_fuzz::{TARGETS, Target, client_ops, decoder, deliveries, replies, server_ops};
use kv_proto::fuzzing::{Delivery, GROWTH, delivery, reply};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use serde_json::Value;

/// Cases of each target; a hostile server is a whole simulated one, and a scenario a whole storm.
const CASES: u32 = 10_000;
const SERVERS: u32 = 1_000;
const SCENARIOS: u32 = 100;

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The files below a folder.
fn files(path: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{path} is empty");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn recorded() -> Vec<Vec<u8>> {
    let folders = ["s2c-frames", "s2c-streams", "headers", "json-responses"];
    let all = folders.map(|name| files(&format!("tests/corpus/{name}")));
    let replies = fs::read_to_string(folder("tests/corpus/reply-subjects.txt")).unwrap();
    let replies = replies.lines().filter(|line| line.starts_with('$'));
    let replies = replies.map(|line| line.as_bytes().to_vec());
    all.into_iter().flatten().chain(replies).collect()
}

/// Bytes of any kind: plain ones, and recorded ones with some changed, cut out and put in.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let plain = vec(any::<u8>(), 0..400);
    let damages = vec((any::<Index>(), any::<u8>(), 0..3_usize), 0..6);
    // What the decoder's target reads first; others read what was recorded as it is.
    let head = prop_oneof![Just(Vec::new()), vec(any::<u8>(), 9)];
    let damaged = (select(recorded()), damages, head).prop_map(|(mut bytes, damages, head)| {
        bytes.truncate(4_000);
        for (place, byte, kind) in damages {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = byte,
                1 => drop(bytes.remove(place)),
                _ => bytes.insert(place, byte),
            }
        }
        [head, bytes].concat()
    });
    prop_oneof![plain, damaged]
}

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.0 == name).unwrap()
}

fn generated(name: &str, cases: u32) {
    let (_, check) = target(name);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config).run(&input(), |bytes| {
        check(&bytes);
        Ok(())
    });
    result.unwrap();
}

/// Everything that is kept, through its target and, as it costs nothing, through all others but the storms.
#[test]
fn the_corpus() {
    for (name, check) in TARGETS {
        for bytes in files(&format!("fuzz/corpus/{name}")) {
            check(&bytes);
        }
    }
    for bytes in recorded() {
        let cheap = TARGETS.iter().filter(|target| target.0 != "scenario");
        cheap.for_each(|(_, check)| check(&bytes));
    }
}

macro_rules! generated {
    ($($name:ident)*) => {
        /// The targets that are fed with many cases.
        const FED: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() {
                generated(stringify!($name), CASES);
            }
        )*
    };
}
generated! {
    client_ops credentials decoder deliveries headers info names replies server_ops session times urls
}

#[test]
fn scenario() {
    generated("scenario", SCENARIOS);
}

#[test]
fn hostile() {
    generated("hostile", SERVERS);
}

/// A target that nobody feeds would pass for ever.
#[test]
fn every_target_is_fed() {
    for (name, _) in TARGETS {
        let apart = ["hostile", "scenario"];
        assert!(
            FED.contains(name) || apart.contains(name),
            "{name} is not fed"
        );
    }
}

/// Whether a check complains of something that was recorded, with a bug in what it checks.
fn is_found(check: impl Fn(&[u8]) + std::panic::RefUnwindSafe) -> bool {
    let inputs = recorded().into_iter();
    let mut inputs = inputs
        .map(|bytes| [vec![0; 9], bytes].concat())
        .chain(recorded());
    inputs.any(|bytes| catch_unwind(|| check(&bytes)).is_err())
}

/// An oracle that cannot fail finds nothing: each of these is told of a bug.
#[test]
fn oracles_can_fail() {
    // A decoder that loses its last frame, one that does not go on where it was, and one that forgets errors.
    let bugs: [decoder::Decode; 3] = [
        |stream, cuts, limits| {
            let mut found = decode_cut(stream, cuts.iter().copied(), limits);
            found.frames.pop();
            found
        },
        |stream, cuts, limits| {
            let cuts = cuts.iter().map(|cut| cut.saturating_sub(1));
            let len = stream.len().saturating_sub(usize::from(cuts.len() > 0));
            decode_cut(&stream[..len], cuts.filter(|cut| *cut < len), limits)
        },
        |stream, cuts, limits| {
            let mut found = decode_cut(stream, cuts.iter().copied(), limits);
            found.error = None;
            found
        },
    ];
    for bug in bugs {
        assert!(is_found(|bytes| decoder::check_with(bytes, bug)));
    }
    // A server whose lines end too early, and one that forgets a reply subject.
    let bugs: [fn(&Op) -> Vec<u8>; 2] = [
        |op| {
            server_bytes(op)
                .into_iter()
                .filter(|byte| *byte != b'}')
                .collect()
        },
        |op| match op.clone() {
            Op::Message {
                subject,
                sid,
                headers,
                payload,
                ..
            } => server_bytes(&Op::Message {
                subject,
                sid,
                reply: None,
                headers,
                payload,
            }),
            Op::Info(_) | Op::Ping | Op::Pong | Op::Ok | Op::Err(_) => server_bytes(op),
        },
    ];
    for bug in bugs {
        assert!(is_found(|bytes| server_ops::check_with(bytes, bug)));
    }
    // A client that lets a line end in an argument, and one that counts wrong.
    let bugs: [fn(&mut BytesMut); 2] = [
        |out| {
            if let Some(byte) = out.iter_mut().find(|byte| **byte == b'_') {
                *byte = b'\n';
            }
        },
        |out| {
            if let Some(byte) = out.iter_mut().rev().find(|byte| byte.is_ascii_digit()) {
                *byte ^= 1;
            }
        },
    ];
    for bug in bugs {
        assert!(is_found(|bytes| client_ops::check_with(bytes, bug)));
    }
    // A reader that refuses some, one that has no room for a number, and one that confuses two.
    let bugs: [deliveries::Read; 3] = [
        |reply| delivery(reply).filter(|_| reply.len() % 7 != 0),
        |reply| {
            delivery(reply).map(|read| Delivery {
                pending: read.pending & 0xffff,
                ..read
            })
        },
        |reply| {
            delivery(reply).map(|read| Delivery {
                stream_seq: read.consumer_seq,
                consumer_seq: read.stream_seq,
                ..read
            })
        },
    ];
    for bug in bugs {
        assert!(is_found(|bytes| deliveries::check_with(bytes, bug)));
    }
    // A reader that overlooks errors, one that makes up a number, one that refuses what is well, and one that
    // needs a lot of memory.
    let bugs: [replies::Read; 4] = [
        |asked, bytes| Ok(Ok(reply(asked, bytes)?.unwrap_or(Value::Null))),
        |asked, bytes| {
            Ok(reply(asked, bytes)?.map(|mut read| {
                read["seq"] = 7.into();
                read
            }))
        },
        |asked, bytes| reply(asked, bytes.get(1..).unwrap_or_default()),
        |asked, bytes| {
            let copies = bytes.repeat(100 * GROWTH);
            assert!(copies.len() >= bytes.len());
            reply(asked, bytes)
        },
    ];
    for bug in bugs {
        assert!(is_found(|bytes| replies::check_with(bytes, bug)));
    }
}
