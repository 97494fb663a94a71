//! Fuzz targets of the workspace: each is a plain function that takes bytes and panics when an oracle is wronged.
//!
//! The functions are what matters. `fuzz_targets/` binds each to libFuzzer; `cargo test -p kv-tests --test fuzz` feeds
//! them the committed corpus, recorded traffic and generated input, without any of it.
//!
//! # To run, to replay, to minimise
//!
//! Here, in the folder `fuzz`, with any toolchain (with a nightly one and `cargo fuzz`, that does as well):
//!
//! ```sh
//! export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=target RUSTFLAGS="-Cpasses=sancov-module \
//!   -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
//!   -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
//!   -Clink-dead-code -Cdebug-assertions -Coverflow-checks"
//! cargo build --release --features libfuzzer --target x86_64-unknown-linux-gnu
//! bin=target/x86_64-unknown-linux-gnu/release
//!
//! # Run: what is found goes to `found`, crashes to `crash-*`. Recorded traffic is a good start, too.
//! mkdir -p found/session
//! $bin/session -dict=nats.dict -max_len=4096 found/session corpus/session ../tests/corpus/s2c-streams
//! # Replay one input, or many.
//! $bin/session crash-0123
//! # Make a crash smaller.
//! $bin/session -minimize_crash=1 -runs=100000 crash-0123
//! # Keep what adds coverage, and the smallest of it.
//! mkdir merged && $bin/session -merge=1 merged corpus/session found/session
//! ```
//!
//! `merged` then takes the place of `corpus/session`; a crash that was mended goes there under the name of its
//! cause. The corpus stays small: at most 300 files and 300 KiB a target.
//!
//! # Targets
//!
//! | target | input | oracle |
//! |---|---|---|
//! | [`decoder`] | a server's bytes, and where they are cut | no panic; cuts change nothing; errors are final; a second decoder finds the same; what is written again is read again |
//! | [`server_ops`] | operations of a server | what it writes is what is read |
//! | [`client_ops`] | operations of a client | what is written is what a strict server reads |
//! | [`headers`] | a header block | a second parser finds the same, and the same defect; what is read lies in the block; heartbeats |
//! | [`deliveries`] | a reply subject, and the tokens of one | read token by token it says the same |
//! | [`replies`] | the JSON of a reply of JetStream | what is read is what was said; memory and nesting are bounded; good acknowledgements are read |
//! | [`info`] | the JSON of `INFO` | no panic; bounded lists; what is read can be shown |
//! | [`names`] | a text | what is accepted is safe in a subject, and is shown as it was given |
//! | [`urls`] | a list of URLs | what is accepted is shown in a form that parses to the same; other secrets change nothing of it |
//! | [`credentials`] | a `.creds` file, a seed | no panic; secrets never show |
//! | [`times`] | a time as text, durations | what is shown parses to the same; arithmetic saturates |
//! | [`session`] | what an embedder, a server and a user do | no panic; bounds hold; what leaves is valid; all ends in its time |
//! | [`hostile`] | the same, with a server that is mostly right | the same |
//! | [`scenario`] | a seed, and which of its steps to leave out | no promise is broken |

#![forbid(unsafe_code)]

pub mod client_ops;
pub mod credentials;
pub mod decoder;
pub mod deliveries;
pub mod headers;
pub mod hostile;
pub mod info;
mod input;
pub mod names;
mod outgoing;
pub mod replies;
pub mod scenario;
pub mod server_ops;
pub mod session;
pub mod times;
pub mod urls;
mod world;

/// The obvious readings of the protocol, which the laws of the core use as well.
#[path = "../../kv-proto/tests/wire/support"]
pub mod wire {
    pub mod frames;
    pub mod reference;
    pub mod strict;
}

/// A target: its name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their corpora.
pub const TARGETS: &[Target] = &[
    ("client_ops", client_ops::check),
    ("credentials", credentials::check),
    ("decoder", decoder::check),
    ("deliveries", deliveries::check),
    ("headers", headers::check),
    ("hostile", hostile::check),
    ("info", info::check),
    ("names", names::check),
    ("replies", replies::check),
    ("scenario", scenario::check),
    ("server_ops", server_ops::check),
    ("session", session::check),
    ("times", times::check),
    ("urls", urls::check),
];

/// A number as servers write it: without a sign, a leading zero or an overflow.
fn number(token: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(token).ok()?;
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
