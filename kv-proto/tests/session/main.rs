//! Laws of the session, held against a small server in memory, in virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail loudly"
)]

#[path = "../support/mod.rs"]
mod support;

mod connection;
mod contract;
mod foreign;
mod handover;
mod interleaving;
mod knowledge;
mod links;
mod manual;
mod mutation;
mod no_panic;
mod outcomes;
mod removals;
mod resolution;
mod secrecy;
mod silence;
mod tls;
mod usage;
mod watches;
