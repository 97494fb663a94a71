//! The simulated server held against the real one.
//!
//! The same bytes go to both; all that comes back must be equal after times, ids and made-up names are
//! masked: codes, texts, sequences, headers, the order of JSON members, the order of messages on each
//! subscription. What may differ is listed in [`exceptions`] with its reason.
//!
//! | module | what is sent |
//! |---|---|
//! | [`campaign`], [`generate`] | generated sequences, also with restarts of the server (SIGTERM and SIGKILL) |
//! | [`recorded`] | what seven real clients once sent |
//! | [`timed`] | scripts in which time passes: expiry, heartbeats, inactivity, flow control |
//! | [`core`] | core NATS: login, options, permissions, what a parser must refuse |
//! | [`origins`] | mirrors that answer for their origins, origins that come late, limits of atomic batches |
//! | [`limits`] | limits, long lists, lame duck and the end of a server |
//!
//! A short run covers 2.15.1 and 2.10.26. The long run takes about twenty minutes on two cores, and 10,000
//! sequences (and a twentieth of that with restarts) on each of the five versions:
//!
//! ```text
//! KV_SIM_SEQUENCES=10000 KV_SIM_FAILURES=100 cargo test --release -p kv-sim --test differential -- --nocapture
//! ```
//!
//! `KV_SIM_SEED` is the first seed, `KV_SIM_VERSION` (such as `2.12`) picks one version for the generated
//! sequences, `KV_SIM_FAILURES` says after how many differing ones to stop, `KV_SIM_WORKERS` how many
//! servers run side by side. With `KV_SIM_TRACE` set, all that is said is printed: for
//! `KV_SIM_SEQUENCES=1 KV_SIM_SEED=n`. `KV_SIM_RECORDINGS` is a directory of other recordings.
//!
//! A sequence that differs is tried again, more slowly and on a fresh server: a real server tells its
//! consumers of a message after it has acknowledged it, and removes a stream's directory after it has
//! answered. What agrees then is counted apart and printed.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a real server lives in real time"
)]

mod campaign;
mod cluster;
mod core;
mod exceptions;
mod frames;
mod generate;
mod limits;
mod origins;
mod races;
mod real;
mod recorded;
mod sim;
mod timed;

use kv_sim::server::Version;

use crate::campaign::{Kind, number, run};
use crate::exceptions::EXCEPTIONS;

/// Two different frames, each cut to the surroundings of where they part.
fn where_they_part<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &'a str| {
        let start = (0..=same.saturating_sub(200))
            .rev()
            .find(|at| text.is_char_boundary(*at));
        let rest = text.get(start.unwrap_or(0)..).unwrap_or_default();
        rest.get(..600).unwrap_or(rest)
    };
    (around(a), around(b))
}

fn cut(text: &str) -> &str {
    text.get(..1800).unwrap_or(text)
}

#[test]
fn agrees_with_2_15() {
    run(Version::V2_15, Kind::Steady, 300);
}

#[test]
fn agrees_with_2_10() {
    run(Version::V2_10, Kind::Steady, 300);
}

#[test]
fn agrees_with_the_versions_between() {
    if number("KV_SIM_SEQUENCES").is_some() {
        for version in [Version::V2_11, Version::V2_12, Version::V2_14] {
            run(version, Kind::Steady, 0);
        }
    }
}

#[test]
fn follows_like_2_15() {
    run(Version::V2_15, Kind::Following, 8);
}

#[test]
fn follows_like_2_10() {
    run(Version::V2_10, Kind::Following, 8);
}

#[test]
fn follows_like_the_versions_between() {
    if number("KV_SIM_SEQUENCES").is_some() {
        for version in [Version::V2_11, Version::V2_12, Version::V2_14] {
            run(version, Kind::Following, 0);
        }
    }
}

#[test]
fn restarts_like_2_15() {
    run(Version::V2_15, Kind::Restarting, 20);
}

#[test]
fn restarts_like_2_10() {
    run(Version::V2_10, Kind::Restarting, 20);
}

#[test]
fn restarts_like_the_versions_between() {
    if number("KV_SIM_SEQUENCES").is_some() {
        for version in [Version::V2_11, Version::V2_12, Version::V2_14] {
            run(version, Kind::Restarting, 0);
        }
    }
}

#[test]
fn every_exception_has_a_reason() {
    for exception in &EXCEPTIONS {
        assert!(exception.reason.len() > 20, "{}", exception.name);
    }
}
