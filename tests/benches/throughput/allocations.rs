//! Counts the allocations per operation of every client and workload; `throughput` runs it.
//!
//! A process of its own, because the allocator that counts makes each allocation dearer, and so would
//! slow down most whoever allocates most. Only the thread that asks is counted, hence the runtime of
//! one thread.
//!
//! The argument is the server's URL. Each line of the output is a JSON object.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected is no result"
)]

#[allow(dead_code, reason = "`throughput` uses the rest")]
mod contenders;
#[allow(dead_code, reason = "`throughput` uses the rest")]
mod cpu;
mod feeder;
#[allow(dead_code, reason = "`throughput` uses the rest")]
mod stage;
mod wire;
#[allow(dead_code, reason = "`throughput` uses the rest")]
mod workloads;

use allocation_counter::measure;
use serde_json::json;
use stage::Stage;
use workloads::{Data, HISTORIES, KEYS, Limit, Verb, WORKLOADS, Workload};

/// So many operations that what is allocated once does not show.
fn enough(workload: Workload) -> Limit {
    Limit::ops(match workload.in_flight {
        _ if workload.is_large() => 8,
        _ if workload.verb == Verb::History => HISTORIES / 2,
        1 => KEYS,
        _ => 32 * KEYS,
    })
}

#[allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "the output is for `throughput`; counts are small"
)]
fn main() {
    let url = std::env::args()
        .find(|argument| argument.starts_with("nats:"))
        .expect("the URL of a server");
    let (stage, data) = (Stage::at(&url), Data::new("counted"));
    let mut contenders = contenders::all(&stage);
    contenders.retain(|contender| ["current_thread", "blocking"].contains(&contender.runtime()));
    for contender in &mut contenders {
        for workload in WORKLOADS {
            if workload.verb == Verb::Hello {
                continue; // what a process allocates in all is not the question
            }
            contender.run(workload, &data, enough(workload));
            let mut ops = 0;
            let counted = measure(|| ops = contender.run(workload, &data, enough(workload)).ops);
            let line = json!({
                "workload": workload.label(),
                "client": contender.client(),
                "allocations": counted.count_total as f64 / ops as f64,
                "bytes": counted.bytes_total as f64 / ops as f64,
                "peak": counted.bytes_max,
            });
            println!("{line}");
        }
    }
}
