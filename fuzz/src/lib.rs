//! Fuzz targets of the workspace: each is a plain function that takes bytes and panics when an oracle is wronged.
//!
//! The functions are what matters. `fuzz_targets/` binds each to libFuzzer; `cargo test` feeds them the committed
//! corpus and generated input, without any of it.
//!
//! ```sh
//! cargo +nightly fuzz run --features libfuzzer session -- -dict=fuzz/nats.dict
//! ```
//!
//! | target | input | oracle |
//! |---|---|---|
//! | [`decoder`] | a server's bytes, and where they are cut | no panic; cuts change nothing; errors are final |
//! | [`headers`] | a header block | a defect is told; what is read lies in the block, and is bounded |
//! | [`info`] | the JSON of `INFO` | no panic; bounded lists; what is read can be shown |
//! | [`names`] | a text | what is accepted is safe in a subject, and is shown as it was given |
//! | [`urls`] | a list of URLs | what is accepted is shown in a form that parses to the same; secrets never show |
//! | [`credentials`] | a `.creds` file, a seed | no panic; secrets never show |
//! | [`times`] | a time as text, durations | what is shown parses to the same; arithmetic saturates |
//! | [`session`] | what an embedder, a server and a user do | no panic; bounds hold; what leaves is valid; all ends |
//! | [`scenario`] | a seed, and which of its steps to leave out | no promise is broken |

#![forbid(unsafe_code)]

pub mod credentials;
pub mod decoder;
pub mod headers;
pub mod info;
mod input;
pub mod names;
mod outgoing;
pub mod scenario;
pub mod session;
pub mod times;
pub mod urls;

/// A target: its name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their corpora.
pub const TARGETS: &[Target] = &[
    ("credentials", credentials::check),
    ("decoder", decoder::check),
    ("headers", headers::check),
    ("info", info::check),
    ("names", names::check),
    ("scenario", scenario::check),
    ("session", session::check),
    ("times", times::check),
    ("urls", urls::check),
];
