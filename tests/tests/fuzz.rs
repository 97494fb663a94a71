//! The fuzz targets on what fuzzing has found worth keeping, and on generated input: recorded traffic, whole and
//! damaged, and plain bytes. Long runs are libFuzzer's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use kv_fuzz::{TARGETS, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;

/// Cases of each target; a scenario is a whole storm.
const CASES: u32 = 10_000;
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
    all.into_iter().flatten().collect()
}

/// Bytes of any kind: plain ones, and recorded ones with some changed, cut out and put in.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let plain = vec(any::<u8>(), 0..400);
    let damages = vec((any::<Index>(), any::<u8>(), 0..3_usize), 0..6);
    let head = vec(any::<u8>(), 9);
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
        // What the decoder's target reads first.
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
generated! { credentials decoder headers info names session times urls }

#[test]
fn scenario() {
    generated("scenario", SCENARIOS);
}

/// A target that nobody feeds would pass for ever.
#[test]
fn every_target_is_fed() {
    for (name, _) in TARGETS {
        assert!(
            FED.contains(name) || *name == "scenario",
            "{name} is not fed"
        );
    }
}
