//! The client against real servers, and against hostile ones: each test runs on every adapter, and on
//! the oldest and the newest nats-server where both can serve it. On all five versions:
//!
//! ```sh
//! cargo test -p kv-tests --test suite -- --include-ignored            # or one of them: v2_12 --include-ignored
//! ```
//!
//! A test is an `async fn name<A: Adapter>(site: Site<A>)` that its file lists in [`site::tests!`]; one
//! that is not listed is dead code, and the compiler says so. Tests share one server for each version,
//! each with buckets of its own; a test that kills, limits or reloads a server starts its own.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod buckets;
mod cancellation;
mod cluster;
mod conditions;
mod config;
mod connection;
mod creates;
mod credentials;
mod denied;
mod domains;
mod erase;
mod events;
mod examples;
mod faults;
mod floors;
mod handshake;
mod history;
mod hostile;
mod keys;
mod listings;
mod load;
mod lost_acks;
mod mirrors;
mod oddities;
mod outcomes;
mod permissions;
mod poison;
mod reads;
mod reconnect;
mod refusals;
mod site;
mod sockets;
mod tls;
mod ttl;
mod watch;
mod writes;
