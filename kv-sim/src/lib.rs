//! A simulated world for NATS JetStream Key-Value clients: servers, network and clocks, deterministic and in
//! virtual time, and a judge.
//!
//! - [`server::Cluster`] is the servers: a value without sockets, clock or randomness of its own. Bytes of
//!   clients and the time go in, bytes for clients come out. It behaves like one of the
//!   [`server::Version`]s of the real server, which the differential test of this crate holds it against.
//! - [`Scenario`] is what happens in a run, as data: calls of clients and faults of network, servers and
//!   clocks, drawn from a seed or written down.
//! - [`run`] lets it happen to real [`kv_proto::Session`]s, then heals everything and waits until all has come
//!   to rest, and returns what is broken: what clients were told is held against what the servers'
//!   [journal](server::Cluster::journal) says.
//! - With the feature `mutants`, bugs are planted in clients, servers and judge, to see that runs find them.
//! - [`shrink`](shrink::shrink) deletes from a failing scenario what it can do without.
//! - [`picture`] draws a run as a page for a browser.
//!
//! - [`app`] is for authors of applications: their own async code, in virtual time and under faults; see the
//!   manual's chapter on [testing an application](manual::testing).
//! - [`mod@serve`] puts the servers on real sockets and in real time, for any client.
//!
//! The same scenario gives the same [hash](Outcome::hash) in any process and build.
//!
//! ```
//! use kv_sim::{Mix, Scenario, run};
//!
//! let scenario = Scenario::draw(7, Mix::Swarm);
//! let outcome = run(&scenario);
//! assert_eq!(outcome.violations, []);
//! assert_eq!(outcome.hash, run(&scenario).hash);
//! ```

#![warn(clippy::indexing_slicing)]

pub mod app;
#[cfg(feature = "mutants")]
pub mod campaign;
pub mod check;
mod client;
mod clock;
pub mod coverage;
pub mod fault;
mod frames;
pub mod history;
pub mod manual;
#[cfg(feature = "mutants")]
pub mod mutant;
#[cfg(not(feature = "mutants"))]
mod mutant;
mod net;
mod oracle;
mod outcome;
pub mod picture;
pub mod profile;
pub mod runner;
pub mod scenario;
pub mod serve;
pub mod server;
pub mod shrink;
mod trace;
mod violation;
mod wire;
mod world;

pub use outcome::{Outcome, Work};
pub use profile::Mix;
pub use scenario::Scenario;
pub use serve::{ServeConfig, serve};
pub use violation::Violation;

/// Runs a scenario.
///
/// # Panics
///
/// If its steps are not in the order of time.
#[must_use]
pub fn run(scenario: &Scenario) -> Outcome {
    world::World::run(scenario, false, None)
}

/// Runs a scenario and keeps the text of its trace.
///
/// # Panics
///
/// Like [`run`].
#[must_use]
pub fn run_traced(scenario: &Scenario) -> Outcome {
    world::World::run(scenario, true, None)
}

/// Runs a scenario and writes down what a [`picture`] of it needs. A panic is a broken promise like any other,
/// and the recording leads up to it.
#[must_use]
pub fn run_recorded(scenario: &Scenario) -> (Outcome, picture::Recording) {
    let mut recorder = picture::Recorder::new(format!("seed {}", scenario.seed));
    let outcome = runner::caught(|| world::World::run(scenario, false, Some(&mut recorder)));
    recorder.fact("hash", format!("{:016x}", outcome.hash));
    let end = recorder.now();
    for panic in outcome.violations.iter().filter(|one| one.is_panic()) {
        recorder.broken(end, panic.to_string(), picture::Concerns::default());
    }
    (outcome, recorder.finish(end))
}
