//! I-10: the same scenario is the same run, to the byte, wherever and however it is run.
//!
//! The hash of a run goes over every byte that arrives, every timer and every step. That debug and release
//! agree on it is compared by the gate (`.ci/run`), which builds both.

use std::process::Command;

use crate::scenes::{call, fair};

use kv_sim::fault::{Ending, Fault, Way};
use kv_sim::runner::run_seeds;
use kv_sim::scenario::{Act, Ask, Scenario, Step};
use kv_sim::{Mix, run, run_traced};

#[test]
fn a_run_is_the_same_when_it_is_repeated() {
    for (name, mix) in Mix::ALL {
        for seed in 1..=15 {
            let scenario = Scenario::draw(seed, mix);
            assert_eq!(scenario, Scenario::draw(seed, mix));
            assert_eq!(run(&scenario), run(&scenario), "{name} {seed}");
        }
    }
}

#[test]
fn who_reads_the_trace_changes_nothing() {
    for seed in 1..=15 {
        let scenario = Scenario::draw(seed, Mix::Swarm);
        let mut traced = run_traced(&scenario);
        assert!(traced.trace.len() > 100, "{seed}");
        traced.trace.clear();
        assert_eq!(traced, run(&scenario), "{seed}");
    }
}

/// The hash over 40 seeds is the same in two other processes and in this one.
#[test]
fn a_run_is_the_same_in_another_process() {
    let here = run_seeds(1..41, Mix::Swarm, |_| true);
    let here = format!("{:016x}", here.hash);
    assert_eq!([printed_hash(), printed_hash()], [here.clone(), here]);
}

fn printed_hash() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kv-sim"))
        .args(["run", "--seeds", "40", "--failures", "100"])
        .output()
        .expect("the binary runs");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let hash = text.split_once("; hash ").expect("it prints a hash").1;
    hash[..16].to_owned()
}

/// Different seeds are different runs: the hash hashes something.
#[test]
fn another_seed_is_another_run() {
    let hashes: std::collections::BTreeSet<u64> = (1..=60)
        .map(|seed| run(&Scenario::draw(seed, Mix::Swarm)).hash)
        .collect();
    assert_eq!(hashes.len(), 60);
}

/// Every connection draws from a generator of its own: what one client no longer does, and what no longer
/// befalls it, moves no byte of another.
#[test]
fn a_step_that_is_left_out_reshuffles_nothing() {
    let read = |n: u64, client| call(n * 2_000, client, Ask::Get { key: 0 });
    let mut steps: Vec<Step> = (0..40).flat_map(|n| [read(n, 0), read(n, 1)]).collect();
    let cut = Fault::Cut {
        client: 1,
        way: Way::Down,
        after: 10,
        how: Ending::Reset,
    };
    steps.insert(
        22,
        Step {
            at_us: 20_100,
            act: Act::Fault(cut),
        },
    );
    let mut profile = fair(2);
    profile.net.max_chunk = 16;
    let scenario = Scenario::new(3, profile, steps);
    let whole = of_client_0(&scenario);
    assert!(whole.len() > 400, "{} pieces", whole.len());
    for left_out in (1..=22).rev().step_by(3).chain([1, 79]) {
        let mut fewer = scenario.clone();
        let step = fewer.steps.remove(left_out);
        if !matches!(step.act, Act::Call { client: 0, .. }) {
            assert_eq!(of_client_0(&fewer), whole, "without {step:?}");
        }
    }
}

/// Everything that arrived from or at client 0 in the storm.
fn of_client_0(scenario: &Scenario) -> Vec<String> {
    let trace = run_traced(scenario).trace;
    let storm = trace.into_iter().take_while(|line| !line.ends_with("calm"));
    let pieces =
        storm.filter(|line| line.contains("client 0 ──►") || line.contains("client 0 ◄──"));
    pieces.collect()
}
