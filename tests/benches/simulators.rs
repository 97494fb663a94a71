//! How many runs a second: this project's simulator beside turmoil, for the same load.
//!
//! ```text
//! cargo bench -p kv-tests --features rivals --bench simulators [-- --rounds <n> --seeds <n>]
//! ```
//!
//! Both run the same application, on the same clients ([`kv_proto::driver`]), against the same simulated server
//! ([`kv_sim::server::Cluster`]); what differs is who simulates network, time and tasks. Three clients put and get
//! fifty times each, over a network that takes about a millisecond for one way; nothing fails. Rounds interleave
//! the two, so that what else the machine does hits both alike. Turmoil delivers what is written in one piece; kv-sim
//! runs once so, and once in pieces as it does by default.

#![allow(clippy::print_stdout, reason = "it talks to a person")]

#[path = "simulators/load.rs"]
mod load;
#[path = "simulators/under_turmoil.rs"]
mod under_turmoil;

use std::time::{Duration, Instant};

use kv_sim::app::Simulation;

use load::{CLIENTS, LATENCY, OPERATIONS, application};

/// Its name, and how it runs a seed.
type Contender = (&'static str, fn(u64));

const CONTENDERS: [Contender; 3] = [
    ("turmoil", under_turmoil::run),
    ("kv-sim", |seed| run_ours(seed, false)),
    ("kv-sim, in pieces", |seed| run_ours(seed, true)),
];

fn run_ours(seed: u64, pieces: bool) {
    let simulation = Simulation::new().latency(LATENCY);
    let simulation = if pieces {
        simulation
    } else {
        simulation.whole_writes()
    };
    simulation.run(seed, |sim| async move {
        let mut tasks = Vec::new();
        for name in CLIENTS {
            let process = sim.process(name);
            let url = sim.url();
            let running = process.clone();
            tasks.push(process.spawn(async move {
                let client = running.connect(url).await.expect("a good network");
                application(client, name).await;
            }));
        }
        for task in tasks {
            task.await.expect("nobody is killed");
        }
    });
}

fn main() {
    let (mut rounds, mut seeds) = (7, 200);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().expect("each option's value");
            value.parse().expect("a number")
        };
        match argument.as_str() {
            "--rounds" => rounds = number(),
            "--seeds" => seeds = number(),
            "--bench" => {} // cargo says so
            unknown => panic!("no option {unknown}"),
        }
    }
    let mut rates = [const { Vec::<f64>::new() }; CONTENDERS.len()];
    for round in 0..rounds {
        for ((_, run), rates) in CONTENDERS.iter().zip(&mut rates) {
            let began = Instant::now();
            for seed in 0..seeds {
                run(round * seeds + seed);
            }
            rates.push(rate(seeds, began.elapsed()));
        }
        println!("round {} of {rounds}", round + 1);
    }
    let operations = (CLIENTS.len() * OPERATIONS) as f64;
    let medians = rates.map(median);
    println!(
        "{} clients x {OPERATIONS} operations, {seeds} seeds a round, medians of {rounds}",
        CLIENTS.len()
    );
    for ((name, _), rate) in CONTENDERS.iter().zip(medians) {
        let times = rate / medians[0];
        println!(
            "{name:<18} {rate:8.0} seeds/s {:10.0} operations/s {times:6.1} x",
            rate * operations
        );
    }
}

fn rate(seeds: u64, took: Duration) -> f64 {
    seeds as f64 / took.as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
