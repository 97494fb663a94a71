//! What a server that breaks the protocol, or floods, does to its clients: kv-tokio, kv-smol and async-nats, each
//! row in a process of its own.
//!
//! ```sh
//! cargo run --release -q -p kv-tests --example hostile            # the whole table, some minutes
//! cargo run --release -q -p kv-tests --example hostile -- 1 5     # the first and the fifth row
//! ```
//!
//! A client connects with its defaults and asks for a bucket. The table has its panics, the most memory it held
//! beyond what it held idle, its CPU time, when its user could know that something is wrong, and what its user is told
//! then. `cargo test -p kv-tests --test hostile` holds ours to limits.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output is the product; progress goes beside it"
)]

mod rows;
mod victim;

use std::process::Command;

use rows::Row;
use victim::{Report, Victim};

/// How much of what a client says is shown.
const SHOWN: usize = 70;

fn main() {
    if victim::was_exposed() {
        return;
    }
    let wanted: Vec<usize> = std::env::args()
        .skip(1)
        .flat_map(|text| text.parse())
        .collect();
    println!("| a server sends | client | panics | extra memory | CPU | told after | what |");
    println!("|---|---|---|---|---|---|---|");
    for (number, row) in (1..).zip(Row::ALL) {
        if !wanted.is_empty() && !wanted.contains(&number) {
            continue;
        }
        for victim in Victim::ALL {
            let this = std::env::current_exe().expect("this program");
            let report = victim::expose(victim, row, Command::new(this));
            println!("| {} | {} | {}", row.name(), victim.name(), cells(&report));
        }
    }
}

fn cells(report: &Report) -> String {
    let told = report.told_after.map_or("never".to_owned(), |after| {
        format!("{:.1} ms", after.as_secs_f64() * 1e3)
    });
    let end: String = report.end.chars().take(SHOWN).collect();
    format!(
        "{} | {:.1} MB | {:.1} ms | {told} | {} |",
        report.panics,
        report.peak_kib as f64 * 1_024.0 / 1e6,
        report.cpu.as_secs_f64() * 1e3,
        end.replace('|', "/").replace(['\r', '\n'], " "),
    )
}
