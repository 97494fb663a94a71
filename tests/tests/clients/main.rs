//! Other clients, which know nothing of this project, against the simulated servers and against real ones: the
//! same session must print the same.
//!
//! Each session is a whole life of a bucket: created, written, raced for, watched, listed, purged, expired,
//! deleted. What depends on the moment (times, ids, addresses) is not printed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod async_nats_session;
mod nats_py_session;
mod site;
