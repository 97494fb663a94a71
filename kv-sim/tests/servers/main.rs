//! The simulated servers, driven by raw bytes.

#![allow(
    clippy::disallowed_methods,
    reason = "names and bytes of a test are what they are"
)]

mod replication;
mod watching;
