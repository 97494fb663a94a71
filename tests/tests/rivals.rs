//! The bugs of async-nats that nobody planted show on the simulated servers, in the version that `Cargo.lock`
//! names, and kv-tokio has none of them. `cargo run -p kv-tests --example rivals` tells the stories.
//!
//! A newer async-nats without one of them turns its test red: then there is one bug less to tell of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "the example tells the rest")]
#[path = "../examples/rivals/bugs/mod.rs"]
mod bugs;

use bugs::Bug;

/// Ours does right, and the other one tells this.
fn shows(bug: Bug, wrong: &str) {
    let report = bug.run();
    assert!(report.kv_tokio.is_right, "{:#?}", report.kv_tokio);
    assert!(!report.async_nats.is_right, "{:#?}", report.async_nats);
    let told = report.async_nats.told.join("\n");
    assert!(told.contains(wrong), "no {wrong:?} in:\n{told}");
}

#[test]
fn a_lost_ack_is_told_as_a_lost_race() {
    shows(
        Bug::LostAck,
        "kind: AlreadyExists, source: None }\nget: Some(b\"me\")",
    );
}

#[test]
fn a_time_to_live_is_forgotten_over_a_tombstone() {
    shows(Bug::ForgottenTtl, "get two seconds later: Some(b\"you\")");
}

#[test]
fn a_bucket_that_was_created_again_is_watched_from_the_old_place() {
    shows(Bug::Recreated, "[\"new.4\", \"new.5\"]");
}

#[test]
fn a_watch_for_what_is_new_replays_what_is_old() {
    shows(
        Bug::Replayed,
        "[\"old\", \"old\", \"old\", \"new.1\", \"new.2\"]",
    );
}

#[test]
fn a_poisoned_entry_kills_the_client() {
    shows(Bug::Poison, "get good again: Err(");
}
