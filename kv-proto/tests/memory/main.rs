//! What a session holds, as its allocator counts it.
//!
//! `cargo test -p kv-proto --test memory -- --nocapture` shows the peaks. In a process of its own, as counting slows
//! down who allocates.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail loudly"
)]

#[path = "../support/mod.rs"]
mod support;

mod bare;
mod session;
mod watches;
