//! Seeds of every profile: no promise is broken, every run does its work, and what should happen happens.
//!
//! These are the few seeds that every test run can afford; `kv-sim run --release` has time for more.

use std::collections::BTreeSet;

use kv_proto::paths::Path;
use kv_sim::coverage::Point;
use kv_sim::fault::Fault;
use kv_sim::runner::{Summary, run_seeds};
use kv_sim::scenario::Act;
use kv_sim::{Mix, Scenario};

/// Runs so many seeds of a profile, and is content with them.
fn weathers(mix: Mix, seeds: u64) -> Summary {
    let summary = run_seeds(1..seeds + 1, mix, |_| true);
    content(&summary);
    summary
}

fn content(summary: &Summary) {
    assert_eq!(summary.failures, []);
    assert!(summary.is_good(), "{} did enough", summary.counting);
}

#[test]
fn fair_weather() {
    let summary = weathers(Mix::Quiet, 300);
    assert!(Fault::NAMES.iter().all(|name| !summary.coverage.has(name)));
}

#[test]
fn storms_of_the_network() {
    weathers(Mix::Network, 300);
}

#[test]
fn storms_of_servers() {
    weathers(Mix::Servers, 300);
}

#[test]
fn storms_of_clients_and_clocks() {
    weathers(Mix::Clients, 300);
}

#[test]
fn storms_of_watches() {
    weathers(Mix::Watches, 300);
}

/// Nothing is promised in a hostile network but that everybody survives it.
#[test]
fn hostile_networks() {
    let summary = run_seeds(1..301, Mix::Hostile, |_| true);
    assert_eq!(summary.failures, []);
    assert!(summary.coverage.has(Fault::HOSTILE));
    // Of clients that draw the same numbers, some take what is another one's for their own.
    assert!(summary.coverage.has(Fault::TWINS));
    for path in [Path::AcknowledgedAgain, Path::NameTaken] {
        let (what, how) = path.name();
        assert!(summary.coverage.get(Point(what, how)).times > 0, "{how}");
    }
}

/// Every kind of fault has an effect in one of a hundred runs, and everything that is expected of a long run
/// is come across even in this one.
#[test]
fn storms_of_everything() {
    let summary = run_seeds(1..SWARM + 1, Mix::Swarm, |_| true);
    for name in Fault::NAMES {
        let seeds = summary.coverage.get(name.into()).seeds;
        assert!(seeds * 100 >= summary.seeds, "{name}: {seeds} seeds");
    }
    assert_eq!(summary.never_fired(), [] as [&str; 0]);
    assert_eq!(summary.never_seen(), []);
    content(&summary);
}

/// So many are needed to come across what is rare.
const SWARM: u64 = 1_500;

/// What the table of faults promises is what is drawn.
#[test]
fn every_fault_is_drawn() {
    let mut drawn = BTreeSet::new();
    for seed in 0..500 {
        let scenario = Scenario::draw(seed, Mix::Hostile);
        for step in &scenario.steps {
            if let Act::Fault(fault) = step.act {
                drawn.insert(fault.name());
            }
        }
    }
    let mut known = BTreeSet::from(Fault::NAMES);
    assert!(known.insert(Fault::HOSTILE));
    known.extend(Fault::OF_WATCHES);
    assert_eq!(drawn, known);
}
