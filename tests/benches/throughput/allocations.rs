//! Counts the allocations per operation of every client and workload; `throughput` runs it.
//!
//! A process of its own, because the allocator that counts makes each allocation dearer, and so would
//! slow down most whoever allocates most. Only the thread that asks is counted, hence the runtime of
//! one thread.
//!
//! The argument is the server's URL. Each line of the output is a JSON object.

#[allow(dead_code, reason = "`throughput` uses the rest")]
mod clients;

use allocation_counter::measure;
use clients::{Flavor, KEYS, Limit, WORKLOADS, contenders, entries};
use serde_json::json;

#[allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "the output is for `throughput`; counts are small"
)]
fn main() {
    let url = std::env::args().nth(1).expect("the URL of a server");
    let values = entries("counted");
    for contender in contenders(&url, &[Flavor::CurrentThread]) {
        for workload in WORKLOADS {
            contender.run(workload, &values, Limit::ops(KEYS));
            // So many that what a lane allocates once does not show.
            let most = Limit::ops(if workload.in_flight == 1 { 4 } else { 32 } * KEYS);
            let mut ops = 0;
            let counted = measure(|| ops = contender.run(workload, &values, most).ops);
            let line = json!({
                "workload": workload.label(),
                "client": contender.client(),
                "allocations": counted.count_total as f64 / ops as f64,
                "bytes": counted.bytes_total as f64 / ops as f64,
            });
            println!("{line}");
        }
    }
}
