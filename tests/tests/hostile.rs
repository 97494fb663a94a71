//! No server can make a client panic, hang, or take much memory or time, whatever it sends: each row of
//! `examples/hostile` in a process of its own, which is measured from outside of the client.

#![allow(
    clippy::print_stdout,
    reason = "the process that is exposed reports so"
)]

#[allow(dead_code, reason = "the example has a table of them")]
#[path = "../examples/hostile/rows.rs"]
mod rows;
#[path = "../examples/hostile/victim.rs"]
mod victim;

use std::process::Command;
use std::time::Duration;

use rows::Row;
use victim::Victim;

/// Most memory that a hostile server may cost, in KiB.
const MEMORY: u64 = 2_000;

/// Most CPU time that it may cost.
const CPU: Duration = Duration::from_millis(50);

/// How soon the user must know; machines that run tests are busy.
const SOON: Duration = Duration::from_secs(2);

/// The limits hold on both adapters, in every row.
#[test]
fn hostile_servers_cost_little_and_are_told_of() {
    for row in Row::ALL {
        for victim in [Victim::KvTokio, Victim::KvSmol] {
            let mut process = Command::new(std::env::current_exe().expect("this program"));
            process.args([
                "--exact",
                "--ignored",
                "--nocapture",
                "child_of_the_test_above",
            ]);
            let report = victim::expose(victim, row, process);
            let within = report.panics == 0
                && report.peak_kib <= MEMORY
                && report.cpu <= CPU
                && report.told_after.is_some_and(|after| after <= SOON);
            assert!(within, "{victim:?}, {row:?}: {report:?}");
            let lives = report.end.ends_with("[Connected]");
            let harmless = matches!(row, Row::LoneCr | Row::BareError);
            assert_eq!(lives, harmless, "{victim:?}, {row:?}: {report:?}");
            assert!(!report.end.starts_with("a bucket"), "{report:?}");
        }
    }
}

#[test]
#[ignore = "the test above runs it"]
fn child_of_the_test_above() {
    victim::was_exposed();
}
